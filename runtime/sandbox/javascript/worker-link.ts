import { frameType, parseJsonPayload } from '../channel.ts';
import type { Frame, FrameType } from '../channel.ts';
import type { Complaint } from './complaint.ts';
import { javascriptLimits } from './limits.ts';
import type { Prepared } from './prepare.ts';
import { decodeRowProgram } from './row-function/program.ts';
import type { RowInterface } from './row-function/program.ts';
import type { WorkerJob } from './worker-job.ts';

/** A leased, jailed worker; `LeasedWorker` of the pool is one. It is used for one job and then destroyed. */
export interface JavaScriptWorker {
  send(type: FrameType, payload: Uint8Array): Promise<void>;
  sendJson(type: FrameType, value: unknown): Promise<void>;
  sendData(bytes: Uint8Array): Promise<void>;
  next(): Promise<Frame>;
  /** Writes into the worker's memory file (its fd 5), which is faster than the pipe for bulk. */
  writeScratch(bytes: Uint8Array | readonly Uint8Array[], position: number): Promise<void>;
  /** Ends the lease after a job that ended cleanly. */
  release(): void;
  /** Kills the worker; resolves when it is gone. */
  destroy(): Promise<unknown>;
}

/** Which compilers run in a worker: `balanced` has no TurboFan, `strict` no compiler at all (and no type stripping). */
export type Tier = 'balanced' | 'strict';

/** Where workers come from. `wallMs` bounds the whole lease from outside. */
export interface JavaScriptWorkers {
  lease(terms: { readonly tier: Tier; readonly wallMs: number }): Promise<JavaScriptWorker>;
}

/** The worker did not do what a job asks: it died, hung, or sent something else. For the operator only. */
export class WorkerLost extends Error {
  override readonly name = 'WorkerLost';
}

/** Starts a job in a worker. */
export async function startJob(worker: JavaScriptWorker, job: WorkerJob): Promise<void> {
  await worker.sendJson(frameType.JOB, {});
  await sendBody(worker, new TextEncoder().encode(JSON.stringify(job)), 0);
}

/** Sends bytes with their announcement. */
export async function sendBody(worker: JavaScriptWorker, bytes: Uint8Array, rows: number): Promise<void> {
  await worker.sendJson(frameType.CONTROL, { bytes: bytes.byteLength, rows });
  await worker.sendData(bytes);
}

/**
 * Sends columns through the worker's memory file at `position`, and announces them. The worker says with PROGRESS that it has
 * read them; until then the place must not be written again.
 */
export async function sendColumns(
  worker: JavaScriptWorker,
  body: {
    readonly bytes: Uint8Array | readonly Uint8Array[];
    readonly rows: number;
    /** number of the block or group in the job */
    readonly index?: number;
  },
  position: number,
): Promise<void> {
  await worker.writeScratch(body.bytes, position);
  const { bytes, rows, index = 0 } = body;
  await worker.sendJson(frameType.CONTROL, { bytes: bytesOf(bytes), rows, index, at: position });
}

/** Size of a body in one piece or several. */
export function bytesOf(body: Uint8Array | readonly Uint8Array[]): number {
  return body instanceof Uint8Array ? body.byteLength : body.reduce((sum, piece) => sum + piece.byteLength, 0);
}

/** Waits until the worker has read a body. */
export async function bodyTaken(worker: JavaScriptWorker, timeoutMs: number): Promise<void> {
  const frame = await within(timeoutMs, worker.next());
  if (frame.type !== frameType.PROGRESS) throw new WorkerLost('the worker did not take its columns');
}

/** Says that no more columns come. */
export async function sendEnd(worker: JavaScriptWorker): Promise<void> {
  await worker.sendJson(frameType.CONTROL, { end: true });
}

/** Waits for one answer of at most `maxBytes`; throws WorkerLost for anything else and when `timeoutMs` are over. */
export async function nextAnswer(
  worker: JavaScriptWorker,
  limits: { readonly maxBytes: number; readonly timeoutMs: number },
): Promise<Uint8Array> {
  const frame = await within(limits.timeoutMs, worker.next());
  if (frame.type !== frameType.DATA || frame.payload.byteLength > limits.maxBytes)
    throw new WorkerLost('the worker sent no answer');
  return frame.payload;
}

/**
 * Gives a worker back after its last answer: it is released when it says that the job is over, killed when it says anything
 * else. Resolves without waiting for the process to be gone, so that no answer waits for it.
 */
export async function finishJob(worker: JavaScriptWorker): Promise<void> {
  try {
    const frame = await within(javascriptLimits.graceMs, worker.next());
    if (frame.type === frameType.RESULT) {
      worker.release();
      return;
    }
  } catch {
    // hung or dead after its answer: killed below
  }
  worker.destroy().catch(() => {});
}

/** Rejects with WorkerLost when a promise takes longer; the caller then destroys the worker. */
export async function within<T>(timeoutMs: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new WorkerLost(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
    promise.catch(() => {}); // a late rejection of the loser belongs to nobody
  }
}

/** Reads the answer of a `prepare` job; undefined when it is none. Row programs are checked node by node. */
export function decodePrepared(bytes: Uint8Array, face: RowInterface | undefined): Prepared | undefined {
  let value: Readonly<Record<string, unknown>>;
  try {
    // A program may nest deeper than the channel's JSON: its own decoder bounds it.
    value =
      face === undefined
        ? parseJsonPayload(bytes)
        : (JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Record<string, unknown>);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if (value.kind === 'refused' && Array.isArray(value.reasons)) {
    const reasons = value.reasons.slice(0, javascriptLimits.reasons).map(complaintOf);
    return { kind: 'refused', reasons };
  }
  if (face === undefined) {
    const { factory } = value;
    const isText =
      value.kind === 'program' && typeof factory === 'string' && factory.length <= javascriptLimits.sourceBytes + 200;
    return isText ? { kind: 'program', factory } : undefined;
  }
  const program = value.kind === 'rowFunction' ? decodeRowProgram(value.program, face) : undefined;
  return program === undefined ? undefined : { kind: 'rowFunction', program };
}

function complaintOf(value: unknown): Complaint {
  const { line, column, message } = (typeof value === 'object' && value !== null ? value : {}) as Record<
    string,
    unknown
  >;
  return {
    line: typeof line === 'number' && Number.isInteger(line) ? line : 1,
    column: typeof column === 'number' && Number.isInteger(column) ? column : 1,
    message: typeof message === 'string' ? message.slice(0, 500) : 'the source was refused',
  };
}
