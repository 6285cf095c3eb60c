import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { assignBlocks, type BlockOutput } from '../../runtime/sandbox/javascript/blocks.ts';
import { pooledWorkers } from '../../runtime/sandbox/javascript/pooled-workers.ts';
import { factoryText } from '../../runtime/sandbox/javascript/prepare.ts';
import { checkRowFunction } from '../../runtime/sandbox/javascript/row-function/check.ts';
import { runBlocks } from '../../runtime/sandbox/javascript/run-blocks.ts';
import { runRowFunction } from '../../runtime/sandbox/javascript/run-row-function.ts';
import type { JavaScriptWorkers } from '../../runtime/sandbox/javascript/worker-link.ts';
import { WorkerPool } from '../../runtime/sandbox/pool.ts';
import { measurement, type Measurement, WrongAnswer } from '../measurement.ts';
import { COLUMNS, numbers, type Numbers, ROWS_PER_UNIT } from './data.ts';

export interface SandboxOptions {
  readonly rows: number;
  readonly runs: number;
  readonly isQuick: boolean;
  readonly progress: (text: string) => void;
}

const ROOT = join(import.meta.dirname, '..', '..');
const TERMS = { tier: 'balanced', timeoutMs: 120_000, nowMs: 0, seed: 1 } as const;
const SOURCE = '(r) => r.x > 50 ? r.x * 3 + r.y : r.y';
const REDUCER = { kind: 'sum' } as const;

/** Consumer code in the jail against the same work without one. */
export async function benchSandbox(
  options: SandboxOptions,
): Promise<{ readonly measurements: readonly Measurement[]; readonly isolation: string }> {
  await using pool = await WorkerPool.start({ root: ROOT });
  const warm: Warm = {
    workers: pooledWorkers(pool, { party: 'bench' }),
    ready: () => pool.prewarm({ kind: 'javascript', tier: TERMS.tier }, 1),
  };
  options.progress('numbers');
  const data = numbers(options.rows);
  return {
    measurements: [
      ...(await rowFunctions(warm, data, options)),
      ...(await smallJobs(warm, options)),
      ...(await blocks(warm, options)),
      await coldStart(options),
    ],
    isolation: pool.isolation.level,
  };
}

/** Each job of consumer code gets a process of its own; the next one is being made ready, which is waited for here. */
interface Warm {
  readonly workers: JavaScriptWorkers;
  readonly ready: () => Promise<void>;
}

const rate = (rows: number, ms: number): number => rows / (ms / 1000);

async function rowFunctions(
  { workers, ready }: Warm,
  data: Numbers,
  { rows, runs, progress }: SandboxOptions,
): Promise<readonly Measurement[]> {
  const run = (source: Numbers): Promise<bigint> => rowSum(workers, source);
  await using engine = await plainTable(data);
  await run(data);
  const [jailed, loop, sql]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < runs; round += 1) {
    progress(`row function, run ${round + 1} of ${runs}`);
    await ready();
    let start = performance.now();
    const sum = await run(data);
    jailed.push(rate(rows, performance.now() - start));
    start = performance.now();
    const plain = plainLoop(data);
    loop.push(rate(rows, performance.now() - start));
    start = performance.now();
    const asked = await engine.sum();
    sql.push(rate(rows, performance.now() - start));
    if (sum !== BigInt(plain) || sum !== asked)
      throw new WrongAnswer(`the row function says ${sum}, the loop ${plain}, SQL ${asked}`);
  }
  const common = {
    section: 'sandbox',
    group: `a row function over ${rows} rows`,
    unit: 'rows/s',
    runs: jailed,
    checked: 'the sum equals the floor’s in each run',
  } as const;
  return [
    measurement({ ...common, name: 'jailed, bounded, against a loop', floor: { name: 'plain Node loop', runs: loop } }),
    measurement({
      ...common,
      name: 'jailed, bounded, against SQL',
      floor: { name: 'the expression in DuckDB in process, one thread', runs: sql },
    }),
  ];
}

async function rowSum(workers: JavaScriptWorkers, { source }: Numbers): Promise<bigint> {
  const outputs = [{ name: 'v', range: [0, 400], step: 1 }] as const;
  const checked = checkRowFunction(SOURCE, { columns: COLUMNS, outputs, reducer: REDUCER, rowsPerUnit: ROWS_PER_UNIT });
  if (checked.kind !== 'ok') throw new WrongAnswer(`the row function is refused: ${JSON.stringify(checked)}`);
  const outcome = await runRowFunction(
    workers,
    { checked, reducer: REDUCER, rowsPerUnit: ROWS_PER_UNIT },
    source,
    TERMS,
  );
  if (outcome.kind !== 'done') throw new WrongAnswer(`the row function failed: ${outcome.detail}`);
  return outcome.groups[0]?.cells[0] ?? -1n;
}

function plainLoop({ x, y }: Numbers): number {
  let sum = 0;
  for (let i = 0; i < x.length; i += 1) {
    const [one, other] = [x[i] ?? 0, y[i] ?? 0];
    sum += one > 50 ? one * 3 + other : other;
  }
  return sum;
}

async function plainTable({ x }: Numbers): Promise<AsyncDisposable & { readonly sum: () => Promise<bigint> }> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  await connection.run(
    `CREATE TABLE t AS SELECT ((i * 7919) % 101)::DOUBLE AS x, ((i * 104729) % 97)::DOUBLE AS y FROM range(${x.length}) AS r(i)`,
  );
  return {
    sum: async () => {
      const reader = await connection.runAndReadAll(
        'SELECT sum(CASE WHEN x > 50 THEN x * 3 + y ELSE y END)::HUGEINT FROM t',
      );
      const sum = reader.getRows()[0]?.[0];
      if (typeof sum !== 'bigint') throw new TypeError('SQL answered no sum');
      return sum;
    },
    [Symbol.asyncDispose]: async () => {
      connection.closeSync();
      instance.closeSync();
      await Promise.resolve();
    },
  };
}

/** A job whose computing costs nothing: what a lease, the kernel and the way there and back take. */
async function smallJobs(
  { workers, ready }: Warm,
  { isQuick, progress }: SandboxOptions,
): Promise<readonly Measurement[]> {
  progress('small jobs in a warm worker');
  const tiny = numbers(100);
  const expected = BigInt(plainLoop(tiny));
  const [jailed, loop]: [number[], number[]] = [[], []];
  for (let round = 0; round < (isQuick ? 10 : 50); round += 1) {
    await ready();
    let start = performance.now();
    const sum = await rowSum(workers, tiny);
    jailed.push(performance.now() - start);
    start = performance.now();
    plainLoop(tiny);
    loop.push(performance.now() - start);
    if (sum !== expected) throw new WrongAnswer(`a small job says ${sum}, not ${expected}`);
  }
  return [
    measurement({
      section: 'sandbox',
      group: 'a job of 100 rows in a warm worker',
      name: 'from source to sum',
      unit: 'ms',
      runs: jailed,
      floor: { name: 'plain Node loop', runs: loop },
      checked: 'the sum equals the floor’s',
    }),
  ];
}

const BLOCK_CODE = `(input) => { const { x } = input.columns; let sum = 0; for (let i = 0; i < x.length; i++) sum += x[i]; return { mean: sum / x.length }; }`;
const BLOCK_STEP = 0.001;
const BLOCK_OUTPUT: BlockOutput = { name: 'mean', range: [0, 100], step: BLOCK_STEP, default: 50 };

/** Sample and aggregate: a fresh isolate for each block. */
async function blocks(
  { workers, ready }: Warm,
  { runs, isQuick, progress }: SandboxOptions,
): Promise<readonly Measurement[]> {
  const count = isQuick ? 32 : 128;
  const data = numbers(count * 1000);
  const blockOfUnit = assignBlocks(new Uint8Array(32).fill(7), data.source.units, count);
  const job = { factory: factoryText(BLOCK_CODE), outputs: [BLOCK_OUTPUT], assign: () => blockOfUnit, blocks: count };
  const [jailed, loop]: [number[], number[]] = [[], []];
  for (let round = 0; round < runs; round += 1) {
    progress(`blocks, run ${round + 1} of ${runs}`);
    await ready();
    let start = performance.now();
    const outcome = await runBlocks(workers, job, data.source, TERMS);
    jailed.push(rate(count, performance.now() - start));
    start = performance.now();
    const means = plainMeans(data, blockOfUnit, count);
    loop.push(rate(count, performance.now() - start));
    const isEqual = outcome.blocks.every(
      ({ status, integers }, block) =>
        status === 'ok' && Math.abs(Number(integers[0] ?? NaN) - (means[block] ?? NaN) / BLOCK_STEP) <= 1,
    );
    if (!isEqual) throw new WrongAnswer('a block says another mean than the loop');
  }
  return [
    measurement({
      section: 'sandbox',
      group: `${count} blocks of 1,000 rows`,
      name: 'a fresh isolate per block',
      unit: '/s',
      runs: jailed,
      floor: { name: 'the same means in a plain Node loop', runs: loop },
      checked: 'each block’s mean is the floor’s to one step',
    }),
  ];
}

function plainMeans({ x }: Numbers, blockOfUnit: Int32Array, count: number): readonly number[] {
  const sums = new Float64Array(count);
  const rows = new Float64Array(count);
  for (let i = 0; i < x.length; i += 1) {
    const block = blockOfUnit[Math.floor(i / ROWS_PER_UNIT)] ?? 0;
    sums[block] = (sums[block] ?? 0) + (x[i] ?? 0);
    rows[block] = (rows[block] ?? 0) + 1;
  }
  return Array.from(sums, (sum, block) => sum / (rows[block] ?? 1));
}

/** A jailed process from nothing to ready, against a Node process that starts and ends. */
async function coldStart({ runs, progress }: SandboxOptions): Promise<Measurement> {
  const [jailed, plain]: [number[], number[]] = [[], []];
  for (let round = 0; round < runs; round += 1) {
    progress(`cold start, run ${round + 1} of ${runs}`);
    await using pool = await WorkerPool.start({ root: ROOT, warmPerKey: 0 });
    const start = performance.now();
    const worker = await pool.lease({ kind: 'javascript', party: 'bench' });
    jailed.push(performance.now() - start);
    await worker.destroy();
    const before = performance.now();
    const { status } = spawnSync(process.execPath, ['-e', '0']);
    plain.push(performance.now() - before);
    if (status !== 0) throw new WrongAnswer('plain Node did not start');
  }
  return measurement({
    section: 'sandbox',
    group: 'cold start of a worker',
    name: 'javascript worker in its jail, ready for a job',
    unit: 'ms',
    runs: jailed,
    floor: { name: 'plain Node, started and ended', runs: plain },
    checked: 'the worker called itself ready',
  });
}
