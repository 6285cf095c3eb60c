import 'reflect-metadata';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { container as rootContainer, type DependencyContainer, instanceCachingFactory } from 'tsyringe';
import { bindSecrets } from './gateway/bound-secrets.ts';
import { openAuthority, openDataDirectory, openSecret } from './gateway/data-directory.ts';
import { assembleGateway } from './gateway/gateway.ts';
import type { LogEvent } from './gateway/needs.ts';
import type { PoolNumbers, PoolOptions } from './sandbox/pool-options.ts';
import { MONITOR_EVERY_MS } from './gateway/jobs/policy-monitor.ts';
import { WorkerPool } from './sandbox/pool.ts';
import { openStore } from './store/store.ts';
import type { Gateway, GatewayParts } from './gateway/gateway-parts.ts';

/** What `serve` is told. */
export interface RuntimeOptions {
  /** The data directory; made when it does not exist. */
  readonly dataDirectory: string;
  readonly nowMs?: () => number;
  /** Where noise comes from; tests give a seeded one. */
  readonly entropy?: GatewayParts['entropy'];
  readonly log: (event: LogEvent) => void;
  /** The operator's word that the whole gateway runs in a virtual machine of its own. */
  readonly declaredLevel?: 'vm';
  /** Origins that notices of duties may be sent to. */
  readonly webhooks?: readonly string[];
  /** Who vouches for the log from outside. */
  readonly outside?: GatewayParts['outside'];
  /** Where alerts are sent; null for nowhere. */
  readonly alertWebhook?: string | null;
  readonly jobLimits?: GatewayParts['jobLimits'];
  readonly workerLimits?: Partial<PoolNumbers> & Pick<PoolOptions, 'maxPerParty'>;
  /** Written into credentials; asked when one is issued. */
  readonly address: () => string;
}

/** Tokens of the parts that others are made of; every factory is here and nowhere else. */
const DIRECTORY = Symbol('data directory');
const STORE = Symbol('store');
const POOL = Symbol('worker pool');
const AUTHORITY = Symbol('authority');
const SECRETS = Symbol('secrets');
const PARTS = Symbol('gateway parts');

/** The folder that holds `runtime`, `sandbox-images` and `package.json`. */
export const ROOT = join(import.meta.dirname, '..');
export const VERSION = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version;

/** A runtime that is ready to serve, and its end. */
export interface Runtime extends AsyncDisposable {
  readonly gateway: Gateway;
  readonly pool: WorkerPool;
  readonly store: GatewayParts['store'];
  /** Resolves with the reason when the state has broken down for good, so that only another process can go on. */
  readonly over: Promise<Error>;
}

/**
 * The composition root. tsyringe holds factories (no decorators: they need a compiler); each part is a promise, made
 * once, in a child container of its own so that two runtimes in one process share nothing.
 */
export async function createRuntime(options: RuntimeOptions): Promise<Runtime> {
  const container = rootContainer.createChildContainer();
  const wallMs = options.nowMs ?? Date.now;
  let clock = wallMs;
  await using closing = new AsyncDisposableStack();
  const once = <T>(token: symbol, make: (from: DependencyContainer) => Promise<T>): void => {
    container.register<Promise<T>>(token, { useFactory: instanceCachingFactory(make) });
  };
  const get = <T>(token: symbol): Promise<T> => container.resolve<Promise<T>>(token);

  once(DIRECTORY, () => openDataDirectory(options.dataDirectory));
  once(STORE, async () => {
    const { path } = await get<GatewayParts['directory']>(DIRECTORY);
    return closing.use(await openStore({ path, clock: wallMs }));
  });
  once(POOL, async () =>
    closing.use(
      await WorkerPool.start({
        root: ROOT,
        ...options.workerLimits,
        ...(options.declaredLevel === undefined ? {} : { declaredLevel: options.declaredLevel }),
        onWorkerEnd: ({ kind, reason, detail }) =>
          // One that its own job has ended (after an import, at a cancellation) is no event for anybody's attention.
          options.log({
            level: reason === 'STOPPED' ? 'debug' : 'warn',
            event: 'worker.ended',
            facts: { kind, reason, detail },
          }),
      }),
    ),
  );
  once(AUTHORITY, async () => openAuthority(await get<GatewayParts['directory']>(DIRECTORY), Date.now()));
  once(SECRETS, async () => {
    const directory = await get<GatewayParts['directory']>(DIRECTORY);
    return {
      units: await openSecret(directory, 'units'),
      pseudonyms: await openSecret(directory, 'pseudonyms'),
      transcripts: await openSecret(directory, 'transcripts'),
    };
  });
  once(PARTS, async (): Promise<GatewayParts> => ({
    directory: await get(DIRECTORY),
    // The store first: a directory that another process holds must fail before anything else is touched.
    store: await get(STORE),
    pool: await get(POOL),
    authority: await get(AUTHORITY),
    secrets: await get(SECRETS),
    root: ROOT,
    version: VERSION,
    nowMs: () => clock(),
    wallMs: Date.now,
    ...(options.entropy === undefined ? {} : { entropy: options.entropy }),
    log: options.log,
    address: options.address,
    ...(options.jobLimits === undefined ? {} : { jobLimits: options.jobLimits }),
    ...(options.webhooks === undefined ? {} : { webhooks: options.webhooks }),
    ...(options.outside === undefined ? {} : { outside: options.outside }),
    alertWebhook: options.alertWebhook ?? null,
  }));

  const { clockBehindMs } = (await get<GatewayParts['store']>(STORE)).recovered;
  if (clockBehindMs > 0) options.log({ level: 'warn', event: 'clock.behind', facts: { behindMs: clockBehindMs } });
  clock = steadyClock(wallMs, clockBehindMs);
  const parts = await get<GatewayParts>(PARTS);
  await bindSecrets(
    { store: parts.store, nowMs: () => clock() },
    {
      'authority.json': JSON.stringify(parts.authority),
      'units.key': parts.secrets.units,
      'pseudonyms.key': parts.secrets.pseudonyms,
      'transcripts.key': parts.secrets.transcripts,
    },
  );
  const gateway = await assembleGateway(parts);
  const monitor = setInterval(() => {
    gateway.enforce().catch((cause: unknown) => options.log({ level: 'error', event: 'monitor.failed', cause }));
  }, MONITOR_EVERY_MS).unref();
  closing.defer(() => clearInterval(monitor));
  const resources = closing.move();
  return {
    gateway,
    pool: parts.pool,
    store: parts.store,
    over: parts.store.over,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/**
 * The runtime's time: the wall clock, except that it stands still while that is behind what was seen before. The state
 * judges tickets and agreements by the latest time that it has seen; what is made here must not be over before it begins.
 */
function steadyClock(wallMs: () => number, behindMs: number): () => number {
  let latest = wallMs() + behindMs;
  return () => {
    latest = Math.max(latest, wallMs());
    return latest;
  };
}
