/** Process of the bare HTTP/2 server: writes as many bytes as the path says, from memory, as fast as they are read. */
import { createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { RawServerSettings } from './raw-http2.ts';

const CHUNK = Buffer.alloc(1 << 20, 7);

process.once('message', (message) => {
  const { ca, certificate, key } = message as RawServerSettings;
  const server = createSecureServer({
    ca,
    cert: certificate,
    key,
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
  });
  server.on('stream', (stream, headers) => {
    let left = Number((headers[':path'] ?? '/0').slice(1));
    stream.respond({ ':status': 200 });
    const write = (): void => {
      while (left > 0) {
        const bytes = Math.min(left, CHUNK.byteLength);
        left -= bytes;
        if (!stream.write(CHUNK.subarray(0, bytes)) && left > 0) return void stream.once('drain', write);
      }
      stream.end();
    };
    write();
  });
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
});
process.on('disconnect', () => process.exit(0));
