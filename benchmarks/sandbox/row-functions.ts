import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { rowSource } from '../../runtime/gateway/javascript/rows.ts';
import { checkRowFunction } from '../../runtime/sandbox/javascript/row-function/check.ts';
import { runRowFunction } from '../../runtime/sandbox/javascript/run-row-function.ts';
import type { ColumnSource } from '../../runtime/sandbox/javascript/source.ts';
import type { JavaScriptWorkers } from '../../runtime/sandbox/javascript/worker-link.ts';
import type { WorkerPool } from '../../runtime/sandbox/pool.ts';
import { measurement, type Measurement, WrongAnswer } from '../measurement.ts';
import { ProcessUsage } from '../world/process-usage.ts';
import { COLUMNS, datasetFile, type DatasetFile, numbers, type Numbers, ROWS_PER_UNIT } from './data.ts';
import { ARITHMETIC, type Expression, SCORE } from './expressions.ts';

export const TERMS = { tier: 'balanced', timeoutMs: 120_000, nowMs: 0, seed: 1 } as const;
const REDUCER = { kind: 'sum' } as const;
const GOAL_RATIO = 0.6;

/** Each job of consumer code gets a process of its own; the next one is being made ready, which is waited for here. */
export interface Warm {
  readonly pool: WorkerPool;
  readonly workers: JavaScriptWorkers;
  readonly ready: () => Promise<void>;
}

export const rate = (rows: number, ms: number): number => rows / (ms / 1000);

/**
 * Row functions three ways: over rows in the gateway's memory whose source bounds each unit (as the layout of a dataset
 * does), over the same rows with units counted by the worker, and out of a dataset's file through the engine.
 */
export async function rowFunctions(
  warm: Warm,
  options: { readonly rows: number; readonly runs: number; readonly progress: (text: string) => void },
): Promise<readonly Measurement[]> {
  const { rows, progress } = options;
  progress('numbers');
  const data = numbers(rows);
  const folder = await mkdtemp(join(tmpdir(), 'glovebox-bench-'));
  try {
    progress('a dataset of the same rows');
    const file = await datasetFile(folder, rows);
    await using engine = await openPlain(file);
    const ways: readonly Way[] = [
      { name: 'rows in memory, bounded by their source', source: () => boundedSource(data), hasGoal: true },
      { name: 'rows in memory, bounded in the worker', source: () => data.source, hasGoal: false },
      { name: 'from a dataset’s file', source: (pool) => fileSource(pool, file, rows), hasGoal: false },
    ];
    const measurements: Measurement[] = [];
    for (const expression of [SCORE, ARITHMETIC])
      measurements.push(...(await measureExpression(warm, { expression, data, file, engine, ways }, options)));
    return measurements;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

interface Measured {
  readonly expression: Expression;
  readonly data: Numbers;
  readonly file: DatasetFile;
  readonly engine: { readonly sum: (expression: string) => Promise<number> };
  readonly ways: readonly Way[];
}

/** Every run of every way in turn with its floors, all over the same rows. */
async function measureExpression(
  warm: Warm,
  { expression, data, file, engine, ways }: Measured,
  { rows, runs, progress }: { readonly rows: number; readonly runs: number; readonly progress: (text: string) => void },
): Promise<readonly Measurement[]> {
  const loop: Taken = { wall: [], cpu: [] };
  const [bounded, sql]: [number[], number[]] = [[], []];
  const taken = ways.map((): Taken => ({ wall: [], cpu: [] }));
  for (const { source } of ways) await rowSum(warm.workers, source(warm.pool), expression);
  for (let round = 0; round < runs; round += 1) {
    progress(`${expression.name}, run ${round + 1} of ${runs}`);
    const before = process.cpuUsage();
    let start = performance.now();
    const plain = expression.bare(data);
    loop.wall.push(performance.now() - start);
    const { user, system } = process.cpuUsage(before);
    loop.cpu.push((user + system) / 1000);
    start = performance.now();
    const expected = expression.bounded(data);
    bounded.push(performance.now() - start);
    start = performance.now();
    const asked = await engine.sum(expression.sql);
    sql.push(performance.now() - start);
    // The grid rounds each row by at most half a step.
    const step = expression.output.step ?? 1;
    const [low, high] = [plain - rows * step * 0.51, plain + rows * step * 0.51];
    const inSteps = Number(expected) * step;
    if (inSteps < low || inSteps > high || asked < low || asked > high)
      throw new WrongAnswer(`the loop says ${plain}, rounded ${inSteps}, SQL ${asked}`);
    for (const [index, { source }] of ways.entries()) {
      await warm.ready();
      await warm.pool.prewarm({ kind: 'sql', mounts: mountsOf(file) }, 1);
      const one = await timed(warm, source, expression);
      if (one.sum !== expected) throw new WrongAnswer(`the row function says ${one.sum}, the loop ${expected}`);
      taken[index]?.wall.push(one.wallMs);
      taken[index]?.cpu.push(one.cpuMs);
    }
  }
  const rates = (times: readonly number[]): number[] => times.map((ms) => rate(rows, ms));
  return ways.flatMap(({ name, hasGoal }, index) => {
    const { wall, cpu } = taken[index] ?? { wall: [], cpu: [] };
    const common = {
      section: 'sandbox',
      group: `a row function over ${rows} rows: ${expression.name}`,
      unit: 'rows/s',
      runs: rates(wall),
      checked: 'the sum equals that of the loop that clamps and rounds, in each run',
    } as const;
    const byLoop = measurement({
      ...common,
      name: `${name}, against a loop`,
      floor: { name: 'bare Node loop: the expression, added', runs: rates(loop.wall) },
      cpuRatio: median(cpu) / median(loop.cpu),
    });
    const bySql = measurement({
      ...common,
      name: `${name}, against SQL`,
      floor: { name: 'the expression in DuckDB in process, one thread', runs: rates(sql) },
    });
    const goal = (ratio: number, least: number, of: string): { text: string; isMet: boolean } => ({
      text: `${expression.name}: ${ratio.toFixed(2)}× of ${of} ≥ ${least}×`,
      isMet: ratio >= least,
    });
    return [
      hasGoal ? { ...byLoop, goal: goal(byLoop.ratio?.median ?? 0, GOAL_RATIO, 'a bare loop') } : byLoop,
      measurement({
        ...common,
        name: `${name}, against a loop of the same work`,
        floor: { name: 'Node loop: a call per row, clamped, rounded, added', runs: rates(bounded) },
      }),
      hasGoal ? { ...bySql, goal: goal(bySql.ratio?.median ?? 0, 1, 'the SQL expression') } : bySql,
    ];
  });
}

interface Way {
  readonly name: string;
  readonly source: (pool: WorkerPool) => ColumnSource;
  readonly hasGoal: boolean;
}

interface Taken {
  readonly wall: number[];
  readonly cpu: number[];
}

const median = (values: readonly number[]): number =>
  values.toSorted((one, other) => one - other)[values.length >> 1] ?? NaN;

/** CPU of this process and all its workers is read at the last moment of the worker that computes, which ends with its job. */
async function timed(
  { workers, pool }: Warm,
  source: Way['source'],
  expression: Expression,
): Promise<{ readonly sum: bigint; readonly wallMs: number; readonly cpuMs: number }> {
  const usage = new ProcessUsage(process.pid);
  let after = 0;
  const last = (): void => {
    after = Math.max(after, usage.cpuMs());
  };
  const watchedWorkers: JavaScriptWorkers = {
    lease: async (terms) => {
      const worker = await workers.lease(terms);
      return {
        send: (type, payload) => worker.send(type, payload),
        sendJson: (type, value) => worker.sendJson(type, value),
        sendData: (bytes) => worker.sendData(bytes),
        next: () => worker.next(),
        writeScratch: (bytes, position) => worker.writeScratch(bytes, position),
        release: () => {
          last();
          worker.release();
        },
        destroy: () => worker.destroy(),
      };
    },
  };
  const watchedPool = {
    lease: async (request: Parameters<WorkerPool['lease']>[0]) => {
      const worker = await pool.lease(request);
      const destroy = worker.destroy.bind(worker);
      worker.destroy = () => {
        last();
        return destroy();
      };
      return worker;
    },
  } as WorkerPool;
  const before = usage.cpuMs();
  const start = performance.now();
  const sum = await rowSum(watchedWorkers, source(watchedPool), expression);
  return { sum, wallMs: performance.now() - start, cpuMs: after - before };
}

/** The sum of an expression over a source, in steps of its grid. */
export async function rowSum(
  workers: JavaScriptWorkers,
  source: ColumnSource,
  { source: text, output }: Expression = ARITHMETIC,
): Promise<bigint> {
  const outputs = [output];
  const { columns } = source;
  const checked = checkRowFunction(text, { columns, outputs, reducer: REDUCER, rowsPerUnit: ROWS_PER_UNIT });
  if (checked.kind !== 'ok') throw new WrongAnswer(`the row function is refused: ${JSON.stringify(checked)}`);
  const job = { checked, reducer: REDUCER, rowsPerUnit: ROWS_PER_UNIT };
  const outcome = await runRowFunction(workers, job, source, TERMS);
  if (outcome.kind !== 'done') throw new WrongAnswer(`the row function failed: ${outcome.detail}`);
  return outcome.groups[0]?.cells[0] ?? -1n;
}

const boundedSource = ({ source }: Numbers): ColumnSource => ({ ...source, boundedRowsPerUnit: ROWS_PER_UNIT });

/** The dataset where its source mounts it. */
const mountsOf = ({ path, database }: DatasetFile): { hostPath: string; guestPath: string }[] => [
  { hostPath: path, guestPath: `/data/${database}.duckdb` },
];

/** The source that a job in the gateway has: rows read by the jailed engine out of the dataset's layout. */
function fileSource(pool: WorkerPool, { path, database, table }: DatasetFile, rows: number): ColumnSource {
  const columns = COLUMNS.map(({ name, kind }) => ({
    name,
    kind,
    isNullable: true,
    type: { kind: 'double' } as const,
    texts: [],
    other: 'missing' as const,
  }));
  return rowSource({
    pool,
    party: 'bench',
    dataset: { file: path, database },
    table: { physical: table, rowCount: BigInt(rows), units: [{ hash: '__gb_u0' }] },
    columns,
    rowsPerUnit: ROWS_PER_UNIT,
    isSorted: false,
    isNumbered: false,
    isReadOnce: true,
    signal: new AbortController().signal,
  });
}

async function openPlain({ path }: DatasetFile): Promise<AsyncDisposable & Measured['engine']> {
  const instance = await DuckDBInstance.create(path, { threads: '1', access_mode: 'READ_ONLY' });
  const connection = await instance.connect();
  return {
    sum: async (expression) => {
      const reader = await connection.runAndReadAll(`SELECT sum(${expression})::DOUBLE FROM t`);
      const sum = reader.getRows()[0]?.[0];
      if (typeof sum !== 'number') throw new TypeError('SQL answered no sum');
      return sum;
    },
    [Symbol.asyncDispose]: async () => {
      connection.closeSync();
      instance.closeSync();
      await Promise.resolve();
    },
  };
}
