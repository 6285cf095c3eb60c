import type { GatewayNeeds } from './needs.ts';
import type { Caller } from '../identity/party.ts';
import { type Reason, reason } from '../policy/reason.ts';
import { Fault } from '../rpc/fault.ts';
import type { StoredRecord } from '../store/records.ts';
import { capacitiesOf, type CodeBody, type CodeVerdictBody } from './code-registry.ts';
import { isReviewing } from './code-quorum.ts';

/** Why a party may not judge this code in this capacity; null: it may. */
export function problemOfReviewer(
  needs: GatewayNeeds,
  caller: Caller,
  record: StoredRecord<CodeBody>,
  capacity: string,
): Reason | null {
  if (record.state !== 'open')
    return reason('code-closed', `the code is ${record.state}`, { remedy: 'submit a changed version' });
  if (record.owner === caller.party)
    return reason('own-code', 'nobody judges code that they submitted', { remedy: 'ask another reviewer' });
  const capacities = capacitiesOf(needs, caller.party, record.body.dataset);
  if (!capacities.includes(capacity) || !isReviewing(needs, record, capacity)) {
    const open = capacities.filter((one) => isReviewing(needs, record, one));
    return reason('not-a-reviewer', `you may not judge this code as \`${capacity}\``, {
      remedy: open.length === 0 ? 'the policy names no capacity of yours' : `your capacities: ${open.join(', ')}`,
    });
  }
  if (record.body.verdicts.length >= MAX_VERDICTS)
    return reason('too-many-verdicts', 'too many reviewers have judged it');
  return null;
}

const MAX_VERDICTS = 64;

/** A verdict given now; an approval lives `days`. Throws for a note that is too long. */
export function verdictOf(
  needs: GatewayNeeds,
  caller: Caller,
  capacity: string,
  approves: boolean,
  note: string,
  days: number,
  signature: { readonly protectedHeader: string; readonly signature: string } | null,
): CodeVerdictBody {
  if (note.length > 2000) throw new Fault('argument-not-valid', 'the note is longer than 2000 characters');
  const atMs = needs.nowMs();
  return {
    reviewer: caller.party,
    capacity,
    approves,
    note,
    atMs,
    days,
    expiresAtMs: approves ? atMs + days * DAY_MS : 0,
    protectedHeader: signature?.protectedHeader ?? '',
    signature: signature?.signature ?? '',
  };
}

const DAY_MS = 86_400_000;

/** The verdicts of a piece of code with this one in place of the reviewer's last. */
export const withVerdict = (record: StoredRecord<CodeBody>, verdict: CodeVerdictBody): readonly CodeVerdictBody[] => [
  ...record.body.verdicts.filter(({ reviewer }) => reviewer !== verdict.reviewer),
  verdict,
];
