import type { Command } from 'commander';
import { pino, type Logger } from 'pino';
import { createRuntime, VERSION } from '../container.ts';
import { DEFAULT_DRAIN_MS } from '../gateway/operator-service.ts';
import type { LogEvent } from '../gateway/needs.ts';
import { RpcServer } from '../rpc/server.ts';
import { act, type CommonOptions, defaultDataDirectory } from './command.ts';
import { UsageError } from './output.ts';

export const DEFAULT_LISTEN = '127.0.0.1:7443';

export interface ServeOptions extends CommonOptions {
  readonly listen?: string;
  readonly insecure?: boolean;
  readonly declareVm?: boolean;
  readonly logLevel?: string;
}

/** How often certificates are looked at and old results removed, milliseconds. */
const HOUSEKEEPING_MS = 60 * 60_000;
const RENEW_BEFORE_MS = 30 * 86_400_000;

export function addServe(program: Command): void {
  program
    .command('serve')
    .description('run the gateway: keys, state and policies here, computations in jailed workers')
    .option('--data <dir>', 'data directory; made when it does not exist')
    .option('--listen <host:port>', `address to serve on; port 0 takes any (default: ${DEFAULT_LISTEN})`)
    .option('--insecure', 'no TLS and no identities: loopback addresses only, for local trials')
    .option(
      '--declare-vm',
      'state that this whole runtime runs in a virtual machine of its own (recorded as your word)',
    )
    .option('--log-level <level>', 'debug, info, warn or error', 'info')
    .option('--json', 'tell readiness as one JSON line on standard output')
    .addHelpText('after', '\nExample:\n  glovebox serve --data ./data --listen 127.0.0.1:7443\n')
    .action((options: ServeOptions) => act(options, () => serve(options)));
}

async function serve(options: ServeOptions): Promise<void> {
  const { host, port } = addressOf(options.listen ?? DEFAULT_LISTEN);
  const log = pino(
    { level: options.logLevel ?? 'info', base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination(2),
  );
  let server: RpcServer | null = null;
  await using runtime = await createRuntime({
    dataDirectory: options.data ?? defaultDataDirectory(),
    log: (event) => write(log, event),
    address: () => `${host}:${server?.port ?? port}`,
    ...(options.declareVm === true ? { declaredLevel: 'vm' as const } : {}),
  });
  const { gateway, pool } = runtime;
  const material = async (): Promise<{ ca: string; certificate: string; key: string; notAfterMs: number }> => {
    const { certificate, key, notAfterMs } = await gateway.serverCertificate([host]);
    return { ca: gateway.authorityCertificate, certificate, key, notAfterMs };
  };
  let tls = await material();
  if (options.insecure === true) await gateway.allowInsecure();
  server = await RpcServer.start({
    application: gateway.application,
    host,
    port,
    tls: options.insecure === true ? null : tls,
    log,
  });
  const credential = await gateway.bootstrap();
  const { isolation } = pool;
  const ready = {
    ready: true,
    version: VERSION,
    address: `${host}:${server.port}`,
    isolation: isolation.level,
    insecure: options.insecure === true,
    credential,
  };
  if (options.json === true) process.stdout.write(`${JSON.stringify(ready)}\n`);
  else {
    const findings = isolation.findings
      .filter(({ ok }) => !ok)
      .map(({ name, detail }) => `  missing: ${name}: ${detail}`);
    const advice = isolation.advice.map((text) => `  ${text}`);
    process.stdout.write(
      [
        `glovebox ${VERSION} serves on ${ready.address}${options.insecure === true ? ' WITHOUT TLS: anybody on this machine is a trusted party' : ' (mutual TLS)'}`,
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
      if (tls.notAfterMs - Date.now() > RENEW_BEFORE_MS) return;
      tls = await material();
      server?.renew(tls);
      log.info('renewed the server certificate');
    })().catch((error: unknown) => log.error({ err: error }, 'housekeeping failed'));
  }, HOUSEKEEPING_MS);

  await stopSignal();
  clearInterval(housekeeping);
  log.info('shutting down: no new jobs, running ones may end');
  await Promise.all([gateway.queue.drain(DEFAULT_DRAIN_MS), server.drain(DEFAULT_DRAIN_MS + 1000)]);
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

function addressOf(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-f:]+)\]|([^:]+)):(\d{1,5})$/i.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) throw new UsageError(`\`${text}\` is not HOST:PORT, e.g. ${DEFAULT_LISTEN}`);
  return { host, port };
}

function write(log: Logger, { level, event, facts, cause }: LogEvent): void {
  log[level]({ ...facts, ...(cause === undefined ? {} : { err: cause }) }, event);
}
