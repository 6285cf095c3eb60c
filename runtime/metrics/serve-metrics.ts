import type { Metrics } from './metrics.ts';
import { servePlainHttp } from '../gateway/evidence/plain-http.ts';

const MAX_CONNECTIONS = 16;

/**
 * Answers `GET /metrics` over HTTP without identities: the address must be one that only this machine reaches. A scrape
 * that fails is a 503 without a text.
 */
export async function serveMetrics(
  metrics: Metrics,
  at: { readonly host: string; readonly port: number },
  onError: (error: unknown) => void,
): Promise<{ readonly port: number } & AsyncDisposable> {
  return servePlainHttp(
    (request, response) => {
      const { hostname } = originOf(request.headers.host);
      // A page in a browser on this machine must not read them by a name of its own that leads here (DNS rebinding).
      const isLocal = /^(127(\.\d{1,3}){3}|\[::1\]|localhost)$/.test(hostname);
      if (request.method !== 'GET' || request.url !== '/metrics' || !isLocal) {
        response.writeHead(request.method === 'GET' ? 404 : 405).end();
        return;
      }
      metrics.text().then(
        (text) =>
          response.writeHead(200, { 'content-type': metrics.contentType, 'cache-control': 'no-store' }).end(text),
        (error: unknown) => {
          onError(error);
          response.writeHead(503).end();
        },
      );
    },
    { ...at, maxConnections: MAX_CONNECTIONS },
  );
}

function originOf(host: string | undefined): { readonly hostname: string } {
  const text = `http://${host ?? ''}`;
  return URL.canParse(text) ? new URL(text) : { hostname: '' };
}
