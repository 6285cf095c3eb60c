import type { JavaScriptProgram } from '../../gen/messages.ts';
import { approvalDigest } from '../../sandbox/javascript/approval.ts';
import { computationOfMessage } from '../../sandbox/javascript/from-message.ts';
import type { StoredRecord } from '../../store/records.ts';
import type { SubmittedProgram } from '../javascript/engine.ts';
import type { GatewayNeeds } from '../needs.ts';
import type { DatasetBody, PartyBody } from '../records.ts';

/** Code that waits for approvals or has them; the record's id is the digest, its owner the submitter. */
export type CodeBody = {
  readonly name: string;
  readonly dataset: string;
  readonly note: string;
  /** The submitted program as JSON, numbers of 64 bits left out. */
  readonly program: string;
  /** The last word of each reviewer. */
  readonly verdicts: readonly CodeVerdictBody[];
  /** Who took the approval back, and why; absent while nobody did, and in records from before it was kept. */
  readonly revocation?: CodeRevocation;
};

export type CodeRevocation = {
  readonly by: string;
  readonly note: string;
  readonly atMs: number;
  /** Compact parts of the signature over the revocation; empty when there was none. */
  readonly protectedHeader: string;
  readonly signature: string;
};

export type CodeVerdictBody = {
  readonly reviewer: string;
  readonly capacity: string;
  readonly approves: boolean;
  readonly note: string;
  readonly atMs: number;
  /** When an approval ends; 0 for a rejection. */
  readonly expiresAtMs: number;
  /** Compact parts of the reviewer's signature over the approval or rejection; empty for a rejection without one. */
  readonly protectedHeader: string;
  readonly signature: string;
  readonly days: number;
};

/** `open` takes verdicts; the others are final for that digest. */
export type CodeRecordState = 'open' | 'rejected' | 'revoked';

type Registry = Pick<GatewayNeeds, 'store' | 'nowMs'>;

export function codeRecord(needs: Pick<GatewayNeeds, 'store'>, digest: string): StoredRecord<CodeBody> | undefined {
  return needs.store.peek<CodeBody>('approval', digest);
}

/**
 * The capacities in which a party may judge code for a dataset: `owner` for the provider of the dataset, the groups that the
 * operator put the party into, and its own name.
 */
export function capacitiesOf(needs: Pick<GatewayNeeds, 'store'>, party: string, dataset: string): readonly string[] {
  const record = needs.store.peek<PartyBody>('party', party);
  if (record?.state !== 'admitted') return [];
  const isOwner = needs.store.peek<DatasetBody>('dataset', dataset)?.owner === party;
  // A group or a party of that name would let an operator's slip make anybody the owner.
  const others = [...record.body.groups, party].filter((capacity) => capacity !== 'owner');
  return [...(isOwner ? ['owner'] : []), ...others];
}

/**
 * Approvals that count now: not expired, by admitted parties that still have the capacity, one per reviewer, never the
 * submitter's own.
 */
export function approvalsOf(needs: Registry, record: StoredRecord<CodeBody>): readonly CodeVerdictBody[] {
  if (record.state !== 'open') return [];
  return record.body.verdicts.filter(
    ({ approves, reviewer, capacity, expiresAtMs }) =>
      approves &&
      reviewer !== record.owner &&
      needs.nowMs() < expiresAtMs &&
      capacitiesOf(needs, reviewer, record.body.dataset).includes(capacity),
  );
}

/** The message as JSON text and back; 64-bit numbers of it are of no use to approved code. */
export const programText = (program: JavaScriptProgram): string => JSON.stringify({ ...program, microEpsilon: 0 });
export function programOfText(text: string): JavaScriptProgram {
  return { ...(JSON.parse(text) as JavaScriptProgram), microEpsilon: 0n };
}

/**
 * A submitted message as plain data. Code of method `approved` carries the digest that is computed from it, whatever the
 * message says; a message that names a digest and has no source stands for the code of that digest.
 */
export function submittedProgram(needs: Registry, message: JavaScriptProgram): SubmittedProgram {
  const named = message.source === '' ? codeRecord(needs, message.codeDigest) : undefined;
  const program = named === undefined ? message : programOfText(named.body.program);
  const parsed = computationOfMessage(program);
  const isApproved = program.method === 'approved' || message.codeDigest !== '';
  const digest =
    parsed.kind === 'ok' && parsed.computation.mode === 'approved' ? approvalDigest(parsed.computation) : null;
  const record = digest === null ? undefined : codeRecord(needs, digest);
  return {
    image: program.image === '' ? 'javascript' : program.image,
    // Never null for what asks to run as approved: it must not fall back to another mode.
    codeDigest: isApproved ? (digest ?? 'none') : null,
    approvers: record === undefined ? [] : approvalsOf(needs, record).map(({ capacity }) => capacity),
    approvedFor: record?.body.dataset ?? null,
    isRejected: record !== undefined && record.state !== 'open',
    parsed,
    microEpsilon: message.microEpsilon === 0n ? null : Number(message.microEpsilon),
  };
}
