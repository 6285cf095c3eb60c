import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { EvidenceEvent, EvidenceKind } from '../../runtime/evidence/entry.ts';
import { sha256Hex } from '../../runtime/evidence/entry.ts';
import { agreementBudget, consumerBudget, type BudgetId } from '../../runtime/ledger/budget.ts';
import type { BudgetLine } from '../../runtime/ledger/reservation.ts';
import type { NewJob, ReleaseInput, ReserveInput } from '../../runtime/store/jobs.ts';
import { openStore, type Store } from '../../runtime/store/store.ts';

export const NOW = Date.UTC(2026, 5, 1);
export const EPSILON: BudgetId = consumerBudget('microEpsilon', {
  dataset: 'visits',
  consumer: 'acme',
  rule: 'private',
});
export const COUNT: BudgetId = consumerBudget('count', { dataset: 'visits', consumer: 'acme', rule: 'statistics' });
export const CREDIT: BudgetId = agreementBudget('credit', { agreement: 'a1' });

/** A new data directory that goes away with the process: a store that closes after the test still writes its evidence. */
export function dataDirectory(_t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'glovebox-store-'));
  made.push(path);
  return path;
}
const made: string[] = [];
process.once('exit', () => {
  for (const path of made) rmSync(path, { recursive: true, force: true });
});

/** A store with an admitted consumer `acme` and its active agreement `a1`. */
export async function openWorld(
  t: TestContext,
  path: string = dataDirectory(t),
  clock: () => number = () => NOW,
): Promise<Store> {
  const store = await openStore({ path, clock });
  t.after(() => store.close());
  await admit(store);
  return store;
}

export async function admit(store: Store): Promise<void> {
  const common = { owner: '', atMs: NOW, body: {} };
  await store.transact([
    { do: 'put', record: { ...common, table: 'party', id: 'acme', state: 'admitted' } },
    { do: 'put', record: { ...common, table: 'agreement', id: 'a1', state: 'active' } },
  ]);
}

export function event(kind: EvidenceKind, jobId: string): EvidenceEvent {
  return {
    kind,
    atMs: NOW,
    subjects: [{ name: `job/${jobId}`, sha256: sha256Hex(jobId) }],
    facts: { party: 'p:0123' },
  };
}

export function newJob(id: string): NewJob {
  return {
    id,
    party: 'acme',
    agreements: ['a1'],
    scopes: ['dataset/visits'],
    notAfterMs: null,
    details: { code: 'x' },
  };
}

export function reserveInput(id: string, lines: readonly BudgetLine[], startsNow = true): ReserveInput {
  return { job: newJob(id), lines, startsNow, events: [event('job.requested', id), event('decision', id)] };
}

export function releaseInput(jobId: string): ReleaseInput {
  const ticket = { digest: sha256Hex(`ticket of ${jobId}`), expiresAtMs: NOW + 60_000 };
  return { jobId, events: [event('budget.committed', jobId), event('release', jobId)], usage: { id: jobId }, ticket };
}
