import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { readEntry } from '../../runtime/evidence/entry.ts';
import { verifyLog } from '../../runtime/evidence/verify-log.ts';
import type { RecordFilter } from '../../runtime/store/records.ts';
import { openStore, type Store } from '../../runtime/store/store.ts';
import { dataDirectory, EPSILON, NOW } from './world.ts';

const STEPS = [
  'begun',
  'reserve:held',
  'reserve:recorded',
  'reserve:job',
  'release:committed',
  'release:recorded',
  'release:metered',
  'release:ticket',
  'release:job',
  'fail:settled',
  'sealed',
  'committed',
  'answered',
  'published',
];

for (const step of STEPS) {
  test(`killed at '${step}': counts are right, no ticket without evidence, unfinished jobs are failed`, async (t) => {
    const path = dataDirectory(t);
    const said = await runUntilKilled(t, path, 'j', `${step}@${step === 'published' ? 1 : 4}`);
    await checkAfterCrash(t, path, said);
  });
}

test('killed again while it recovers, it recovers the next time', async (t) => {
  const path = dataDirectory(t);
  const said = await runUntilKilled(t, path, 'j', 'release:job@6');
  await runUntilKilled(t, path, 'k', 'recovered@1');
  await checkAfterCrash(t, path, said);
});

test('killed at random moments, three times over the same state, it never loses or invents anything', async (t) => {
  const path = dataDirectory(t);
  const said: string[] = [];
  for (const [prefix, lines] of [
    ['a', 7],
    ['b', 23],
    ['c', 41],
  ] as const) {
    said.push(...(await runUntilKilled(t, path, prefix, '', lines)));
  }
  await checkAfterCrash(t, path, said);
});

/** Everything that the process had acknowledged before it died; `lines` kills it from outside after so many. */
async function runUntilKilled(
  t: TestContext,
  path: string,
  prefix: string,
  failpoint: string,
  lines = 0,
): Promise<string[]> {
  const entry = new URL('./crash-child.ts', import.meta.url).pathname;
  const env = { ...process.env, GLOVEBOX_TEST_FAILPOINT: failpoint };
  const child = spawn(process.execPath, [entry, path, prefix], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    if (lines > 0 && text.split('\n').length > lines) child.kill('SIGKILL');
  });
  const signal = await new Promise((resolve) => child.once('close', (_, name) => resolve(name)));
  assert.equal(signal, 'SIGKILL');
  return text.split('\n').slice(0, -1); // the last piece is a line that was not finished
}

async function checkAfterCrash(t: TestContext, path: string, said: readonly string[]): Promise<void> {
  const store = await openStore({ path, clock: () => NOW });
  t.after(() => store.close());
  const jobs = new Map((await everyOne((filter) => store.jobs(filter))).map((job) => [job.id, job]));
  const logged = await loggedReleases(store);
  for (const line of said) {
    const [word, id = ''] = line.split(' ');
    const state = jobs.get(id)?.state;
    if (word === 'released') assert.equal(state, 'released', line);
    else assert.ok(state === 'released' || state === 'failed', `${line}: ${state}`);
  }
  for (const job of jobs.values()) {
    assert.ok(job.state === 'released' || job.state === 'failed', `${job.id} is ${job.state}`);
    assert.equal(
      job.state === 'released',
      logged.has(job.id),
      `${job.id}: a release is in the log exactly when it happened`,
    );
  }
  const tickets = await everyOne((filter) => store.list<{ job: string }>('ticket', filter));
  for (const ticket of tickets) assert.ok(logged.has(ticket.body.job), `ticket of ${ticket.body.job} without evidence`);
  assert.equal(tickets.length, logged.size);
  assert.equal((await everyOne((filter) => store.list('usage', filter))).length, logged.size);

  const reservations = await everyOne((filter) => store.list('reservation', filter));
  const committed = reservations.filter((one) => one.state === 'committed');
  assert.deepEqual(await store.balance(EPSILON), { spent: BigInt(committed.length), held: 0n, toppedUp: 0n });
  for (const one of reservations) {
    const started = said.includes(`started ${one.id}`) || Number(one.id.slice(1)) % 2 === 0;
    if (one.state === 'returned') assert.ok(!started, `${one.id} touched data and was given back`);
  }
  await store.publishEvidence();
  const read = (file: string): Uint8Array | undefined => readOrNothing(join(path, 'evidence', file));
  assert.equal(verifyLog(read, store.verifierKey).kind, 'verified');
}

/** All pages: a fast machine runs thousands of jobs before the log is published. */
async function everyOne<One extends { readonly atMs: number; readonly id: string }>(
  list: (filter: RecordFilter) => Promise<readonly One[]>,
): Promise<readonly One[]> {
  const found: One[] = [];
  for (;;) {
    const last = found.at(-1);
    const page = await list(last === undefined ? {} : { before: { atMs: last.atMs, id: last.id } });
    if (page.length === 0) return found;
    found.push(...page);
  }
}

async function loggedReleases(store: Store): Promise<Set<string>> {
  const jobs = new Set<string>();
  for (const position of await store.positionsOf('release', 100_000)) {
    const [entry] = await store.entries(position, position + 1);
    const opened = entry === undefined ? undefined : readEntry(entry);
    assert.ok(opened?.kind === 'entry');
    jobs.add((opened.event.subjects[0]?.name ?? '').replace('job/', ''));
  }
  return jobs;
}

function readOrNothing(file: string): Uint8Array | undefined {
  try {
    return readFileSync(file);
  } catch {
    return undefined;
  }
}
