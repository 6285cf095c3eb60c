import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { frameType, parseJsonPayload } from '../../runtime/sandbox/channel.ts';
import { WorkerPool } from '../../runtime/sandbox/pool.ts';

const root = new URL('../..', import.meta.url).pathname;
let pool: WorkerPool;

before(async () => {
  pool = await WorkerPool.start({ root });
});
after(() => pool.close());

async function smoke(party: string): Promise<unknown> {
  const worker = await pool.lease({ kind: 'probe', party });
  try {
    await worker.sendJson(frameType.JOB, { attempt: 'smoke' });
    const frame = await worker.next();
    return parseJsonPayload(frame.payload)['answer'];
  } finally {
    worker.release();
  }
}

test('a leased worker answers its job', async () => {
  const answer = (await smoke('acme')) as { sum: number };
  assert.equal(answer.sum, 499_999_500_000);
});
