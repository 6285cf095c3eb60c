import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runLoad } from './load.ts';

const PARTIES = 64;
const SECONDS = 6;
/** A worker is at most three processes: the jail's two and what runs in it. */
const MOST_PROCESSES = 3 * (4 + 2 * availableParallelism());
const MOST_RESIDENT_MIB = 768;

test('64 parties with good, bad, huge and cancelled jobs: no wrong answer, no lost receipt, books that agree, bounded memory', async (t) => {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'glovebox-load-'));
  t.after(() => rmSync(dataDirectory, { recursive: true, force: true }));
  const { ends, samples, jobs } = await runLoad({ dataDirectory, parties: PARTIES, seconds: SECONDS });
  t.diagnostic(`${jobs} jobs: ${[...ends].map(([end, count]) => `${count} ${end}`).join(', ')}`);
  assert.ok((ends.get('released') ?? 0) > 0);
  for (const { residentMiB, processes } of samples) {
    assert.ok(residentMiB < MOST_RESIDENT_MIB, `${residentMiB} MiB`);
    assert.ok(processes <= MOST_PROCESSES, `${processes} processes`);
  }
});
