import { applyToAgreement, OPERATOR } from '../../contract/lifecycle.ts';
import type { Step } from '../../store/jobs.ts';
import { agreementEvent, contractOf, notesOf, recordOf } from '../agreement-record.ts';
import type { GatewayNeeds } from '../needs.ts';
import type { AgreementBody } from '../records.ts';

/** The steps that terminate every agreement of a party that leaves, as provider or consumer. */
export function endAgreementsOf(
  needs: Pick<GatewayNeeds, 'store' | 'nowMs' | 'sha256' | 'pseudonymOf'>,
  party: string,
): { readonly ids: readonly string[]; readonly steps: readonly Step[] } {
  const now = { atMs: needs.nowMs(), keys: {} };
  const ended = needs.store
    .peekAll<AgreementBody>('agreement')
    .filter(({ body }) => body.consumer === party || body.provider === party)
    .flatMap((record) => {
      const answer = applyToAgreement(contractOf(record), { do: 'terminate', by: OPERATOR }, now.atMs);
      if (answer.kind === 'refused') return [];
      const moved = recordOf(answer.agreement, { ...notesOf(record), note: `${party} has exited` }, now, record);
      const steps: Step[] = [
        { do: 'expect', table: 'agreement', id: record.id, state: record.state },
        { do: 'put', record: moved },
        agreementEvent(needs, moved, 'agreement.terminated'),
      ];
      return [{ id: record.id, steps }];
    });
  return { ids: ended.map(({ id }) => id), steps: ended.flatMap(({ steps }) => steps) };
}
