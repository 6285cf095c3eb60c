import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { after, before, describe, it } from 'node:test';
import { Metadata, status } from '@grpc/grpc-js';
import type { CredentialBundle } from '../../runtime/identity/credential.ts';
import { ANSWER, type Member, newQuestion, rowsOf, startWorld, visitsPolicy, type World } from '../gateway/world.ts';
import { ERROR_TRAILER } from '../../runtime/rpc/error-detail.ts';
import { rawClient } from '../rpc/raw-client.ts';
import { everyMethod } from './mutated-frames.ts';

/** What the operator sets in seconds and minutes. */
const PAUSE_MS = 400;

let world: World;
let acme: Member;
before(async () => {
  const limits = {
    requestTimeoutMs: PAUSE_MS,
    uploadPauseMs: PAUSE_MS,
    readerPauseMs: PAUSE_MS,
    maxStreamsPerConnection: 256,
  };
  world = await startWorld({ policy: visitsPolicy({ count: 1000 }), limits });
  acme = await world.consumer('acme');
});
after(() => world[Symbol.asyncDispose]());

async function ask(): Promise<void> {
  const outcome = await acme.jobs.sql(newQuestion());
  assert.ok(outcome.kind === 'released');
  assert.deepEqual(rowsOf(outcome.table), ANSWER);
}

describe('streams that are opened and not used', () => {
  it('end by themselves on every rpc, with a status that says why', async () => {
    const client = rawClient({ address: `127.0.0.1:${world.server.port}` }, acme.credential);
    const same = (bytes: Buffer): Buffer => bytes;
    await Promise.all(
      everyMethod().map(async ({ path }) => {
        const call = client.makeBidiStreamRequest(path, same, same, new Metadata(), { deadline: Date.now() + 20_000 });
        call.on('error', () => {});
        call.on('data', () => {});
        const { promise, resolve } = Promise.withResolvers<{ readonly code: number; readonly metadata: Metadata }>();
        call.on('status', resolve);
        const { code, metadata } = await promise;
        assert.notEqual(code, status.OK, path);
        assert.equal(metadata.get(ERROR_TRAILER).length, 1, `${path}: ended by its own deadline`);
      }),
    );
    client.close();
    await ask();
  });

  it('with a message that trickles in are cut off, however long it says it is', async () => {
    const session = connectRaw(acme.credential, {});
    const streams = ['/glovebox.v1.JobService/Submit', '/glovebox.v1.CatalogService/RegisterDataset'].flatMap((path) =>
      Array.from({ length: 40 }, () => {
        const stream = session.request({
          ':method': 'POST',
          ':path': path,
          'content-type': 'application/grpc',
          te: 'trailers',
        });
        stream.on('error', () => {});
        stream.write(Buffer.from('00003fffff0a', 'hex')); // four MiB are to follow
        const trickle = setInterval(() => void stream.write(Buffer.of(0)), PAUSE_MS / 8);
        stream.on('close', () => clearInterval(trickle));
        stream.resume();
        return stream;
      }),
    );
    await ask();
    await Promise.all(streams.map(closed));
    session.destroy();
    assert.equal(world.server.openCalls, 0);
  });

  it('whose answers nobody reads are let go, of single answers too', async () => {
    const session = connectRaw(acme.credential, { initialWindowSize: 0 });
    const request = Buffer.alloc(5); // an empty message
    const streams = Array.from({ length: 200 }, (_, at) => {
      const path =
        at % 2 === 0 ? '/glovebox.v1.PartyService/WhoAmI' : '/arrow.flight.protocol.FlightService/ListActions';
      const stream = session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      stream.on('error', () => {});
      stream.end(request);
      return stream.resume();
    });
    await once(streams.at(-1) ?? session, 'response');
    assert.ok(world.server.openCalls > 0, 'they are held for a while');
    await Promise.all(streams.map(closed));
    assert.equal(world.server.openCalls, 0);
    session.destroy();
    await ask();
  });
});

function connectRaw(
  { ca, certificate: cert, key, serverName }: CredentialBundle,
  settings: http2.Settings,
): http2.ClientHttp2Session {
  const session = http2.connect(`https://127.0.0.1:${world.server.port}`, {
    ca,
    cert,
    key,
    servername: serverName,
    settings,
  });
  session.on('error', () => {});
  return session;
}

async function closed(stream: http2.ClientHttp2Stream): Promise<void> {
  if (!stream.closed) await once(stream, 'close');
}
