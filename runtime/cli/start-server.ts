import type { Logger } from 'pino';
import { createRuntime, type Runtime, type RuntimeOptions, VERSION } from '../container.ts';
import type { LogEvent } from '../gateway/needs.ts';
import { descriptorLimit, problemOfDescriptors } from '../rpc/connection-room.ts';
import type { RpcLimits } from '../rpc/limits.ts';
import type { TlsMaterial } from '../rpc/listener.ts';
import { RpcServer } from '../rpc/server.ts';

export interface StartOptions {
  readonly dataDirectory: string;
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly log: Logger;
  /** No TLS and no identities; loopback only. */
  readonly insecure?: boolean;
  /** The operator's word that the whole runtime runs in a virtual machine of its own. */
  readonly declaredLevel?: 'vm';
  /** Where noise comes from; default: the operating system's generator. Tests give a seeded one. */
  readonly entropy?: RuntimeOptions['entropy'];
  /** Origins that notices of duties may be sent to. */
  readonly webhooks?: readonly string[];
  /** Who vouches for the log from outside. */
  readonly outside?: RuntimeOptions['outside'];
  readonly alertWebhook?: string | null;
  readonly rpcLimits?: Partial<RpcLimits>;
  readonly jobLimits?: RuntimeOptions['jobLimits'];
  readonly workerLimits?: RuntimeOptions['workerLimits'];
  /** Sees every event of the log, of every level; for metrics. */
  readonly observe?: (event: LogEvent) => void;
}

/** A runtime that answers calls. */
export interface RunningServer {
  readonly runtime: Runtime;
  readonly server: RpcServer;
  /** `host:port`. */
  readonly address: string;
  /** File with the operator's credential. */
  readonly credential: string;
  readonly version: string;
  /** Makes a new server certificate when the present one ends within `beforeMs`; answers whether it did. */
  readonly renew: (beforeMs: number) => Promise<boolean>;
}

/** Starts a runtime over a data directory and serves it; what is started is closed when `closing` is. */
export async function startServer(options: StartOptions, closing: AsyncDisposableStack): Promise<RunningServer> {
  const { host, log } = options;
  // Said here, and not by every job that fails for want of a worker.
  const problem = problemOfDescriptors(descriptorLimit());
  if (problem !== null) throw new Error(problem);
  const isInsecure = options.insecure === true;
  const bound: { port: number } = { port: options.port };
  const runtime = closing.use(
    await createRuntime({
      dataDirectory: options.dataDirectory,
      log: (event) => {
        options.observe?.(event);
        writeTo(log, event);
      },
      address: () => `${host}:${bound.port}`,
      ...(options.declaredLevel === undefined ? {} : { declaredLevel: options.declaredLevel }),
      ...(options.webhooks === undefined ? {} : { webhooks: options.webhooks }),
      ...(options.outside === undefined ? {} : { outside: options.outside }),
      alertWebhook: options.alertWebhook ?? null,
      ...(options.jobLimits === undefined ? {} : { jobLimits: options.jobLimits }),
      ...(options.workerLimits === undefined ? {} : { workerLimits: options.workerLimits }),
      ...(options.entropy === undefined ? {} : { entropy: options.entropy }),
    }),
  );
  const { gateway } = runtime;
  const material = async (): Promise<TlsMaterial & { readonly notAfterMs: number }> => {
    const { certificate, key, notAfterMs } = await gateway.serverCertificate([host]);
    return { ca: gateway.authorities(), certificate, key, notAfterMs };
  };
  let tls = await material();
  if (isInsecure) await gateway.allowInsecure();
  const server = await RpcServer.start({
    application: gateway.application,
    host,
    port: options.port,
    tls: isInsecure ? null : tls,
    ...(options.rpcLimits === undefined ? {} : { limits: options.rpcLimits }),
    log,
  });
  gateway.whenTrustChanges(() => {
    tls = { ...tls, ca: gateway.authorities() };
    server.renew(tls);
  });
  closing.defer(() => server.close());
  bound.port = server.port;
  return {
    runtime,
    server,
    address: `${host}:${server.port}`,
    credential: await gateway.bootstrap(),
    version: VERSION,
    renew: async (beforeMs) => {
      if (isInsecure || tls.notAfterMs - Date.now() > beforeMs) return false;
      tls = await material();
      server.renew(tls);
      return true;
    },
  };
}

function writeTo(log: Logger, { level, event, facts, cause }: LogEvent): void {
  log[level]({ ...facts, ...(cause === undefined ? {} : { err: cause }) }, event);
}
