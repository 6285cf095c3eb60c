import type { GatewayNeeds } from '../needs.ts';
import type { JwsSignatureParts } from '../../identity/jws.ts';
import type { Caller } from '../../identity/party.ts';
import { type Reason, reason } from '../../policy/reason.ts';
import { verifyCodeObjection, type CodeObjection } from '../../rpc/code-statement.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { capacitiesOf, type CodeBody, type CodeRevocation, type CodeVerdictBody } from './code-registry.ts';
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
  signature: JwsSignatureParts | null,
): CodeVerdictBody {
  assertNote(note);
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

function assertNote(note: string): void {
  if (note.length > 2000) throw new Fault('argument-not-valid', 'the note is longer than 2000 characters');
}

interface Objection {
  readonly note: string;
  readonly signature: JwsSignatureParts | null;
}

/**
 * Throws for a signature that is not this party's over this rejection or revocation. None at all is taken: it stops code, and
 * who must stop it in a hurry, without the key at hand, still is who the connection says.
 */
export function assertSigned(
  caller: Caller,
  record: StoredRecord<CodeBody>,
  verdict: CodeObjection['verdict'],
  { note, signature }: Objection,
): void {
  if (signature === null) return;
  const objection = { digest: record.id, dataset: record.body.dataset, verdict, note };
  const isSigned =
    caller.signingPublicKey !== null &&
    verifyCodeObjection(caller.party, caller.signingPublicKey, objection, signature);
  if (!isSigned) throw new Fault('signature-not-valid', `that the code is ${verdict} is not signed by this party`);
}

/** A revocation said now. Throws for a note that is too long. */
export function revocationOf(needs: GatewayNeeds, caller: Caller, { note, signature }: Objection): CodeRevocation {
  assertNote(note);
  return {
    by: caller.party,
    note,
    atMs: needs.nowMs(),
    protectedHeader: signature?.protectedHeader ?? '',
    signature: signature?.signature ?? '',
  };
}

/** The verdicts of a piece of code with this one in place of the reviewer's last. */
export const withVerdict = (record: StoredRecord<CodeBody>, verdict: CodeVerdictBody): readonly CodeVerdictBody[] => [
  ...record.body.verdicts.filter(({ reviewer }) => reviewer !== verdict.reviewer),
  verdict,
];
