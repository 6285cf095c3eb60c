import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import { hasEnded } from '../../runtime/client/jobs.ts';
import { leafHash, MerkleTree } from '../../runtime/evidence/merkle.ts';
import { parseVerifierKey, type VerifierKey } from '../../runtime/evidence/note.ts';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import type { Job } from '../../runtime/gen/messages.ts';
import { ANSWER, DATASET, rowsOf } from '../gateway/world.ts';
import { MICRO_EPSILON, type Told } from './kill-world.ts';

/** What the log said at the last audit: a later one must continue it. */
export interface LogSeen {
  readonly tree: MerkleTree;
  /** Jobs with a `release` entry, and how many. */
  readonly releases: Map<string, number>;
  fetched: number;
}
export const nothingSeen = (): LogSeen => ({ tree: new MerkleTree(), releases: new Map(), fetched: 0 });

/** Throws unless everything that clients were told is still true and all books agree; `deep`: looks at every job again. */
export async function auditKilled(
  told: Told,
  seen: LogSeen,
  { server, path, deep }: { readonly server: string; readonly path: string; readonly deep: boolean },
): Promise<{ readonly jobs: number; readonly released: number }> {
  const owner = connect({ credential: told.owner, server });
  const clients = new Map([...told.credentials].map(([party, credential]) => [party, connect({ credential, server })]));
  try {
    const { verifierKey } = await owner.evidence.getCheckpoint({});
    const key = parseVerifierKey(verifierKey);
    assert.ok(key);
    await auditLog(told, seen, owner);
    const before = new Set(told.jobs.keys());
    const jobs = new Map<string, Job>();
    for (const [party, client] of clients)
      for (const job of await auditParty(told, party, client)) jobs.set(job.id, job);
    for (const id of before) assert.ok(jobs.has(id), `${id} was answered and is gone`);
    await auditTickets(told, clients);
    for (const { party, job, rows } of told.jobs.values()) {
      const client = clients.get(party);
      const isNew = !seen.releases.has(`audited ${job.id}`);
      if (client === undefined || !(deep || isNew)) continue;
      await auditAnswer(client, job, rows, key, seen.tree);
      seen.releases.set(`audited ${job.id}`, 0);
    }
    const released = [...jobs.values()].filter(({ state }) => state === 'released').map(({ id }) => id);
    for (const id of released) assert.equal(seen.releases.get(id), 1, `${id}: one release on record`);
    const kept = readdirSync(join(path, 'results'));
    assert.deepEqual(kept.toSorted(), released.map((id) => `${id}.frames`).toSorted(), 'the released results are kept');
    const meter = await owner.meters.check({});
    assert.ok(meter.isEqual, `meter and log differ: ${meter.differences.join('; ')}`);
    assert.equal(meter.events, BigInt(released.length), 'one usage event for each released job');
    await auditDatasets(told, owner, path, deep);
    await auditParties(told, owner, server);
    assert.deepEqual(await unfinishedFiles(path), []);
    return { jobs: jobs.size, released: released.length };
  } finally {
    for (const client of [owner, ...clients.values()]) client.close();
  }
}

/** The log continues what anyone saw of it, and its checkpoints are those that were told. */
async function auditLog(told: Told, seen: LogSeen, owner: Glovebox): Promise<void> {
  const roots = new Map(told.checkpoints.map(({ size, root }) => [size, root]));
  const compare = (): void => {
    const root = roots.get(BigInt(seen.tree.size));
    if (root !== undefined) assert.equal(Buffer.from(seen.tree.root()).toString('hex'), root, `at ${seen.tree.size}`);
  };
  for (let start: bigint | null = BigInt(seen.tree.size); start !== null;) {
    const page = await owner.evidence.listEntries({ start, limit: 1000 });
    for (const { index, kind, jobId, body } of page.entries) {
      assert.equal(index, BigInt(seen.tree.size), 'no entry is missing');
      seen.tree.append(leafHash(body));
      if (kind === 'release') seen.releases.set(jobId, (seen.releases.get(jobId) ?? 0) + 1);
      if (kind === 'release.fetched') seen.fetched += 1;
      compare();
    }
    start = page.nextStart;
  }
  for (const { size } of told.checkpoints)
    assert.ok(
      size <= BigInt(seen.tree.size),
      `a checkpoint over ${size} entries was told, the log has ${seen.tree.size}`,
    );
  const done = told.tickets.filter((ticket) => ticket.done).length;
  assert.ok(seen.fetched >= done, `${done} results were fetched, ${seen.fetched} fetches are on record`);
}

/** No job hangs, and the ledger counts what the jobs say, never less than it said before. */
async function auditParty(told: Told, party: string, client: Glovebox): Promise<readonly Job[]> {
  const jobs: Job[] = [];
  for (let token = ''; ;) {
    const page = await client.jobs.list({ page: { size: 1000, token } });
    jobs.push(...page.jobs);
    token = page.nextPageToken;
    if (token === '') break;
  }
  for (const { id, state, reasons } of jobs) {
    assert.ok(hasEnded({ state }), `${id} is ${state}`);
    const codes = reasons.map(({ code }) => code).join();
    if (state === 'failed') assert.equal(codes, 'interrupted', `${id} failed: ${codes}`);
    else assert.ok(['released', 'cancelled'].includes(state), `${id} is ${state}: ${codes}`);
  }
  // Only a job whose budget was reserved has a mode on record.
  const reserved = jobs.filter(({ mode }) => mode !== 'unspecified');
  const ofRule = (rule: string): readonly Job[] => reserved.filter(({ ruleId }) => ruleId === rule);
  let loss = 0n;
  for (const { id, state, guarantee, budget } of ofRule('private')) {
    const cost = budget.reduce((sum, { microEpsilon }) => sum + microEpsilon, 0n);
    // Answering again the same noise is free; nothing else is.
    if (state === 'released' && !guarantee.includes('this is the answer of job')) assert.equal(cost, MICRO_EPSILON, id);
    loss += cost;
  }
  const { budgets } = await client.budgets.get({ dataset: DATASET });
  for (const { ruleId, uses, microEpsilonSpent, usesReserved, microEpsilonReserved } of budgets) {
    assert.deepEqual([usesReserved, microEpsilonReserved], [0n, 0n], 'nothing is held for jobs that are over');
    const known = told.spent.get(`${party}/${ruleId}`);
    assert.ok(uses >= (known?.uses ?? 0n) && microEpsilonSpent >= (known?.microEpsilon ?? 0n), `${party} got back`);
    if (ruleId === 'statistics') assert.equal(uses, BigInt(ofRule(ruleId).length), `${party}: uses`);
    if (ruleId === 'private') assert.equal(microEpsilonSpent, loss, `${party}: loss`);
  }
  return jobs;
}

/** A ticket that was used is refused; one whose fetch was cut off works once more at most. */
async function auditTickets(told: Told, clients: ReadonlyMap<string, Glovebox>): Promise<void> {
  for (const { party, ticket, done } of told.tickets.splice(0)) {
    const client = clients.get(party);
    assert.ok(client);
    const fetch = (): Promise<string> =>
      client.readTable(ticket).then(
        () => 'read',
        (error: unknown) => String((error as { readonly code?: unknown }).code),
      );
    if (!done && (await fetch()) === 'read') assert.equal(await fetch(), 'ticket-not-valid', 'used twice');
    assert.equal(await fetch(), 'ticket-not-valid', 'used twice');
  }
}

/** An answer that a consumer has: the same job, receipt and rows again. */
async function auditAnswer(
  client: Glovebox,
  job: Job,
  rows: unknown,
  key: VerifierKey,
  log: MerkleTree,
): Promise<void> {
  const { job: now } = await client.jobs.get({ id: job.id });
  assert.equal(now?.state, 'released', `${job.id} was released`);
  for (const receipt of [job.receipt, now?.receipt]) {
    const text = Buffer.from(receipt?.document ?? []).toString();
    const verdict = verifyReceipt(text, key);
    if (verdict.kind === 'refused') assert.fail(`${job.id}: ${verdict.reason}`);
    const { size, root } = verdict.checkpoint;
    // A receipt of this start may rest on entries that came after those that were read.
    if (size <= log.size) assert.deepEqual(log.root(size), Buffer.from(root), `${job.id}: a receipt of another log`);
    else assert.ok(receipt === now?.receipt, `${job.id}: its receipt is about entries that are gone`);
  }
  assert.ok(now?.ticket, `${job.id} cannot be fetched`);
  const again = rowsOf(await client.readTable(now.ticket));
  if (rows !== null) assert.deepEqual(again, rows, `${job.id}: other rows than before`);
  if (job.ruleId === 'statistics') assert.deepEqual(again, ANSWER);
}

/** A dataset is there whole or not at all, in the catalogue and on disk. */
async function auditDatasets(told: Told, owner: Glovebox, path: string, deep: boolean): Promise<void> {
  const listed = new Map((await owner.catalogue.list({})).datasets.map((one) => [one.name, one]));
  const newest = [...told.datasets.keys()].at(-1);
  for (const [name, digest] of told.datasets) {
    const dataset = listed.get(name);
    if (digest !== null) assert.equal(dataset?.digest, digest, `${name} was registered`);
    assert.equal(existsSync(join(path, 'datasets', name)), dataset !== undefined, `${name}: disk and catalogue differ`);
    if (dataset === undefined || !(deep || name === newest)) continue;
    let isIntact = false;
    for await (const { event } of owner.catalogue.verify({ name }))
      if (event?.kind === 'verdict') isIntact = event.verdict.isIntact;
    assert.ok(isIntact, `${name} is not as it was registered`);
  }
  assert.deepEqual(readdirSync(join(path, 'uploads')), []);
}

/** A party whose credential was handed over is admitted. */
async function auditParties(told: Told, owner: Glovebox, server: string): Promise<void> {
  const { parties } = await owner.parties.list({ page: { size: 1000 } });
  for (const [name, credential] of told.parties) {
    if (credential === null) continue;
    const party = parties.find((one) => one.name === name);
    assert.equal(party?.state, 'admitted', name);
    const client = connect({ credential, server });
    const { datasets } = await client.catalogue.list({});
    assert.ok(datasets.length <= 1);
    client.close();
    told.parties.delete(name);
  }
}

/** Files of half-done work, but for those that are being written while we look. */
async function unfinishedFiles(path: string): Promise<readonly string[]> {
  const look = (): readonly string[] =>
    readdirSync(path, { recursive: true })
      .map(String)
      .filter((name) => /\.part$|\.new$|\.incoming-/.test(name));
  let found = look();
  for (let turn = 0; turn < 1500 && found.length > 0; turn += 1) {
    await delay(20);
    const still = new Set(look());
    found = found.filter((name) => still.has(name));
  }
  return found;
}
