import { cpus } from 'node:os';
import { Worker } from 'node:worker_threads';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import type { Backend } from '../../runtime/homomorphic/backend.ts';
import { chooseParameters } from '../../runtime/homomorphic/choose.ts';
import type { ColumnBlock, ColumnHeader } from '../../runtime/homomorphic/column.ts';
import { decryptTotals, deriveScalars, type ReleasedScalar } from '../../runtime/homomorphic/derive.ts';
import { encryptColumn, type ColumnRows } from '../../runtime/homomorphic/encrypt-column.ts';
import { explainProgram } from '../../runtime/homomorphic/explain.ts';
import { ingestColumn } from '../../runtime/homomorphic/ingest.ts';
import { generateKeyBundles, type PublicBundle } from '../../runtime/homomorphic/keys.ts';
import { assembleCiphertext } from '../../runtime/homomorphic/layout.ts';
import { openKeyedBackend } from '../../runtime/homomorphic/keyed-backend.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { planProgram, type Plan } from '../../runtime/homomorphic/plan.ts';
import { parseProgram } from '../../runtime/homomorphic/program.ts';
import { PROFILES, type ProfileId } from '../../runtime/homomorphic/profiles.ts';
import { outputShape, type ResultPart } from '../../runtime/homomorphic/run.ts';
import { CASES, VALUE_SQL, valueAt, type BenchCase } from './cases.ts';
import { collect } from './collect.ts';
import { blocksIn, computeBlocks } from './compute.ts';
import { encryptionRow } from './encryption.ts';
import { pairedCpu, primitivesOf, type PairedCpu } from './floors.ts';
import { type JobsRow, jobRows } from './jobs.ts';
import { summary, timed, timedAsync, type Timing } from './measure.ts';
import { primitiveRows, type PrimitiveRow } from './primitives.ts';
import { queryRows, type QueryRow } from './queries.ts';
import type { ThreadData } from './thread.ts';

/** What to measure. */
export interface HomomorphicBenchOptions {
  /** Rows per column, e.g. [100_000, 1_000_000]. */
  readonly sizes: readonly number[];
  /** Numbers of parallel workers, e.g. [1, 2]. */
  readonly workers: readonly number[];
  readonly runs: number;
  /** Names of cases; all when not said. */
  readonly programs?: readonly string[];
  readonly primitives?: boolean;
  readonly onRow?: (row: HomomorphicBenchRow) => void;
}

/** One program at one size with one number of workers. */
export interface ProgramRow {
  readonly kind: 'program';
  readonly program: string;
  readonly rows: number;
  readonly columns: number;
  readonly workers: number;
  readonly profiles: readonly ProfileId[];
  readonly scheme: string;
  readonly degree: number;
  readonly modulusBits: number;
  readonly securityBits: number;
  readonly isExact: boolean;
  readonly isCorrect: boolean;
  readonly errorBound: number;
  readonly largestError: number;
  readonly noiseBitsLeftWorstCase: number;
  readonly noiseBitsLeftMeasured: number | null;
  readonly storedMBPerMillionValues: number;
  readonly uploadedMBPerMillionValues: number;
  readonly stages: {
    readonly encodeAndEncryptMs: number;
    readonly takeInMs: number;
    readonly compute: Timing;
    readonly decryptMs: number;
  };
  readonly encryptValuesPerSecond: number;
  readonly computeValuesPerSecond: number;
  readonly plaintextDuckDb: Timing;
  readonly slowdownAgainstDuckDb: number;
  readonly memcpy: Timing;
  readonly slowdownAgainstMemcpy: number;
  /** CPU of the compute stage, and of the same program with the library's operations one by one, turn by turn. */
  readonly beside: PairedCpu;
  /** Throughput of all workers together over that of one; 1 for one worker. */
  readonly scaling: number;
}

export type HomomorphicBenchRow = ProgramRow | PrimitiveRow | QueryRow | JobsRow;

/** A finished measurement with what it ran on; ratios inside one report compare, numbers of two machines do not. */
export interface HomomorphicBenchReport {
  readonly machine: { readonly cpu: string; readonly cores: number; readonly node: string; readonly v8: string };
  readonly rows: readonly HomomorphicBenchRow[];
}

/** Measures programs, queries and primitive operations; every answer is checked against plaintext in the same run. */
export async function runHomomorphicBench(options: HomomorphicBenchOptions): Promise<HomomorphicBenchReport> {
  const rows: HomomorphicBenchRow[] = [];
  const push = (row: HomomorphicBenchRow): void => {
    rows.push(row);
    options.onRow?.(row);
  };
  const backend = await openNodeSealBackend();
  if (options.primitives !== false) {
    for (const id of ['bgv-add-a', 'bgv-wide', 'bgv-product', 'ckks-deep'] as const) {
      for (const row of primitiveRows(backend, id, options.runs, 5)) push(row);
    }
  }
  using database = { instance: await DuckDBInstance.create(':memory:', { threads: '1' }), [Symbol.dispose](): void {} };
  const connection = await database.instance.connect();
  try {
    for (const size of options.sizes) {
      await fill(connection, size);
      for (const bench of CASES) {
        if (options.programs !== undefined && !options.programs.includes(bench.name)) continue;
        for (const row of await programRows(bench, size, options, connection)) push(row);
      }
      if (options.workers.includes(2) && (options.programs === undefined || options.programs.includes('jobs'))) {
        push(await encryptionRow(size, options.runs));
        for (const row of await jobRows(size, options.runs)) push(row);
      }
      if (options.programs === undefined || options.programs.includes('queries')) {
        for (const row of await queryRows(size, options.runs, connection)) push(row);
      }
    }
  } finally {
    connection.closeSync();
    database.instance.closeSync();
  }
  const [cpu] = cpus();
  return {
    machine: { cpu: cpu?.model ?? '', cores: cpus().length, node: process.version, v8: process.versions.v8 },
    rows,
  };
}

async function programRows(
  bench: BenchCase,
  size: number,
  options: HomomorphicBenchOptions,
  connection: DuckDBConnection,
): Promise<readonly ProgramRow[]> {
  const choices = bench.program.columns.map((column) => chooseParameters({ ...bench.intent, column, rows: size }));
  const { open, secret } = generateKeyBundles(
    await openNodeSealBackend(),
    choices.flatMap((choice) => choice.profiles),
  );
  const backend = await openKeyedBackend({ secretKeys: secret.keys, relinearisationKeys: open.keys });
  const columns = [];
  let encryptMs = 0;
  let takeInMs = 0;
  for (const [c, choice] of choices.entries()) {
    const header: ColumnHeader = { ...choice.header, keyId: open.keyId };
    const rows = [...rowsOf(bench, size, c)];
    const start = performance.now();
    const upload = await collect(encryptColumn({ backend }, header, rows));
    encryptMs += performance.now() - start;
    const middle = performance.now();
    const stored = await collect(ingestColumn(backend, [upload.bytes]));
    takeInMs += performance.now() - middle;
    columns.push({
      header: stored.value.header,
      totals: stored.value.stored,
      file: stored.bytes,
      uploadBytes: upload.bytes.byteLength,
    });
  }
  const plan = planProgram(parseProgram(bench.program), columns);
  const blocks = await Promise.all(columns.map(({ file }) => blocksIn(file)));
  let parts: readonly ResultPart[] = [];
  const compute = timed(options.runs, () => {
    parts = computeBlocks(plan, backend, blocks);
  });
  using primitives = primitivesOf(plan, backend, blocks);
  const beside = pairedCpu(options.runs, () => computeBlocks(plan, backend, blocks), primitives.run);
  const memcpy = memcpyOf(blocks, options.runs);
  const plaintextDuckDb = await timedAsync(options.runs, () => connection.runAndReadAll(bench.sql));
  let scalars: readonly ReleasedScalar[] = [];
  const decrypt = timed(1, () => {
    scalars = deriveScalars(plan, decryptTotals(plan, parts, backend));
  });
  const checked = check(bench, size, scalars);
  const explained = explainProgram(plan);
  const stored = columns.reduce((sum, { file }) => sum + file.byteLength, 0);
  const uploaded = columns.reduce((sum, { uploadBytes }) => sum + uploadBytes, 0);
  const values = size * columns.length;
  const rows: ProgramRow[] = [];
  for (const workers of options.workers) {
    const scaling = workers === 1 ? 1 : await scalingOf(bench, plan, columns, open, workers, compute.medianMs);
    rows.push({
      kind: 'program',
      program: bench.name,
      rows: size,
      columns: columns.length,
      workers,
      profiles: explained.profiles,
      scheme: explained.scheme,
      degree: explained.degree,
      modulusBits: explained.modulusBits,
      securityBits: explained.securityBits,
      isExact: explained.isExact,
      isCorrect: checked.isCorrect,
      errorBound: explained.errorBound,
      largestError: checked.largestError,
      noiseBitsLeftWorstCase: explained.noiseBitsLeft,
      noiseBitsLeftMeasured: measuredNoise(plan, parts, backend),
      storedMBPerMillionValues: stored / values,
      uploadedMBPerMillionValues: uploaded / values,
      stages: { encodeAndEncryptMs: encryptMs, takeInMs, compute, decryptMs: decrypt.medianMs },
      encryptValuesPerSecond: (values / encryptMs) * 1000,
      computeValuesPerSecond: (values / compute.medianMs) * 1000 * scaling,
      plaintextDuckDb,
      slowdownAgainstDuckDb: compute.medianMs / scaling / plaintextDuckDb.medianMs,
      memcpy,
      slowdownAgainstMemcpy: compute.medianMs / memcpy.medianMs,
      beside,
      scaling,
    });
  }
  return rows;
}

function* rowsOf(bench: BenchCase, size: number, column: number): Generator<ColumnRows> {
  const isLogistic = bench.program.name === 'logistic';
  const isHistogram = bench.program.name === 'histogram';
  const at = (i: number): number =>
    isHistogram ? valueAt(i, column) % 8 : isLogistic ? valueAt(i, column) / 4000 : valueAt(i, column);
  if (bench.groups === 0) {
    yield { values: Float64Array.from({ length: size }, (_, i) => at(i)) };
    return;
  }
  for (let g = 0; g < bench.groups; g++) {
    const length = Math.ceil((size - g) / bench.groups);
    yield { group: `g${g}`, values: Float64Array.from({ length }, (_, i) => at(i * bench.groups + g)) };
  }
}

async function fill(connection: DuckDBConnection, size: number): Promise<void> {
  const columns = Array.from({ length: 16 }, (_, c) => `${VALUE_SQL(c)} as x${c}`).join(', ');
  await connection.run(`create or replace table t as select ${columns}, i % 16 as g from range(${size}) r(i)`);
}

/** Recomputes every answer in plaintext. */
function check(
  bench: BenchCase,
  size: number,
  scalars: readonly ReleasedScalar[],
): { readonly isCorrect: boolean; readonly largestError: number } {
  const { name, weights = [] } = bench.program;
  const sums = new Map<string, bigint>();
  const add = (key: string, value: number): void => void sums.set(key, (sums.get(key) ?? 0n) + BigInt(value));
  let real = 0;
  for (let i = 0; i < size; i++) {
    if (name === 'logistic') {
      const z = weights.reduce((sum, weight, c) => sum + (weight * valueAt(i, c)) / 4000, 0);
      real += 0.5 + 0.15012 * z - 0.0015930078125 * z ** 3;
    } else if (name === 'linear')
      add(
        '',
        weights.reduce((sum, weight, c) => sum + weight * valueAt(i, c), 0),
      );
    else if (name === 'dot') add('', valueAt(i, 0) * valueAt(i, 1));
    else if (name === 'histogram') add(String(valueAt(i, 0) % 8), 1);
    else if (name === 'groupSums') add(`g${i % bench.groups}`, valueAt(i, 0));
    else add('', valueAt(i, 0));
    if (name === 'variance') add('square', valueAt(i, 0) ** 2);
  }
  const n = BigInt(size);
  const total = sums.get('') ?? 0n;
  const first = scalars[0];
  if (first === undefined) return { isCorrect: false, largestError: Number.POSITIVE_INFINITY };
  if (name === 'logistic') {
    const largestError = Math.abs(first.number - real / size);
    return { isCorrect: largestError <= first.errorBound, largestError };
  }
  if (name === 'variance') {
    const expected = Number(n * (sums.get('square') ?? 0n) - total * total) / Number(n * n);
    const largestError = Math.abs(first.number - expected);
    return { isCorrect: largestError <= 1e-9 * expected, largestError };
  }
  if (name === 'mean' || name === 'linear') {
    const largestError = Math.abs(first.number - Number(total) / size);
    return { isCorrect: largestError <= 1e-12 * Math.abs(first.number), largestError };
  }
  const wanted = name === 'histogram' ? 'count' : name === 'dot' ? 'dot' : 'sum';
  const isCorrect = scalars
    .filter((scalar) => scalar.name === wanted)
    .every((scalar) => scalar.exact === String(sums.get(scalar.group ?? '') ?? 0n));
  return { isCorrect, largestError: isCorrect ? 0 : Number.POSITIVE_INFINITY };
}

function memcpyOf(columns: readonly (readonly ColumnBlock[])[], runs: number): Timing {
  const channels = columns.flatMap((blocks) => blocks.flatMap((block) => block.channels));
  const target = new Uint8Array(channels.reduce((sum, bytes) => sum + bytes.byteLength, 0));
  return timed(runs, () => {
    let at = 0;
    for (const bytes of channels) {
      target.set(bytes, at);
      at += bytes.byteLength;
    }
  });
}

/** Bits the library itself finds left in the results; only the exact schemes have a budget. */
function measuredNoise(plan: Plan, parts: readonly ResultPart[], backend: Backend): number | null {
  let least: number | null = null;
  for (const part of parts) {
    const output = plan.outputs[part.output];
    if (output === undefined || output.work === 'logistic') continue;
    const context = backend.open(PROFILES[output.profile]);
    const shape = outputShape(plan, output);
    using ciphertext = context.load(shape, assembleCiphertext(shape, part.body));
    const bits = context.noiseBudgetBits(ciphertext);
    least = least === null ? bits : Math.min(least, bits);
  }
  return least;
}

async function scalingOf(
  bench: BenchCase,
  plan: Plan,
  columns: readonly { readonly file: Uint8Array }[],
  open: PublicBundle,
  workers: number,
  oneMs: number,
): Promise<number> {
  const data: ThreadData = {
    program: bench.program,
    inputs: plan.inputs.map(({ header, totals }) => ({ header, totals })),
    files: columns.map(({ file }) => file),
    relinearisationKeys: open.keys.flatMap(({ profile, relinearisationKey }) =>
      relinearisationKey === null ? [] : [{ profile, bytes: relinearisationKey }],
    ),
  };
  const threads = Array.from(
    { length: workers },
    () => new Worker(new URL('thread.ts', import.meta.url), { workerData: data, execArgv: [] }),
  );
  const settled = (): Promise<unknown> =>
    Promise.all(
      threads.map((thread) => new Promise((resolve, reject) => thread.once('message', resolve).once('error', reject))),
    );
  try {
    await settled();
    const rounds = Math.max(2, Math.ceil(60 / Math.max(oneMs, 0.05)));
    const lap = async (active: readonly Worker[]): Promise<number> => {
      const start = performance.now();
      await Promise.all(
        active.map(
          (thread) =>
            new Promise((resolve, reject) => {
              thread.once('message', resolve).once('error', reject);
              thread.postMessage({ rounds });
            }),
        ),
      );
      return performance.now() - start;
    };
    const alone: number[] = [];
    const together: number[] = [];
    for (let i = 0; i < 3; i++) {
      alone.push(await lap(threads.slice(0, 1)));
      together.push(await lap(threads));
    }
    return (workers * summary(alone).medianMs) / summary(together).medianMs;
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}
