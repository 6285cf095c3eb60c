/**
 * The homomorphic worker: one process, one trust domain, one job. It runs in the jail (no network, no writable disk, no
 * secret key ever), reads its job and inputs from fd 3 and answers on fd 4. Its entry is `sandbox-images/homomorphic`.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readSync } from 'node:fs';
import { channelLimits, frameType, parseJsonPayload, type Frame } from '../sandbox/channel.ts';
import { WorkerChannel } from '../sandbox/worker-channel.ts';
import type { Backend } from './backend.ts';
import { HomomorphicFault } from './fault.ts';
import { ingestColumn } from './ingest.ts';
import { parseJob, WORKER_FAULTS, type HomomorphicJob, type HomomorphicResult, type Inspected } from './job.ts';
import { readPublicBundle } from './keys.ts';
import { openNodeSealBackend } from './node-seal-backend.ts';
import { planProgram } from './plan.ts';
import { PROFILES, type ProfileId } from './profiles.ts';
import { QueryRun } from './query-run.ts';
import { QUERY_BLOCK_ROWS, blocksOf, queryResultCount, readQuery, type QueryHeader } from './query.ts';
import { writeResult } from './result-file.ts';
import { needsLibrary, runOverColumns } from './run-columns.ts';
import { readUnitFile } from './unit-file.ts';

/** Largest input that is held whole: keys and query files; columns stream. */
const WHOLE_INPUT_LIMIT_BYTES = 128 * 1024 * 1024;

const IDLE_BEFORE_LIBRARY_MS = 20;

const channel = new WorkerChannel();
const frames = channel.frames();
let opening: Promise<Backend> | undefined;
/** The encryption library. Sums, products and first looks need none: our kernels read the bytes. */
const library = (): Promise<Backend> => (opening ??= openNodeSealBackend());

async function serve(frame: Frame): Promise<void> {
  try {
    const result = await run(parseJob(parseJsonPayload(frame.payload)));
    await channel.sendJson(frameType.RESULT, result);
  } catch (error) {
    const code = error instanceof HomomorphicFault && WORKER_FAULTS.includes(error.code) ? error.code : 'worker-failed';
    await channel.sendJson(frameType.FAIL, { code });
  }
}

async function run(job: HomomorphicJob): Promise<HomomorphicResult> {
  switch (job.kind) {
    case 'ingest': {
      const ingest = ingestColumn(await library(), chunksOf(0));
      for (;;) {
        const step = await ingest.next();
        if (step.done === true) return { kind: 'ingest', ...step.value };
        await channel.sendData(step.value);
      }
    }
    case 'inspect':
      return { kind: 'inspect', found: await inspect(job.what) };
    case 'encryptedData': {
      const first = job.relinearisationKeys.length > 0 ? 1 : 0;
      if (first === 1) useRelinearisationKeys(await library(), job.relinearisationKeys, await wholeOf(0));
      const plan = planProgram(job.program, job.columns);
      const sources = job.columns.map((_, i) => chunksOf(first + i));
      // stored files were validated when they were taken in; the kernel still checks every residue it adds
      const backend = needsLibrary(plan) ? await library() : null;
      const parts = await runOverColumns(plan, backend, sources, { check: 'frame' });
      await channel.sendData(writeResult(parts));
      return { kind: 'encryptedData', parts: parts.length };
    }
    case 'encryptedQuery': {
      const query = readQuery(await wholeOf(0));
      if (query.header.rows !== job.rows)
        throw new HomomorphicFault('bad-ciphertext', 'the query is made for another number of rows');
      using answer = new QueryRun(await library(), query, (length) => new Uint8Array(randomBytes(length)), job.given);
      await feed(answer, query.header, job.given);
      await channel.sendData(answer.finish());
      return { kind: 'encryptedQuery', digest: query.digest, ciphertexts: queryResultCount(query.header) };
    }
  }
}

/** Reads an upload whole and says what it is: everything about it that has to be parsed is parsed here, in the jail. */
async function inspect(what: Inspected['what']): Promise<Inspected> {
  switch (what) {
    case 'publicKey': {
      const { keyId, keys } = readPublicBundle(await wholeOf(0));
      return { what, keyId, profiles: keys.map(({ profile }) => profile) };
    }
    case 'query': {
      const { header, publicKey } = readQuery(await wholeOf(0));
      return { what, header, keyId: `sha256:${createHash('sha256').update(publicKey).digest('hex')}` };
    }
    case 'unitTags':
      return { what, counts: await readUnitFile(chunksOf(0)) };
  }
}

function useRelinearisationKeys(backend: Backend, profiles: readonly ProfileId[], bundle: Uint8Array): void {
  const { keys } = readPublicBundle(bundle);
  for (const id of profiles) {
    const key = keys.find(({ profile }) => profile === id)?.relinearisationKey ?? null;
    if (key === null) throw new HomomorphicFault('bad-key', `the bundle has no relinearisation key of ${id}`);
    backend.open(PROFILES[id]).useRelinearisationKey(key);
  }
}

/** Hands the plaintext columns to a query in the order it wants them. */
async function feed(answer: QueryRun, header: QueryHeader, given: number): Promise<void> {
  const readers = header.columns.map((_, i) => new BlockReader(chunksOf(1 + i)));
  const blocks = blocksOf(given);
  const rowsOf = (block: number): number => Math.min(QUERY_BLOCK_ROWS, given - block * QUERY_BLOCK_ROWS);
  const give = async (reader: BlockReader, block: number): Promise<void> => {
    answer.take(await reader.take(rowsOf(block)));
    for (const ready of answer.takeReady()) await channel.sendData(ready);
  };
  if (header.name === 'queryDot' || header.name === 'lookup') {
    for (const reader of readers) for (let block = 0; block < blocks; block++) await give(reader, block);
  } else {
    for (let block = 0; block < blocks; block++) for (const reader of readers) await give(reader, block);
  }
}

/** Chunks of one input, asked for one at a time. */
async function* chunksOf(input: number): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    await channel.sendJson(frameType.CONTROL, { want: input });
    const frame = await frames.next();
    if (frame.done === true) throw new HomomorphicFault('worker-failed', 'the gateway sent no data');
    const { type, payload } = frame.value;
    if (type === frameType.CONTROL) yield laidDown(parseJsonPayload(payload));
    else if (type !== frameType.DATA) throw new HomomorphicFault('worker-failed', 'the gateway sent no data');
    else if (payload.byteLength === 0) return;
    else yield payload;
  }
}

const memoryFile = 5;

/** A chunk from the memory file, whose place the gateway writes again when the next one of that input is wanted. */
function laidDown({ bytes, at: position }: Readonly<Record<string, unknown>>): Uint8Array {
  const isSized = typeof bytes === 'number' && bytes > 0 && bytes <= channelLimits.dataFrameBytes;
  if (!isSized || typeof position !== 'number')
    throw new HomomorphicFault('worker-failed', 'the gateway laid down a chunk without a size');
  const chunk = Buffer.allocUnsafeSlow(bytes);
  for (let at = 0; at < bytes;) {
    const size = readSync(memoryFile, chunk, at, bytes - at, position + at);
    if (size === 0) throw new HomomorphicFault('worker-failed', 'the memory file is too short');
    at += size;
  }
  return chunk;
}

async function wholeOf(input: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunksOf(input)) {
    length += chunk.byteLength;
    if (length > WHOLE_INPUT_LIMIT_BYTES) throw new HomomorphicFault('bad-ciphertext', 'an input is too large');
    chunks.push(chunk);
  }
  const whole = Buffer.concat(chunks);
  // a view, not a copy: keys and queries are megabytes
  return new Uint8Array(whole.buffer, whole.byteOffset, whole.byteLength);
}

/** 64-bit little-endian integers from chunks of any size. */
class BlockReader {
  readonly #chunks: AsyncGenerator<Uint8Array, void>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncGenerator<Uint8Array, void>) {
    this.#chunks = chunks;
  }

  async take(count: number): Promise<BigInt64Array> {
    const bytes = new Uint8Array(count * 8);
    for (let filled = 0; filled < bytes.byteLength;) {
      if (this.#rest.byteLength === 0) {
        const next = await this.#chunks.next();
        if (next.done === true) throw new HomomorphicFault('worker-failed', 'a column is shorter than its rows');
        this.#rest = next.value;
      }
      const part = this.#rest.subarray(0, bytes.byteLength - filled);
      bytes.set(part, filled);
      filled += part.byteLength;
      this.#rest = this.#rest.subarray(part.byteLength);
    }
    return new BigInt64Array(bytes.buffer);
  }
}

await channel.ready({ kind: 'homomorphic' });
// A worker that waits makes the library meanwhile, since that takes longer than most jobs; one that was waited for has
// its job at once, and most jobs need no library. A failure is the job's, when it asks.
const idle = setTimeout(() => void library().catch(() => {}), IDLE_BEFORE_LIBRARY_MS);
for (;;) {
  const frame = await frames.next();
  clearTimeout(idle);
  if (frame.done === true) break;
  if (frame.value.type === frameType.JOB) await serve(frame.value);
}
