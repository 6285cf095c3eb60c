import type { KeyObject } from 'node:crypto';
import type { Backend } from './backend.ts';
import type { ColumnInput } from './plan.ts';
import { planProgram, type Plan } from './plan.ts';
import { categoryCounts, decryptTotals, deriveScalars, presentRows, type ReleasedScalar } from './derive.ts';
import { HomomorphicFault } from './fault.ts';
import { approximateLimit, floodLogistic } from './flood.ts';
import { readResult } from './result-file.ts';
import { runOverColumns, type ColumnSource } from './run-columns.ts';
import { openTranscript, resultDigest, type SignedTranscript, type Transcript } from './transcript.ts';

/** A column that the key holder encrypted or accepted: the only inputs whose results it ever decrypts. */
export interface PinnedColumn extends ColumnInput {
  /** Distinct units in the column, and in each of its groups when it is partitioned; counted by the key holder. */
  readonly units: number;
  readonly groupUnits: readonly number[];
  /** Most rows that one unit has: from a count of rows it gives the fewest units behind them. */
  readonly maxRowsPerUnit: number;
  /** Fewest units that any released number may rest on. */
  readonly minUnits: number;
}

/** What the key holder's decryptor needs from its process. */
export interface DecryptorNeeds {
  /** An instance of its own with the secret key, and the public relinearisation key for logistic programs. */
  readonly backend: Backend;
  /** Ed25519 public key of the runtime. */
  readonly runtimeKey: KeyObject;
  /** The pinned column with this file digest, or null. */
  findColumn(digest: string): Promise<PinnedColumn | null>;
  /** The bytes of a pinned column's file, from the key holder's own store. */
  openColumn(digest: string): Promise<ColumnSource>;
  /** Whether the agreement is active for this consumer and program, by the key holder's own books. */
  isAgreed(transcript: Transcript): Promise<boolean>;
  /** Durably marks a job as decrypted; false when it was before. Must be on disk before it answers true. */
  claimOnce(jobId: string): Promise<boolean>;
  /** Durably counts one more approximate result under this key, and says how many there are with it. */
  countApproximate(jobId: string): Promise<number>;
  /** Fresh random bytes, for flooding approximate results. */
  randomBytes(length: number): Uint8Array;
  /** Where the true reason of a refusal goes; never to the caller. */
  log?(refusal: { readonly jobId: string | null; readonly reason: unknown }): void;
}

/** A result to decrypt. */
export interface DecryptRequest {
  readonly transcript: SignedTranscript;
  /** Result ciphertexts as `writeResult` gives them. */
  readonly result: Uint8Array;
}

/** Declared scalars, or one refusal that is the same whatever the reason. */
export type DecryptOutcome =
  | {
      readonly kind: 'released';
      readonly jobId: string;
      readonly scalars: readonly ReleasedScalar[];
      /** Groups or categories kept back because too few units stand behind them. */
      readonly withheld: number;
      readonly units: number;
    }
  | { readonly kind: 'refused' };

/**
 * Decrypts a result for release: verifies the runtime's signature, finds every input among the pinned columns, checks
 * the agreement and the unit count, **runs the program again over its own copy and compares every byte**, claims the job,
 * and only then decrypts and releases the program's declared scalars. So no ciphertext that a consumer, or a dishonest
 * runtime, shaped ever meets the secret key, and slots, polynomials and noise budgets never leave.
 */
export async function verifyAndDecrypt(needs: DecryptorNeeds, request: DecryptRequest): Promise<DecryptOutcome> {
  let jobId: string | null = null;
  try {
    const transcript = openTranscript(request.transcript, needs.runtimeKey);
    jobId = transcript.jobId;
    const pinned = await pinnedInputs(needs, transcript);
    if (!(await needs.isAgreed(transcript))) throw refusal('the agreement does not allow it');
    // the rule's least and each key holder's own: whoever asks for more is obeyed
    const minUnits = Math.max(transcript.minUnits, ...pinned.map((column) => column.minUnits));
    const units = Math.min(...pinned.map((column) => column.units));
    const isAsked = pinned.every((column) => column.minUnits >= 1);
    if (!isAsked || units < minUnits || transcript.units < minUnits) throw refusal('too few units');
    const plan = planProgram(transcript.program, pinned);
    await recompute(needs, plan, transcript, request.result);
    if (!(await needs.claimOnce(transcript.jobId))) throw refusal('it was decrypted before');
    if (plan.logistic !== null && (await needs.countApproximate(jobId)) > approximateLimit(plan))
      throw refusal('as many approximate results left under this key as flooding covers');
    const { name } = plan.program;
    const totals = decryptTotals(plan, readResult(plan, request.result), needs.backend);
    for (const [i, present] of presentRows(plan, totals).entries()) {
      // each provider's column alone rests on enough units: the others' can be subtracted from what leaves
      if (name !== 'histogram' && name !== 'countEqual' && unitsIn(present, pinned[i]) < minUnits)
        throw refusal('too few values are present');
    }
    const scalars = floodLogistic(plan, deriveScalars(plan, totals), (length) => needs.randomBytes(length));
    const counts = name === 'histogram' || name === 'countEqual' ? categoryCounts(plan, totals) : [];
    const released = withhold(plan, { scalars, counts }, pinned[0] as PinnedColumn, minUnits);
    return { kind: 'released', jobId, units, ...released };
  } catch (reason) {
    needs.log?.({ jobId, reason });
    return { kind: 'refused' };
  }
}

async function pinnedInputs(needs: DecryptorNeeds, transcript: Transcript): Promise<readonly PinnedColumn[]> {
  const pinned: PinnedColumn[] = [];
  for (const input of transcript.inputs) {
    const column = await needs.findColumn(input.digest);
    const isSame =
      column !== null &&
      column.totals.digest === input.digest &&
      column.totals.rows === input.rows &&
      column.totals.blocks === input.blocks &&
      column.header.column === input.column &&
      column.header.keyId === transcript.keyId;
    if (!isSame) throw refusal('an input is not one of the pinned columns');
    pinned.push(column);
  }
  if (pinned.length === 0) throw refusal('it has no inputs');
  return pinned;
}

/** The program is a pure function of pinned bytes: anything but its exact result is not decrypted. */
async function recompute(needs: DecryptorNeeds, plan: Plan, transcript: Transcript, result: Uint8Array): Promise<void> {
  const claimed = readResult(plan, result);
  if (resultDigest(claimed) !== transcript.result) throw refusal('the result is not the one in the transcript');
  const sources = await Promise.all(plan.inputs.map(({ totals }) => needs.openColumn(totals.digest)));
  const own = await runOverColumns(plan, needs.backend, sources);
  const isSame =
    own.length === claimed.length &&
    own.every((part, i) => {
      const other = claimed[i];
      return (
        other !== undefined &&
        part.output === other.output &&
        part.segment === other.segment &&
        Buffer.compare(part.body, other.body) === 0
      );
    });
  if (!isSame) throw refusal('the result is not what the program computes over these columns');
}

/**
 * Keeps back what rests on too few units. When the kept-back part is so small that it follows from the rest and the
 * public row count, the next smallest is kept back with it. One category alone is kept back exactly when the histogram
 * keeps it back: asked one by one they would otherwise tell what the histogram does not.
 */
function withhold(
  plan: Plan,
  { scalars, counts }: { readonly scalars: readonly ReleasedScalar[]; readonly counts: readonly ReleasedScalar[] },
  column: PinnedColumn,
  minUnits: number,
): { readonly scalars: readonly ReleasedScalar[]; readonly withheld: number } {
  const { name } = plan.program;
  const unitsOf = (rows: number): number => unitsIn(rows, column);
  if (name === 'groupSums') {
    const { groups } = column.header;
    const sizes = groups.map((group, i) => {
      const count = scalars.find((scalar) => scalar.group === group && scalar.name === 'count')?.number;
      const present = count === undefined ? Number.POSITIVE_INFINITY : unitsOf(count);
      return { group, size: Math.min(column.groupUnits[i] ?? 0, present) };
    });
    // a unit may have rows in several groups: then the largest alone is sure to be behind several together
    const isApart = column.groupUnits.reduce((sum, units) => sum + units, 0) === column.units;
    const together = (hidden: readonly Size[]): number =>
      hidden.reduce((sum, { size }) => (isApart ? sum + size : Math.max(sum, size)), 0);
    return keepLarge(scalars, { sizes, hidden: [], together }, minUnits);
  }
  if (name === 'histogram' || name === 'countEqual') {
    // the units of a category are encrypted too: its rows bound them from below
    const sizes = counts.map(({ group, number }): Counted => ({
      group: group ?? '',
      size: unitsOf(number),
      rows: number,
    }));
    // rows in no category: nobody is told how many, and everybody can subtract
    const rows = column.totals.rows - counts.reduce((sum, { number }) => sum + number, 0);
    const hidden: readonly Counted[] = rows > 0 ? [{ group: null, size: unitsOf(rows), rows }] : [];
    const together = (all: readonly Counted[]): number => unitsOf(all.reduce((sum, one) => sum + one.rows, 0));
    return keepLarge(scalars, { sizes, hidden, together }, minUnits);
  }
  return { scalars, withheld: 0 };
}

/** Fewest units that can stand behind so many rows of a column. */
function unitsIn(rows: number, column: PinnedColumn | undefined): number {
  if (column === undefined) return 0;
  return rows >= column.totals.rows ? column.units : Math.ceil(rows / Math.max(1, column.maxRowsPerUnit));
}

interface Size {
  readonly group: string | null;
  readonly size: number;
}

interface Counted extends Size {
  readonly rows: number;
}

/** From the smallest on, until what is hidden rests on enough units `together`. */
function keepLarge<T extends Size>(
  scalars: readonly ReleasedScalar[],
  parts: {
    readonly sizes: readonly T[];
    readonly hidden: readonly T[];
    readonly together: (hidden: readonly T[]) => number;
  },
  minUnits: number,
): { readonly scalars: readonly ReleasedScalar[]; readonly withheld: number } {
  const hidden = [...parts.hidden];
  for (const part of parts.sizes.toSorted((a, b) => a.size - b.size)) {
    const isDerivable = hidden.length > 0 && parts.together(hidden) < minUnits;
    if (part.size >= minUnits && !isDerivable) break;
    hidden.push(part);
  }
  const kept = scalars.filter(({ group }) => !hidden.some((part) => part.group === (group ?? '')));
  const groupsOf = (all: readonly ReleasedScalar[]): number => new Set(all.map(({ group }) => group)).size;
  return { scalars: kept, withheld: groupsOf(scalars) - groupsOf(kept) };
}

function refusal(reason: string): HomomorphicFault {
  return new HomomorphicFault('not-released', reason);
}
