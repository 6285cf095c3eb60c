import type { ColumnBatch, Schema } from '../release/columns.ts';
import { batchFrames, encapsulatedSchema, parseFrame } from './flight-framing.ts';

const CONTINUATION = 0xffff_ffff;

/** An Arrow IPC stream (https://arrow.apache.org/docs/format/Columnar.html#ipc-streaming-format) in pieces of about 2 MiB. */
export function* ipcStream(schema: Schema, batches: Iterable<ColumnBatch>): Generator<Uint8Array, void, void> {
  yield encapsulatedSchema(schema);
  for (const batch of batches) {
    for (const frame of batchFrames(schema, batch)) {
      const { header, body } = parseFrame(frame);
      const length = Math.ceil(header.length / 8) * 8;
      const prefix = Buffer.alloc(8 + length);
      prefix.writeUInt32LE(CONTINUATION, 0);
      prefix.writeInt32LE(length, 4);
      prefix.set(header, 8);
      const end = Buffer.alloc(Math.ceil(body.length / 8) * 8 - body.length);
      yield Buffer.concat([prefix, body, end]);
    }
  }
  const end = Buffer.alloc(8);
  end.writeUInt32LE(CONTINUATION, 0);
  yield end;
}
