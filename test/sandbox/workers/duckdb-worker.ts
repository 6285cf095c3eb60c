/** Runs the SQL texts of a job in DuckDB and answers with rows, or with the engine's own complaint. */
import { DuckDBInstance } from '@duckdb/node-api';
import { frameType, parseJsonPayload } from '../../../runtime/sandbox/channel.ts';
import { WorkerChannel } from '../../../runtime/sandbox/worker-channel.ts';

const channel = new WorkerChannel();
await channel.ready();
for await (const frame of channel.frames()) {
  if (frame.type !== frameType.JOB) continue;
  const job = parseJsonPayload(frame.payload);
  const instance = await DuckDBInstance.create(':memory:', { threads: '4', memory_limit: '256MB', temp_directory: '' });
  const connection = await instance.connect();
  try {
    let rows: unknown = [];
    for (const text of job['sql'] as readonly string[]) {
      rows = (await connection.runAndReadAll(text)).getRowsJson();
    }
    await channel.sendJson(frameType.RESULT, { rows });
  } catch (error) {
    await channel.sendJson(frameType.FAIL, { code: 'ENGINE', text: String(error).slice(0, 500) });
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}
