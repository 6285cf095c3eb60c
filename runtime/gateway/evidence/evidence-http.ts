import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { servePlainHttp } from './plain-http.ts';

/** What a log consists of (C2SP tlog-tiles), and nothing else: no other path is ever looked up on the disk. */
const LOG_FILE = /^\/(checkpoint|vkey|tile\/(\d{1,2}|entries)\/(x\d{3}\/){0,4}\d{3}(\.p\/\d{1,3})?)$/;
const MAX_CONNECTIONS = 64;

/**
 * Serves the log's files over HTTP, for monitors and witnesses: they are signed, hold digests and pseudonyms only, and
 * need no identity. Read-only; the caller sees to it that the address is one that the operator chose.
 */
export async function serveEvidence(
  folder: string,
  at: { readonly host: string; readonly port: number },
): Promise<{ readonly port: number } & AsyncDisposable> {
  return servePlainHttp(
    (request, response) => {
      const path = request.url ?? '';
      const isRead = request.method === 'GET' || request.method === 'HEAD';
      if (!isRead || !LOG_FILE.test(path)) {
        response.writeHead(isRead ? 404 : 405).end();
        return;
      }
      const file = join(folder, path);
      stat(file).then(
        ({ size }) => {
          const type =
            path === '/checkpoint' || path === '/vkey' ? 'text/plain; charset=utf-8' : 'application/octet-stream';
          // A full tile never changes; the checkpoint and what is partial are replaced.
          const isFinal = path.startsWith('/tile/') && !path.includes('.p/');
          const caching = isFinal ? 'public, max-age=31536000, immutable' : 'no-cache';
          response.writeHead(200, { 'content-type': type, 'content-length': size, 'cache-control': caching });
          if (request.method === 'HEAD') response.end();
          else
            createReadStream(file)
              .on('error', () => response.destroy())
              .pipe(response);
        },
        () => response.writeHead(404).end(),
      );
    },
    { ...at, maxConnections: MAX_CONNECTIONS },
  );
}
