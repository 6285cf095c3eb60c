import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { GloveboxError } from '../../runtime/client/error.ts';
import { hasEnded } from '../../runtime/client/jobs.ts';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import { parseVerifierKey, type VerifierKey } from '../../runtime/evidence/note.ts';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import type { Job } from '../../runtime/gen/messages.ts';
import type { CredentialBundle } from '../../runtime/identity/credential.ts';
import { ANSWER, DATASET, newQuestion, rowsOf, startWorld, visitsPolicy } from '../gateway/world.ts';
import { type Child, startChild } from './child.ts';
import { descendantsOf } from './processes.ts';

export interface LoadOptions {
  readonly dataDirectory: string;
  readonly parties: number;
  readonly seconds: number;
  /** Called once a second with what was measured. */
  readonly onSecond?: (sample: Sample) => void;
}

/** What the gateway's process held at one moment. */
export interface Sample {
  readonly seconds: number;
  readonly residentMiB: number;
  readonly descriptors: number;
  readonly processes: number;
}

export interface LoadReport {
  /** How often each end was seen: `released`, `denied …`, `fault …`. */
  readonly ends: ReadonlyMap<string, number>;
  readonly samples: readonly Sample[];
  readonly jobs: number;
}

const BAD = [
  'select * from visits',
  'select patient_id, count(*) from visits group by patient_id',
  'select max(cost) from visits',
  'drop table visits',
  "select count(*) from read_csv('/etc/passwd')",
  'select',
  'select count(*) from visits where patient_id = 7',
];
const HUGE = `select ward, count(*) as n, sum(cost) as total from visits where cost in (${Array.from({ length: 200 }, (_, n) => n).join(', ')}) group by ward order by ward`;

/**
 * Many parties that submit good, bad, huge and cancelled jobs against a server of its own, with every answer checked.
 * Throws at the first wrong answer, lost receipt, or book that does not add up.
 */
export async function runLoad(options: LoadOptions): Promise<LoadReport> {
  const { dataDirectory, parties } = options;
  const world = await startWorld({ path: dataDirectory, policy: visitsPolicy({ count: 1_000_000 }) });
  const names = Array.from({ length: parties }, (_, index) => `party-${index}`);
  const consumers = await Promise.all(names.map((name) => world.consumer(name)));
  const credentials: readonly CredentialBundle[] = consumers.map(({ credential }) => credential);
  const owner = world.owner.credential;
  await world.stop();

  const child = await startChild(dataDirectory);
  const clients = credentials.map((credential) => connect({ credential, server: child.address }));
  const operator = connect({ credential: owner, server: child.address });
  const ends = new Map<string, number>();
  const samples: Sample[] = [];
  const count = (end: string): void => void ends.set(end, (ends.get(end) ?? 0) + 1);
  const started = performance.now();
  const isOver = (): boolean => performance.now() - started > options.seconds * 1000;
  try {
    const watching = (async () => {
      while (!isOver()) {
        const sample = sampleOf(child, (performance.now() - started) / 1000);
        samples.push(sample);
        options.onSecond?.(sample);
        await delay(1000);
      }
    })();
    await Promise.all(
      clients.map(async (client, index) => {
        for (let turn = index; !isOver(); turn += 1) count(await oneJob(client, turn));
      }),
    );
    await watching;
    const jobs = await audit(operator, clients);
    // Whatever was cancelled or cut off has let go of its worker.
    const { runningJobs, queuedJobs } = await operator.operator.status({});
    assert.equal(runningJobs + queuedJobs, 0);
    return { ends, samples, jobs };
  } finally {
    for (const client of [...clients, operator]) client.close();
    child.process.kill('SIGTERM');
    assert.equal(await child.ended, '0', child.log());
  }
}

async function oneJob(client: Glovebox, turn: number): Promise<string> {
  try {
    switch (turn % 10) {
      case 0:
      case 1:
        return await refused(client, BAD[Math.floor(turn / 10) % BAD.length] ?? '');
      case 2:
        return `huge: ${await answered(client, HUGE)}`;
      case 3:
        return await cancelled(client, turn % 50);
      case 4:
        return await abandoned(client, turn % 70);
      default:
        return await answered(client, newQuestion());
    }
  } catch (error) {
    if (error instanceof GloveboxError) {
      // What a busy server may say; anything else is a failure of the test.
      assert.match(
        error.code,
        /^(too-many-jobs|rate-exceeded|too-many-streams|cancelled|grpc-cancelled|wrong-state)$/,
        String(error),
      );
      return `fault ${error.code}`;
    }
    throw error;
  }
}

async function answered(client: Glovebox, text: string, signal?: AbortSignal): Promise<string> {
  const outcome = await client.jobs.sql(text, {}, signal === undefined ? {} : { signal });
  if (outcome.kind === 'refused') return `${outcome.job.state} ${outcome.reasons[0]?.code ?? ''}`;
  assert.deepEqual(rowsOf(outcome.table), ANSWER);
  assert.ok(outcome.job.receipt);
  return 'released';
}

async function refused(client: Glovebox, text: string): Promise<string> {
  const outcome = await client.jobs.sql(text);
  assert.equal(outcome.kind, 'refused', text);
  return outcome.job.state;
}

/** A consumer that thinks better of it. */
async function cancelled(client: Glovebox, afterMs: number): Promise<string> {
  const { job } = await client.jobs.submit({ job: { computation: { kind: 'sql', sql: { text: newQuestion() } } } });
  await delay(afterMs);
  const end = (await client.jobs.cancel({ id: job?.id ?? '' })).job;
  return `cancelled: ${end?.state}`;
}

/** A client that vanishes while it waits: its job goes with it. */
async function abandoned(client: Glovebox, afterMs: number): Promise<string> {
  return `abandoned: ${await answered(client, newQuestion(), AbortSignal.timeout(afterMs + 1))}`;
}

/** Ledger, jobs and evidence must tell the same story. */
async function audit(operator: Glovebox, clients: readonly Glovebox[]): Promise<number> {
  const { verifierKey } = await operator.evidence.getCheckpoint({});
  const key = parseVerifierKey(verifierKey);
  assert.ok(key);
  const books = await Promise.all(clients.map((client) => auditParty(client, key)));
  const total = books.reduce((sum, { jobs }) => sum + jobs, 0);
  const released = books.reduce((sum, one) => sum + one.released, 0);
  let releases = 0;
  for (let start = 0n as bigint | null; start !== null;) {
    const page = await operator.evidence.listEntries({ start, limit: 1000 });
    releases += page.entries.filter(({ kind }) => kind === 'release').length;
    start = page.nextStart;
  }
  assert.equal(releases, released, 'one release in the log for each released job');
  return total;
}

async function auditParty(client: Glovebox, key: VerifierKey): Promise<{ jobs: number; released: number }> {
  const jobs: Job[] = [];
  for (let token = ''; ;) {
    const page = await client.jobs.list({ page: { size: 1000, token } });
    jobs.push(...page.jobs);
    token = page.nextPageToken;
    if (token === '') break;
  }
  for (const { id, state } of jobs) {
    assert.ok(hasEnded({ state }), `${id} is ${state}`);
    const { receipt } = await client.evidence.getReceipt({ of: { kind: 'jobId', jobId: id } });
    assert.notEqual(verifyReceipt(Buffer.from(receipt?.document ?? []).toString(), key).kind, 'refused', id);
  }
  // Only a job whose budget was reserved has a mode on record.
  const spent = jobs.filter(({ state, mode }) => state !== 'denied' && mode !== 'unspecified').length;
  const [budget] = (await client.budgets.get({ dataset: DATASET })).budgets;
  assert.equal(budget?.uses, BigInt(spent));
  assert.equal(budget?.usesReserved, 0n);
  return { jobs: jobs.length, released: jobs.filter(({ state }) => state === 'released').length };
}

function sampleOf(child: Child, seconds: number): Sample {
  const pid = child.process.pid ?? 0;
  const resident = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return {
    seconds: Math.round(seconds),
    residentMiB: Math.round(Number(resident) / 1024),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    processes: descendantsOf(pid).length,
  };
}
