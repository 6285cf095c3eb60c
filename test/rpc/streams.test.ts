import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { test } from 'node:test';
import { Metadata, type ServerUnaryCall, status } from '@grpc/grpc-js';
import { connect } from '../../runtime/client/connect.ts';
import { GloveboxError } from '../../runtime/client/error.ts';
import { type HandleNeeds, type Rpc, unaryHandler } from '../../runtime/rpc/handle.ts';
import { DEFAULT_RPC_LIMITS } from '../../runtime/rpc/limits.ts';
import { RateLimit } from '../../runtime/rpc/rate-limit.ts';
import { batchFromRows } from '../../runtime/release/column-values.ts';
import { batchFrames, schemaFrame } from '../../runtime/rpc/flight-framing.ts';
import { EMPTY_JOB, startSmallRuntime } from './small-runtime.ts';
import type { Schema } from '../../runtime/release/columns.ts';

const NUMBERS: Schema = [{ name: 'n', nullable: false, type: { kind: 'int64' } }];
const FRAME = batchFrames(
  NUMBERS,
  batchFromRows(
    NUMBERS,
    Array.from({ length: 1 << 16 }, (_, i) => [BigInt(i)]),
  ),
)
  .toArray()
  .at(0);

test('a reader that stops reading stops the producer, and one that leaves ends it', async () => {
  let produced = 0;
  let isOver = false;
  const over = Promise.withResolvers<void>();
  const runtime = await startSmallRuntime({
    override: {
      async *openRelease() {
        try {
          yield schemaFrame(NUMBERS);
          for (; produced < 4096; produced++) if (FRAME !== undefined) yield FRAME;
        } finally {
          isOver = true;
          over.resolve();
        }
      },
    },
  });
  const client = connect({ credential: await runtime.addParty('acme') });
  const batches = client.readBatches(Buffer.from('t'))[Symbol.asyncIterator]();
  await batches.next();
  const settled = async (): Promise<number> => {
    for (let last = -1; last !== produced;) {
      last = produced;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return produced;
  };
  // 8 MiB of window, some buffers on the way, and not the 2 GiB that were asked for.
  assert.ok((await settled()) < 100, `${produced} half-MiB frames were produced for a reader that does not read`);
  assert.equal(isOver, false);
  await batches.return?.();
  await over.promise;
  client.close();
  runtime.close();
});

test('memory stays flat while a large result streams through', async () => {
  const frames = 400;
  const runtime = await startSmallRuntime({
    override: {
      async *openRelease() {
        yield schemaFrame(NUMBERS);
        for (let i = 0; i < frames; i++) if (FRAME !== undefined) yield FRAME;
      },
    },
  });
  const client = connect({ credential: await runtime.addParty('acme') });
  let rows = 0;
  let peak = 0;
  const before = process.memoryUsage().rss;
  for await (const batch of client.readBatches(Buffer.from('t'))) {
    rows += batch.numRows;
    peak = Math.max(peak, process.memoryUsage().rss - before);
  }
  assert.equal(rows, frames << 16);
  // Both sides in one process, 200 MiB in all.
  assert.ok(peak < 128 << 20, `${peak >> 20} MiB`);
  client.close();
  runtime.close();
});

test('a reader that reads nothing for too long is cut off', async () => {
  const runtime = await startSmallRuntime({
    limits: { readerPauseMs: 200 },
    override: {
      async *openRelease() {
        yield schemaFrame(NUMBERS);
        for (;;) if (FRAME !== undefined) yield FRAME;
      },
    },
  });
  const client = connect({ credential: await runtime.addParty('acme') });
  const batches = client.readBatches(Buffer.from('t'))[Symbol.asyncIterator]();
  await batches.next();
  while (runtime.server.openCalls > 0) await new Promise((resolve) => setTimeout(resolve, 20));
  await assert.rejects(async () => {
    while ((await batches.next()).done !== true);
  });
  client.close();
  runtime.close();
});

for (const how of ['deadline', 'cancel', 'vanish'] as const) {
  test(`a client’s ${how} reaches the application as an abort`, async () => {
    const started = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<void>();
    const runtime = await startSmallRuntime({
      override: {
        jobs: {
          submit: async (_caller, _request, { signal }) => {
            started.resolve();
            await once(signal, 'abort');
            aborted.resolve();
            throw new Error('stopped');
          },
        },
      },
    });
    const client = connect({ credential: await runtime.addParty('acme') });
    const controller = new AbortController();
    const call = client.jobs.submit(
      { wait: true },
      { signal: controller.signal, timeoutMs: how === 'deadline' ? 300 : 10_000 },
    );
    const code = how === 'deadline' ? status.DEADLINE_EXCEEDED : how === 'cancel' ? status.CANCELLED : undefined;
    const outcome = assert.rejects(call, code === undefined ? GloveboxError : { status: code });
    await started.promise;
    if (how === 'cancel') controller.abort();
    if (how === 'vanish') {
      client.close();
      controller.abort();
    }
    await aborted.promise;
    await outcome;
    client.close();
    runtime.close();
  });
}

test('a producer that hangs does not keep a call alive that its client has left', async () => {
  const runtime = await startSmallRuntime({
    override: {
      jobs: {
        async *watch() {
          yield { job: EMPTY_JOB };
          await new Promise(() => {});
        },
      },
    },
  });
  const client = connect({ credential: await runtime.addParty('acme') });
  const changes = client.jobs.watch({ id: 'job-1' })[Symbol.asyncIterator]();
  await changes.next();
  assert.equal(runtime.server.openCalls, 1);
  await changes.return?.();
  while (runtime.server.openCalls > 0) await new Promise((resolve) => setTimeout(resolve, 10));
  client.close();
  runtime.close();
});

test('draining refuses new jobs, lets the running call end, tells health, and then closes', async () => {
  const gate = Promise.withResolvers<void>();
  const running = Promise.withResolvers<void>();
  const runtime = await startSmallRuntime({
    override: {
      jobs: {
        submit: async () => {
          running.resolve();
          await gate.promise;
          return { job: EMPTY_JOB, wasKnown: false, result: [] };
        },
      },
    },
  });
  const client = connect({ credential: await runtime.addParty('acme') });
  const job = client.jobs.submit({ wait: true });
  await running.promise;
  const drained = runtime.server.drain(5000);
  const late = connect({ credential: await runtime.addParty('late'), timeoutMs: 2000 });
  await assert.rejects(late.jobs.submit({}), { status: status.UNAVAILABLE });
  gate.resolve();
  assert.equal((await job).job?.id, 'job-1');
  await drained;
  late.close();
  client.close();
});

test('a call that outlives the drain is cut off at its end', async () => {
  const running = Promise.withResolvers<void>();
  const runtime = await startSmallRuntime({
    override: {
      jobs: {
        submit: async (_caller, _request, { signal }) => {
          running.resolve();
          await once(signal, 'abort');
          throw new Error('stopped');
        },
      },
    },
  });
  const client = connect({ credential: await runtime.addParty('acme') });
  const job = assert.rejects(client.jobs.submit({ wait: true }), { isRetryable: true });
  await running.promise;
  await runtime.server.drain(100);
  await job;
  client.close();
});

test('calls per second: a burst, then the rate; clocks that go back give nothing', () => {
  const limit = new RateLimit({ perSecond: 10, burst: 2 });
  assert.deepEqual([limit.take('a', 0), limit.take('a', 0), limit.take('a', 0)], [0, 0, 100]);
  assert.equal(limit.take('b', 0), 0);
  assert.equal(limit.take('a', -1000), 100);
  assert.equal(limit.take('a', 1100), 0);
});

test('every default limit is a positive number', () => {
  for (const [name, value] of Object.entries(DEFAULT_RPC_LIMITS))
    assert.ok(value > 0 && Number.isSafeInteger(value), name);
});

test('every message arrives as it was when it was lent, although its memory is used again at once', async () => {
  const rows = 1 << 14;
  const frameOf = (first: number): Uint8Array => {
    const values = Array.from({ length: rows }, (_, i) => [BigInt(first + i)]);
    return batchFrames(NUMBERS, batchFromRows(NUMBERS, values)).toArray().at(0) ?? new Uint8Array();
  };
  const originals = Array.from({ length: 40 }, (_, at) => frameOf(at * rows));
  const runtime = await startSmallRuntime({
    override: {
      async *openRelease() {
        yield schemaFrame(NUMBERS);
        const slots = [Buffer.alloc(originals[0]!.length), Buffer.alloc(originals[0]!.length)];
        for (const [at, original] of originals.entries()) {
          const slot = slots[at % 2]!;
          slot.set(original);
          yield slot;
          // Whoever still read from it would see this.
          slot.fill(0xff);
        }
      },
    },
  });
  const client = connect({ credential: await runtime.addParty('acme') });
  let next = 0n;
  for await (const batch of client.readBatches(Buffer.from('t'))) {
    for (const value of batch.getChildAt(0)!.toArray() as BigInt64Array) {
      if (value !== next) assert.fail(`${value} arrived where ${next} was due`);
      next += 1n;
    }
  }
  assert.equal(next, BigInt(40 * rows));
  client.close();
  runtime.close();
});

test('a call that is over before its answer is ready is forgotten at once, not when its reader should have read', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const call = Object.assign(new EventEmitter(), {
    metadata: new Metadata(),
    cancelled: false,
    request: Buffer.alloc(0),
    getDeadline: () => Infinity,
  }) as unknown as ServerUnaryCall<Buffer, Buffer>;
  let held = 0;
  const needs = {
    admissions: { of: () => ({ caller: {}, callId: '1' }), reset: () => void (held += 1) },
    limits: DEFAULT_RPC_LIMITS,
    log: {},
  } as unknown as HandleNeeds;
  const rpc = {
    path: '/x/Y',
    request: { decodeRequest: () => ({}) },
    response: { encode: () => Buffer.alloc(0) },
    signatureOf: null,
  } as unknown as Rpc;
  const answer = Promise.withResolvers<unknown>();
  const done = Promise.withResolvers<void>();
  unaryHandler(needs, rpc, () => answer.promise)(call, () => done.resolve());
  // As grpc-js tells that the client has gone.
  call.cancelled = true;
  call.emit('cancelled', 'cancelled');
  answer.resolve({});
  return done.promise.then(() => {
    t.mock.timers.tick(DEFAULT_RPC_LIMITS.maxCallMs);
    assert.equal(held, 0, 'a timer kept the call');
  });
});
