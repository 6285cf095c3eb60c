import { blockRecordBytes, writeBlockRecord } from './column-file.ts';
import { type ColumnHeader, rowsPerBlock } from './column.ts';
import { type GivenBlock, OpenBlock, type RowBlock } from './open-block.ts';

/** Records that are encrypted, hashed and written at one go: enough work to pay for a message and a write. */
const RUN_BYTES = 256 * 1024;
/** What is known of a block before its rows: group, rows, and whether they are as given. */
const HEAD_WORDS = 3;
/** An integer, a real and a flag. */
const ROW_BYTES = 8 + 8 + 1;

/** Encrypts the rows of one block, one ciphertext for each channel. */
export type BlockEncryptor = (rows: RowBlock) => readonly Uint8Array[];

/**
 * Some blocks of one column in memory that threads share: rows go in on one side, sealed records of the file come out on
 * the other. It belongs to whoever fills it until it is given to be sealed, and comes back with the answer; nothing is
 * copied between threads and nothing allocated twice.
 */
export class EncryptionRun {
  readonly memory: SharedArrayBuffer;
  readonly #header: ColumnHeader;
  readonly #capacity: number;
  readonly #most: number;
  readonly #recordBytes: number;
  /** The number of blocks, then their heads. */
  readonly #words: Int32Array;
  readonly #rowsAt: number;
  readonly #recordsAt: number;
  #local: OpenBlock | null = null;

  /** A view of memory that another thread has made for a column with this header, or memory of its own. */
  constructor(header: ColumnHeader, memory?: SharedArrayBuffer) {
    this.#header = header;
    this.#capacity = rowsPerBlock(header);
    this.#recordBytes = blockRecordBytes(header);
    this.#most = Math.max(1, Math.floor(RUN_BYTES / this.#recordBytes));
    this.#rowsAt = 8 * Math.ceil((4 * (1 + HEAD_WORDS * this.#most)) / 8);
    this.#recordsAt = this.#rowsAt + ROW_BYTES * this.#capacity * this.#most;
    const bytes = this.#recordsAt + this.#recordBytes * this.#most;
    this.memory = memory ?? new SharedArrayBuffer(bytes);
    if (this.memory.byteLength !== bytes) throw new RangeError('this memory is for another column');
    this.#words = new Int32Array(this.memory, 0, 1 + HEAD_WORDS * this.#most);
  }

  get blocks(): number {
    return this.#words[0] ?? 0;
  }

  get rows(): number {
    let rows = 0;
    for (let block = 0; block < this.blocks; block++) rows += this.#head(block)[1] ?? 0;
    return rows;
  }

  get isFull(): boolean {
    return this.blocks === this.#most;
  }

  /** The sealed records: overwritten when the run is filled again. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.memory, this.#recordsAt, this.blocks * this.#recordBytes);
  }

  clear(): void {
    this.#words[0] = 0;
  }

  /** Copies the rows of one more block in. */
  put(group: number, block: RowBlock | GivenBlock): void {
    const { count } = block;
    if (this.isFull || count > this.#capacity) throw new RangeError('this run has no room for the block');
    const index = this.blocks;
    const isGiven = 'given' in block;
    this.#head(index).set([group, count, isGiven ? 1 : 0]);
    const { integers, reals, present, given } = this.#rowsOf(index);
    if (isGiven) given.set(block.given.subarray(0, count));
    else {
      integers.set(block.integers.subarray(0, count));
      reals.set(block.reals.subarray(0, count));
      present.set(block.present.subarray(0, count));
    }
    this.#words[0] = index + 1;
  }

  /** Turns rows into records. Throws `out-of-range` for a value that the header does not allow. */
  seal(encrypt: BlockEncryptor): void {
    for (let index = 0; index < this.blocks; index++) {
      const [group = 0, count = 0, isGiven = 0] = this.#head(index);
      const { integers, reals, present, given } = this.#rowsOf(index);
      // rows of this thread's own: what encrypts may look at their whole buffers, and slots behind the last row are zero
      const local = (this.#local ??= new OpenBlock(this.#header, this.#capacity));
      local.clear();
      if (isGiven === 1) local.fill(given.subarray(0, count), 0);
      else local.take({ count, integers, reals, present });
      const record = new Uint8Array(this.memory, this.#recordsAt + index * this.#recordBytes, this.#recordBytes);
      writeBlockRecord(record, { group, rows: count, channels: encrypt(local) });
    }
  }

  #head(index: number): Int32Array {
    return this.#words.subarray(1 + HEAD_WORDS * index, 1 + HEAD_WORDS * (index + 1));
  }

  #rowsOf(index: number): RowBlock & GivenBlock {
    const rows = this.#capacity;
    const at = this.#rowsAt + ROW_BYTES * rows * index;
    return {
      count: rows,
      integers: new BigInt64Array(this.memory, at, rows),
      given: new Float64Array(this.memory, at, rows),
      reals: new Float64Array(this.memory, at + 8 * rows, rows),
      present: new Uint8Array(this.memory, at + 16 * rows, rows),
    };
  }
}

/** Seals the runs of one column, in this thread or in others. */
export interface RunSealer extends Disposable {
  /** All that may be filled or under way at once: memory is bounded by them. */
  readonly runs: readonly EncryptionRun[];
  /** Rejects when a value is out of range or a thread has failed; the run must not be touched before. */
  seal(run: EncryptionRun): Promise<void>;
}
