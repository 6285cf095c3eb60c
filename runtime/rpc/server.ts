import { Server, ServerCredentials } from '@grpc/grpc-js';
import { Admissions } from './admission.ts';
import type { Application } from './application.ts';
import type { RpcLog } from './error-detail.ts';
import { addFlight, FLIGHT_SERVICE } from './flight.ts';
import type { HandleNeeds } from './handle.ts';
import { Health } from './health.ts';
import { DEFAULT_RPC_LIMITS, type RpcLimits } from './limits.ts';
import { Listener, type TlsMaterial } from './listener.ts';
import { RateLimit } from './rate-limit.ts';
import { addReflection } from './reflection.ts';
import { SERVICE_NAMES } from '../gen/services.ts';
import { addServices } from './services.ts';

export interface RpcServerOptions {
  readonly application: Application;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** null: plain text, loopback addresses only. */
  readonly tls: TlsMaterial | null;
  readonly limits?: Partial<RpcLimits>;
  readonly log: RpcLog;
  readonly now?: () => number;
}

/** The front door: every service on one port. */
export class RpcServer {
  readonly #server: Server;
  readonly #listener: Listener;
  readonly #admissions: Admissions;
  readonly #health: Health;
  readonly #limits: RpcLimits;
  #isDraining = false;
  readonly port: number;

  private constructor(parts: {
    readonly server: Server;
    readonly listener: Listener;
    readonly admissions: Admissions;
    readonly health: Health;
    readonly limits: RpcLimits;
    readonly port: number;
  }) {
    this.#server = parts.server;
    this.#listener = parts.listener;
    this.#admissions = parts.admissions;
    this.#health = parts.health;
    this.#limits = parts.limits;
    this.port = parts.port;
  }

  /** Starts to serve; rejects when the address is taken, or insecure and not loopback. */
  static async start(options: RpcServerOptions): Promise<RpcServer> {
    const { application, log } = options;
    const limits: RpcLimits = { ...DEFAULT_RPC_LIMITS, ...options.limits };
    const now = options.now ?? Date.now;
    if (options.tls === null) {
      log.warn({ host: options.host }, 'INSECURE: no TLS, callers are not identified; for local trials only');
    }
    let self: RpcServer | null = null;
    const listener: Listener = new Listener({
      host: options.host,
      port: options.port,
      tls: options.tls,
      limits,
      accept: (socket) => injector.injectConnection(socket),
    });
    const admissions = new Admissions({
      application,
      limits,
      log,
      now,
      rateLimit: new RateLimit({ perSecond: limits.callsPerSecond, burst: limits.callBurst }),
      isDraining: () => self?.isDraining ?? false,
      proofOf: (call) => listener.proofOf(call.getConnectionInfo()),
      called: (call, party) => listener.called(call.getConnectionInfo(), party),
      refused: (call) => listener.refused(call.getConnectionInfo()),
      disconnect: (call) => listener.disconnect(call.getConnectionInfo()),
    });
    const server = new Server({
      interceptors: [admissions.interceptor()],
      'grpc.max_receive_message_length': limits.maxMessageBytes,
      'grpc.max_send_message_length': Math.max(limits.maxMessageBytes, limits.maxFrameBytes * 2),
      'grpc.max_concurrent_streams': limits.maxStreamsPerConnection,
      'grpc.max_connection_idle_ms': limits.idleConnectionMs,
      'grpc.keepalive_time_ms': limits.keepaliveMs,
      'grpc.keepalive_timeout_ms': limits.keepaliveTimeoutMs,
      'grpc.enable_channelz': 0,
    });
    const needs: HandleNeeds = { admissions, limits, log };
    const names = [...SERVICE_NAMES.map((name) => `glovebox.v1.${name}`), FLIGHT_SERVICE];
    const health = new Health(names);
    addServices(server, needs, application);
    addFlight(server, needs, application);
    health.addTo(server, needs);
    addReflection(server, needs, [
      ...names,
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
    ]);
    // TLS is the listener's: what arrives here is decrypted, accepted and counted.
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    const port = await listener.listen(options.host, options.port);
    self = new RpcServer({ server, listener, admissions, health, limits, port });
    return self;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Calls that are open now. */
  get openCalls(): number {
    return this.#admissions.openCalls;
  }

  /** Presents a new certificate on connections from now on; open ones stay. */
  renew(material: TlsMaterial): void {
    this.#listener.renew(material);
  }

  /** Refuses new work and connections, tells health checks, and lets open calls end within `graceMs`; then closes. */
  async drain(graceMs: number = this.#limits.drainMs): Promise<void> {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#health.set('NOT_SERVING');
    const closed = this.#listener.stop();
    // Sends GOAWAY. Its callback comes too early on Node 24, where closing an HTTP/2 server marks sessions as closed at
    // once; what counts is that every connection has ended.
    this.#server.tryShutdown(() => {});
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, graceMs);
    await Promise.race([closed, late]);
    clearTimeout(timer);
    this.close();
  }

  /** Closes at once: open calls are cancelled. */
  close(): void {
    this.#isDraining = true;
    void this.#listener.stop();
    this.#server.forceShutdown();
    this.#listener.destroy();
  }
}
