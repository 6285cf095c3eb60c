// Asks one question and prints the answer: node examples/client/ask.ts acme.json
import { connect } from '../../runtime/client/connect.ts';

await using glovebox = connect({ credential: process.argv[2] ?? 'acme.json' });

const outcome = await glovebox.jobs.sql(
  'select rx, count(distinct id) as patients, avg(time) as mean_days from colon group by rx order by rx',
  {},
  { onChange: (job) => console.error(job.state, job.progress?.stage ?? '') },
);

if (outcome.kind === 'released') {
  // An Apache Arrow table; `readBatches` streams what is larger than memory.
  for (const row of outcome.table) console.log(JSON.stringify(row, text));
  console.error(outcome.job.guarantee);
} else {
  for (const { code, message, remedy } of outcome.reasons) console.error(`${code}: ${message}; ${remedy ?? ''}`);
  process.exitCode = 1;
}

/** Counts are 64-bit integers, which JSON does not have. */
function text(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value;
}
