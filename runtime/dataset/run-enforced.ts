/** The gateway's side of a SQL job: sends printed statements, receives batches, believes nothing. */
import {
  channelLimits,
  dataPayloads,
  frameType,
  jsonPayload,
  parseJsonPayload,
  type Frame,
} from '../sandbox/channel.ts';
import type { EnforcedQuery, GuardPlan, HiddenGroup } from '../query/enforced.ts';
import { DEFAULT_COLUMN_LIMITS, type Column, type ColumnBatch, type Schema } from '../release/columns.ts';
import { decodeBatch } from './batch-frame.ts';
import { columnTypeOf } from './column-types.ts';
import { DEFAULT_ENGINE_LIMITS, type EngineDatabase, type EngineLimits } from './engine.ts';
import { BATCH_LIMITS } from './limits.ts';
import {
  GUARD_COLUMNS,
  MAX_HIDDEN,
  MAX_SETUP_BYTES,
  SQL_FAIL_CODES,
  type SqlFailCode,
  type SqlGuard,
  type SqlJob,
} from './sql-job.ts';
import { WorkerFault, type WorkerLink } from './worker-link.ts';

/** How a SQL job ended. `failed` carries no reason on purpose: one generic answer for whatever happened among rows. */
export type SqlOutcome =
  | { readonly kind: 'done'; readonly summary: SqlSummary }
  | { readonly kind: 'failed'; readonly code: SqlFailCode };

export interface SqlSummary {
  readonly rows: number;
  /** `null` when the withheld cells together are too few to be counted. */
  readonly withheldCells: bigint | null;
  /** CPU of the worker process, microseconds; from the worker, so no more trustworthy than it. */
  readonly cpuMicros: number;
}

/** Shown the sketches of an answer's cells (`GUARD_COLUMNS`), says which of them are withheld. */
export type AskGuard = (sketches: readonly ColumnBatch[]) => Promise<readonly HiddenGroup[]>;

export interface RunLimits {
  readonly engine: EngineLimits;
  /** Rows and bytes of the whole result, certificates included. */
  readonly maxRows: number;
  readonly maxBytes: number;
}

export const DEFAULT_RUN_LIMITS: RunLimits = {
  engine: DEFAULT_ENGINE_LIMITS,
  maxRows: 100_000_000,
  maxBytes: 2 ** 40,
};

/** Schema of the batches of an enforced query: its outputs, then its certificates (BIGINT, never null). */
export function resultSchemaOf(query: EnforcedQuery): Schema {
  const outputs = query.outputs.map((output): Column => {
    const type = columnTypeOf(output.type);
    if (type === null) throw new TypeError(`column \`${output.name}\` has a type that cannot be released`);
    return { name: output.name, type, nullable: true };
  });
  const certificates = query.certificates.map(({ name }): Column => ({
    name,
    type: { kind: 'int64' },
    nullable: false,
  }));
  return [...outputs, ...certificates];
}

/**
 * Runs an enforced query on a leased worker: `for await` its `batches`, then read `outcome`. Aborting `signal` cancels
 * the query in the engine. Throws `WorkerFault` when the worker died, lied about the schema or exceeded a limit; the
 * worker is killed then. The worker stays usable after `done`.
 */
export function runEnforced(
  worker: WorkerLink,
  databases: readonly EngineDatabase[],
  query: EnforcedQuery,
  options: {
    readonly limits?: RunLimits;
    readonly signal?: AbortSignal;
    readonly guard?: AskGuard;
    readonly isFewCells?: boolean;
  } = {},
): SqlRun {
  return new SqlRun(worker, databases, query, { ...options, limits: options.limits ?? DEFAULT_RUN_LIMITS });
}

/** One running SQL job; its batches can be read once. */
export class SqlRun {
  readonly schema: Schema;
  readonly #worker: WorkerLink;
  readonly #job: SqlJob;
  readonly #limits: RunLimits;
  readonly #signal: AbortSignal | undefined;
  readonly #guard: AskGuard | undefined;
  #outcome: SqlOutcome | null = null;

  constructor(
    worker: WorkerLink,
    databases: readonly EngineDatabase[],
    query: EnforcedQuery,
    {
      limits,
      signal,
      guard,
      isFewCells,
    }: { limits: RunLimits; signal?: AbortSignal; guard?: AskGuard; isFewCells?: boolean },
  ) {
    // INVARIANT: what compiles with a guard runs with one.
    if (query.guard !== undefined && guard === undefined) throw new Error('a guarded query needs a guard');
    this.schema = resultSchemaOf(query);
    this.#worker = worker;
    this.#limits = limits;
    this.#signal = signal;
    this.#guard = query.guard === undefined ? undefined : guard;
    const { setup, gates = [], result, summary } = query;
    const guarded = query.guard === undefined ? {} : { guard: guardStatements(query.guard) };
    const size = isFewCells === true ? { isFewCells } : {};
    const { schema: columns } = this;
    this.#job = { databases, setup, gates, ...guarded, result, columns, summary, limits: limits.engine, ...size };
  }

  /** How the job ended; throws until the batches were read to their end. */
  get outcome(): SqlOutcome {
    if (this.#outcome === null) throw new Error('the job has not ended');
    return this.#outcome;
  }

  /** Checked batches, in the worker's order. Leaving the loop early kills the worker: it has rows in its hands. */
  async *batches(): AsyncGenerator<ColumnBatch, void, void> {
    let deadline: NodeJS.Timeout | null = null;
    const cancel = (): void => {
      void this.#worker.send(frameType.CANCEL, new Uint8Array(0)).catch(() => undefined);
      // Scalar functions do not look at interrupts: what does not stop by itself is killed.
      deadline ??= setTimeout(() => this.#worker.kill(), CANCEL_GRACE_MS);
    };
    let isOver = false;
    try {
      await this.#sendJob();
      if (this.#signal?.aborted === true) cancel();
      this.#signal?.addEventListener('abort', cancel, { once: true });
      yield* this.#receive();
      isOver = true;
    } finally {
      this.#signal?.removeEventListener('abort', cancel);
      if (deadline !== null) clearTimeout(deadline);
      if (!isOver) this.#worker.kill();
    }
  }

  /** One frame; what is too long for it goes ahead. */
  async #sendJob(): Promise<void> {
    const whole = jsonPayload(this.#job);
    if (whole.byteLength <= channelLimits.controlFrameBytes) return this.#worker.send(frameType.JOB, whole);
    const setup = Buffer.from(JSON.stringify(this.#job.setup));
    if (setup.byteLength > MAX_SETUP_BYTES) throw new RangeError('the statements of a job are too long');
    for (const part of dataPayloads(setup)) await this.#worker.send(frameType.DATA, part);
    return this.#worker.send(
      frameType.JOB,
      jsonPayload({ ...this.#job, setup: [], setupBytes: setup.byteLength } satisfies SqlJob),
    );
  }

  /** Takes the sketches, which come before the result, and says what is withheld. */
  async #obey(guard: AskGuard): Promise<SqlOutcome | null> {
    const batches: ColumnBatch[] = [];
    let rows = 0;
    for (;;) {
      const frame = await this.#worker.next();
      if (frame === null) throw new WorkerFault('the sql worker died');
      if (frame.type === frameType.DATA) {
        const decoded = decodeBatch(GUARD_COLUMNS, frame.payload, COLUMN_LIMITS);
        if (decoded.kind === 'bad') throw new WorkerFault(`the sql worker sent bad sketches: ${decoded.problem}`);
        rows += decoded.batch.rowCount;
        if (rows > MAX_SKETCH_ROWS) throw new WorkerFault('the sql worker sent more sketches than can be compared');
        batches.push(decoded.batch);
      } else if (frame.type === frameType.CONTROL) {
        if (parseJsonPayload(frame.payload)['sketched'] !== rows)
          throw new WorkerFault('the sql worker counts other sketches than it sent');
        break;
      } else return outcomeOf(frame, 0);
    }
    const hide = await guard(batches);
    if (hide.length > MAX_HIDDEN) throw new WorkerFault('more would be withheld than can be said');
    const list = hide.map(({ block, group }) => [block, group]);
    await this.#worker.send(frameType.CONTROL, jsonPayload({ hide: list }));
    return null;
  }

  async *#receive(): AsyncGenerator<ColumnBatch, void, void> {
    if (this.#guard !== undefined) {
      this.#outcome = await this.#obey(this.#guard);
      if (this.#outcome !== null) return;
    }
    let rows = 0;
    let bytes = 0;
    for (;;) {
      const frame = await this.#worker.next();
      if (frame === null) throw new WorkerFault('the sql worker died');
      if (frame.type === frameType.DATA) {
        const decoded = decodeBatch(this.schema, frame.payload, COLUMN_LIMITS);
        if (decoded.kind === 'bad') throw new WorkerFault(`the sql worker sent a bad batch: ${decoded.problem}`);
        rows += decoded.batch.rowCount;
        bytes += frame.payload.byteLength;
        if (decoded.batch.rowCount === 0) throw new WorkerFault('the sql worker sent an empty batch');
        if (rows > this.#limits.maxRows || bytes > this.#limits.maxBytes) {
          throw new WorkerFault('the sql worker sent more than the result may hold');
        }
        yield decoded.batch;
      } else {
        this.#outcome = outcomeOf(frame, rows);
        return;
      }
    }
  }
}

/** Rows of sketches of one answer: one per bucket that is not empty. */
const MAX_SKETCH_ROWS = 4_000_000;

function guardStatements({ setup, sketches, apply }: GuardPlan): SqlGuard {
  return { setup, sketches, apply };
}

/** How long a cancelled worker may take to stop. */
const CANCEL_GRACE_MS = 500;
const COLUMN_LIMITS = { ...DEFAULT_COLUMN_LIMITS, maxBytesPerBatch: BATCH_LIMITS.frameBytes };

function outcomeOf(frame: Frame, rows: number): SqlOutcome {
  const payload = parseJsonPayload(frame.payload);
  if (frame.type === frameType.FAIL) {
    const code = SQL_FAIL_CODES.find((known) => known === payload['code']);
    if (code === undefined) throw new WorkerFault('the sql worker failed with an unknown code');
    return { kind: 'failed', code };
  }
  if (frame.type !== frameType.RESULT) throw new WorkerFault(`the sql worker sent an unexpected frame ${frame.type}`);
  const { withheldCells, cpuMicros } = payload;
  if (payload['rows'] !== rows) throw new WorkerFault('the sql worker counts other rows than it sent');
  if (typeof cpuMicros !== 'number' || !Number.isSafeInteger(cpuMicros) || cpuMicros < 0) {
    throw new WorkerFault('the sql worker sent no cpu time');
  }
  if (withheldCells !== null && (typeof withheldCells !== 'string' || !/^\d{1,18}$/.test(withheldCells))) {
    throw new WorkerFault('the sql worker sent no count of withheld cells');
  }
  return {
    kind: 'done',
    summary: { rows, withheldCells: withheldCells === null ? null : BigInt(withheldCells), cpuMicros },
  };
}
