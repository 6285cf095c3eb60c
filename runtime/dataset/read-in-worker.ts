/** The gateway's side of the ingest worker: foreign bytes are parsed in the jail, and only checked batches come out. */
import { frameType, jsonPayload, parseJsonPayload, type Frame } from '../sandbox/channel.ts';
import { DEFAULT_COLUMN_LIMITS, type Schema } from '../release/columns.ts';
import { decodeBatch } from './batch-frame.ts';
import { DatasetError, type DatasetErrorCode } from './dataset-error.ts';
import {
  parseStoredType,
  transportSchema,
  type IngestEvent,
  type IngestRequest,
  type SourceReader,
} from './ingest-events.ts';
import { BATCH_LIMITS, DATASET_LIMITS } from './limits.ts';
import type { StoredColumn } from './metadata.ts';
import { printable } from './names.ts';
import { linkOf, WorkerFault, type WorkerLink } from './worker-link.ts';
import type { WorkerPool } from '../sandbox/pool.ts';
import { type EndReason, WorkerFault as WorkerEnded } from '../sandbox/worker-end.ts';

const LIMITS = {
  ...DEFAULT_COLUMN_LIMITS,
  maxColumns: DATASET_LIMITS.maxColumns,
  maxBytesPerBatch: BATCH_LIMITS.frameBytes,
};
const CODES: readonly DatasetErrorCode[] = ['invalid-name', 'invalid-file', 'unsupported-type', 'too-large'];
const MAX_MESSAGE_LENGTH = 500;

/** Reads in a jailed worker of the image `ingest`, one lease per registration. */
export function jailedReader(pool: WorkerPool, party: string, signal?: AbortSignal): SourceReader {
  return {
    async *read(request) {
      const mounts = request.sources.map(({ path }, i) => ({ hostPath: path, guestPath: `/data/source-${i}` }));
      const lease = await pool.lease({ kind: 'ingest', party, mounts, signal });
      const sources = request.sources.map((source, i) => ({ ...source, path: `/data/source-${i}` }));
      // The process read foreign bytes: it never reads anybody else's.
      try {
        yield* readThrough(linkOf(lease), { ...request, sources });
      } finally {
        await lease.destroy();
      }
    },
  };
}

/** The events of one ingest job. Throws `DatasetError` for the provider and `WorkerFault` when the worker died or lied. */
export async function* readThrough(
  worker: WorkerLink,
  request: IngestRequest,
  idleMs: number = idleLimitMs(request),
): AsyncGenerator<IngestEvent, void, void> {
  await worker.send(frameType.JOB, jsonPayload(request));
  let schema: Schema | null = null;
  for (;;) {
    const frame = await nextWithin(worker, idleMs);
    if (frame === null) throw new WorkerFault('the ingest worker died');
    if (frame.type === frameType.DATA) {
      if (schema === null) throw new WorkerFault('the ingest worker sent rows outside of a table');
      const decoded = decodeBatch(schema, frame.payload, LIMITS);
      if (decoded.kind === 'bad') throw new WorkerFault(`the ingest worker sent a bad batch: ${decoded.problem}`);
      yield decoded;
    } else if (frame.type === frameType.CONTROL) {
      const event = controlEvent(frame, request);
      schema = event.kind === 'table' ? transportSchema(event.columns) : null;
      yield event;
    } else if (frame.type === frameType.FAIL) throw failure(frame);
    else if (frame.type === frameType.RESULT) return;
    else throw new WorkerFault(`the ingest worker sent an unexpected frame ${frame.type}`);
  }
}

/** A damaged file can send a parser round in circles: a worker that says nothing for this long is killed. */
function idleLimitMs(request: IngestRequest): number {
  const bytes = request.sources.reduce((sum, source) => sum + source.bytes, 0);
  return DATASET_LIMITS.readIdleMs + bytes / DATASET_LIMITS.readBytesPerMs;
}

/** How a reader ends of what it was given to read. */
const BY_THE_FILE: Readonly<Partial<Record<EndReason, string>>> = {
  CPU: 'worked longer than it may',
  CRASHED: 'broke down',
  MEMORY: 'needed more memory than it may',
  OUTPUT: 'said more than it may',
  TIMEOUT: 'worked longer than it may',
};

const unreadable = (what: string): DatasetError =>
  new DatasetError('invalid-file', `the file cannot be read: its reader ${what}; it is probably damaged`);

async function nextWithin(worker: WorkerLink, idleMs: number): Promise<Frame | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      // Before the worker is killed: its end would be told first.
      reject(unreadable('made no progress'));
      worker.kill();
    }, idleMs);
  });
  try {
    return await Promise.race([worker.next(), late]);
  } catch (fault) {
    const what = fault instanceof WorkerEnded ? BY_THE_FILE[fault.reason] : undefined;
    throw what === undefined ? fault : unreadable(what);
  } finally {
    clearTimeout(timer);
  }
}

function controlEvent(frame: Frame, request: IngestRequest): Exclude<IngestEvent, { kind: 'batch' }> {
  const { kind, name, label, columns, rows } = parseJsonPayload(frame.payload);
  if (kind === 'end' && typeof rows === 'number' && Number.isSafeInteger(rows)) return { kind, rows };
  const isKnown = request.sources.some((source) => source.label === label);
  if (
    kind !== 'table' ||
    typeof name !== 'string' ||
    typeof label !== 'string' ||
    !isKnown ||
    !Array.isArray(columns)
  ) {
    throw new WorkerFault('the ingest worker sent an event that is not understood');
  }
  if (columns.length > DATASET_LIMITS.maxColumns) throw new WorkerFault('the ingest worker names too many columns');
  return { kind, name, label, columns: columns.map(storedColumn) };
}

function storedColumn(value: unknown): StoredColumn {
  const { name, type } = value as { name?: unknown; type?: unknown };
  const known = parseStoredType(type);
  if (typeof name !== 'string' || known === null)
    throw new WorkerFault('the ingest worker names a column that is not understood');
  return { name, type: known };
}

function failure(frame: Frame): Error {
  const { code, message } = parseJsonPayload(frame.payload);
  const known = CODES.find((one) => one === code);
  if (known === undefined || typeof message !== 'string') return new WorkerFault('the ingest worker failed');
  return new DatasetError(known, printable(message, MAX_MESSAGE_LENGTH));
}
