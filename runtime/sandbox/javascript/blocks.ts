import { createCipheriv, createHash } from 'node:crypto';
import type { BatchPart, ColumnBatch } from './columns.ts';
import { javascriptLimits } from './limits.ts';
import { gridOf } from './row-function/reducer.ts';
import type { Grid, OutputSpec } from './row-function/reducer.ts';
import { statusOf } from './status.ts';
import type { BlockStatus } from './status.ts';

/**
 * Sample and aggregate (Nissim, Raskhodnikova, Smith 2007; GUPT, SIGMOD 2012): arbitrary code runs on disjoint blocks of
 * privacy units, each block gives numbers in declared ranges, and only their aggregate leaves, with noise.
 *
 * Argument. With a fresh key every unit falls into a block that is uniform and independent of all others (AES in counter
 * mode as a pseudorandom function of the unit's number). Couple the assignments of two neighbouring datasets so that all
 * common units agree: then they differ in the rows of one block only. A block's numbers are a function of its own rows: it
 * runs in an isolate of its own, with the job's clock and a seed that depends on the block's number alone; it runs also
 * when it is empty; and failing, hanging or dying gives the declared default for this block and leaves the others as they
 * are, because the gateway goes on with a new worker. So one unit moves one of the B integers of each output by at most
 * `high − low`, and the sum of an output by as much. (The renumbering of units when one is added does not matter: the
 * numbers are only names for independent uniform draws.)
 */
export function assignBlocks(key: Uint8Array, units: number, blocks: number): Int32Array {
  if (key.length < 16) throw new RangeError('a block key has at least 16 bytes');
  if (units > javascriptLimits.units || blocks < 1 || blocks > javascriptLimits.blocks)
    throw new RangeError('too many units or blocks');
  const assignment = new Int32Array(units);
  const cipher = createCipheriv(
    'aes-256-ctr',
    createHash('sha256').update('glovebox/blocks/1').update(key).digest(),
    new Uint8Array(16),
  );
  const chunk = 65_536;
  const zeros = new Uint8Array(chunk * 8);
  for (let first = 0; first < units; first += chunk) {
    const count = Math.min(chunk, units - first);
    const stream = cipher.update(zeros.subarray(0, count * 8));
    // 48 bits: the remainder by at most 2000 blocks is uniform to 2^-37.
    for (let i = 0; i < count; i++) assignment[first + i] = stream.readUIntLE(i * 8, 6) % blocks;
  }
  return assignment;
}

/** Sorts the rows of all batches into blocks; a row keeps its place among the rows of its block. */
export function partition(
  batches: readonly ColumnBatch[],
  blockOfUnit: Int32Array,
  blocks: number,
): readonly (readonly BatchPart[])[] {
  const parts: BatchPart[][] = Array.from({ length: blocks }, () => []);
  for (const batch of batches) {
    const { unit } = batch;
    if (unit === undefined) throw new RangeError('a batch has no unit numbers');
    const starts = new Int32Array(blocks + 1);
    for (let i = 0; i < batch.rows; i++) {
      const block = blockOfUnit[unit[i] ?? -1];
      if (block === undefined) throw new RangeError('a row of an unknown unit');
      starts[block + 1] = (starts[block + 1] ?? 0) + 1;
    }
    for (let b = 0; b < blocks; b++) starts[b + 1] = (starts[b + 1] ?? 0) + (starts[b] ?? 0);
    const next = starts.slice();
    const sorted = new Int32Array(batch.rows);
    for (let i = 0; i < batch.rows; i++) {
      const block = blockOfUnit[unit[i] ?? -1] ?? 0;
      const at = next[block] ?? 0;
      sorted[at] = i;
      next[block] = at + 1;
    }
    parts.forEach((part, b) => part.push({ batch, pick: sorted.subarray(starts[b], starts[b + 1]) }));
  }
  return parts;
}

/** An output of block code: a range and the value that stands for a block that gave none. */
export interface BlockOutput extends OutputSpec {
  readonly default: number;
}

export interface BlockValues {
  /** for the operator only: a consumer may not learn which block failed, or that one did */
  readonly status: BlockStatus;
  /** one integer per output, `value = lo + step · integer`, between 0 and the number of levels */
  readonly integers: readonly number[];
}

/** The grid of a block output: counted from `lo`, so that every integer is between 0 and `high`. */
export function blockGrid(output: OutputSpec): Grid {
  return gridOf(output, output.range[0], 20);
}

/**
 * Reads a block's answer of exactly `1 + 8k` bytes from a hostile worker and makes it canonical: anything but a finite
 * number of a good block becomes the default; NaN payloads, −0 and low bits (all channels) are gone after clamping and
 * rounding to the grid. Undefined for bytes that are no answer at all: the worker must die.
 */
export function decodeBlock(bytes: Uint8Array, outputs: readonly BlockOutput[]): BlockValues | undefined {
  const status = statusOf(bytes[0]);
  if (bytes.length !== 1 + 8 * outputs.length || status === undefined) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = outputs.map((_, i) => (status === 'ok' ? view.getFloat64(1 + 8 * i, true) : Number.NaN));
  const isWhole = values.every(Number.isFinite);
  return {
    status: status === 'ok' && !isWhole ? 'wrongType' : status,
    integers: outputs.map((output, i) => integerOf(values[i], output)),
  };
}

/** The values of a block that never answered. */
export function lostBlock(outputs: readonly BlockOutput[]): BlockValues {
  return { status: 'lost', integers: outputs.map((output) => integerOf(undefined, output)) };
}

function integerOf(value: number | undefined, output: BlockOutput): number {
  const grid = blockGrid(output);
  const known = value !== undefined && Number.isFinite(value) ? value : output.default;
  const clamped = known < grid.lo ? grid.lo : known > grid.hi ? grid.hi : known;
  return Math.min(grid.high, Math.max(0, Math.round((clamped - grid.lo) / grid.step))) + 0;
}

/** Exact integers of a job in blocks, for the mechanism that adds noise. */
export interface BlockOutcome {
  readonly outputs: readonly BlockOutput[];
  /** size of one grid step per output */
  readonly steps: readonly number[];
  readonly blocks: readonly BlockValues[];
  /** sum over the blocks per output; `mean = lo + step · sum / B` */
  readonly sums: readonly bigint[];
  readonly sensitivity: {
    readonly neighbours: 'addOrRemoveOneUnit';
    readonly perCell: readonly bigint[];
    readonly l1: bigint;
    readonly l2Squared: bigint;
  };
}

/** Sums the blocks and states how far one privacy unit can move the sums. */
export function summariseBlocks(outputs: readonly BlockOutput[], blocks: readonly BlockValues[]): BlockOutcome {
  const perCell = outputs.map((output) => BigInt(blockGrid(output).high));
  const sums = outputs.map((_, i) => blocks.reduce((sum, block) => sum + BigInt(block.integers[i] ?? 0), 0n));
  const l1 = perCell.reduce((sum, each) => sum + each, 0n);
  const l2Squared = perCell.reduce((sum, each) => sum + each * each, 0n);
  const steps = outputs.map((output) => blockGrid(output).step);
  return { outputs, steps, blocks, sums, sensitivity: { neighbours: 'addOrRemoveOneUnit', perCell, l1, l2Squared } };
}

/** Turns noisy sums into values: the mean over blocks, in the declared range. Post-processing of a released result. */
export function meansOfBlocks(
  outputs: readonly OutputSpec[],
  noisySums: readonly bigint[],
  blocks: number,
): readonly number[] {
  return outputs.map((output, i) => {
    const grid = blockGrid(output);
    const mean = grid.lo + (grid.step * Number(noisySums[i] ?? 0n)) / blocks;
    return Math.min(grid.hi, Math.max(grid.lo, mean));
  });
}

export interface BlockAdvice {
  readonly blocks: number;
  /** units per block on average */
  readonly unitsPerBlock: number;
  /** per output: standard deviation of the noise of the mean, in the output's unit */
  readonly noiseStandardDeviation: readonly number[];
}

/**
 * Recommends a number of blocks B from public numbers alone. The noise of the mean falls as √2·k/(B·ε) ranges, while the bias
 * of a smooth estimator on a block of n/B units grows as B/n ranges (Smith 2011, "Privacy-preserving statistical estimation
 * with optimal convergence rates"): their sum is least at B = √(√2·k·n/ε). A block keeps at least 30 units.
 */
export function recommendBlocks(known: {
  readonly units: number;
  readonly epsilon: number;
  readonly outputs: readonly OutputSpec[];
}): BlockAdvice {
  const balanced = Math.sqrt((Math.SQRT2 * known.outputs.length * known.units) / known.epsilon);
  const blocks = Math.max(1, Math.floor(Math.min(javascriptLimits.blocks, known.units / 30, balanced)));
  return { blocks, unitsPerBlock: known.units / blocks, noiseStandardDeviation: blockNoise({ ...known, blocks }) };
}

/** Standard deviation of the noise on each mean when Laplace noise shares `epsilon` evenly over the outputs. */
export function blockNoise(known: {
  readonly blocks: number;
  readonly epsilon: number;
  readonly outputs: readonly OutputSpec[];
}): readonly number[] {
  return known.outputs.map(
    ({ range: [lo, hi] }) => (Math.SQRT2 * known.outputs.length * (hi - lo)) / (known.blocks * known.epsilon),
  );
}
