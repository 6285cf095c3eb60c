import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { layoutSpecOf } from '../../runtime/dataset/catalogue.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../runtime/dataset/engine.ts';
import { registerDataset } from '../../runtime/dataset/ingest.ts';
import { buildLayout, type LayoutNeeds } from '../../runtime/dataset/layout.ts';
import { DEFAULT_CSV_OPTIONS } from '../../runtime/dataset/source.ts';
import { FileGuard } from '../../runtime/dataset/verify.ts';
import { inProcessReader } from '../../runtime/dataset/worker/read-sources.ts';
import { pseudonymOf } from '../../runtime/evidence/entry.ts';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import { Results } from '../../runtime/gateway/results/results.ts';
import { historiesIn, sketchRecords } from '../../runtime/gateway/jobs/sketch-records.ts';
import { questionRecords } from '../../runtime/gateway/jobs/repeats.ts';
import { sqlEngine } from '../../runtime/gateway/jobs/sql-engine.ts';
import { consumerBudget } from '../../runtime/ledger/budget.ts';
import type { AgreementForJob } from '../../runtime/job/admission.ts';
import type { Job, Outcome, Stage } from '../../runtime/job/job.ts';
import type { JobNeeds } from '../../runtime/job/needs.ts';
import { prepareSql } from '../../runtime/job/prepare-sql.ts';
import { runJob } from '../../runtime/job/run-job.ts';
import { purposeIncludes } from '../../runtime/policy/purposes.ts';
import { evaluateCondition } from '../../runtime/policy-file/condition.ts';
import { parsePolicy } from '../../runtime/policy-file/parse-policy.ts';
import { WorkerPool } from '../../runtime/sandbox/pool.ts';
import { openStore, type Store } from '../../runtime/store/store.ts';
import { parseHere } from '../dataset/scope-parser.ts';
import { DATASET, QUESTION, visitsCsv, visitsPolicy } from '../gateway/world.ts';

export const AGREEMENT = 'agr-1';
const COUNT_MAX = 1000;

/** The job pipeline over a real store, real results, real workers; no gateway, no network. */
export interface JobWorld extends AsyncDisposable {
  readonly needs: JobNeeds;
  readonly store: Store;
  readonly pool: WorkerPool;
  readonly results: Results;
  readonly resultFolder: string;
  /** Uses spent and reserved by the consumer. */
  uses(): Promise<{ readonly spent: bigint; readonly held: bigint }>;
  setAgreement(state: 'active' | 'suspended'): Promise<void>;
}

export async function startJobWorld(policyTerms: Parameters<typeof visitsPolicy>[0] = {}): Promise<JobWorld> {
  const path = mkdtempSync(join(tmpdir(), 'glovebox-job-'));
  const nowMs = (): number => Date.now();
  const sha256 = (content: Uint8Array | string): string => createHash('sha256').update(content).digest('hex');
  const source = join(path, 'visits.csv');
  writeFileSync(source, visitsCsv());
  const bytes = visitsCsv().length;
  const { manifest } = await registerDataset(
    { root: path, reader: inProcessReader, limits: DEFAULT_ENGINE_LIMITS },
    DATASET,
    [
      {
        path: source,
        bytes,
        label: 'visits.csv',
        format: 'csv',
        table: null,
        sourceTable: null,
        csv: DEFAULT_CSV_OPTIONS,
      },
    ],
  );
  const parsed = parsePolicy(visitsPolicy({ count: COUNT_MAX, ...policyTerms }), 'policy.yaml');
  if (parsed.kind === 'complaints') throw new Error(parsed.complaints[0]?.message);
  const { policy } = parsed;
  const layout: LayoutNeeds = {
    root: path,
    parse: parseHere,
    limits: DEFAULT_ENGINE_LIMITS,
    guard: new FileGuard(),
    hashKey: new Uint8Array(32).fill(7),
  };
  await buildLayout(layout, manifest, layoutSpecOf(manifest, policy.tables, null));

  const store = await openStore({ path, clock: nowMs });
  const pool = await WorkerPool.start({ root: join(import.meta.dirname, '../..') });
  const resultFolder = join(path, 'results');
  const results = await Results.open(resultFolder, () => Promise.resolve(false));
  const agreement: AgreementForJob = {
    id: AGREEMENT,
    digest: sha256('content'),
    dataset: DATASET,
    provider: 'hospital',
    policy,
    policyDigest: sha256('policy'),
    purposes: [],
    notBeforeMs: 0,
    notAfterMs: null,
    blockedBy: [],
    prices: null,
  };
  const setAgreement = async (state: 'active' | 'suspended'): Promise<void> => {
    await store.put({ table: 'agreement', id: AGREEMENT, owner: 'hospital', state, atMs: nowMs(), body: {} });
  };
  await store.put({ table: 'party', id: 'acme', owner: '', state: 'admitted', atMs: nowMs(), body: {} });
  await setAgreement('active');
  const engine = sqlEngine({
    pool,
    layout,
    image: await pool.imageDigest('sql'),
    manifestOf: () => Promise.resolve(manifest),
  });
  const needs: JobNeeds = {
    nowMs,
    randomBytes: (count) => randomBytes(count),
    pseudonymOf: (party) => pseudonymOf(new Uint8Array(32), party),
    sha256,
    isolation: pool.isolation.level,
    knowledge: { purposeIncludes, evaluate: evaluateCondition },
    activeAgreements: (party) => (party === 'acme' ? [agreement] : []),
    preparers: {
      sql: prepareSql(engine, {
        sha256,
        randomBytes: (count) => randomBytes(count),
        nowMs,
        histories: historiesIn(store),
      }),
    },
    ledger: {
      reserve: (input) => store.reserve(input),
      deny: (input) => store.recordDenial(input),
      // As the gateway does it: one transaction.
      release: ({ sketches, question, ...input }) =>
        store.commitRelease({
          ...input,
          records: [
            ...sketchRecords(input.jobId, sketches, nowMs()),
            ...questionRecords(input.jobId, question, nowMs()),
          ],
        }),
      fail: (input) => store.failJob(input),
    },
    openResult: (jobId, schema) => results.create(jobId, schema),
  };
  return {
    needs,
    store,
    pool,
    results,
    resultFolder,
    setAgreement,
    uses: async () => {
      const budget = consumerBudget('count', { dataset: DATASET, consumer: 'acme', rule: 'aggregate' });
      const { spent, held } = await store.balance(budget, 30 * 86_400_000);
      return { spent, held };
    },
    [Symbol.asyncDispose]: async () => {
      await pool.close();
      await store.close();
      rmSync(path, { recursive: true, force: true });
    },
  };
}

let counter = 0;
export function newJob(text: string = QUESTION): Job {
  counter += 1;
  return {
    id: `job-${counter}`,
    asker: { party: 'acme', groups: [], country: null },
    computation: { kind: 'sql', text, parameters: {} },
    agreementIds: [],
    rule: null,
    purpose: null,
    actor: null,
    submittedAtMs: Date.now(),
    signature: null,
    askedDigest: null,
  };
}

/** How one job ended, seen from every side at once. */
export interface Ended {
  readonly job: Job;
  /** null: `runJob` threw. */
  readonly outcome: Outcome | null;
  readonly fault: unknown;
  readonly state: string | undefined;
  readonly reasons: readonly string[];
  /** Uses that the job cost. */
  readonly cost: bigint;
  readonly files: readonly string[];
  readonly kinds: readonly string[];
}

/**
 * Runs a job and looks at what is left of it. Whatever happened: nothing is reserved any more, evidence exists and
 * verifies, and a file exists exactly when a result was released.
 */
export async function runAndLook(
  world: JobWorld,
  options: {
    readonly needs?: Partial<JobNeeds>;
    readonly text?: string;
    readonly at?: (stage: Stage, abort: AbortController) => void;
    readonly abort?: AbortController;
  } = {},
): Promise<Ended> {
  const job = newJob(options.text);
  const abort = options.abort ?? new AbortController();
  const before = await world.uses();
  const run = { signal: abort.signal, report: (stage: Stage): void => options.at?.(stage, abort) };
  const [settled] = await Promise.allSettled([runJob({ ...world.needs, ...options.needs }, job, run)]);
  const after = await world.uses();
  const record = await world.store.job(job.id);
  const kinds: string[] = [];
  for (const position of record?.body.evidence ?? []) {
    const verified = verifyReceipt((await world.store.receipt(position)) ?? '', world.store.verifierKey);
    kinds.push(verified.kind === 'refused' ? `refused: ${verified.reason}` : verified.event.kind);
  }
  if (after.held !== 0n) throw new Error('a use is still held');
  return {
    job,
    outcome: settled.status === 'fulfilled' ? settled.value : null,
    fault: settled.status === 'rejected' ? settled.reason : null,
    state: record?.state,
    reasons: record?.body.reasons ?? [],
    cost: after.spent - before.spent,
    files: readdirSync(world.resultFolder).filter((name) => name.startsWith(`${job.id}.`)),
    kinds,
  };
}
