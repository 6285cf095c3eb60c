/** A gateway with a busy worker and some that are just starting; it prints its stage and waits to be killed. */
import { frameType } from '../../runtime/sandbox/channel.ts';
import { startTestPool } from './test-pool.ts';

const { pool } = await startTestPool({ maxWorkers: 5 });
const busy = await pool.lease({ kind: 'mischief', party: 'acme' });
await busy.sendJson(frameType.JOB, { act: 'hang' });
for (let i = 0; i < 3; i += 1) void pool.lease({ kind: 'mischief', party: `p${i}` });
await new Promise((resolve) => setTimeout(resolve, 15));
process.stdout.write(pool.stageFolder);
