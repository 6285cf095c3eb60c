import { HomomorphicFault } from './fault.ts';
import { UNIT_TAG_BYTES, UnitCounter, type UnitCounts } from './units.ts';

/*
 * Unit tags of a dataset in the order of its rows: a magic number, then one record of `u16le group | 16 bytes tag` for
 * each row. Nothing else fits, so there is nothing to validate but the length.
 */
const MAGIC = Buffer.from('GBHEU\0\0\u0001', 'latin1');
const RECORD_BYTES = 2 + UNIT_TAG_BYTES;
/** Most rows of an encrypted dataset: the distinct units are counted in memory. */
export const UNIT_ROWS_LIMIT = 1 << 25;
export const UNIT_FILE_LIMIT_BYTES = MAGIC.byteLength + UNIT_ROWS_LIMIT * RECORD_BYTES;

/** One row's unit tag and its group index; 0 when the dataset is not partitioned. */
export interface UnitRow {
  readonly tag: Uint8Array;
  readonly group: number;
}

/** Unit tags as file bytes, in pieces. */
export async function* writeUnitFile(
  rows: AsyncIterable<UnitRow> | Iterable<UnitRow>,
): AsyncGenerator<Uint8Array, void> {
  yield MAGIC;
  let piece = Buffer.alloc(0);
  let at = 0;
  for await (const { tag, group } of rows) {
    if (at === piece.byteLength) {
      if (at > 0) yield piece;
      piece = Buffer.alloc(RECORD_BYTES * 4096);
      at = 0;
    }
    piece.writeUInt16LE(group, at);
    piece.set(tag, at + 2);
    at += RECORD_BYTES;
  }
  if (at > 0) yield piece.subarray(0, at);
}

/** Counts units from untrusted file bytes; throws `bad-column` when they are anything else. */
export async function readUnitFile(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<UnitCounts> {
  const counter = new UnitCounter();
  let rest = Buffer.alloc(0);
  let isBegun = false;
  let rows = 0;
  for await (const chunk of chunks) {
    rest = rest.byteLength === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    let at = 0;
    if (!isBegun) {
      if (rest.byteLength < MAGIC.byteLength) continue;
      if (Buffer.compare(rest.subarray(0, MAGIC.byteLength), MAGIC) !== 0) throw bad('they do not begin like such');
      isBegun = true;
      at = MAGIC.byteLength;
    }
    for (; rest.byteLength - at >= RECORD_BYTES; at += RECORD_BYTES) {
      if (++rows > UNIT_ROWS_LIMIT) throw bad(`they are more than ${UNIT_ROWS_LIMIT}`);
      const group = rest.readUInt16LE(at);
      if (group > 255) throw bad('a group does not exist');
      counter.add(rest.subarray(at + 2, at + RECORD_BYTES), group);
    }
    rest = Buffer.from(rest.subarray(at));
  }
  if (!isBegun || rest.byteLength > 0 || rows === 0) throw bad('they end too early');
  return counter.counts();
}

function bad(complaint: string): HomomorphicFault {
  return new HomomorphicFault('bad-column', `cannot read these unit tags: ${complaint}`);
}
