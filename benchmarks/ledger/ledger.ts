import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sha256Hex, type EvidenceEvent } from '../../runtime/evidence/entry.ts';
import { leafHash, MerkleTree } from '../../runtime/evidence/merkle.ts';
import { datasetBudget } from '../../runtime/ledger/budget.ts';
import type { ReserveInput } from '../../runtime/store/jobs.ts';
import { openStore, type Store } from '../../runtime/store/store.ts';

/** Rates are per second, latencies in milliseconds. */
export interface LedgerFigures {
  /** 256-byte append and fdatasync on the same disk, in the same run, one after the other: the floor. */
  readonly rawSyncsPerSecond: number;
  /** One durable debit with job, reservation, evidence entry, checkpoint and seal, one after the other. */
  readonly singleDebitsPerSecond: number;
  readonly singleDebitP50Ms: number;
  /** singleDebitsPerSecond ÷ rawSyncsPerSecond. */
  readonly singleToRaw: number;
  /** The same debits when many callers wait at once and share commits. */
  readonly groupedDebitsPerSecond: number;
  /** Reserve and release of whole jobs, many at once: two commits, three entries, one receipt each. */
  readonly jobsPerSecond: number;
}

/** Measures the durable ledger in a folder of its own under `root` (the disk that matters). */
export async function measureLedger(
  options: { readonly root?: string; readonly debits?: number } = {},
): Promise<LedgerFigures> {
  const { root = tmpdir(), debits = 4000 } = options;
  const folder = mkdtempSync(join(root, 'glovebox-ledger-'));
  const store = await openStore({ path: join(folder, 'data'), clock: () => Date.now() });
  try {
    await admit(store);
    const rounds = 150;
    const floor: number[] = [];
    const single: number[] = [];
    const file = openSync(join(folder, 'floor'), 'a');
    const block = Buffer.alloc(256, 1);
    // Floor and store take turns, so that a busy or a quiet moment of the disk meets both.
    for (let round = 0; round < rounds; round += 1) {
      floor.push(
        timed(() => {
          writeSync(file, block);
          fdatasyncSync(file);
        }),
      );
      const start = performance.now();
      await store.reserve(debit(`single-${round}`));
      single.push(performance.now() - start);
    }
    closeSync(file);

    const groupedMs = await timedAsync(() =>
      inParallel(debits, 256, (index) => store.reserve(debit(`grouped-${index}`))),
    );
    const jobs = Math.floor(debits / 4);
    const jobsMs = await timedAsync(() => inParallel(jobs, 256, (index) => wholeJob(store, `job-${index}`)));
    const [rawSyncsPerSecond, singleDebitsPerSecond] = [rateOf(floor), rateOf(single)];
    return {
      rawSyncsPerSecond,
      singleDebitsPerSecond,
      singleDebitP50Ms: median(single),
      singleToRaw: singleDebitsPerSecond / rawSyncsPerSecond,
      groupedDebitsPerSecond: (debits * 1000) / groupedMs,
      jobsPerSecond: (jobs * 1000) / jobsMs,
    };
  } finally {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

export interface EvidenceFigures {
  /** Hashing prepared entries into the tree. */
  readonly treeAppendsPerSecond: number;
  /** Events encoded, appended, signed for and committed in groups: everything but the files. */
  readonly durableAppendsPerSecond: number;
  readonly inclusionProofsPerSecond: number;
  /** Of the whole log after the run. */
  readonly entries: number;
}

/** Measures the evidence log: the bare tree, and durable signed entries through the store. */
export async function measureEvidence(
  options: { readonly root?: string; readonly entries?: number } = {},
): Promise<EvidenceFigures> {
  const { root = tmpdir(), entries = 40_000 } = options;
  const prepared = Array.from({ length: entries }, (_, index) =>
    Buffer.from(JSON.stringify(event(`bare-${index}`)).padEnd(600)),
  );
  const tree = new MerkleTree();
  const treeMs = timed(() => {
    for (const entry of prepared) tree.append(leafHash(entry));
  });
  const proofs = 2000;
  const proofMs = timed(() => {
    for (let index = 0; index < proofs; index += 1) tree.inclusionProof((index * 7919) % entries);
  });
  const folder = mkdtempSync(join(root, 'glovebox-evidence-'));
  const store = await openStore({ path: join(folder, 'data'), clock: () => Date.now() });
  try {
    const perCall = 64;
    const calls = Math.ceil(entries / perCall);
    const durableMs = await timedAsync(() =>
      inParallel(calls, 16, (call) =>
        store.transact(
          Array.from(
            { length: perCall },
            (_, index) => ({ do: 'record', event: event(`e-${call}-${index}`) }) as const,
          ),
        ),
      ),
    );
    return {
      treeAppendsPerSecond: (entries * 1000) / treeMs,
      durableAppendsPerSecond: (calls * perCall * 1000) / durableMs,
      inclusionProofsPerSecond: (proofs * 1000) / proofMs,
      entries: calls * perCall,
    };
  } finally {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

const BUDGET = datasetBudget('microEpsilon', { dataset: 'bench' });

async function admit(store: Store): Promise<void> {
  const common = { owner: '', atMs: 0, body: {} };
  await store.transact([
    { do: 'put', record: { ...common, table: 'party', id: 'acme', state: 'admitted' } },
    { do: 'put', record: { ...common, table: 'agreement', id: 'a1', state: 'active' } },
  ]);
}

function event(id: string, kind: EvidenceEvent['kind'] = 'decision'): EvidenceEvent {
  const facts = { verdict: 'permit', rule: 'statistics', party: 'p:00112233445566778899aabbccddeeff' };
  return { kind, atMs: 1_767_225_600_000, subjects: [{ name: `job/${id}`, sha256: sha256Hex(id) }], facts };
}

function debit(id: string): ReserveInput {
  const job = { id, party: 'acme', agreements: ['a1'], scopes: [], notAfterMs: null, details: null };
  return { job, lines: [{ budget: BUDGET, amount: 1n, limit: 10n ** 15n }], startsNow: true, events: [event(id)] };
}

async function wholeJob(store: Store, id: string): Promise<void> {
  await store.reserve(debit(id));
  await store.commitRelease({
    jobId: id,
    events: [event(id, 'budget.committed'), event(id, 'release')],
    usage: { id },
  });
}

async function inParallel(count: number, width: number, run: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: width }, () => lane()));
}

function timed(run: () => void): number {
  const start = performance.now();
  run();
  return performance.now() - start;
}

async function timedAsync(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

function rateOf(latencies: readonly number[]): number {
  return 1000 / (latencies.reduce((sum, one) => sum + one, 0) / latencies.length);
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1] ?? 0;
}
