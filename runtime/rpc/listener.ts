import { constants } from 'node:crypto';
import net from 'node:net';
import tls from 'node:tls';
import type { PresentedCredential } from '../identity/party.ts';
import { parseSpiffeId } from '../identity/names.ts';
import type { RpcLimits } from './limits.ts';

/** What one connection proved about its client; `problem` says why it proved nothing. */
export type ConnectionProof =
  | { readonly kind: 'certificate'; readonly credential: PresentedCredential }
  | { readonly kind: 'none'; readonly problem: 'missing' | 'unknown' | 'expired' }
  | { readonly kind: 'insecureLoopback' };

export interface TlsMaterial {
  /** Certificates of the authorities whose parties may call, PEM, one each. */
  readonly ca: string | readonly string[];
  readonly certificate: string;
  readonly key: string;
}

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  /** null: plain text, on loopback addresses only. */
  readonly tls: TlsMaterial | null;
  readonly limits: RpcLimits;
  /** Takes over an accepted connection. */
  readonly accept: (socket: net.Socket) => void;
}

/**
 * Accepts connections under limits of number and time, and keeps what each proved. A connection without a
 * valid certificate may stay a moment, so that its calls get a clear status instead of a reset.
 */
export class Listener {
  readonly #server: net.Server;
  readonly #limits: RpcLimits;
  readonly #accept: (socket: net.Socket) => void;
  readonly #proofs = new Map<
    string,
    { readonly socket: net.Socket; readonly proof: ConnectionProof; refused: number }
  >();
  /** In order of arrival. */
  readonly #silent = new Map<string, net.Socket>();
  readonly #sockets = new Set<net.Socket>();
  /** Connections on which a party has called, the one of its latest call last. */
  readonly #ofParty = new Map<string, Map<string, net.Socket>>();

  constructor(options: ListenerOptions) {
    this.#limits = options.limits;
    this.#accept = options.accept;
    if (options.tls === null) {
      if (!isLoopback(options.host)) {
        throw new Error(`an insecure server listens on loopback addresses only, and \`${options.host}\` is not one`);
      }
      this.#server = net.createServer((socket) => this.#take(socket, { kind: 'insecureLoopback' }));
    } else {
      const server = tls.createServer({
        ...contextOf(options.tls),
        requestCert: true,
        // Refused per call with a clear status; see #take.
        rejectUnauthorized: false,
        ALPNProtocols: ['h2'],
        handshakeTimeout: options.limits.handshakeTimeoutMs,
      });
      server.on('secureConnection', (socket) => this.#take(socket, proofOf(socket)));
      server.on('tlsClientError', (_error, socket) => socket.destroy());
      this.#server = server;
    }
    this.#server.maxConnections = options.limits.maxConnections;
    this.#server.on('connection', (socket: net.Socket) => this.#count(socket));
    // A failing accept (out of descriptors) must not end the process; the next one may succeed.
    this.#server.on('error', () => {});
  }

  /** Starts to listen; answers the port. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port, backlog: 511 }, () => {
        this.#server.off('error', reject);
        resolve((this.#server.address() as net.AddressInfo).port);
      });
    });
  }

  /** What the connection with this remote end proved; null when it is gone. */
  proofOf(remote: {
    readonly remoteAddress?: string | undefined;
    readonly remotePort?: number | undefined;
  }): ConnectionProof | null {
    return this.#proofs.get(keyOf(remote))?.proof ?? null;
  }

  /** A party has called on the connection with this remote end. */
  called(remote: Remote, party: string): void {
    const key = keyOf(remote);
    this.#silent.delete(key);
    const entry = this.#proofs.get(key);
    if (entry === undefined) return;
    const own = this.#ofParty.get(party) ?? new Map<string, net.Socket>();
    this.#ofParty.set(party, own);
    const { socket } = entry;
    if (!own.delete(key)) socket.once('close', () => this.#forget(party, key, socket));
    own.set(key, socket);
    const [oldest] = own.values();
    if (own.size > this.#limits.maxConnectionsPerParty) oldest?.destroy();
  }

  /**
   * A call on the connection with this remote end was refused because nobody is behind it. Each costs us more than it
   * costs its sender, so a connection hears a few answers and no more.
   */
  refused(remote: Remote): void {
    const entry = this.#proofs.get(keyOf(remote));
    if (entry === undefined) return;
    entry.refused += 1;
    if (entry.refused > STRANGER_CALLS) entry.socket.destroy();
  }

  /** Closes the connection with this remote end. */
  disconnect(remote: Remote): void {
    this.#proofs.get(keyOf(remote))?.socket.destroy();
  }

  /** Presents another certificate on connections from now on; those that are open stay. */
  renew(material: TlsMaterial): void {
    if (this.#server instanceof tls.Server) this.#server.setSecureContext(contextOf(material));
  }

  /** Takes no more connections; resolves when the last one has ended. */
  stop(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  /** Closes what is still open. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /**
   * A flood of connections that do nothing pushes out its own: who calls within the time the flood needs to refill the
   * list stays, whatever address it comes from.
   */
  #count(socket: net.Socket): void {
    const key = keyOf(socket);
    this.#sockets.add(socket);
    this.#silent.set(key, socket);
    socket.on('error', () => {});
    socket.once('close', () => {
      this.#sockets.delete(socket);
      if (this.#silent.get(key) === socket) this.#silent.delete(key);
    });
    if (this.#silent.size > this.#limits.maxSilentConnections) {
      const [oldest] = this.#silent.values();
      oldest?.destroy();
    }
  }

  #forget(party: string, key: string, socket: net.Socket): void {
    const own = this.#ofParty.get(party);
    if (own?.get(key) === socket) own.delete(key);
    if (own?.size === 0) this.#ofParty.delete(party);
  }

  #take(socket: net.Socket, proof: ConnectionProof): void {
    const key = keyOf(socket);
    const entry = { socket, proof, refused: 0 };
    this.#proofs.set(key, entry);
    socket.on('error', () => {});
    const farewell = proof.kind === 'none' ? setTimeout(() => socket.destroy(), STRANGER_MS).unref() : undefined;
    socket.once('close', () => {
      clearTimeout(farewell);
      if (this.#proofs.get(key) === entry) this.#proofs.delete(key);
    });
    this.#accept(socket);
  }
}

/** The far end of a connection: unique among the open ones of a listener. */
export interface Remote {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

/** How long a connection that proved nothing may stay to hear why. */
const STRANGER_MS = 5_000;
/** Calls that such a connection may make; also one whose certificate is no party's (any more). */
const STRANGER_CALLS = 32;

/** Whether a host is this machine by its address alone; names other than `localhost` are not trusted. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (net.isIPv4(host) && host.startsWith('127.'));
}

function contextOf(material: TlsMaterial): tls.SecureContextOptions {
  return {
    ca: typeof material.ca === 'string' ? material.ca : [...material.ca],
    cert: material.certificate,
    key: material.key,
    minVersion: 'TLSv1.3',
    // No resumption: every connection proves its certificate anew.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

function proofOf(socket: tls.TLSSocket): ConnectionProof {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { kind: 'none', problem: 'missing' };
  if (!socket.authorized) {
    const isExpired = String(socket.authorizationError).includes('CERT_HAS_EXPIRED');
    return { kind: 'none', problem: isExpired ? 'expired' : 'unknown' };
  }
  // Exactly one URI name, and nothing else: the form that `issueCredential` makes.
  const name = /^URI:(spiffe:\/\/[^,"\s]+)$/.exec(certificate.subjectAltName ?? '')?.[1];
  if (name === undefined || parseSpiffeId(name) === null) return { kind: 'none', problem: 'unknown' };
  return {
    kind: 'certificate',
    credential: {
      fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
      spiffeId: name,
      notAfterMs: Date.parse(certificate.validTo),
    },
  };
}

function keyOf(remote: {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}): string {
  return `${remote.remoteAddress ?? ''}|${remote.remotePort ?? ''}`;
}
