// `npm run soak [SECONDS] [PARTIES]`: load on a server of its own until the time is over, every answer checked; fails when
// memory or descriptors of the gateway grow. Ten minutes by default; not part of the tests.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runLoad, type Sample } from '../test/faults/load.ts';

/** What the last quarter may hold more than the second one; the first is warm-up. */
const MOST_GROWTH = { residentMiB: 64, descriptors: 64 } as const;

const seconds = Number(process.argv[2] ?? 600);
const parties = Number(process.argv[3] ?? 64);
const dataDirectory = mkdtempSync(join(tmpdir(), 'glovebox-soak-'));
try {
  const onSecond = (sample: Sample): void => {
    if (sample.seconds % 10 === 0) process.stdout.write(`${JSON.stringify(sample)}\n`);
  };
  const { ends, samples, jobs } = await runLoad({ dataDirectory, parties, seconds, onSecond });
  const quarter = Math.floor(samples.length / 4);
  const median = (of: readonly Sample[], what: keyof Sample): number =>
    of.map((sample) => sample[what]).toSorted((a, b) => a - b)[Math.floor(of.length / 2)] ?? 0;
  const growth = (what: keyof typeof MOST_GROWTH): number =>
    median(samples.slice(-quarter), what) - median(samples.slice(quarter, 2 * quarter), what);
  const residentMiB = growth('residentMiB');
  const descriptors = growth('descriptors');
  process.stdout.write(
    `${JSON.stringify({ jobs, perSecond: Math.round((10 * jobs) / seconds) / 10, ends: Object.fromEntries(ends), growth: { residentMiB, descriptors } }, null, 2)}\n`,
  );
  if (residentMiB > MOST_GROWTH.residentMiB || descriptors > MOST_GROWTH.descriptors) {
    process.stderr.write('soak: the gateway grows\n');
    process.exitCode = 1;
  }
} finally {
  rmSync(dataDirectory, { recursive: true, force: true });
}
