import type { GatewayNeeds } from '../needs.ts';
import type { Code as CodeMessage } from '../../gen/messages.ts';
import type { StoredRecord } from '../../store/records.ts';
import { approvalsOf, type CodeBody, type CodeVerdictBody } from './code-registry.ts';
import { versionsOf } from '../policies/policy-service.ts';
import { policyOf } from '../records.ts';

/** Where a piece of code stands: its record's own end, else what its approvals amount to now. */
export function stateOf(needs: GatewayNeeds, record: StoredRecord<CodeBody>): CodeMessage['state'] {
  if (record.state === 'rejected' || record.state === 'revoked') return record.state;
  if (isQuorate(needs, record, approvalsOf(needs, record))) return 'approved';
  const wasApproved = isQuorate(
    needs,
    record,
    record.body.verdicts.filter(({ approves }) => approves),
  );
  return wasApproved ? 'expired' : 'submitted';
}

/** Whether these approvals reach the quorum of a rule of the newest policy: one capacity per reviewer, each once. */
function isQuorate(
  needs: GatewayNeeds,
  record: StoredRecord<CodeBody>,
  approvals: readonly CodeVerdictBody[],
): boolean {
  return rulesFor(needs, record).some(
    ({ quorum, by }) =>
      new Set(approvals.map(({ capacity }) => capacity).filter((one) => by.includes(one))).size >= quorum,
  );
}

/** The newest other version of the same name and dataset that has its quorum. */
export function lastApproved(needs: GatewayNeeds, record: StoredRecord<CodeBody>): StoredRecord<CodeBody> | undefined {
  return needs.store
    .peekAll<CodeBody>('approval')
    .filter(
      (one) =>
        one.id !== record.id &&
        one.body.name === record.body.name &&
        one.body.dataset === record.body.dataset &&
        stateOf(needs, one) === 'approved',
    )
    .toSorted((a, b) => b.atMs - a.atMs)[0];
}

/** Whether the newest policy of the dataset asks for approvals in this capacity; the owner may always judge. */
export function isReviewing(needs: GatewayNeeds, record: StoredRecord<CodeBody>, capacity: string): boolean {
  return capacity === 'owner' || rulesFor(needs, record).some(({ by }) => by.includes(capacity));
}

function rulesFor(
  needs: GatewayNeeds,
  record: StoredRecord<CodeBody>,
): readonly { readonly quorum: number; readonly by: readonly string[] }[] {
  const [newest] = versionsOf(needs, record.body.dataset);
  if (newest === undefined) return [];
  return policyOf(newest.body).allow.flatMap(({ mode, when }) =>
    mode === 'approvedCode' && when.approvals !== null ? [when.approvals] : [],
  );
}
