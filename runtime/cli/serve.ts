import { join } from 'node:path';
import type { Command } from 'commander';
import type { Configuration } from '../configuration/settings.ts';
import type { QueueLimits } from '../gateway/jobs/live-jobs.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { RpcLimits } from '../rpc/limits.ts';
import type { PoolNumbers, PoolOptions } from '../sandbox/pool-options.ts';
import { act, type CommonOptions, defaultDataDirectory } from './command.ts';
import { configurationOf, type SettingFlags, withSettings } from './configuration.ts';
import { LogFile } from './log-file.ts';
import { type ExitCode, UsageError } from './output.ts';
import { verifierKeyIn } from './verifier-key.ts';

export interface ServeOptions extends CommonOptions, SettingFlags {}

/** How often certificates are looked at and old results removed, milliseconds. */
const HOUSEKEEPING_MS = 60 * 60_000;
const RENEW_BEFORE_MS = 30 * 86_400_000;

export function addServe(program: Command): void {
  withSettings(
    program
      .command('serve')
      .description('run the gateway: keys, state and policies here, computations in jailed workers'),
  )
    .option('--json', 'tell readiness as one JSON line on standard output')
    .addHelpText(
      'after',
      '\nEvery setting can also stand in a file or in the environment: glovebox config show\n\nExample:\n  glovebox serve --data ./data --listen 127.0.0.1:7443\n',
    )
    .action((options: ServeOptions) => act(options, () => serve(options)));
}

async function serve(options: ServeOptions): Promise<ExitCode> {
  // Loaded here and not above: the other commands start in half the time without the runtime.
  const [{ pino }, { startServer }] = await Promise.all([import('pino'), import('./start-server.ts')]);
  const { configuration: set, unknownVariables } = await configurationOf(options);
  const dataDirectory = set.data ?? defaultDataDirectory();
  const listen = set.listen ?? { host: '127.0.0.1', port: 0 };
  await using closing = new AsyncDisposableStack();
  const logFile =
    set.logFile === null
      ? null
      : new LogFile({ file: set.logFile, maxBytes: set.logMaxBytes ?? Infinity, keep: set.logKeep ?? 0 });
  closing.defer(() => logFile?.close());
  const log = pino(
    { level: set.logLevel ?? 'info', base: null, timestamp: pino.stdTimeFunctions.isoTime },
    logFile ?? pino.destination(2),
  );
  const reopen = (): void => logFile?.reopen();
  process.on('SIGHUP', reopen);
  closing.defer(() => void process.off('SIGHUP', reopen));
  if (unknownVariables.length > 0)
    log.warn({ variables: unknownVariables }, 'variables of the environment that are no settings');
  const limits = limitsOf(set);
  const { connectionsWithin, descriptorLimit, workersWithin } = await import('../rpc/connection-room.ts');
  const maxWorkers = workersWithin(limits.workerLimits.maxWorkers, descriptorLimit());
  const connections = connectionsWithin(limits.rpcLimits, descriptorLimit(), maxWorkers);
  if (connections.maxConnections < limits.rpcLimits.maxConnections || maxWorkers < limits.workerLimits.maxWorkers)
    log.warn(
      { ...connections, maxWorkers, descriptors: descriptorLimit() },
      'fewer connections or workers than set: raise the limit of open files',
    );
  let metrics: Metrics | null = null;
  const started = await startServer(
    {
      dataDirectory,
      host: listen.host,
      port: listen.port,
      log,
      insecure: set.insecure === true,
      webhooks: set.webhooks ?? [],
      outside: {
        witnesses: (set.witnesses ?? []).map(({ url, keyFile }) => ({ url, key: verifierKeyIn(keyFile) })),
        witnessQuorum: quorumOf(set.witnessQuorum ?? 1, set.witnesses?.length ?? 0),
        timestampUrl: set.timestampUrl,
        timestampEveryMs: set.timestampEveryMs ?? Infinity,
      },
      alertWebhook: set.alertWebhook,
      ...limits,
      workerLimits: { ...limits.workerLimits, maxWorkers },
      rpcLimits: { ...limits.rpcLimits, ...connections },
      observe: (event) => metrics?.saw(event),
      ...(set.declareVm === true ? { declaredLevel: 'vm' as const } : {}),
    },
    closing,
  );
  const { runtime, server, version, address, credential } = started;
  if (set.evidenceHttp !== null) {
    const { serveEvidence } = await import('../gateway/evidence/evidence-http.ts');
    const served = closing.use(await serveEvidence(join(dataDirectory, 'evidence'), set.evidenceHttp));
    log.info({ port: served.port }, 'the evidence log is served over HTTP');
  }
  let metricsPort: number | null = null;
  if (set.metrics !== null) {
    const [{ createMetrics }, { metricsNeeds }, { serveMetrics }] = await Promise.all([
      import('../metrics/metrics.ts'),
      import('../metrics/runtime-metrics.ts'),
      import('../metrics/serve-metrics.ts'),
    ]);
    metrics = createMetrics(metricsNeeds({ ...runtime, dataDirectory, version, openCalls: () => server.openCalls }));
    const onError = (error: unknown): void => log.error({ err: error }, 'metrics could not be read');
    metricsPort = closing.use(await serveMetrics(metrics, set.metrics, onError)).port;
    log.info({ port: metricsPort }, 'metrics are served over HTTP');
  }
  const { gateway, pool } = runtime;
  const { isolation } = pool;
  const insecure = set.insecure === true;
  if (options.json === true) {
    const ready = { ready: true, version, address, isolation: isolation.level, insecure, credential, metricsPort };
    process.stdout.write(`${JSON.stringify(ready)}\n`);
  } else {
    const findings = isolation.findings
      .filter(({ ok }) => !ok)
      .map(({ name, detail }) => `  missing: ${name}: ${detail}`);
    const advice = isolation.advice.map((text) => `  ${text}`);
    process.stdout.write(
      [
        `glovebox ${version} serves on ${address}${insecure ? ' WITHOUT TLS: anybody on this machine is a trusted party' : ' (mutual TLS)'}`,
        `isolation level: ${isolation.level}${isolation.isDeclared ? ' (declared by the operator)' : ''}`,
        ...findings,
        ...advice,
        `operator credential: ${credential}`,
        '',
      ].join('\n'),
    );
  }
  const housekeeping = setInterval(() => {
    void (async () => {
      await gateway.sweep();
      if (await started.renew(RENEW_BEFORE_MS)) log.info('renewed the server certificate');
    })().catch((error: unknown) => log.error({ err: error }, 'housekeeping failed'));
  }, HOUSEKEEPING_MS);

  const why = await Promise.race([stopSignal(), runtime.over]);
  clearInterval(housekeeping);
  if (why instanceof Error) {
    // Whoever supervises this process starts it again; a gateway without state would only refuse everything.
    log.error({ err: why }, 'the state cannot be used any more: ending');
    server.close();
    return 3;
  }
  log.info('shutting down: no new jobs, running ones may end');
  const drainMs = set.drainMs ?? 0;
  await Promise.all([gateway.queue.drain(drainMs), server.drain(drainMs + 1000)]);
  return 0;
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    let count = 0;
    const stop = (): void => {
      count += 1;
      if (count > 1) process.exit(3);
      resolve();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  });
}

/** The limits among the settings, as the parts of the runtime take them. */
export function limitsOf(set: Configuration): {
  readonly jobLimits: QueueLimits;
  readonly workerLimits: Omit<PoolNumbers, 'maxQueued'> & Pick<PoolOptions, 'maxPerParty'>;
  readonly rpcLimits: Omit<RpcLimits, 'maxChunkBytes'>;
} {
  const whole = (value: number | null): number => {
    if (value === null) throw new Error('a limit without a value');
    return value;
  };
  return {
    jobLimits: {
      running: whole(set.jobsRunning),
      runningPerParty: whole(set.jobsRunningPerParty),
      queued: whole(set.jobsQueued),
      queuedPerParty: whole(set.jobsQueuedPerParty),
    },
    workerLimits: {
      maxWorkers: whole(set.workersMax),
      ...(set.workersMaxPerParty === null ? {} : { maxPerParty: set.workersMaxPerParty }),
      warmKeys: whole(set.workersWarmKeys),
      warmPerKey: whole(set.workersWarmPerKey),
      queueTimeoutMs: whole(set.workersQueueTimeoutMs),
    },
    rpcLimits: {
      maxMessageBytes: whole(set.maxMessageBytes),
      maxFrameBytes: whole(set.maxFrameBytes),
      maxOutgoingBytes: whole(set.maxOutgoingBytes),
      maxMetadataBytes: whole(set.maxMetadataBytes),
      maxConnections: whole(set.maxConnections),
      maxSilentConnections: whole(set.maxSilentConnections),
      maxConnectionsPerParty: whole(set.maxConnectionsPerParty),
      maxStreamsPerConnection: whole(set.maxStreamsPerConnection),
      maxStreamsPerParty: whole(set.maxStreamsPerParty),
      maxRequestBytesPerParty: whole(set.maxRequestBytesPerParty),
      callsPerSecond: whole(set.callsPerSecond),
      callBurst: whole(set.callBurst),
      handshakeTimeoutMs: whole(set.handshakeTimeoutMs),
      requestTimeoutMs: whole(set.requestTimeoutMs),
      uploadPauseMs: whole(set.uploadPauseMs),
      readerPauseMs: whole(set.readerPauseMs),
      idleConnectionMs: whole(set.idleConnectionMs),
      keepaliveMs: whole(set.keepaliveMs),
      keepaliveTimeoutMs: whole(set.keepaliveTimeoutMs),
      maxCallMs: whole(set.maxCallMs),
      drainMs: whole(set.drainMs),
    },
  };
}

function quorumOf(quorum: number, witnesses: number): number {
  if (quorum > Math.max(1, witnesses))
    throw new UsageError(`witnessQuorum is ${quorum}, but there are ${witnesses} witnesses: it could never be reached`);
  return quorum;
}
