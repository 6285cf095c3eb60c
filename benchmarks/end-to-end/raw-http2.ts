import { type ChildProcess, fork } from 'node:child_process';
import { connect } from 'node:http2';
import { join } from 'node:path';
import { createAuthority, issueCredential, issueServerCertificate } from '../../runtime/rpc/authority.ts';

/** The window that the client library asks for, so that both sides of the comparison have the same. */
const WINDOW_BYTES = 8 << 20;

/** What the server process is told. */
export interface RawServerSettings {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
}

interface ClientSettings {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly servername: string;
}

/** A bare HTTP/2 server over mutual TLS in a process of its own: the floor of every stream. */
export class RawHttp2 implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #port: number;
  readonly #client: ClientSettings;

  private constructor(child: ChildProcess, port: number, client: ClientSettings) {
    this.#child = child;
    this.#port = port;
    this.#client = client;
  }

  static async start(): Promise<RawHttp2> {
    const nowMs = Date.now();
    const authority = await createAuthority(nowMs);
    const { certificate, key } = await issueServerCertificate(authority, { hosts: ['127.0.0.1'], nowMs });
    const { bundle } = await issueCredential(authority, {
      party: 'floor',
      roles: ['consumer'],
      days: 1,
      server: '127.0.0.1:0',
      nowMs,
    });
    const child = fork(join(import.meta.dirname, 'raw-http2-server.ts'), [], {
      execArgv: ['--disable-warning=ExperimentalWarning'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    child.send({ ca: authority.certificate, certificate, key } satisfies RawServerSettings);
    const port = await new Promise<number>((resolve, reject) => {
      child.once('message', (message) => resolve(message as number));
      child.once('exit', () => reject(new Error('the bare server ended')));
    });
    const { ca, certificate: cert, key: clientKey, serverName: servername } = bundle;
    return new RawHttp2(child, port, { ca, cert, key: clientKey, servername });
  }

  /** Milliseconds to fetch that many bytes on one stream; throws when another number arrives. */
  async fetch(bytes: number): Promise<number> {
    const session = connect(`https://127.0.0.1:${this.#port}`, {
      ...this.#client,
      settings: { initialWindowSize: WINDOW_BYTES },
    });
    try {
      await new Promise<void>((resolve, reject) => {
        session.once('connect', () => resolve());
        session.once('error', reject);
      });
      session.setLocalWindowSize(WINDOW_BYTES);
      const start = performance.now();
      const stream = session.request({ ':path': `/${bytes}` });
      let read = 0;
      for await (const chunk of stream) read += (chunk as Buffer).byteLength;
      if (read !== bytes) throw new Error(`the bare server sent ${read} bytes of ${bytes}`);
      return performance.now() - start;
    } finally {
      session.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise<void>((resolve) => void this.#child.once('exit', () => resolve()));
    this.#child.kill('SIGTERM');
    await ended;
  }
}
