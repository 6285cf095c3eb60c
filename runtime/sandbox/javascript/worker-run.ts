import { readSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { frameType, parseJsonPayload } from '../channel.ts';
import { VectorKernel } from '../vector-kernel.ts';
import type { SyncWorkerChannel } from '../channel.ts';
import { layoutOf } from './columns.ts';
import type { ColumnKind, ColumnPlace } from './columns.ts';
import { KernelIsolate, emptyNumbers, runGuest, runPost } from './isolates.ts';
import type { Collector, GuestInput, GuestResult, LibrarySources } from './isolates.ts';
import { javascriptLimits } from './limits.ts';
import { prepareSource } from './prepare.ts';
import { statusByte } from './status.ts';
import type { GuestTerms, WorkerJob } from './worker-job.ts';

type Channel = Pick<SyncWorkerChannel, 'read' | 'send' | 'sendJson' | 'sendData'>;

interface Body<Bytes> {
  readonly bytes: Bytes;
  readonly rows: number;
  /** number of the block or group in the job */
  readonly index: number;
}

/** Reads one job and its columns, runs it, and sends its answers; see WorkerJob for the order of the frames. */
export function runWorkerJob(channel: Channel, libraries: LibrarySources): void {
  const first = channel.read();
  if (first?.type !== frameType.JOB) throw new RangeError('expected a job');
  const body = readBody(channel, ownBuffer);
  if (body === undefined) throw new RangeError('expected the job itself');
  const job = JSON.parse(new TextDecoder().decode(body.bytes)) as WorkerJob;
  run(channel, job, libraries);
  channel.sendJson(frameType.RESULT, {});
}

function run(channel: Channel, job: WorkerJob, libraries: LibrarySources): void {
  switch (job.kind) {
    case 'prepare':
      channel.send(frameType.DATA, new TextEncoder().encode(JSON.stringify(prepareSource(job.request))));
      return;
    case 'rowFunction':
      // The kernel is our own print of a checked tree, not consumer code, and the process ends with it: it may have the best
      // compiler, as it has where rows are read. The tier `strict` promises none at all.
      if (!process.execArgv.includes('--jitless')) setFlagsFromString('--turbofan');
      runRowFunction(channel, job);
      return;
    case 'blocks': {
      const collector = { kind: 'numbers', outputs: job.outputs } as const;
      const count = job.outputs.length;
      runEach(channel, job.terms, { collector, libraries, bytesOf: (result) => numbersAnswer(result, count) });
      return;
    }
    case 'table': {
      const collector = { kind: 'table', table: job.table, maxRows: job.maxRows, maxBytes: job.maxBytes } as const;
      runEach(channel, job.terms, { collector, libraries, bytesOf: (result) => bytesAnswer(result, job.maxBytes) });
      return;
    }
    case 'debug': {
      const collector = { kind: 'debug', maxCharacters: job.maxCharacters } as const;
      runEach(channel, job.terms, { collector, libraries, bytesOf: debugAnswer });
      return;
    }
    case 'post': {
      using run = runPost(job.terms, job.input, { maxBytes: job.maxBytes, libraries });
      channel.send(frameType.DATA, bytesAnswer(run.result, job.maxBytes + 1));
      return;
    }
  }
}

function runRowFunction(channel: Channel, job: Extract<WorkerJob, { kind: 'rowFunction' }>): void {
  const vector = VectorKernel.from(job.module, job.cells);
  using printed = vector === undefined ? new KernelIsolate(job.kernel, job) : undefined;
  const kernel = vector ?? printed;
  if (kernel === undefined) throw new RangeError('no kernel');
  let totals: BigInt64Array<ArrayBuffer> | undefined;
  let rowsHeld = 0;
  // So many rows stay below 2^53 in every cell; beyond them the sum is exact in 64-bit integers.
  const take = (): BigInt64Array<ArrayBuffer> => {
    const cells = kernel.takeCells();
    const sums = (totals ??= new BigInt64Array(cells.length));
    for (let i = 0; i < cells.length; i++) sums[i] = (sums[i] ?? 0n) + BigInt(cells[i] ?? 0);
    rowsHeld = 0;
    return sums;
  };
  for (;;) {
    const body = readBody(channel, (bytes) => kernel.roomFor(bytes));
    if (body === undefined) break;
    if (rowsHeld + body.rows > javascriptLimits.batchRows) take();
    kernel.add(
      body.rows,
      placesOf(job.kinds, body.rows, body.bytes.byteLength).map((place) => place.offset),
    );
    rowsHeld += body.rows;
  }
  channel.send(frameType.DATA, new Uint8Array(take().buffer));
  if (job.isCountingUnits && printed !== undefined)
    channel.send(frameType.DATA, new Uint8Array(printed.units().buffer));
}

interface EachRun {
  readonly collector: Collector;
  readonly libraries: LibrarySources;
  readonly bytesOf: (result: GuestResult<unknown>) => Uint8Array;
}

/** Runs the consumer's code once for each input that comes, with a seed of its own, and answers each. */
function runEach(channel: Channel, terms: GuestTerms, { collector, libraries, bytesOf }: EachRun): void {
  const kinds = terms.columns.map((column) => column.kind);
  for (;;) {
    const next = nextInput(channel, kinds);
    if (next === undefined) return;
    const seed = (terms.seed + Math.imul(next.index, 0x9e3779b1)) >>> 0;
    using run = runGuest(terms, collector, next.input, { seed, libraries });
    // The isolate ends behind its answer: the gateway puts the next block together meanwhile.
    channel.send(frameType.DATA, bytesOf(run.result));
  }
}

function nextInput(
  channel: Channel,
  kinds: readonly ColumnKind[],
): { readonly input: GuestInput; readonly index: number } | undefined {
  const body = readBody(channel, ownBuffer);
  if (body === undefined) return undefined;
  const { rows, bytes, index } = body;
  return { input: { buffer: bytes.buffer, rows, places: placesOf(kinds, rows, bytes.byteLength) }, index };
}

function placesOf(kinds: readonly ColumnKind[], rows: number, size: number): readonly ColumnPlace[] {
  const { places, bytes } = layoutOf(kinds, rows);
  if (bytes !== size) throw new RangeError('columns of another size than announced');
  return places;
}

/** A buffer of its own, so that it can be moved into an isolate; it is filled whole, or the job fails. */
const ownBuffer = (bytes: number): Uint8Array<ArrayBuffer> => Buffer.allocUnsafeSlow(bytes);

const scratchFd = 5;

/** The bytes behind CONTROL `{ bytes, rows }` (DATA frames) or `{ bytes, rows, at }` (memory file); undefined at `{ end: true }`. */
function readBody<Bytes extends Uint8Array>(channel: Channel, room: (bytes: number) => Bytes): Body<Bytes> | undefined {
  const announced = channel.read();
  if (announced === undefined) process.exit(0); // the gateway is gone
  if (announced.type !== frameType.CONTROL) throw new RangeError('expected an announcement');
  const { end, bytes, rows, at: position, index = 0 } = parseJsonPayload(announced.payload);
  if (end === true) return undefined;
  const isSized = typeof bytes === 'number' && typeof rows === 'number' && typeof index === 'number';
  if (!isSized || bytes > javascriptLimits.batchBytes) {
    throw new RangeError('an announcement without a size');
  }
  const target = room(bytes);
  if (typeof position === 'number') {
    for (let at = 0; at < bytes;) {
      const size = readSync(scratchFd, target, at, bytes - at, position + at);
      if (size === 0) throw new RangeError('the memory file is too short');
      at += size;
    }
    channel.sendJson(frameType.PROGRESS, {});
    return { bytes: target, rows, index };
  }
  for (let at = 0; at < bytes;) {
    const frame = channel.read();
    if (frame?.type !== frameType.DATA) throw new RangeError('expected bytes');
    target.set(frame.payload, at);
    at += frame.payload.byteLength;
  }
  return { bytes: target, rows, index };
}

function numbersAnswer(result: GuestResult<unknown>, outputs: number): Uint8Array {
  if (result.status !== 'ok') return emptyNumbers(result.status, outputs);
  const values = result.value;
  if (!(values instanceof Float64Array) || values.length !== outputs + 1) return emptyNumbers('failed', outputs);
  const bytes = new Uint8Array(1 + 8 * outputs);
  bytes[0] = values[0] ?? 0;
  bytes.set(new Uint8Array(values.buffer, values.byteOffset + 8, 8 * outputs), 1);
  return bytes;
}

function bytesAnswer(result: GuestResult<unknown>, maxBytes: number): Uint8Array {
  if (result.status !== 'ok') return Uint8Array.of(statusByte(result.status));
  const bytes = result.value;
  return bytes instanceof Uint8Array && bytes.length >= 1 && bytes.length <= maxBytes
    ? bytes
    : Uint8Array.of(statusByte('failed'));
}

function debugAnswer(result: GuestResult<unknown>): Uint8Array {
  const isText = result.status === 'ok' && typeof result.value === 'string';
  return new TextEncoder().encode(isText ? (result.value as string) : JSON.stringify({ error: result.status }));
}

/** Makes the first job as fast as the later ones: compiles the trusted scripts and runs each kind of isolate once. */
export function warmUp(): void {
  const terms = {
    factory:
      '(function(){"use strict";return function(input){let s=0;for(let i=0;i<input.rows;i++)s+=input.columns.x[i];return s}})',
    columns: [{ name: 'x', kind: 'float64' }],
    timeoutMs: 1000,
    isolateMiB: 16,
    nowMs: 0,
    seed: 1,
    libraries: [],
  } as const;
  const { places } = layoutOf(['float64'], 8);
  const collector = { kind: 'numbers', outputs: ['s'] } as const;
  using _ = runGuest(
    terms,
    collector,
    { buffer: new ArrayBuffer(64), rows: 8, places },
    { seed: 1, libraries: new Map() },
  );
}
