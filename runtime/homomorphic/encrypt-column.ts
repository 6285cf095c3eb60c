import type { Backend } from './backend.ts';
import { blockEncryptor } from './block-encryptor.ts';
import { ColumnFileWriter } from './column-file.ts';
import { rowsPerBlock, type ColumnHeader, type ColumnTotals } from './column.ts';
import type { EncryptionThreads } from './encryption-threads.ts';
import {
  type ColumnRows,
  filledBlock,
  type GivenBlock,
  OpenBlock,
  OpenGivenBlock,
  outOfRange,
  type RowBlock,
} from './open-block.ts';

export type { ColumnRows } from './open-block.ts';

/** Where encryption stands; called once per block. */
export interface EncryptionProgress {
  readonly rows: number;
  readonly blocks: number;
  readonly bytes: number;
}

/** Who encrypts: a backend with the keys, in this thread, or several threads that have one each. */
export interface EncryptionNeeds {
  readonly backend: Backend;
  readonly threads?: EncryptionThreads | null;
  readonly onProgress?: (progress: EncryptionProgress) => void;
}

/**
 * Encrypts one column while it streams through: yields the bytes of a column file, returns its totals and digest.
 * Memory is bounded by one open block per group and the few that the threads have. A value outside the header's bounds, a
 * category that is not public or a missing value in a column without a `valid` channel throws `out-of-range` and ends the
 * file.
 */
export async function* encryptColumn(
  needs: EncryptionNeeds,
  header: ColumnHeader,
  rows: AsyncIterable<ColumnRows> | Iterable<ColumnRows>,
): AsyncGenerator<Uint8Array, ColumnTotals> {
  const writer = new ColumnFileWriter(header);
  const progress = { rows: 0, blocks: 0, bytes: 0 };
  const written = (bytes: Uint8Array, count: number): Uint8Array => {
    progress.rows += count;
    progress.bytes += bytes.byteLength;
    if (count > 0) needs.onProgress?.({ ...progress, blocks: ++progress.blocks });
    return bytes;
  };
  yield written(writer.start(), 0);
  for await (const { group, rows: count, channels } of encrypted(
    needs,
    header,
    blocksOf(header, rows, (needs.threads ?? null) !== null),
  ))
    yield written(writer.block({ group, rows: count, channels }), count);
  const { bytes, totals } = writer.end();
  yield bytes;
  return totals;
}

interface Filled {
  readonly group: number;
  readonly block: RowBlock | GivenBlock;
}

/** Full blocks as they fill up, then what is left of each group. `isGiven`: plain numbers are left as they are. */
async function* blocksOf(
  header: ColumnHeader,
  rows: AsyncIterable<ColumnRows> | Iterable<ColumnRows>,
  isGiven: boolean,
): AsyncGenerator<Filled, void> {
  const capacity = rowsPerBlock(header);
  const open = new Map<number, OpenBlock | OpenGivenBlock>();
  /** The open block of a group, which takes these values: one of plain numbers gives way to one that takes others too. */
  const blockFor = (group: number, isPlain: boolean): OpenBlock | OpenGivenBlock => {
    const known = open.get(group);
    if (known instanceof OpenBlock || (known !== undefined && isPlain)) return known;
    const block =
      known !== undefined
        ? filledBlock(header, known)
        : isPlain
          ? new OpenGivenBlock(capacity)
          : new OpenBlock(header, capacity);
    open.set(group, block);
    return block;
  };
  for await (const { group: name, values } of rows) {
    const group = groupIndex(header, name);
    const plain = isGiven && values instanceof Float64Array ? values : null;
    for (let from = 0; from < values.length;) {
      const block = blockFor(group, plain !== null);
      from = block instanceof OpenBlock ? block.fill(values, from) : block.fill(plain ?? new Float64Array(0), from);
      if (block.count < capacity) continue;
      open.delete(group);
      yield { group, block };
    }
  }
  for (const [group, block] of [...open].toSorted(([a], [b]) => a - b)) yield { group, block };
}

/** Blocks with their ciphertexts, in the order of the rows, however many are worked on at once. */
async function* encrypted(
  { backend, threads }: EncryptionNeeds,
  header: ColumnHeader,
  blocks: AsyncIterable<Filled>,
): AsyncGenerator<{ readonly group: number; readonly rows: number; readonly channels: readonly Uint8Array[] }, void> {
  const encrypt = threads?.encryptor(header) ?? blockEncryptor(backend, header);
  const atOnce = threads?.blocksAtOnce ?? 0;
  const underWay: { group: number; rows: number; channels: readonly Uint8Array[] | Promise<readonly Uint8Array[]> }[] =
    [];
  for await (const { group, block } of blocks) {
    const rows = block.count;
    underWay.push({ group, rows, channels: encrypt(block) });
    const first = underWay.length > atOnce ? underWay.shift() : undefined;
    if (first !== undefined) yield { ...first, channels: await first.channels };
  }
  for (const one of underWay) yield { ...one, channels: await one.channels };
}

function groupIndex(header: ColumnHeader, group: string | undefined): number {
  if (header.groups.length === 0 && group === undefined) return 0;
  const index = group === undefined ? -1 : header.groups.indexOf(group);
  if (index < 0) throw outOfRange(header, 'a row belongs to no public group');
  return index;
}
