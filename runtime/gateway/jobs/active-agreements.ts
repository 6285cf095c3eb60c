import type { AgreementForJob } from '../../job/admission.ts';
import { pricesOf, pinnedPolicy } from '../agreement-record.ts';
import { gradingOf, heldByGrade } from '../policies/dataset-grade.ts';
import { unitsOf } from '../datasets/dataset-units.ts';
import { heldByDispute } from '../agreements/disputes.ts';
import type { DutyBook } from '../policies/duties.ts';
import type { GatewayNeeds } from '../needs.ts';
import { settlementMark } from '../accounts/settlement.ts';
import { agreedAtOf, type AgreementBody, type DatasetBody, policyOf } from '../records.ts';

/** The agreements under which a party may run jobs now, with the policies that they pin. */
export function activeAgreements(
  needs: Pick<GatewayNeeds, 'store' | 'sha256'> & { readonly duties: Pick<DutyBook, 'blocking'> },
  party: string,
): readonly AgreementForJob[] {
  return needs.store
    .peekAll<AgreementBody>('agreement')
    .filter(({ state, body }) => state === 'active' && body.consumer === party)
    .flatMap((record) => {
      const { id, body } = record;
      const policy = pinnedPolicy(needs, body);
      if (policy === undefined) return [];
      const pinned = policyOf(policy.body);
      const { dataset, provider, policyDigest, purposes, notBeforeMs, notAfterMs } = body;
      return [
        {
          id,
          digest: needs.sha256(body.content),
          dataset,
          provider,
          policy: pinned,
          policyDigest,
          purposes,
          notBeforeMs,
          notAfterMs,
          agreedAtMs: agreedAtOf([body]),
          prices: pricesOf(record, needs.sha256),
          units: unitsOf(needs.store.peek<DatasetBody>('dataset', dataset)?.body, pinned),
          grading: gradingOf(needs, dataset),
          settlement: settlementMark(needs, id),
          blockedBy: [
            ...heldByGrade(needs, dataset, pinned),
            ...heldByDispute(needs, id),
            ...needs.duties.blocking(id, pinned.duties),
          ],
        },
      ];
    })
    .toSorted((a, b) => (a.id < b.id ? -1 : 1));
}
