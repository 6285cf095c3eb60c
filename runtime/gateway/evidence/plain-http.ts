import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Where a plain HTTP server listens, and how many connections it holds at once. */
export interface PlainHttpAddress {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly maxConnections: number;
}

/**
 * A small HTTP server without identities, for what may be read by whoever reaches the address: short limits against
 * slow and many clients. Rejects when the address is taken; disposing it drops every connection.
 */
export async function servePlainHttp(
  answer: RequestListener,
  { host, port, maxConnections }: PlainHttpAddress,
): Promise<{ readonly port: number } & AsyncDisposable> {
  const server = createServer(
    { requestTimeout: 10_000, headersTimeout: 5000, keepAliveTimeout: 5000, maxHeaderSize: 8192 },
    answer,
  );
  server.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}
