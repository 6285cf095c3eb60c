import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import tls from 'node:tls';
import { after, before, test } from 'node:test';
import { Metadata, status, type Client } from '@grpc/grpc-js';
import { fc } from '../property.ts';
import { connect } from '../../runtime/client/connect.ts';
import type { CredentialBundle } from '../../runtime/identity/credential.ts';
import { FLIGHT_SERVICE } from '../../runtime/rpc/flight.ts';
import { schema } from '../../runtime/rpc/schema.ts';
import { codecOf } from '../../runtime/rpc/translate.ts';
import { call, rawClient } from './raw-client.ts';
import { callHeaders, END_HEADERS, END_STREAM, FRAME, frame, rawConnection } from './raw-frames.ts';
import { startSmallRuntime, type SmallRuntime } from './small-runtime.ts';

let runtime: SmallRuntime;
let credential: CredentialBundle;
let client: Client;

before(async () => {
  runtime = await startSmallRuntime({
    limits: { callsPerSecond: 1e6, callBurst: 1e6, requestTimeoutMs: 60_000, uploadPauseMs: 60_000 },
  });
  credential = await runtime.addParty('acme');
  client = rawClient(runtime, credential);
});
after(() => {
  client.close();
  runtime.close();
});

async function isStillHealthy(): Promise<void> {
  const request = codecOf('grpc.health.v1.HealthCheckRequest').encode({});
  const answer = await call(client, '/grpc.health.v1.Health/Check', request);
  assert.equal(answer.code, status.OK, answer.details);
}

function methods(): { readonly path: string; readonly request: string }[] {
  const names = [
    'PartyService',
    'JobService',
    'CatalogService',
    'AgreementService',
    'PolicyService',
    'EvidenceService',
  ];
  const services = [
    ...names.map((name) => `glovebox.v1.${name}`),
    FLIGHT_SERVICE,
    'grpc.health.v1.Health',
    'grpc.reflection.v1.ServerReflection',
  ];
  return services.flatMap((name) =>
    schema()
      .lookupService(name)
      .methodsArray.map((method) => {
        const prefix = name.slice(0, name.lastIndexOf('.'));
        return { path: `/${name}/${method.name}`, request: `${prefix}.${method.requestType}` };
      }),
  );
}

const CLEAR: ReadonlySet<number> = new Set([
  status.OK,
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.UNIMPLEMENTED,
  status.PERMISSION_DENIED,
  status.FAILED_PRECONDITION,
  // JobService.List of the small runtime always fails, and health watches run until their deadline.
  status.INTERNAL,
  status.DEADLINE_EXCEEDED,
]);

test('random bytes on every method end in a clear status and harm nobody', async () => {
  const random = fc.sample(fc.uint8Array({ minLength: 1, maxLength: 200 }), { numRuns: 6, seed: 7 });
  const calls = methods().flatMap(({ path }) =>
    random.map(async (bytes) => {
      const answer = await call(client, path, Buffer.from(bytes), new Metadata(), 1500);
      assert.ok(CLEAR.has(answer.code), `${path}: ${answer.code} ${answer.details}`);
      assert.ok(!/at .*\.ts|node_modules|Error:/.test(answer.details), `${path}: ${answer.details}`);
    }),
  );
  await Promise.all(calls);
  await isStillHealthy();
});

test('a valid request with one changed, missing or extra byte ends in a clear status', async () => {
  const codec = codecOf('SubmitJobRequest');
  const valid = codec.encode({
    job: {
      computation: {
        kind: 'sql',
        sql: { text: 'select 1', parameters: { a: { value: { kind: 'number', number: 1 } } } },
      },
      agreementIds: ['a1'],
    },
    wait: true,
  });
  const mutants = [...valid.keys()].flatMap((at) => {
    const changed = Buffer.from(valid);
    changed[at] = (changed[at] ?? 0) ^ 0x81;
    return [
      changed,
      valid.subarray(0, at),
      Buffer.concat([valid.subarray(0, at), Buffer.of(0xff), valid.subarray(at)]),
    ];
  });
  for (let at = 0; at < mutants.length; at += 50) {
    await Promise.all(
      mutants.slice(at, at + 50).map(async (bytes) => {
        const answer = await call(client, '/glovebox.v1.JobService/Submit', bytes);
        assert.ok([status.OK, status.INVALID_ARGUMENT].includes(answer.code), `${answer.code} ${answer.details}`);
      }),
    );
  }
  await isStillHealthy();
});

test('a message that quotes what was sent is sent, wherever it is cut: no name ends the runtime', async () => {
  const encode = codecOf('grpc.health.v1.HealthCheckRequest').encode;
  for (let ahead = 120; ahead < 130; ahead += 1) {
    const service = 'a'.repeat(ahead) + '\u{1F600}'.repeat(1000);
    const { code, details } = await call(client, '/grpc.health.v1.Health/Check', encode({ service }));
    assert.equal(code, status.NOT_FOUND, details);
    assert.ok(details.isWellFormed() && details.startsWith('no service `aaa'), details);
  }
  for (const service of ['\u202eelif', '\u2066a\u2069', 'a\nb', 'a\u001b[2J']) {
    const { details } = await call(client, '/grpc.health.v1.Health/Check', encode({ service }));
    assert.doesNotMatch(details, /[\p{Cc}\p{Bidi_Control}]/u, 'nothing turns what a reader sees');
  }
  await isStillHealthy();
});

test('a unary request without a message, or with two, is refused', async () => {
  for (const requests of [[], [Buffer.alloc(0), Buffer.alloc(0)]]) {
    const answer = await call(client, '/glovebox.v1.PartyService/WhoAmI', requests);
    assert.notEqual(answer.code, status.OK);
  }
  await isStillHealthy();
});

test('a message over the limit is RESOURCE_EXHAUSTED', async () => {
  const answer = await call(client, '/glovebox.v1.JobService/Submit', Buffer.alloc((4 << 20) + 1));
  assert.equal(answer.code, status.RESOURCE_EXHAUSTED);
  await isStillHealthy();
});

test('oversized metadata costs its sender the call and nobody else', async () => {
  const headers = new Metadata();
  for (let i = 0; i < 64; i++) headers.set(`x-filler-${i}`, 'a'.repeat(4096));
  const big = rawClient(runtime, credential);
  const answer = await call(big, '/glovebox.v1.PartyService/WhoAmI', Buffer.alloc(0), headers, 3000);
  assert.notEqual(answer.code, status.OK);
  big.close();
  const less = new Metadata();
  less.set('x-filler', 'a'.repeat(20_000));
  const refused = await call(client, '/glovebox.v1.PartyService/WhoAmI', Buffer.alloc(0), less);
  assert.deepEqual(
    [refused.code, refused.details],
    [status.RESOURCE_EXHAUSTED, 'the headers are larger than 16384 bytes'],
  );
  await isStillHealthy();
});

test('an unknown method and an unknown service are UNIMPLEMENTED', async () => {
  for (const path of ['/glovebox.v1.JobService/Erase', '/evil.Service/Run', '/grpc.channelz.v1.Channelz/GetServers']) {
    assert.equal((await call(client, path, Buffer.alloc(0))).code, status.UNIMPLEMENTED);
  }
});

test('a request that trickles in is cut off', async () => {
  const small = await startSmallRuntime({ limits: { requestTimeoutMs: 400 } });
  const slow = rawClient(small, await small.addParty('slow'));
  const stream = slow.makeBidiStreamRequest(
    '/glovebox.v1.PartyService/WhoAmI',
    (b: Buffer) => b,
    (b: Buffer) => b,
    new Metadata(),
    {
      deadline: Date.now() + 60_000,
    },
  );
  const ended = new Promise<{ code: number; details: string }>((resolve) => {
    stream.on('status', resolve);
    stream.on('error', () => {});
    stream.on('data', () => {});
  });
  const answer = await ended;
  assert.equal(answer.code, status.DEADLINE_EXCEEDED);
  assert.match(answer.details, /did not arrive in time/);
  slow.close();
  small.close();
});

test('an upload that pauses is cut off, and the application hears it', async () => {
  const small = await startSmallRuntime({ limits: { uploadPauseMs: 400 } });
  const slow = rawClient(small, await small.addParty('slow'));
  const header = codecOf('RegisterDatasetRequest').encode({ part: { kind: 'header', header: { name: 'x' } } });
  const stream = slow.makeBidiStreamRequest(
    '/glovebox.v1.CatalogService/RegisterDataset',
    (b: Buffer) => b,
    (b: Buffer) => b,
    new Metadata(),
    {
      deadline: Date.now() + 60_000,
    },
  );
  const ended = new Promise<{ code: number; details: string }>((resolve) => {
    stream.on('status', resolve);
    stream.on('error', () => {});
    stream.on('data', () => {});
  });
  stream.write(header);
  const answer = await ended;
  assert.equal(answer.code, status.DEADLINE_EXCEEDED);
  assert.match(answer.details, /no part of the upload/);
  slow.close();
  small.close();
});

test('bytes that are no TLS, and TLS that is no HTTP/2, end their own connection only', async () => {
  const closed = (socket: net.Socket): Promise<void> =>
    new Promise((resolve) => {
      socket.on('error', () => {});
      socket.on('close', () => resolve());
      socket.resume();
    });
  const plain = net.connect(runtime.server.port, '127.0.0.1');
  plain.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  await closed(plain);
  const options = {
    port: runtime.server.port,
    host: '127.0.0.1',
    ca: credential.ca,
    cert: credential.certificate,
    key: credential.key,
    servername: credential.serverName,
  };
  const noise = tls.connect({ ...options, ALPNProtocols: ['h2'] });
  noise.on('secureConnect', () => noise.write(Buffer.alloc(1000, 7)));
  await closed(noise);
  const old = tls.connect({ ...options, ALPNProtocols: ['http/1.1'] });
  old.on('secureConnect', () => old.write('GET / HTTP/1.1\r\n\r\n'));
  await closed(old);
  await isStillHealthy();
});

test('a flood of connections that do nothing pushes out its own, and a party from the same address is served', async () => {
  const small = await startSmallRuntime({ limits: { maxSilentConnections: 10 } });
  const credentialOf = await small.addParty('acme');
  const early = connect({ credential: credentialOf });
  await early.parties.whoAmI({});
  let closed = 0;
  const enough = Promise.withResolvers<void>();
  const sockets = Array.from({ length: 200 }, () => {
    const socket = net.connect(small.server.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.on('close', () => {
      closed++;
      if (closed === 190) enough.resolve();
    });
    return socket.resume();
  });
  await enough.promise;
  await early.parties.whoAmI({});
  const late = connect({ credential: credentialOf });
  await late.parties.whoAmI({});
  for (const socket of sockets) socket.destroy();
  early.close();
  late.close();
  small.close();
});

test('a party that calls once on each of many connections keeps those of its latest calls, and locks nobody out', async () => {
  const small = await startSmallRuntime({ limits: { maxConnections: 12, maxConnectionsPerParty: 4 } });
  const greedy = await small.addParty('greedy');
  const acme = await small.addParty('acme');
  const keep = connect({ credential: greedy });
  await keep.parties.whoAmI({});
  const raws = await Promise.all(Array.from({ length: 3 }, () => rawConnection(small.server.port, greedy)));
  const whoAmI = callHeaders('/glovebox.v1.PartyService/WhoAmI');
  const ask = frame(FRAME.headers, END_HEADERS | END_STREAM, 1, whoAmI);
  // A call without a message is refused, but not before the party is known.
  for (const raw of raws) await raw.send(ask);
  for (const raw of raws) raw.socket.resume();
  const many = Array.from({ length: 20 }, () => connect({ credential: greedy }));
  for (const one of many) {
    await one.parties.whoAmI({});
    // Used again and again, so never the one of the oldest call.
    await keep.parties.whoAmI({});
  }
  await Promise.all(raws.map(({ closed }) => closed));
  const late = connect({ credential: acme });
  await late.parties.whoAmI({});
  for (const one of [...many, keep, late]) one.close();
  small.close();
});

test('a party whose open requests hold more than they may together is refused, and taken again when they are over', async () => {
  const small = await startSmallRuntime({ limits: { maxRequestBytesPerParty: 1 << 20 } });
  const greedy = await small.addParty('greedy');
  const acme = connect({ credential: await small.addParty('acme') });
  const { ca, certificate: cert, key, serverName: servername } = greedy;
  const session = http2.connect(`https://${small.address}`, { ca, cert, key, servername });
  /** Most of a message of 4 MiB, and no end: the call stays open, or has a status. */
  const begin = (): { readonly stream: http2.ClientHttp2Stream; readonly status: Promise<unknown> } => {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/glovebox.v1.PartyService/WhoAmI',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    stream.write(Buffer.from('00003ffff0', 'hex'));
    stream.write(Buffer.alloc(700_000));
    return {
      stream,
      status: once(stream, 'response').then(([headers]) => (headers as Record<string, unknown>)['grpc-status']),
    };
  };
  const two = [begin(), begin()];
  assert.equal(await Promise.race(two.map(({ status: told }) => told)), String(status.RESOURCE_EXHAUSTED));
  await acme.parties.whoAmI({});
  const closed = Promise.all(two.map(async ({ stream }) => (stream.closed ? null : await once(stream, 'close'))));
  for (const { stream } of two) stream.close(http2.constants.NGHTTP2_CANCEL);
  await closed;
  session.close();
  const again = connect({ credential: greedy });
  for (let turn = 0; turn < 3; turn += 1) await again.parties.whoAmI({});
  again.close();
  acme.close();
  small.close();
});

test('a handshake that does not come to its end is cut off', async () => {
  const small = await startSmallRuntime({ limits: { handshakeTimeoutMs: 200 } });
  const socket = net.connect(small.server.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write(Buffer.of(0x16, 3, 1));
  socket.resume();
  await new Promise((resolve) => socket.on('close', resolve));
  small.close();
});

test('a party that calls too often is told when to try again, and other parties are not held up', async () => {
  const small = await startSmallRuntime({ limits: { callsPerSecond: 1, callBurst: 3 } });
  const busy = connect({ credential: await small.addParty('busy') });
  const calm = connect({ credential: await small.addParty('calm') });
  for (let i = 0; i < 3; i++) await busy.parties.whoAmI({});
  await assert.rejects(busy.parties.whoAmI({}), (thrown) => {
    const { code, isRetryable, retryAfterMs } = thrown as { code: string; isRetryable: boolean; retryAfterMs: number };
    assert.deepEqual([code, isRetryable], ['rate-exceeded', true]);
    assert.ok(retryAfterMs > 0 && retryAfterMs <= 1000);
    return true;
  });
  await calm.parties.whoAmI({});
  busy.close();
  calm.close();
  small.close();
});
