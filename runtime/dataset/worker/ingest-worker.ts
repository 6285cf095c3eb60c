/**
 * Entry of the ingest worker: a jailed process that reads one provider's files and hands out batches. It can write
 * nothing; what it says is checked by the gateway before anything is kept.
 */
import { frameType, parseJsonPayload } from '../../sandbox/channel.ts';
import { WorkerChannel } from '../../sandbox/worker-channel.ts';
import { DatasetError } from '../dataset-error.ts';
import { transportSchema, type IngestRequest } from '../ingest-events.ts';
import { BATCH_LIMITS } from '../limits.ts';
import type { ColumnBatch, Schema } from '../../release/columns.ts';
import { batchFrames, RowTooLarge } from './batch-frames.ts';
import { readSources } from './read-sources.ts';

const channel = new WorkerChannel();

/** JOB: an IngestRequest. Answers CONTROL `table`, DATA batches, CONTROL `end` per table, then RESULT or FAIL. */
async function serve(request: IngestRequest): Promise<void> {
  let schema: Schema = [];
  let table = '';
  for await (const event of readSources(request)) {
    if (event.kind === 'batch') await sendBatch(schema, event.batch, table);
    else {
      if (event.kind === 'table')
        [schema, table] = [transportSchema(event.columns), `${event.label}: table \`${event.name}\``];
      await channel.sendJson(frameType.CONTROL, event);
    }
  }
  await channel.sendJson(frameType.RESULT, {});
}

async function sendBatch(schema: Schema, batch: ColumnBatch, table: string): Promise<void> {
  try {
    for (const bytes of batchFrames(schema, batch)) await channel.send(frameType.DATA, bytes);
  } catch (error) {
    if (!(error instanceof RowTooLarge)) throw error;
    throw new DatasetError('too-large', `${table}: a row of more than ${BATCH_LIMITS.frameBytes} bytes`);
  }
}

await channel.ready({ kind: 'ingest' });
for await (const frame of channel.frames()) {
  if (frame.type !== frameType.JOB) continue;
  try {
    await serve(parseJsonPayload(frame.payload) as unknown as IngestRequest);
  } catch (error) {
    // The provider reads this about its own file; the gateway bounds and cleans it once more.
    const isTold = error instanceof DatasetError;
    await channel.sendJson(
      frameType.FAIL,
      isTold ? { code: error.code, message: error.message.slice(0, 2000) } : { code: 'failed' },
    );
  }
}
process.exit(0);
