import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { memoryUsage } from 'node:process';
import { type Caller, hasRole } from '../identity/party.ts';
import type { Alert, StopScope } from '../gen/messages.ts';
import type { OperatorServiceHandlers } from '../gen/services.ts';
import type { WorkerPool } from '../sandbox/pool.ts';
import { Fault } from '../rpc/fault.ts';
import { checkNote, requireRole } from './access.ts';
import type { AlertBody, AlertBook, AlertRecord } from './alerts/alerts.ts';
import { exportLists } from './policies/export-lists.ts';
import type { JobQueue } from './jobs/live-jobs.ts';
import { evidence, type GatewayNeeds } from './needs.ts';
import { overrulingSteps } from './evidence/rolled-back.ts';
import type { Step } from '../store/jobs.ts';

export interface OperatorNeeds extends GatewayNeeds {
  readonly pool: WorkerPool;
  readonly queue: JobQueue;
  readonly startedAtMs: number;
  readonly alerts: Pick<AlertBook, 'acknowledge'>;
  readonly drain: (deadlineMs: number) => Promise<void>;
  /** Folder of the data directory for copies of the state. */
  readonly backups: string;
}

/** The switch that stops every use; its scope in the store. */
const EVERYTHING = 'all';

export function operatorService(needs: OperatorNeeds): OperatorServiceHandlers {
  const exports = exportLists(needs);
  const isStopped = (scope: string = EVERYTHING): boolean => needs.store.peek('switch', scope)?.state === 'on';
  const throwSwitch = async (
    caller: string,
    scope: string,
    state: 'on' | 'off',
    note: string,
    alongWith: readonly Step[] = [],
  ): Promise<bigint> => {
    const named = scope.startsWith('party/') ? `party/${needs.pseudonymOf(scope.slice('party/'.length))}` : scope;
    const subject = { name: `switch/${named}`, sha256: needs.sha256(`${state} ${note}`) };
    const outcome = await needs.store.transact([
      ...alongWith,
      {
        do: 'put',
        record: { table: 'switch', id: scope, owner: caller, state, atMs: needs.nowMs(), body: { note } },
      },
      {
        do: 'record',
        event: evidence(needs, 'switch', [subject], {
          scope: named,
          state,
          by: needs.pseudonymOf(caller),
          ...(alongWith.length === 0 ? {} : { overruledWitnesses: alongWith.length }),
        }),
      },
    ]);
    if (outcome.kind === 'refused') throw new Fault('conflict', 'the switch was thrown by somebody else meanwhile');
    return BigInt(outcome.evidence.at(-1) ?? 0);
  };
  /** The scope's id, when the caller may throw its switch: operators any, providers those of what is theirs. */
  const scopeFor = (caller: Caller, scope: StopScope | null, verb: string): string => {
    const what = scope?.what ?? null;
    if (scope !== null && what === null)
      throw new Fault('argument-not-valid', 'the scope names no dataset, party or agreement');
    const isOperator = hasRole(caller, 'operator');
    if (what === null || what.kind === 'party') {
      requireRole(caller, `${verb} ${what === null ? 'everything' : 'a party'}`, 'operator');
      if (what === null) return EVERYTHING;
      if (needs.store.peek('party', what.party) === undefined)
        throw new Fault('not-found', `no party \`${what.party}\``);
      return `party/${what.party}`;
    }
    const [table, id] =
      what.kind === 'dataset' ? (['dataset', what.dataset] as const) : (['agreement', what.agreement] as const);
    const record = needs.store.peek(table, id);
    // Both tables are owned by their provider.
    if (record === undefined || !(isOperator || record.owner === caller.party))
      throw new Fault('not-found', `no ${table} \`${id}\` of yours`);
    return `${table}/${id}`;
  };
  const covers =
    (scope: string) =>
    (job: {
      readonly party: string;
      readonly agreements: readonly string[];
      readonly datasets: readonly string[];
    }): boolean => {
      const at = scope.indexOf('/');
      const name = scope.slice(at + 1);
      if (scope === EVERYTHING) return true;
      if (scope.startsWith('party/')) return job.party === name;
      return (scope.startsWith('dataset/') ? job.datasets : job.agreements).includes(name);
    };
  let isCopying = false;
  return {
    stopAll: async (caller, request) => {
      checkNote(request.note);
      const scope = scopeFor(caller, request.scope, 'stop');
      // An operator's switch is not replaced by a provider's: who could throw it again could lift it.
      const before = needs.store.peek('switch', scope);
      if (before?.state === 'on' && before.owner !== caller.party && !hasRole(caller, 'operator'))
        throw new Fault('wrong-state', `\`${scope}\` is stopped already`);
      // Durable before anything is stopped: from this index of the log on the ledger refuses every release.
      const logIndex = await throwSwitch(caller.party, scope, 'on', request.note);
      return { stoppedJobs: needs.queue.stop(covers(scope)), logIndex };
    },
    resumeAll: async (caller, request) => {
      checkNote(request.note);
      const scope = scopeFor(caller, request.scope, 'resume');
      if (!isStopped(scope))
        throw new Fault(
          'wrong-state',
          `${scope === EVERYTHING ? 'nothing' : `\`${scope}\``} is${scope === EVERYTHING ? '' : ' not'} stopped`,
        );
      const thrownBy = needs.store.peek('switch', scope)?.owner;
      if (thrownBy !== caller.party && !hasRole(caller, 'operator'))
        throw new Fault(
          'role-missing',
          `\`${scope}\` was stopped by \`${thrownBy ?? ''}\`: only they or an operator resume it`,
        );
      // Who lifts it has compared: what witnesses said that stopped everything holds no more.
      const overruling = scope === EVERYTHING ? overrulingSteps(needs) : [];
      return { logIndex: await throwSwitch(caller.party, scope, 'off', request.note, overruling) };
    },
    status: async (caller) => {
      requireRole(caller, 'see the status', 'operator', 'auditor');
      const { isolation } = needs.pool;
      const stats = needs.pool.stats;
      const checkpoint = await needs.store.checkpoint();
      return {
        version: needs.version,
        isServing: true,
        isStopped: isStopped(),
        stoppedScopes: needs.store
          .peekAll('switch')
          .filter(({ state }) => state === 'on')
          .map(({ id }) => id)
          .toSorted(),
        isolation: isolation.level,
        checks: isolation.findings.map(({ name, ok, detail }) => ({
          name,
          isOk: ok,
          finding: detail,
          remedy: ok ? '' : isolation.advice.join('; '),
        })),
        queuedJobs: needs.queue.queued,
        runningJobs: needs.queue.running,
        workers: [{ image: 'all', idle: stats.idle, busy: stats.leased, lost: 0 }],
        startedAtMs: needs.startedAtMs,
        logSize: BigInt(checkpoint.split('\n')[1] ?? '0'),
        residentBytes: BigInt(memoryUsage().rss),
        isDraining: needs.queue.isDraining,
      };
    },
    setExportList: async (caller, request) => {
      const answer = await exports.set(caller, request.document);
      return { ...answer, complaints: [...answer.complaints] };
    },
    getExportList: (caller) => Promise.resolve(exports.get(caller)),
    listAlerts: async (caller, request) => {
      requireRole(caller, 'list alerts', 'operator', 'auditor', 'provider');
      const records = (await needs.store.list<AlertBody>('alert', {
        limit: MAX_ALERTS,
        ...(request.openOnly ? { state: 'open' } : {}),
      })) as readonly AlertRecord[];
      const isAll = hasRole(caller, 'operator', 'auditor');
      // A provider sees what is about its own data, and nothing of what a party does with that of others.
      const mayKnow = ({ body }: AlertRecord): boolean =>
        isAll || (body.dataset !== '' && needs.store.peek('dataset', body.dataset)?.owner === caller.party);
      return { alerts: records.filter(mayKnow).map(alertMessage) };
    },
    acknowledgeAlert: async (caller, request) => {
      requireRole(caller, 'acknowledge alerts', 'operator');
      const seen = await needs.alerts.acknowledge(request.id, caller.party);
      if (seen === undefined) throw new Fault('not-found', `no open alert \`${request.id}\``);
      return { alert: alertMessage(seen) };
    },
    drain: (caller, request) => {
      requireRole(caller, 'drain the runtime', 'operator');
      const runningJobs = needs.queue.running;
      void needs.drain(request.deadlineMs > 0 ? request.deadlineMs : DEFAULT_DRAIN_MS);
      return Promise.resolve({ runningJobs });
    },
    backup: async (caller) => {
      requireRole(caller, 'back up the state', 'operator');
      if (isCopying) throw new Fault('wrong-state', 'a backup is under way: wait for its end');
      isCopying = true;
      try {
        // One fixed name: a caller chooses no path, and many calls fill no disk.
        const file = join(needs.backups, 'state.db');
        await rm(file, { force: true });
        const subject = { name: 'state', sha256: needs.sha256(await needs.store.checkpoint()) };
        await needs.store.transact([
          {
            do: 'record',
            event: evidence(needs, 'store.backedUp', [subject], { by: needs.pseudonymOf(caller.party) }),
          },
        ]);
        const logSize = BigInt((await needs.store.checkpoint()).split('\n')[1] ?? '0');
        await needs.store.backup(file);
        return { path: 'backups/state.db', logSize };
      } finally {
        isCopying = false;
      }
    },
  };
}

/** Most alerts in one answer, newest first. */
const MAX_ALERTS = 1000;

function alertMessage({ id, owner, state, atMs, body }: AlertRecord): Alert {
  const { detector, severity, dataset, count, position, delivery } = body;
  return {
    id,
    party: owner,
    dataset,
    detector,
    severity,
    count: BigInt(count),
    raisedAtMs: atMs,
    isOpen: state === 'open',
    delivery,
    logIndex: BigInt(Math.max(0, position)),
  };
}

/** How long running jobs may go on after a shutdown was asked for, milliseconds. */
export const DEFAULT_DRAIN_MS = 30_000;
