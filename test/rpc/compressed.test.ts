import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { deflateSync, gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { connect } from '../../runtime/client/connect.ts';
import type { CredentialBundle } from '../../runtime/identity/credential.ts';
import { codecOf } from '../../runtime/rpc/translate.ts';
import { startSmallRuntime, type SmallRuntime } from './small-runtime.ts';

const MIB = 1 << 20;
const WHO_AM_I = '/glovebox.v1.PartyService/WhoAmI';

function sessionOf(small: SmallRuntime, credential: CredentialBundle): http2.ClientHttp2Session {
  const { ca, certificate: cert, key, serverName: servername } = credential;
  return http2.connect(`https://${small.address}`, { ca, cert, key, servername }).on('error', () => {});
}

/** A message as gRPC frames one that is compressed. */
function framed(bytes: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head[0] = 1;
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

interface Call {
  readonly stream: http2.ClientHttp2Stream;
  /** The gRPC status, or nothing when the stream ended without one. */
  readonly status: Promise<number | undefined>;
}

function begin(session: http2.ClientHttp2Session, path: string, encoding: string): Call {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    'grpc-encoding': encoding,
    te: 'trailers',
  });
  stream.on('error', () => {});
  const told = new Promise<number | undefined>((resolve) => {
    const see = (headers: Record<string, unknown>): void => {
      if (headers['grpc-status'] !== undefined) resolve(Number(headers['grpc-status']));
    };
    stream.on('response', see);
    stream.on('trailers', see);
    stream.on('close', () => resolve(undefined));
  });
  stream.resume();
  return { stream, status: told };
}

test('a compressed request is answered like any other', async () => {
  const small = await startSmallRuntime({});
  const session = sessionOf(small, await small.addParty('acme'));
  for (const [encoding, pack] of [
    ['gzip', gzipSync],
    ['deflate', deflateSync],
  ] as const) {
    const { stream, status: told } = begin(session, WHO_AM_I, encoding);
    stream.end(framed(pack(Buffer.from(codecOf('WhoAmIRequest').encode({})))));
    assert.equal(await told, status.OK);
  }
  session.close();
  small.close();
});

test('compressed requests that are kept open count as what they unpack to, and their party is taken again afterwards', async () => {
  const small = await startSmallRuntime({ limits: { maxRequestBytesPerParty: 2.5 * MIB } });
  const greedy = await small.addParty('greedy');
  const acme = connect({ credential: await small.addParty('acme') });
  const session = sessionOf(small, greedy);
  const bomb = framed(gzipSync(Buffer.alloc(MIB)));
  assert.ok(bomb.length < 2000, 'twenty of them are nothing on the wire');
  const calls = Array.from({ length: 20 }, () => begin(session, WHO_AM_I, 'gzip'));
  const refused: number[] = [];
  for (const { stream, status: told } of calls) {
    void told.then((code) => code !== undefined && refused.push(code));
    stream.write(bomb);
  }
  for (let tries = 0; refused.length < 18 && tries < 200; tries++) await delay(25);
  assert.deepEqual(refused, Array(18).fill(status.RESOURCE_EXHAUSTED), 'two fit');
  await acme.parties.whoAmI({});
  for (const { stream } of calls) stream.close(http2.constants.NGHTTP2_CANCEL);
  await Promise.all(calls.map(async ({ stream }) => (stream.closed ? null : await once(stream, 'close'))));
  const again = connect({ credential: greedy });
  await again.parties.whoAmI({});
  const { stream, status: told } = begin(session, WHO_AM_I, 'gzip');
  stream.end(framed(gzipSync(Buffer.from(codecOf('WhoAmIRequest').encode({})))));
  assert.equal(await told, status.OK);
  for (const one of [again, acme]) one.close();
  session.close();
  small.close();
});

test('a compressed upload may be longer than its party may hold at once', async () => {
  const small = await startSmallRuntime({ limits: { maxRequestBytesPerParty: 2 * MIB } });
  const session = sessionOf(small, await small.addParty('acme'));
  const { stream, status: told } = begin(session, '/glovebox.v1.CatalogService/RegisterDataset', 'gzip');
  const encode = codecOf('RegisterDatasetRequest');
  stream.write(framed(gzipSync(Buffer.from(encode.encode({ part: { kind: 'header', header: { name: 'x' } } })))));
  const chunk = framed(gzipSync(Buffer.from(encode.encode({ part: { kind: 'chunk', chunk: Buffer.alloc(MIB) } }))));
  for (let part = 0; part < 12; part++) stream.write(chunk);
  stream.end();
  assert.equal(await told, status.OK);
  session.close();
  small.close();
});

test('a request whose message is there and whose end never comes is cut off', async () => {
  const small = await startSmallRuntime({ limits: { requestTimeoutMs: 300 } });
  const session = sessionOf(small, await small.addParty('slow'));
  const { stream, status: told } = begin(session, WHO_AM_I, 'gzip');
  stream.write(framed(gzipSync(Buffer.from(codecOf('WhoAmIRequest').encode({})))));
  assert.equal(await told, status.DEADLINE_EXCEEDED);
  session.close();
  small.close();
});
