import { join } from 'node:path';
import type { Command } from 'commander';
import { act, type CommonOptions, defaultDataDirectory } from './command.ts';
import { type ExitCode, UsageError } from './output.ts';

export const DEFAULT_LISTEN = '127.0.0.1:7443';

export interface ServeOptions extends CommonOptions {
  readonly listen?: string;
  readonly insecure?: boolean;
  readonly declareVm?: boolean;
  readonly logLevel?: string;
  readonly webhook?: readonly string[];
  readonly evidenceHttp?: string;
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
    .option(
      '--evidence-http <host:port>',
      'serve the signed log as static files over HTTP, for monitors; off by default',
    )
    .option('--webhook <origin...>', 'addresses (https://host:port) that duties may notify; none by default')
    .option('--log-level <level>', 'debug, info, warn or error', 'info')
    .option('--json', 'tell readiness as one JSON line on standard output')
    .addHelpText('after', '\nExample:\n  glovebox serve --data ./data --listen 127.0.0.1:7443\n')
    .action((options: ServeOptions) => act(options, () => serve(options)));
}

async function serve(options: ServeOptions): Promise<ExitCode> {
  const { host, port } = addressOf(options.listen ?? DEFAULT_LISTEN);
  // Loaded here and not above: the other commands start in half the time without the runtime.
  const [{ pino }, { startServer }, { DEFAULT_DRAIN_MS }] = await Promise.all([
    import('pino'),
    import('./start-server.ts'),
    import('../gateway/operator-service.ts'),
  ]);
  const log = pino(
    { level: options.logLevel ?? 'info', base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination(2),
  );
  await using closing = new AsyncDisposableStack();
  const started = await startServer(
    {
      dataDirectory: options.data ?? defaultDataDirectory(),
      host,
      port,
      log,
      insecure: options.insecure === true,
      webhooks: (options.webhook ?? []).map(originOf),
      ...(options.declareVm === true ? { declaredLevel: 'vm' as const } : {}),
    },
    closing,
  );
  const { runtime, server, version, address, credential } = started;
  if (options.evidenceHttp !== undefined) {
    const { serveEvidence } = await import('../gateway/evidence-http.ts');
    const folder = join(options.data ?? defaultDataDirectory(), 'evidence');
    const served = closing.use(await serveEvidence(folder, addressOf(options.evidenceHttp)));
    log.info({ port: served.port }, 'the evidence log is served over HTTP');
  }
  const { gateway, pool } = runtime;
  const { isolation } = pool;
  const insecure = options.insecure === true;
  if (options.json === true) {
    const ready = { ready: true, version, address, isolation: isolation.level, insecure, credential };
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
  await Promise.all([gateway.queue.drain(DEFAULT_DRAIN_MS), server.drain(DEFAULT_DRAIN_MS + 1000)]);
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

function originOf(text: string): string {
  try {
    const url = new URL(text);
    if (url.protocol === 'https:' || url.protocol === 'http:') return url.origin;
  } catch {
    // Told below.
  }
  throw new UsageError(`\`${text}\` is not an origin, e.g. https://hooks.example`);
}

function addressOf(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-f:]+)\]|([^:]+)):(\d{1,5})$/i.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) throw new UsageError(`\`${text}\` is not HOST:PORT, e.g. ${DEFAULT_LISTEN}`);
  return { host, port };
}
