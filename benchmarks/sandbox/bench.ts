import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { hugePageEnvironment } from '../../runtime/sandbox/huge-pages.ts';
import { assignBlocks, type BlockOutput } from '../../runtime/sandbox/javascript/blocks.ts';
import { pooledWorkers } from '../../runtime/sandbox/javascript/pooled-workers.ts';
import { factoryText } from '../../runtime/sandbox/javascript/prepare.ts';
import { runBlocks } from '../../runtime/sandbox/javascript/run-blocks.ts';
import { WorkerPool } from '../../runtime/sandbox/pool.ts';
import { measurement, type Measurement, WrongAnswer } from '../measurement.ts';
import { numbers, type Numbers, ROWS_PER_UNIT } from './data.ts';
import { ARITHMETIC } from './expressions.ts';
import { rate, rowFunctions, rowSum, TERMS, type Warm } from './row-functions.ts';

export interface SandboxOptions {
  readonly rows: number;
  readonly runs: number;
  readonly isQuick: boolean;
  readonly progress: (text: string) => void;
}

const ROOT = join(import.meta.dirname, '..', '..');

/** Consumer code in the jail against the same work without one. */
export async function benchSandbox(
  options: SandboxOptions,
): Promise<{ readonly measurements: readonly Measurement[]; readonly isolation: string }> {
  await using pool = await WorkerPool.start({ root: ROOT });
  const warm: Warm = {
    pool,
    workers: pooledWorkers(pool, { party: 'bench' }),
    ready: () => pool.prewarm({ kind: 'javascript', tier: TERMS.tier }, 1),
  };
  return {
    measurements: [
      ...(await rowFunctions(warm, options)),
      ...(await smallJobs(warm, options)),
      ...(await blocks(warm, options)),
      transfer(options),
      await coldStart(options),
    ],
    isolation: pool.isolation.level,
  };
}

/** A job whose computing costs nothing: what a lease, the kernel and the way there and back take. */
async function smallJobs(
  { workers, ready }: Warm,
  { isQuick, progress }: SandboxOptions,
): Promise<readonly Measurement[]> {
  progress('small jobs in a warm worker');
  const tiny = numbers(100);
  const expected = BigInt(ARITHMETIC.bare(tiny));
  const [jailed, loop]: [number[], number[]] = [[], []];
  for (let round = 0; round < (isQuick ? 10 : 50); round += 1) {
    await ready();
    let start = performance.now();
    const sum = await rowSum(workers, tiny.source);
    jailed.push(performance.now() - start);
    start = performance.now();
    ARITHMETIC.bare(tiny);
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

/**
 * 100 MB of columns into an isolate of their own: beside the same isolate over eight rows, which is what a fresh one costs. Until
 * the answer is there: the isolate ends behind it, in a worker as here.
 */
function transfer({ runs, progress }: SandboxOptions): Measurement {
  progress('columns into an isolate');
  const script = join(import.meta.dirname, 'transfer.ts');
  const { stdout } = spawnSync(process.execPath, ['--no-node-snapshot', '--no-turbofan', script, `${runs}`], {
    encoding: 'utf8',
    env: { ...process.env, ...hugePageEnvironment }, // as in the jail
  });
  const { large, small } = JSON.parse(stdout) as { large: readonly number[]; small: readonly number[] };
  const one = measurement({
    section: 'sandbox',
    group: '100 MB of columns into an isolate',
    name: 'a fresh isolate, the columns moved in, the last value read',
    unit: 'ms',
    runs: large,
    floor: { name: 'the same with eight rows', runs: small },
    checked: 'the guest answers the last value',
  });
  const added = one.value.median - (one.floor?.value.median ?? 0);
  return { ...one, goal: { text: `${added.toFixed(1)} ms more than for eight rows ≤ 10 ms`, isMet: added <= 10 } };
}

/**
 * A jailed process from nothing to ready, against a Node process that loads the same add-on, makes one isolate and ends. The pool
 * has started a worker of this image before: what is measured is a process, not the first reading of the image.
 */
async function coldStart({ runs, progress }: SandboxOptions): Promise<Measurement> {
  const [jailed, plain]: [number[], number[]] = [[], []];
  await using pool = await WorkerPool.start({ root: ROOT, warmPerKey: 0 });
  const start = async (): Promise<number> => {
    const before = performance.now();
    const worker = await pool.lease({ kind: 'javascript', party: 'bench' });
    const took = performance.now() - before;
    await worker.destroy();
    return took;
  };
  await start();
  for (let round = 0; round < runs; round += 1) {
    progress(`cold start, run ${round + 1} of ${runs}`);
    jailed.push(await start());
    const before = performance.now();
    const { status } = spawnSync(process.execPath, ['--no-node-snapshot', '-e', FLOOR], { cwd: ROOT });
    plain.push(performance.now() - before);
    if (status !== 0) throw new WrongAnswer('plain Node did not start');
  }
  return measurement({
    section: 'sandbox',
    group: 'cold start of a worker',
    name: 'javascript worker in its jail, ready for a job',
    unit: 'ms',
    runs: jailed,
    floor: { name: 'plain Node with the add-on and one isolate, started and ended', runs: plain },
    checked: 'the worker called itself ready',
  });
}

/** The add-on needs the flag that the floor is started with. */
const FLOOR = `const { Isolate } = require('isolated-vm'); const isolate = new Isolate({ memoryLimit: 16 }); isolate.createContextSync().evalSync('1 + 1'); isolate.dispose();`;
