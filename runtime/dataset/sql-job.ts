/** What travels between the gateway and a SQL worker, besides batches (batch-frame.ts). Both sides use this file. */
import type { EngineDatabase, EngineLimits } from './engine.ts';
import type { Gate, HiddenGroup } from '../query/enforced.ts';
import type { Schema } from '../release/columns.ts';

/** JOB payload of a SQL worker: statements that the gateway printed, and the columns they must yield. */
export interface SqlJob {
  readonly databases: readonly EngineDatabase[];
  readonly setup: readonly string[];
  /** Present: `setup` came ahead, as JSON in DATA frames of that many bytes together, and is empty here. */
  readonly setupBytes?: number;
  /** Parts of `setup` to leave out when no row of a temporary table is `open`; absent: none. */
  readonly gates?: readonly Gate[];
  /** Absent: nothing is compared with other answers. */
  readonly guard?: SqlGuard;
  /** Present: the rows of `result` do not leave the worker; one DATA frame holds what the kernel made of them. */
  readonly fold?: SqlFold;
  readonly result: string;
  readonly columns: Schema;
  readonly summary: string;
  readonly limits: EngineLimits;
  /** The tables hold so few cells that finding the best plan takes longer than running any. */
  readonly isFewCells?: boolean;
}

/** Most bytes of statements that travel ahead of a job. */
export const MAX_SETUP_BYTES = 64 * 2 ** 20;

/** How a column lies in a kernel's buffer; a missing value is NaN in `float64`, −1 in the others. */
export type FoldKind = 'float64' | 'int32' | 'boolean' | 'dictionary';

/**
 * A kernel to run over the rows where they are: `kernel` is the text of `run(buffer, rows, ...offsets)`, which adds rows to its
 * cells, and `run()`, which returns the cells and starts from zero. The gateway prints it out of a checked, closed program.
 */
export interface SqlFold {
  readonly kernel: string;
  /** The same kernel as WebAssembly, base64: the worker takes it where it can. */
  readonly module?: string | undefined;
  readonly kinds: readonly FoldKind[];
  readonly cells: number;
}

/** Where columns of that many rows begin in a kernel's buffer, and its size, in bytes. */
export function foldLayout(
  kinds: readonly FoldKind[],
  rows: number,
): { readonly offsets: readonly number[]; readonly bytes: number } {
  let bytes = 0;
  const offsets = kinds.map((kind) => {
    const offset = bytes;
    bytes += Math.ceil((rows * (kind === 'float64' ? 8 : kind === 'boolean' ? 1 : 4)) / 8) * 8;
    return offset;
  });
  return { offsets, bytes };
}

/**
 * The guarded part of a job: the worker runs `setup`, sends what `sketches` yield as DATA in the columns `GUARD_COLUMNS`,
 * then CONTROL `{ sketched }` with the number of their rows, and waits for CONTROL `{ hide }`. If that is not empty it
 * runs `apply`, then goes on to the result.
 */
export interface SqlGuard {
  readonly setup: readonly string[];
  readonly sketches: readonly string[];
  readonly apply: readonly string[];
}

/** block, series, group, partition, bucket, and the seven words of a bucket (release/sketch.ts). */
export const GUARD_COLUMNS: Schema = Array.from({ length: 12 }, (_, i) => ({
  name: `g${i}`,
  type: { kind: 'int64' as const },
  nullable: false,
}));
export const HIDE_TABLE = 'gb_hide';

/** Most groups that one answer may lose to the guard; an answer that would lose more is not given. */
export const MAX_HIDDEN = 20_000;

/** What a CONTROL frame says is withheld, as `[block, group]`; null when it is not that. */
export function hideOf(payload: unknown): readonly HiddenGroup[] | null {
  const list = (payload as { hide?: unknown } | null)?.hide;
  if (!Array.isArray(list) || list.length > MAX_HIDDEN) return null;
  const hide: HiddenGroup[] = [];
  for (const one of list as unknown[]) {
    if (!Array.isArray(one) || one.length !== 2 || !one.every((part) => Number.isSafeInteger(part))) return null;
    const [block = 0, group = 0] = one as number[];
    hide.push({ block, group });
  }
  return hide;
}

/** RESULT payload of a SQL worker. */
export interface SqlJobResult {
  readonly rows: number;
  readonly batches: number;
  /** decimal text, or `null` when the withheld cells together are too few to be counted */
  readonly withheldCells: string | null;
  /** CPU time of the whole worker process during the job, microseconds */
  readonly cpuMicros: number;
}

/**
 * Why a worker gave up. `failed` covers everything that happens once rows can be touched: telling an overflow from an
 * exhausted memory would be an oracle about rows.
 */
export type SqlFailCode = 'failed' | 'cancelled' | 'bad-job' | 'not-opened';
export const SQL_FAIL_CODES: readonly SqlFailCode[] = ['failed', 'cancelled', 'bad-job', 'not-opened'];
