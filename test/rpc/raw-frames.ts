import tls from 'node:tls';
import type { CredentialBundle } from '../../runtime/identity/credential.ts';

/** Frames of HTTP/2 as bytes (RFC 9113), for clients that do what no library would. */
export const FRAME = { data: 0, headers: 1, priority: 2, reset: 3, settings: 4, ping: 6, window: 8, continuation: 9 };
export const END_STREAM = 0x1;
export const END_HEADERS = 0x4;
/** Where a field that was indexed first stands in the dynamic table (RFC 7541 §2.3.3), as one byte. */
export const NEWEST_INDEXED = 0x80 | 62;

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A header field, not indexed; with `isIndexed` it goes into the dynamic table. */
export function field(name: string, value: string, isIndexed = false): Buffer {
  return Buffer.concat([Buffer.of(isIndexed ? 0x40 : 0), text(name), text(value)]);
}

/** The header block of a call. */
export function callHeaders(path: string): Buffer {
  return Buffer.concat([
    field(':method', 'POST'),
    field(':scheme', 'https'),
    field(':path', path),
    field(':authority', 'x'),
    field('content-type', 'application/grpc'),
    field('te', 'trailers'),
  ]);
}

/** A TLS connection that has said the preface of HTTP/2 and nothing more; null: without a certificate. */
export async function rawConnection(port: number, credential: CredentialBundle | null): Promise<RawConnection> {
  const own =
    credential === null
      ? { rejectUnauthorized: false }
      : {
          ca: credential.ca,
          cert: credential.certificate,
          key: credential.key,
          servername: credential.serverName,
        };
  const socket = tls.connect({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], ...own });
  socket.setMaxListeners(0);
  const closed = new Promise<void>((resolve) => void socket.once('close', () => resolve()));
  socket.on('error', () => {});
  await Promise.race([new Promise((resolve) => void socket.once('secureConnect', resolve)), closed]);
  socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(FRAME.settings, 0, 0)]));
  return {
    socket,
    closed,
    send: async (...frames) => {
      if (socket.destroyed) return false;
      if (socket.write(Buffer.concat(frames))) return true;
      const drained = new Promise<void>((resolve) => void socket.once('drain', resolve));
      await Promise.race([drained, closed]);
      return !socket.destroyed;
    },
  };
}

export interface RawConnection {
  readonly socket: tls.TLSSocket;
  readonly closed: Promise<void>;
  /** Resolves when they were taken; false when the connection is over. */
  readonly send: (...frames: readonly Buffer[]) => Promise<boolean>;
}

/** A string of HPACK without Huffman coding (RFC 7541 §5.2). */
function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  if (bytes.length < 127) return Buffer.concat([Buffer.of(bytes.length), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) + 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}
