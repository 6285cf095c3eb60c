import { memoryUsage } from 'node:process';
import type { ImageServiceHandlers, OperatorServiceHandlers } from '../gen/services.ts';
import type { SandboxImage } from '../sandbox/image.ts';
import type { WorkerPool } from '../sandbox/pool.ts';
import { Fault } from '../rpc/fault.ts';
import { requireRole } from './access.ts';
import type { JobQueue } from './live-jobs.ts';
import { evidence, type GatewayNeeds } from './needs.ts';

export interface OperatorNeeds extends GatewayNeeds {
  readonly pool: WorkerPool;
  readonly queue: JobQueue;
  readonly startedAtMs: number;
  readonly drain: (deadlineMs: number) => Promise<void>;
}

/** The switch that stops every use; its scope in the store. */
const EVERYTHING = 'all';

export function operatorService(needs: OperatorNeeds): OperatorServiceHandlers {
  const isStopped = (): boolean => needs.store.peek('switch', EVERYTHING)?.state === 'on';
  const throwSwitch = async (caller: string, state: 'on' | 'off', note: string): Promise<bigint> => {
    const subject = { name: 'switch/all', sha256: needs.sha256(`${state} ${note}`) };
    const outcome = await needs.store.transact([
      {
        do: 'put',
        record: { table: 'switch', id: EVERYTHING, owner: caller, state, atMs: needs.nowMs(), body: { note } },
      },
      {
        do: 'record',
        event: evidence(needs, 'switch', [subject], { scope: 'all', state, by: needs.pseudonymOf(caller) }),
      },
    ]);
    if (outcome.kind === 'refused') throw new Fault('conflict', 'the switch was thrown by somebody else meanwhile');
    return BigInt(outcome.evidence.at(-1) ?? 0);
  };
  return {
    stopAll: async (caller, request) => {
      requireRole(caller, 'stop everything', 'operator');
      // Durable before anything is stopped: from this index of the log on the ledger refuses every release.
      const logIndex = await throwSwitch(caller.party, 'on', request.note);
      return { stoppedJobs: needs.queue.stop(() => true), logIndex };
    },
    resumeAll: async (caller, request) => {
      requireRole(caller, 'resume after a stop', 'operator');
      if (!isStopped()) throw new Fault('wrong-state', 'nothing is stopped');
      return { logIndex: await throwSwitch(caller.party, 'off', request.note) };
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
    drain: (caller, request) => {
      requireRole(caller, 'drain the runtime', 'operator');
      const runningJobs = needs.queue.running;
      void needs.drain(request.deadlineMs > 0 ? request.deadlineMs : DEFAULT_DRAIN_MS);
      return Promise.resolve({ runningJobs });
    },
  };
}

/** How long running jobs may go on after a shutdown was asked for, milliseconds. */
export const DEFAULT_DRAIN_MS = 30_000;

export function imageService(images: readonly SandboxImage[]): ImageServiceHandlers {
  const messages = images.map((image) => ({
    name: image.manifest.name,
    digest: image.digest,
    runtime: image.manifest.entry,
    version: image.manifest.version,
    methods: [],
    libraries: [...image.manifest.packages],
    minimumIsolation: image.manifest.minimumIsolation,
    manifest: JSON.stringify(image.manifest),
    isIntact: true,
  }));
  return {
    list: () => Promise.resolve({ images: messages }),
    get: (_caller, request) => {
      const image = messages.find(({ name }) => name === request.name);
      if (image === undefined)
        throw new Fault(
          'not-found',
          `no sandbox image \`${request.name}\`: there are ${messages.map(({ name }) => name).join(', ')}`,
        );
      return Promise.resolve({ image });
    },
  };
}
