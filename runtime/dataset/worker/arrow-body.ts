/** The columns of one Arrow record batch: its buffers, unpacked, with every length held against what is there. */
import { zstdDecompressSync } from 'node:zlib';
import { bitAt, bitmapBytes } from '../../release/columns.ts';
import { DATASET_LIMITS } from '../limits.ts';
import type { BatchHeader, FieldNode } from './arrow-metadata.ts';
import { unpackLz4 } from './lz4-frame.ts';

/** A column of a record batch as it stands in the file. */
export interface ArrowData {
  readonly length: number;
  /** Bits of the rows that have a value; null when all have. */
  readonly validity: Uint8Array | null;
  /** Where each text begins; null for columns of fixed width. */
  readonly offsets: Uint8Array | null;
  readonly values: Uint8Array;
}

/** The length that stands before a compressed buffer, and its value for one that was left as it is. */
const LENGTH_BYTES = 8;
const AS_IT_IS = -1n;

/**
 * The columns of a batch of which each has values, and offsets where `hasOffsets` says so. Throws `RangeError` when the
 * batch has other columns or rows than it says, or its buffers do not lie in its body.
 */
export function batchColumns(
  batch: BatchHeader,
  body: Uint8Array,
  hasOffsets: readonly boolean[],
): readonly ArrowData[] {
  const { nodes, buffers, rows } = batch;
  const needed = hasOffsets.reduce((sum, has) => sum + (has ? 3 : 2), 0);
  if (nodes.length !== hasOffsets.length || buffers.length !== needed)
    throw new RangeError(
      `${nodes.length} columns of ${buffers.length} buffers, and ${hasOffsets.length} of ${needed} are described`,
    );
  const unpack = unpacker(batch, body);
  let next = 0;
  return nodes.map((node, i): ArrowData => {
    if (node.length !== rows) throw new RangeError(`column ${i + 1} has ${node.length} rows, the batch ${rows}`);
    const validity = validityOf(unpack(next++), node, i + 1);
    const offsets = hasOffsets[i] === true ? unpack(next++) : null;
    return { length: rows, validity, offsets, values: unpack(next++) };
  });
}

/** A buffer by its number. What all buffers of a batch unpack to is limited: a small file can announce any length. */
function unpacker({ buffers, codec }: BatchHeader, body: Uint8Array): (index: number) => Uint8Array {
  let left: number = DATASET_LIMITS.maxArrowBytes;
  return (index) => {
    const { offset, length } = buffers[index] ?? { offset: 0, length: 0 };
    if (offset < 0 || length < 0 || offset + length > body.length)
      throw new RangeError(`buffer ${index + 1} lies outside of its message`);
    const bytes = body.subarray(offset, offset + length);
    if (codec === null || length === 0) return bytes;
    if (length < LENGTH_BYTES) throw new RangeError(`buffer ${index + 1} is shorter than its length`);
    const announced = new DataView(bytes.buffer, bytes.byteOffset, length).getBigInt64(0, true);
    const packed = bytes.subarray(LENGTH_BYTES);
    if (announced === AS_IT_IS) return packed;
    // Arrow's library for JavaScript announces the packed length.
    const isKnown = announced !== BigInt(packed.length);
    if (isKnown && (announced < 0n || announced > BigInt(left)))
      throw new RangeError(`buffer ${index + 1} announces ${announced} bytes, at most ${left} are allowed`);
    const unpacked = unpack(codec, packed, isKnown ? Number(announced) : left, index);
    if (isKnown && unpacked.length !== Number(announced))
      throw new RangeError(`buffer ${index + 1} announces ${announced} bytes and holds ${unpacked.length}`);
    left -= unpacked.length;
    return unpacked;
  };
}

function unpack(codec: 'lz4' | 'zstd', packed: Uint8Array, maxBytes: number, index: number): Uint8Array {
  try {
    if (codec === 'lz4') return unpackLz4(packed, maxBytes);
    // A limit of zero would be none.
    return new Uint8Array(zstdDecompressSync(packed, { maxOutputLength: Math.max(1, maxBytes) }));
  } catch (cause) {
    throw new RangeError(`buffer ${index + 1} cannot be unpacked to ${maxBytes} bytes at most`, { cause });
  }
}

/** Which rows have a value. A count that disagrees with the marks would make values of missing ones, or the reverse. */
function validityOf(marks: Uint8Array, { length, nullCount }: FieldNode, column: number): Uint8Array | null {
  if (marks.length === 0) {
    if (nullCount > 0) throw new RangeError(`column ${column} misses ${nullCount} values and marks none of them`);
    return null;
  }
  if (marks.length < bitmapBytes(length)) throw new RangeError('a buffer is shorter than its rows');
  const missing = unmarked(marks, length);
  if (nullCount !== missing && nullCount !== -1)
    throw new RangeError(`column ${column} misses ${nullCount} values and marks ${missing}`);
  return missing === 0 ? null : marks;
}

function unmarked(marks: Uint8Array, rows: number): number {
  let count = 0;
  for (let row = 0; row < rows; row++) {
    // Nearly all of them, in most columns.
    if (row % 8 === 0 && row + 8 <= rows && marks[row >> 3] === 0xff) row += 7;
    else if (!bitAt(marks, row)) count += 1;
  }
  return count;
}
