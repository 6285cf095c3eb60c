import { channelLimits, frameType, parseJsonPayload, type Frame, type FrameType } from '../sandbox/channel.ts';
import { HomomorphicFault } from './fault.ts';
import { parseJobResult, WORKER_FAULTS, type HomomorphicJob, type HomomorphicResult } from './job.ts';

/** The gateway's end of a worker; a leased worker of the pool is one. */
export interface JobWorker {
  send(type: FrameType, payload: Uint8Array): Promise<void>;
  sendJson(type: FrameType, value: unknown): Promise<void>;
  next(): Promise<Frame>;
  /** Writes into the worker's memory file (its fd 5), which is faster than the pipe for bulk; absent: it has none. */
  writeScratch?(bytes: Uint8Array, position: number): Promise<void>;
}

/** Bytes of one input of a job, in any chunking. */
export type JobInput = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** What a job gave, when its output was collected whole. */
export interface HomomorphicJobOutcome {
  readonly result: HomomorphicResult;
  readonly output: Uint8Array;
}

/** Chunks below that go through the pipe, in one write. */
const LEAST_LAID_DOWN_BYTES = 64 * 1024;

/** Inputs that have a place in the memory file; what more there are go through the pipe, so that the file stays small. */
const LAID_DOWN_INPUTS = 16;

/** Largest output that is collected in memory; pass `onOutput` for more. */
export const COLLECTED_OUTPUT_LIMIT_BYTES = 512 * 1024 * 1024;

/**
 * Runs one job in a worker: serves its wishes for input chunks, collects its output or passes it on as it comes. Throws
 * a `HomomorphicFault` of the caller's kind when the worker refused the input, `worker-failed` when it broke the
 * protocol; the caller then destroys the worker, never reuses it.
 */
export async function runHomomorphicJob(
  worker: JobWorker,
  job: HomomorphicJob,
  inputs: readonly JobInput[],
  options?: { readonly onOutput?: (bytes: Uint8Array) => Promise<void> },
): Promise<HomomorphicJobOutcome> {
  const readers = inputs.map((input) => new ChunkReader(input));
  const collected: Uint8Array[] = [];
  let length = 0;
  await worker.sendJson(frameType.JOB, messageOf(job));
  for (;;) {
    const frame = await worker.next();
    if (frame.type === frameType.CONTROL) {
      const input = Number(parseJsonPayload(frame.payload)['want']);
      const reader = readers[input];
      if (reader === undefined) throw failed('it asked for an input that it has not');
      await give(worker, input, await reader.next());
    } else if (frame.type === frameType.DATA) {
      if (options?.onOutput !== undefined) {
        await options.onOutput(frame.payload);
        continue;
      }
      length += frame.payload.byteLength;
      if (length > COLLECTED_OUTPUT_LIMIT_BYTES) throw failed('its output is too large');
      collected.push(frame.payload);
    } else if (frame.type === frameType.RESULT) {
      return { result: parseJobResult(job, parseJsonPayload(frame.payload)), output: Buffer.concat(collected) };
    } else if (frame.type === frameType.FAIL) {
      const code = WORKER_FAULTS.find((known) => known === parseJsonPayload(frame.payload)['code']);
      throw code === undefined ? failed('it failed') : new HomomorphicFault(code, `the job was refused: ${code}`);
    } else {
      throw failed('it sent a message out of turn');
    }
  }
}

/**
 * A chunk: through the pipe, or laid down at the place of its input in the memory file, which the worker has read when it
 * wants the next one of that input.
 */
async function give(worker: JobWorker, input: number, chunk: Uint8Array): Promise<void> {
  const isSmall = chunk.byteLength < LEAST_LAID_DOWN_BYTES;
  if (worker.writeScratch === undefined || isSmall || input >= LAID_DOWN_INPUTS)
    return await worker.send(frameType.DATA, chunk);
  const at = input * channelLimits.dataFrameBytes;
  await worker.writeScratch(chunk, at);
  await worker.sendJson(frameType.CONTROL, { bytes: chunk.byteLength, at });
}

/** The job with its own fields only: callers hand in richer objects. */
function messageOf(job: HomomorphicJob): HomomorphicJob {
  if (job.kind !== 'encryptedData') return job;
  return { ...job, columns: job.columns.map(({ header, totals }) => ({ header, totals })) };
}

/** One input as DATA payloads: as large as a frame may be, empty at the end and ever after. */
class ChunkReader {
  readonly #iterator: AsyncIterator<Uint8Array> | Iterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(input: JobInput) {
    this.#iterator = Symbol.asyncIterator in input ? input[Symbol.asyncIterator]() : input[Symbol.iterator]();
  }

  async next(): Promise<Uint8Array> {
    while (this.#rest.byteLength === 0) {
      const step = await this.#iterator.next();
      if (step.done === true) return new Uint8Array(0);
      this.#rest = step.value;
    }
    const part = this.#rest.subarray(0, channelLimits.dataFrameBytes);
    this.#rest = this.#rest.subarray(part.byteLength);
    return part;
  }
}

function failed(what: string): HomomorphicFault {
  return new HomomorphicFault('worker-failed', `the homomorphic worker must be replaced: ${what}`);
}
