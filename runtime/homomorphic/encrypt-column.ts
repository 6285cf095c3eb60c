import type { Backend } from './backend.ts';
import { blockEncryptor } from './block-encryptor.ts';
import { ColumnFileWriter } from './column-file.ts';
import { rowsPerBlock, type ColumnHeader, type ColumnTotals } from './column.ts';
import { EncryptionRun, type RunSealer } from './encryption-run.ts';
import type { Encryption } from './encryption-threads.ts';
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

/** Where encryption stands; called after every few blocks. */
export interface EncryptionProgress {
  readonly rows: number;
  readonly blocks: number;
  readonly bytes: number;
}

/** Who encrypts, and whom to tell. */
export type EncryptionNeeds = Encryption & { readonly onProgress?: (progress: EncryptionProgress) => void };

/**
 * Encrypts one column while it streams through: yields the bytes of a column file, returns its totals and digest.
 * Memory is bounded by one open block per group and the few runs of blocks that the threads have. A value outside the
 * header's bounds, a category that is not public or a missing value in a column without a `valid` channel throws
 * `out-of-range` and ends the file.
 */
export async function* encryptColumn(
  needs: EncryptionNeeds,
  header: ColumnHeader,
  rows: AsyncIterable<ColumnRows> | Iterable<ColumnRows>,
): AsyncGenerator<Uint8Array, ColumnTotals> {
  const writer = new ColumnFileWriter(header);
  const progress = { rows: 0, blocks: 0, bytes: 0 };
  const start = writer.start();
  progress.bytes += start.byteLength;
  yield start;
  using sealer = 'threads' in needs ? needs.threads.sealer(header) : sealerHere(needs.backend, header);
  for await (const run of sealedRuns(sealer, blocksOf(header, rows))) {
    // a copy: the run is filled again while these bytes are still in somebody's hands
    const bytes = writer.sealed({ bytes: run.bytes.slice(), blocks: run.blocks, rows: run.rows });
    progress.rows += run.rows;
    progress.blocks += run.blocks;
    progress.bytes += bytes.byteLength;
    needs.onProgress?.({ ...progress });
    yield bytes;
  }
  const { bytes, totals } = writer.end();
  yield bytes;
  return totals;
}

/** One run at a time, in this thread. */
function sealerHere(backend: Backend, header: ColumnHeader): RunSealer {
  const encrypt = blockEncryptor(backend, header);
  return {
    runs: [new EncryptionRun(header)],
    async seal(run) {
      run.seal(encrypt);
    },
    [Symbol.dispose]() {},
  };
}

/** Runs with their records, in the order of the rows, however many are worked on at once. */
async function* sealedRuns(sealer: RunSealer, blocks: AsyncIterable<Filled>): AsyncGenerator<EncryptionRun, void> {
  const free = [...sealer.runs];
  const underWay: { readonly run: EncryptionRun; readonly sealed: Promise<void> }[] = [];
  async function* finished(): AsyncGenerator<EncryptionRun, void> {
    const first = underWay.shift();
    if (first === undefined) return;
    await first.sealed;
    yield first.run;
    first.run.clear();
    free.push(first.run);
  }
  let filling: EncryptionRun | null = null;
  for await (const { group, block } of blocks) {
    if (filling === null && free.length === 0) yield* finished();
    filling ??= free.pop() ?? null;
    if (filling === null) throw new Error('no run came back');
    filling.put(group, block);
    if (!filling.isFull) continue;
    underWay.push({ run: filling, sealed: sealer.seal(filling) });
    filling = null;
  }
  if (filling !== null) underWay.push({ run: filling, sealed: sealer.seal(filling) });
  while (underWay.length > 0) yield* finished();
}

interface Filled {
  readonly group: number;
  /** Used again for the rows that follow. */
  readonly block: RowBlock | GivenBlock;
}

/** Full blocks as they fill up, then what is left of each group. Plain numbers are left as they are for who encrypts. */
async function* blocksOf(
  header: ColumnHeader,
  rows: AsyncIterable<ColumnRows> | Iterable<ColumnRows>,
): AsyncGenerator<Filled, void> {
  const capacity = rowsPerBlock(header);
  const open = new Map<number, OpenBlock | OpenGivenBlock>();
  /** The open block of a group, which takes these values: one of plain numbers gives way to one that takes others too. */
  const blockFor = (group: number, isPlain: boolean): OpenBlock | OpenGivenBlock => {
    const known = open.get(group);
    const isGiven = known instanceof OpenGivenBlock;
    if (known !== undefined && (isGiven === isPlain || (!isGiven && known.count > 0))) return known;
    const block = isPlain
      ? new OpenGivenBlock(capacity)
      : isGiven
        ? filledBlock(header, known)
        : new OpenBlock(header, capacity);
    open.set(group, block);
    return block;
  };
  for await (const { group: name, values } of rows) {
    const group = groupIndex(header, name);
    const plain = values instanceof Float64Array ? values : null;
    for (let from = 0; from < values.length;) {
      const block = blockFor(group, plain !== null);
      from = block instanceof OpenBlock ? block.fill(values, from) : block.fill(plain ?? new Float64Array(0), from);
      if (block.count < capacity) continue;
      yield { group, block };
      block.clear();
    }
  }
  for (const [group, block] of [...open].toSorted(([a], [b]) => a - b)) if (block.count > 0) yield { group, block };
}

function groupIndex(header: ColumnHeader, group: string | undefined): number {
  if (header.groups.length === 0 && group === undefined) return 0;
  const index = group === undefined ? -1 : header.groups.indexOf(group);
  if (index < 0) throw outOfRange(header, 'a row belongs to no public group');
  return index;
}
