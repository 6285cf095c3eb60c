import { chooseParameters } from '../../runtime/homomorphic/choose.ts';
import type { ColumnHeader } from '../../runtime/homomorphic/column.ts';
import { decryptTotals, deriveScalars } from '../../runtime/homomorphic/derive.ts';
import { encryptColumn } from '../../runtime/homomorphic/encrypt-column.ts';
import { ingestColumn } from '../../runtime/homomorphic/ingest.ts';
import type { HomomorphicJob } from '../../runtime/homomorphic/job.ts';
import { generateKeyBundles, writeBundle } from '../../runtime/homomorphic/keys.ts';
import { openKeyedBackend } from '../../runtime/homomorphic/keyed-backend.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { planProgram } from '../../runtime/homomorphic/plan.ts';
import { parseProgram } from '../../runtime/homomorphic/program.ts';
import { readResult } from '../../runtime/homomorphic/result-file.ts';
import { type HomomorphicJobOutcome, runHomomorphicJob } from '../../runtime/homomorphic/run-job.ts';
import { WorkerPool } from '../../runtime/sandbox/pool.ts';
import { valueAt } from './cases.ts';
import { collect } from './collect.ts';
import { blocksIn, computeBlocks } from './compute.ts';

/**
 * Whole jobs as the gateway runs them: a leased worker in the jail, bytes over its pipe, the answer back. One worker
 * and two, turn by turn, each worker with the same number of jobs; and the compute stage alone, which is their floor.
 */
export interface JobsRow {
  readonly kind: 'jobs';
  readonly program: string;
  /** Jailed workers of a runtime, or threads of a key holder. */
  readonly setting: 'workers' | 'threads';
  readonly rows: number;
  readonly columns: number;
  readonly isCorrect: boolean;
  /** Milliseconds of one job with one worker, and with two at once; by turn. */
  readonly aloneMs: readonly number[];
  readonly togetherMs: readonly number[];
  /** Throughput of two workers over that of one, by turn: 2 is as good as it gets on two cores. */
  readonly scaling: readonly number[];
  /** Milliseconds of the compute stage in this process, without jail and pipe; by turn. */
  readonly computeMs: readonly number[];
}

interface Job {
  readonly name: string;
  readonly columns: number;
  readonly job: HomomorphicJob;
  readonly inputs: readonly Uint8Array[];
  readonly compute: () => unknown;
  readonly isCorrect: (outcome: HomomorphicJobOutcome) => boolean;
}

/** Bytes as a file gives them to the gateway. */
const CHUNK_BYTES = 1 << 20;

/** Measures taking a column in, a sum and a logistic score as whole jobs. */
export async function jobRows(size: number, turns: number): Promise<readonly JobsRow[]> {
  const jobs = await makeJobs(size);
  await using pool = await WorkerPool.start({ root: new URL('../..', import.meta.url).pathname, warmPerKey: 2 });
  const run = async ({ job, inputs }: Job): Promise<HomomorphicJobOutcome> => {
    const worker = await pool.lease({ kind: 'homomorphic', party: 'bench' });
    try {
      const outcome = await runHomomorphicJob(worker, job, inputs.map(pieces));
      worker.release();
      return outcome;
    } catch (error) {
      await worker.destroy();
      throw error;
    }
  };
  const rows: JobsRow[] = [];
  for (const one of jobs) {
    // both workers are started and warm, and the answer is looked at, before anything is measured
    const outcomes = await Promise.all([run(one), run(one)]);
    const isCorrect = outcomes.every((outcome) => one.isCorrect(outcome));
    const [aloneMs, togetherMs, computeMs]: [number[], number[], number[]] = [[], [], []];
    for (let turn = 0; turn < turns; turn++) {
      // a worker serves one job; the pool starts its successor beside the next job, which is not what is measured
      await pool.prewarm({ kind: 'homomorphic' }, 2);
      aloneMs.push(await elapsed(() => run(one)));
      await pool.prewarm({ kind: 'homomorphic' }, 2);
      togetherMs.push(await elapsed(() => Promise.all([run(one), run(one)])));
      computeMs.push(await elapsed(async () => one.compute()));
    }
    const scaling = aloneMs.map((alone, turn) => (2 * alone) / (togetherMs[turn] ?? Number.NaN));
    const { name: program, columns } = one;
    const measured = { aloneMs, togetherMs, scaling, computeMs };
    rows.push({ kind: 'jobs', program, setting: 'workers', rows: size, columns, isCorrect, ...measured });
  }
  return rows;
}

async function makeJobs(size: number): Promise<readonly Job[]> {
  const { open, secret } = generateKeyBundles(await openNodeSealBackend(), ['bgv-add-a', 'ckks-deep']);
  const backend = await openKeyedBackend({ secretKeys: secret.keys, relinearisationKeys: open.keys });
  const columnOf = async (header: ColumnHeader, valueOf: (i: number) => number) => {
    const values = Float64Array.from({ length: size }, (_, i) => valueOf(i));
    const upload = await collect(encryptColumn({ backend }, header, [{ values }]));
    const stored = await collect(ingestColumn(backend, [upload.bytes]));
    const { header: full, stored: totals } = stored.value;
    return { upload: upload.bytes, file: stored.bytes, header: full, totals };
  };
  const exact = chooseParameters({ column: 'x', programs: ['sum'], low: 0, high: 4000, decimals: 0, rows: size });
  const real = chooseParameters({ column: 'x', programs: ['logistic'], low: 0, high: 1, decimals: 0, rows: size });
  const whole = await columnOf({ ...exact.header, keyId: open.keyId }, (i) => valueAt(i, 0));
  const score = await columnOf({ ...real.header, keyId: open.keyId }, (i) => valueAt(i, 0) / 4000);
  const programs = [
    { name: 'sum', column: whole, program: { name: 'sum', columns: ['x'] }, keys: [] },
    {
      name: 'logistic',
      column: score,
      program: { name: 'logistic', columns: ['x'], weights: [1] },
      keys: ['ckks-deep'],
    },
  ] as const;
  const jobs = await Promise.all(
    programs.map(async ({ name, column, program, keys }): Promise<Job> => {
      const { header, totals, file } = column;
      const plan = planProgram(parseProgram(program), [{ header, totals }]);
      const blocks = [await blocksIn(file)];
      const expected = deriveScalars(plan, decryptTotals(plan, computeBlocks(plan, backend, blocks), backend));
      return {
        name: `${name}, whole job`,
        columns: 1,
        job: { kind: 'encryptedData', program: plan.program, columns: [{ header, totals }], relinearisationKeys: keys },
        inputs: [...(keys.length > 0 ? [Buffer.from(writeBundle(open))] : []), file],
        compute: () => computeBlocks(plan, backend, blocks),
        isCorrect: ({ output }) => {
          const told = deriveScalars(plan, decryptTotals(plan, readResult(plan, output), backend));
          return told.every((scalar, i) => scalar.number === expected[i]?.number);
        },
      };
    }),
  );
  const takeIn: Job = {
    name: 'taking a column in, whole job',
    columns: 1,
    job: { kind: 'ingest' },
    inputs: [whole.upload],
    compute: () => collect(ingestColumn(backend, [whole.upload])),
    isCorrect: ({ output }) => Buffer.compare(output, whole.file) === 0,
  };
  return [takeIn, ...jobs];
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
}

async function elapsed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
