import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { LogEvent } from '../gateway/needs.ts';

/** What is asked at every scrape. Numbers and names of the catalogue only: nothing here comes from rows or query texts. */
export interface MetricsNeeds {
  readonly version: string;
  readonly isolation: string;
  readonly now: () => Snapshot;
  readonly budgets: () => Promise<readonly BudgetLeft[]>;
  /** Entries in the state, and entries that the published files show. */
  readonly evidence: () => Promise<{ readonly recorded: number; readonly published: number }>;
}

export interface Snapshot {
  readonly runningJobs: number;
  readonly queuedJobs: number;
  readonly isStopped: boolean;
  readonly isDraining: boolean;
  readonly openCalls: number;
  readonly workers: { readonly idle: number; readonly leased: number; readonly waiting: number };
}

export interface BudgetLeft {
  readonly dataset: string;
  readonly consumer: string;
  readonly rule: string;
  /** Null: no such limit. */
  readonly microEpsilon: bigint | null;
  readonly uses: bigint | null;
}

/** Series of budgets that one scrape shows at most; `glovebox_budgets_not_shown` counts the others. */
export const MAX_BUDGET_SERIES = 2000;
/** Budgets are read from the state at most this often. */
const BUDGETS_EVERY_MS = 5000;
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600] as const;
const STAGES = ['identify', 'parse', 'decide', 'reserve', 'run', 'disclose', 'record', 'release'];
const ISOLATION_LEVELS = ['none', 'process', 'confined', 'namespaced', 'vm'];

/** The metrics of one runtime. `saw` is given every event of the log; `text` answers a scrape. */
export interface Metrics {
  readonly saw: (event: LogEvent) => void;
  readonly text: () => Promise<string>;
  readonly contentType: string;
}

/** Metrics in Prometheus' text format. Reads `needs` at every scrape, so that nothing must be kept in step. */
export function createMetrics(needs: MetricsNeeds): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const ended = new Counter({
    name: 'glovebox_jobs_ended_total',
    help: 'Jobs that ended, by how and by the code of the first reason (none when released)',
    labelNames: ['state', 'reason'],
    registers,
  });
  const duration = new Histogram({
    name: 'glovebox_job_seconds',
    help: 'From the start of a job to its answer, the slot of its answer included',
    labelNames: ['state'],
    buckets: [...SECONDS],
    registers,
  });
  const stages = new Histogram({
    name: 'glovebox_job_stage_seconds',
    help: 'Time of a job in each stage; depends on data, so it is for the operator alone',
    labelNames: ['stage'],
    buckets: [...SECONDS],
    registers,
  });
  const lost = new Counter({
    name: 'glovebox_workers_lost_total',
    help: 'Workers that ended otherwise than by retirement, by reason',
    labelNames: ['kind', 'reason'],
    registers,
  });
  const events = new Counter({
    name: 'glovebox_log_events_total',
    help: 'Warnings and errors of the log, by event',
    labelNames: ['level', 'event'],
    registers,
  });
  const jobs = gauge('glovebox_jobs', 'Jobs now, by state', ['state']);
  const workers = gauge('glovebox_workers', 'Jailed workers now, by state', ['state']);
  const waiting = gauge('glovebox_worker_requests_waiting', 'Jobs that wait for a worker');
  const calls = gauge('glovebox_calls_open', 'gRPC calls that are open');
  const stopped = gauge('glovebox_stopped', '1 while the kill switch for everything is thrown');
  const draining = gauge('glovebox_draining', '1 while no new jobs are taken');
  const recorded = gauge('glovebox_evidence_entries', 'Entries of the evidence log');
  const lag = gauge('glovebox_evidence_lag_entries', 'Entries that are recorded and not yet in the published files');
  const epsilon = gauge('glovebox_budget_epsilon_left', 'Privacy loss left', ['dataset', 'consumer', 'rule']);
  const uses = gauge('glovebox_budget_uses_left', 'Uses left in the present period', ['dataset', 'consumer', 'rule']);
  const hidden = gauge('glovebox_budgets_not_shown', `Budgets beyond the ${MAX_BUDGET_SERIES} that are shown`);
  gauge('glovebox_info', 'Always 1', ['version']).set({ version: needs.version }, 1);
  const isolation = gauge('glovebox_isolation_level', '1 for the level of this machine', ['level']);
  for (const level of ISOLATION_LEVELS) isolation.set({ level }, level === needs.isolation ? 1 : 0);

  function gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    return new Gauge({ name, help, labelNames: [...labelNames], registers });
  }

  let budgetsReadMs = -Infinity;
  const refresh = async (): Promise<void> => {
    const now = needs.now();
    jobs.set({ state: 'running' }, now.runningJobs);
    jobs.set({ state: 'queued' }, now.queuedJobs);
    workers.set({ state: 'idle' }, now.workers.idle);
    workers.set({ state: 'busy' }, now.workers.leased);
    waiting.set(now.workers.waiting);
    calls.set(now.openCalls);
    stopped.set(now.isStopped ? 1 : 0);
    draining.set(now.isDraining ? 1 : 0);
    const evidence = await needs.evidence();
    recorded.set(evidence.recorded);
    lag.set(Math.max(0, evidence.recorded - evidence.published));
    if (performance.now() - budgetsReadMs < BUDGETS_EVERY_MS) return;
    budgetsReadMs = performance.now();
    const budgets = await needs.budgets();
    epsilon.reset();
    uses.reset();
    for (const { dataset, consumer, rule, ...left } of budgets.slice(0, MAX_BUDGET_SERIES)) {
      if (left.microEpsilon !== null) epsilon.set({ dataset, consumer, rule }, Number(left.microEpsilon) / 1e6);
      if (left.uses !== null) uses.set({ dataset, consumer, rule }, Number(left.uses));
    }
    hidden.set(Math.max(0, budgets.length - MAX_BUDGET_SERIES));
  };

  return {
    saw: ({ level, event, facts = {} }) => {
      if (level === 'warn' || level === 'error') events.inc({ level, event });
      if (event === 'worker.ended') lost.inc({ kind: codeOf(facts['kind']), reason: codeOf(facts['reason']) });
      if (event === 'job.faulted') ended.inc({ state: 'failed', reason: 'fault' });
      if (event === 'job.ended') {
        const state = codeOf(facts['state']);
        ended.inc({ state, reason: codeOf(facts['reason'] ?? 'none') });
        duration.observe({ state }, Number(facts['ms']) / 1000);
      }
      if (event === 'job.stages')
        for (const stage of STAGES)
          if (typeof facts[stage] === 'number') stages.observe({ stage }, facts[stage] / 1000);
    },
    text: async () => {
      await refresh();
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}

/** Labels are codes from our own lists; whatever else came by would be a leak and a series without end. */
function codeOf(value: unknown): string {
  return typeof value === 'string' && /^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(value) ? value : 'other';
}
