import { encodeBatch, encodedBytes } from '../batch-frame.ts';
import { BATCH_LIMITS } from '../limits.ts';
import { batchFromRows, rowsOf } from '../../release/column-values.ts';
import type { ColumnBatch, Schema } from '../../release/columns.ts';

/** One row alone does not fit into a frame. */
export class RowTooLarge extends RangeError {}

/** A batch as one frame payload, or as several when long texts make it larger than a frame may be. Throws `RowTooLarge`. */
export function* batchFrames(schema: Schema, batch: ColumnBatch): Generator<Uint8Array, void, void> {
  if (encodedBytes(batch) <= BATCH_LIMITS.frameBytes) {
    yield encodeBatch(batch);
    return;
  }
  if (batch.rowCount < 2) throw new RowTooLarge('one row is larger than a frame');
  const rows = rowsOf(schema, batch);
  const half = rows.length >> 1;
  yield* batchFrames(schema, batchFromRows(schema, rows.slice(0, half)));
  yield* batchFrames(schema, batchFromRows(schema, rows.slice(half)));
}
