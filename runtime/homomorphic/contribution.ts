import type { Backend } from './backend.ts';
import { readColumnFile } from './column-file.ts';
import {
  columnHeaderText,
  parseColumnHeader,
  type Channel,
  type ColumnBlock,
  type ColumnHeader,
  type ColumnTotals,
} from './column.ts';
import type { PinnedColumn } from './decryptor.ts';
import { HomomorphicFault } from './fault.ts';
import { powerOf } from './kernels/roots.ts';
import { freshShape } from './layout.ts';
import { freshNoise } from './noise.ts';
import { dataPrimeCount, modulusAt, PROFILES } from './profiles.ts';
import { PROGRAMS } from './program.ts';

/**
 * What a provider hands to the key holder with a column that it encrypted under the key holder's public key: what the
 * column is, by digest, and what it may be used for. It comes from hand to hand, so it does not rest on the runtime.
 */
export interface Contribution {
  readonly format: 'glovebox-contribution/1';
  readonly dataset: string;
  readonly contributor: string;
  readonly programs: readonly string[];
  readonly columns: readonly PinnedColumn[];
}

/** Largest file that is read. */
const LIMIT_BYTES = 8 << 20;
const MAX_COLUMNS = 256;
const MAX_COUNT = 1e12;

/** Programs that multiply columns: whoever chooses one factor could single out a row of the other. */
export const PRODUCTS: ReadonlySet<string> = new Set(['dot', 'covariance']);

export function writeContribution(contribution: Contribution): string {
  return `${JSON.stringify(contribution, null, 1)}\n`;
}

/** Reads a contribution from another provider's text; anything unexpected throws `bad-column`. */
export function readContribution(text: string): Contribution {
  let input: unknown;
  try {
    input = text.length > LIMIT_BYTES ? null : JSON.parse(text);
  } catch {
    return refuse('it is not JSON');
  }
  const { format, dataset, contributor, programs, columns } = recordOf(input);
  if (format !== 'glovebox-contribution/1') return refuse('its format is unknown');
  const isNamed = (name: unknown): name is string => typeof name === 'string' && name !== '' && name.length <= 256;
  if (!isNamed(dataset) || !isNamed(contributor)) return refuse('it names no dataset or no contributor');
  const isKnown = (list: unknown): list is readonly string[] =>
    Array.isArray(list) &&
    list.length > 0 &&
    list.every((one) => typeof one === 'string' && Object.hasOwn(PROGRAMS, one));
  if (!isKnown(programs)) return refuse('it names no programs, or some that do not exist');
  if (!Array.isArray(columns) || columns.length === 0 || columns.length > MAX_COLUMNS)
    return refuse(`it has not 1 to ${MAX_COLUMNS} columns`);
  return { format, dataset, contributor, programs, columns: columns.map(pinOf) };
}

function pinOf(input: unknown): PinnedColumn {
  const { header, totals, units, groupUnits, maxRowsPerUnit, minUnits } = recordOf(input);
  const { rows, blocks, digest } = recordOf(totals);
  const counts = [units, maxRowsPerUnit, minUnits, rows, blocks];
  const isCount = (one: unknown): one is number =>
    typeof one === 'number' && Number.isSafeInteger(one) && one >= 0 && one <= MAX_COUNT;
  if (!counts.every(isCount) || !Array.isArray(groupUnits) || !groupUnits.every(isCount))
    return refuse('a count is missing');
  if (typeof digest !== 'string' || !/^sha256:[0-9a-f]{64}$/.test(digest)) return refuse('a digest is missing');
  const [people = 0, most = 0, least = 0, all = 0, cut = 0] = counts as number[];
  // what cannot be true is refused: so many units with so many rows each
  if (least < 1 || people < 1 || people > all || people * most < all || most > all)
    return refuse('its counts cannot be true');
  return {
    header: parseColumnHeader(columnHeaderText(recordOf(header) as unknown as ColumnHeader)),
    totals: { rows: all, blocks: cut, digest },
    units: people,
    groupUnits: groupUnits as number[],
    maxRowsPerUnit: most,
    minUnits: least,
  };
}

/**
 * Reads the file of a contributed column and decrypts each block with the key holder's key: the column is what was
 * announced, every ciphertext has the noise of a fresh one, and every slot holds what its channel can hold. Without this
 * a contributor could send a shaped ciphertext, and learn the key from the sums over it. What is decrypted is looked at
 * and forgotten; the one complaint says nothing of it. Throws `bad-column`.
 */
export async function checkContribution(
  backend: Backend,
  announced: PinnedColumn,
  file: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  let totals: ColumnTotals | null = null;
  for await (const event of readColumnFile(file)) {
    if (event.kind === 'header') {
      if (columnHeaderText(event.header) !== columnHeaderText(announced.header))
        refuse('its column is not the one that was announced');
      if (event.header.mode !== 'publicKey') refuse('its column is not encrypted with the public key');
    } else if (event.kind === 'block') {
      if (!isHonest(backend, announced.header, event.block))
        refuse('a ciphertext of it is not a fresh encryption of values within its bounds');
    } else ({ totals } = event);
  }
  const { rows, blocks, digest } = announced.totals;
  if (totals?.rows !== rows || totals.blocks !== blocks || totals.digest !== digest)
    refuse('its column is not the one that was announced');
}

function isHonest(backend: Backend, header: ColumnHeader, block: ColumnBlock): boolean {
  const slots = header.channels.map((channel, i) => slotsOf(backend, channel, block.channels[i]));
  if (slots.some((one) => one === null)) return false;
  /** Values of a role, of which a pair of moduli holds one together; null when the column has no such channel. */
  const valuesOf = (role: Channel['role']): BigInt64Array | readonly bigint[] | null => {
    const [first, second] = header.channels.flatMap((channel, i) => (channel.role === role ? [i] : []));
    if (first === undefined) return null;
    const [a, b] = [slots[first] ?? [], second === undefined ? null : (slots[second] ?? [])];
    return b === null ? a : joined(a, b, moduliOf(header, first), moduliOf(header, second ?? 0));
  };
  const [values, squares, valid] = [valuesOf('value'), valuesOf('square'), valuesOf('valid')];
  const categories = slots.filter((_, i) => header.channels[i]?.role === 'category');
  const [low, high] = [BigInt(header.low), BigInt(header.high)];
  const slotsInAll = slots[0]?.length ?? 0;
  for (let i = 0; i < slotsInAll; i++) {
    const isFlag = (flag: bigint | undefined): boolean => flag === 0n || (flag === 1n && i < block.rows);
    if (valid !== null && !isFlag(valid[i])) return false;
    if (!categories.every((one) => isFlag(one?.[i]))) return false;
    if (values === null) continue;
    const value = values[i] ?? 0n;
    const isEmpty = i >= block.rows || (valid !== null && valid[i] === 0n);
    if (isEmpty ? value !== 0n : value < low || value > high) return false;
    if (squares !== null && squares[i] !== value * value) return false;
  }
  return true;
}

const moduliOf = (header: ColumnHeader, channel: number): bigint =>
  PROFILES[header.channels[channel]?.profile ?? 'bgv-add-a'].plainModulus;

/** Slots of one ciphertext; null when its noise is more than that of a fresh one, or its scheme has no exact values. */
function slotsOf(backend: Backend, channel: Channel, bytes: Uint8Array | undefined): BigInt64Array | null {
  const profile = PROFILES[channel.profile];
  if (profile.scheme === 'ckks' || bytes === undefined) return null;
  const context = backend.open(profile);
  using ciphertext = context.load(freshShape(profile, 'full'), bytes);
  const most = 2n * profile.plainModulus * freshNoise(profile, 'publicKey');
  const least = (modulusAt(profile, dataPrimeCount(profile)) / most).toString(2).length - 2;
  return context.noiseBudgetBits(ciphertext) < least ? null : context.decryptIntegers(ciphertext);
}

/** Values from their residues of two moduli, by the Chinese remainder theorem, centred around zero. */
function joined(
  a: BigInt64Array | readonly bigint[],
  b: BigInt64Array | readonly bigint[],
  t0: bigint,
  t1: bigint,
): readonly bigint[] {
  const lift = powerOf(t0 % t1, t1 - 2n, t1);
  const modulus = t0 * t1;
  return Array.from(a, (slot, i) => {
    const step = ((((b[i] ?? 0n) - slot) % t1) * lift) % t1;
    const residue = (((slot + t0 * step) % modulus) + modulus) % modulus;
    return residue > modulus / 2n ? residue - modulus : residue;
  });
}

function recordOf(input: unknown): Readonly<Record<string, unknown>> {
  return typeof input === 'object' && input !== null ? (input as Record<string, unknown>) : {};
}

function refuse(complaint: string): never {
  throw new HomomorphicFault('bad-column', `cannot accept this contribution: ${complaint}`);
}
