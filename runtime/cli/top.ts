import { setTimeout as delay } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Glovebox } from '../client/connect.ts';
import type { Budget, Job, StatusResponse } from '../gen/messages.ts';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { failureOf, safeForTerminal, tableText, toJson, UsageError } from './output.ts';

interface TopOptions extends CommonOptions {
  readonly every: string;
  readonly once?: boolean;
}

/** What a view over somebody's shoulder may show of a job: no words of its asker. `job show` has the rest. */
export type WatchedJob = Pick<
  Job,
  'id' | 'consumer' | 'datasets' | 'ruleId' | 'mode' | 'state' | 'submittedAtMs' | 'endedAtMs' | 'progress'
> & { readonly reasons: readonly { readonly code: string }[] };

/** What one look at the runtime shows. */
export interface Look {
  readonly atMs: number;
  readonly status: StatusResponse;
  readonly jobs: readonly WatchedJob[];
  readonly budgets: readonly Budget[];
}

/** Rows of each part of the view; the rest is counted. */
const LIVE_ROWS = 12;
const ENDED_ROWS = 8;
const BUDGET_ROWS = 10;
const HOME_AND_CLEAR = '\u001b[H\u001b[J';
const OTHER_SCREEN = '\u001b[?1049h\u001b[?25l';
const OWN_SCREEN = '\u001b[?25h\u001b[?1049l';

export function addTop(program: Command): void {
  withCommon(
    program.command('top').description('a live view of jobs, workers, queue and budgets; ends with q or Ctrl-C'),
    'glovebox top --every 2',
  )
    .option('--every <seconds>', 'pause between two looks', '1')
    .option('--once', 'print one look and end; so does an output that is no terminal, unless --json')
    .action((options: TopOptions) =>
      actAs(options, async (glovebox, out) => {
        const pauseMs = Number(options.every) * 1000;
        if (!(pauseMs >= 200 && pauseMs <= 3_600_000))
          throw new UsageError(`--every is a number of seconds from 0.2 to 3600, not \`${options.every}\``);
        if (options.once === true || (!out.isJson && !process.stdout.isTTY)) {
          out.answer(await look(glovebox), (one) => viewOf(one, 100));
          return;
        }
        if (out.isJson) await stream(glovebox, pauseMs);
        else await watch(glovebox, pauseMs);
      }),
    );
}

async function look(glovebox: Glovebox): Promise<Look> {
  const [status, { jobs }, { budgets }] = await Promise.all([
    glovebox.operator.status({}),
    glovebox.jobs.list({}),
    glovebox.budgets.get({}),
  ]);
  return { atMs: Date.now(), status, jobs: jobs.map(watched), budgets };
}

/** Reasons quote queries, and columns are named by them: what is left out is left out of `--json`, too. */
function watched(job: Job): WatchedJob {
  const { id, consumer, datasets, ruleId, mode, state, submittedAtMs, endedAtMs, progress } = job;
  const reasons = job.reasons.map(({ code }) => ({ code }));
  return { id, consumer, datasets, ruleId, mode, state, submittedAtMs, endedAtMs, progress, reasons };
}

/** One JSON document a line, until the reader has enough. */
async function stream(glovebox: Glovebox, pauseMs: number): Promise<void> {
  const over = new AbortController();
  process.stdout.on('error', () => over.abort());
  while (!over.signal.aborted) {
    process.stdout.write(
      `${toJson(await look(glovebox))
        .replaceAll(/\n */g, ' ')
        .trimEnd()}\n`,
    );
    await delay(pauseMs, undefined, { signal: over.signal }).catch(() => undefined);
  }
}

async function watch(glovebox: Glovebox, pauseMs: number): Promise<void> {
  const over = new AbortController();
  const stop = (): void => over.abort();
  const onKey = (key: Buffer): void => {
    // Raw input: Ctrl-C arrives as a character.
    if (key.includes('q') || key.includes(3)) stop();
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  if (process.stdin.isTTY) process.stdin.setRawMode(true).on('data', onKey);
  process.stdout.write(OTHER_SCREEN);
  try {
    while (!over.signal.aborted) {
      const width = Math.max(40, process.stdout.columns);
      // A runtime that is started again is seen again; this view does not end with it.
      const text = await look(glovebox).then(
        (one) => viewOf(one, width),
        (error: unknown) => `${failureOf(error).message}; trying again`,
      );
      if (over.signal.aborted) break;
      const lines = text.split('\n').slice(0, Math.max(5, process.stdout.rows - 1));
      process.stdout.write(`${HOME_AND_CLEAR}${lines.join('\r\n')}`);
      await delay(pauseMs, undefined, { signal: over.signal }).catch(() => undefined);
    }
  } finally {
    process.stdout.write(OWN_SCREEN);
    if (process.stdin.isTTY) process.stdin.off('data', onKey).setRawMode(false).pause();
  }
}

/** The view as text; names come from other parties, so that whatever a terminal would obey is made visible in them. */
export function viewOf({ atMs, status, jobs, budgets }: Look, width: number): string {
  const busy = status.workers.reduce((sum, one) => sum + one.busy, 0);
  const idle = status.workers.reduce((sum, one) => sum + one.idle, 0);
  const isLive = ({ state }: WatchedJob): boolean => state === 'queued' || state === 'running';
  const live = jobs.filter(isLive);
  const ended = jobs.filter((job) => !isLive(job));
  const state = [
    ...(status.isStopped ? ['STOPPED by the kill switch'] : []),
    ...(status.isDraining ? ['DRAINING'] : []),
    ...(status.stoppedScopes.length === 0 ? [] : [`stopped: ${status.stoppedScopes.join(', ')}`]),
  ];
  const missing = status.checks.filter(({ isOk }) => !isOk).map(({ name }) => name);
  const text = [
    `glovebox ${status.version} · isolation ${status.isolation}${missing.length === 0 ? '' : ` (missing: ${missing.join(', ')})`} · up ${span(atMs - status.startedAtMs)}${state.length === 0 ? '' : ` · ${state.join(' · ')}`}`,
    `jobs ${status.runningJobs} running, ${status.queuedJobs} waiting · workers ${busy} busy, ${idle} idle · log ${status.logSize} entries · ${Math.round(Number(status.residentBytes) / 2 ** 20)} MiB`,
    '',
    live.length === 0
      ? 'no job runs or waits'
      : tableText(
          ['job', 'asker', 'rule', 'stage', 'for'],
          live
            .slice(0, LIVE_ROWS)
            .map((one) => [
              one.id,
              one.consumer,
              one.ruleId === '' ? null : one.ruleId,
              one.progress?.stage ?? one.state,
              span(atMs - one.submittedAtMs),
            ]),
        ),
    ...more(live.length - LIVE_ROWS),
    '',
    ended.length === 0
      ? 'no job has ended yet'
      : tableText(
          ['ended', 'asker', 'datasets', 'state', 'why', 'ago'],
          ended
            .slice(0, ENDED_ROWS)
            .map((one) => [
              one.id,
              one.consumer,
              one.datasets.join(', '),
              one.state,
              one.reasons[0]?.code ?? null,
              span(atMs - one.submittedAtMs),
            ]),
        ),
    '',
    budgets.length === 0
      ? 'no budgets'
      : tableText(['dataset', 'consumer', 'rule', 'used', ''], budgets.slice(0, BUDGET_ROWS).flatMap(budgetRows)),
    ...more(budgets.length - BUDGET_ROWS),
  ].join('\n');
  return safeForTerminal(text)
    .split('\n')
    .map((line) => (line.length > width ? `${line.slice(0, width - 1)}…` : line))
    .join('\n');
}

function budgetRows(one: Budget): readonly (readonly (string | null)[])[] {
  const whose = [one.dataset, one.consumer, one.ruleId === '' ? 'any' : one.ruleId];
  const rows: (readonly (string | null)[])[] = [];
  if (one.usesLimit !== null) {
    const used = one.uses + one.usesReserved;
    rows.push([...whose, `${used} of ${one.usesLimit} uses`, bar(Number(used) / Number(one.usesLimit))]);
  }
  if (one.microEpsilonLimit !== null) {
    const used = Number(one.microEpsilonSpent + one.microEpsilonReserved);
    const limit = Number(one.microEpsilonLimit);
    rows.push([...whose, `ε ${used / 1e6} of ${limit / 1e6}`, bar(used / limit)]);
  }
  return rows;
}

function bar(share: number): string {
  const full = Math.round(Math.min(1, Math.max(0, Number.isFinite(share) ? share : 1)) * 20);
  return `${'█'.repeat(full)}${'░'.repeat(20 - full)}`;
}

function more(count: number): readonly string[] {
  return count > 0 ? [`… and ${count} more`] : [];
}

/** Milliseconds as people say them. */
function span(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86_400)} d`;
}
