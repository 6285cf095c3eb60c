import { DifferencingGuard } from '../../runtime/release/differencing.ts';
import type { CellGuard } from '../../runtime/release/cell-guard.ts';
import { LaneGuard, LANES, lanesOf } from '../../runtime/release/lanes.ts';
import { shapeFor, sketchOf } from '../../runtime/release/sketch.ts';
import { measurement, type Measurement } from '../measurement.ts';

const MIN_UNITS = 10;
/** Units of a cell. Cells of fewer share more lanes by chance, and more of them are looked at. */
const UNITS = 100;
const COMPARISONS = 200;

interface Form {
  readonly name: string;
  readonly guard: () => CellGuard;
  readonly cell: (units: readonly bigint[]) => Uint32Array;
}

const SHAPE = shapeFor(MIN_UNITS);
const FORMS: readonly Form[] = [
  {
    name: 'sharp sketches (tables of fewer rows)',
    guard: () => new DifferencingGuard(MIN_UNITS, SHAPE),
    cell: (units) => sketchOf(SHAPE, units),
  },
  {
    name: 'lanes (large tables)',
    guard: () => new LaneGuard(MIN_UNITS, MIN_UNITS),
    // The lane is of the unit and the tag of the row: two hashes.
    cell: (units) => lanesOf(units.map((unit) => ({ lane: Number(unit % BigInt(LANES)), tag: mixed(unit) }))),
  },
];

/** What comparing one cell with everything that was released before costs, against how much that is. */
export function againstPastCells(sizes: readonly number[], runs: number): readonly Measurement[] {
  return FORMS.flatMap(({ name, guard: make, cell }) => {
    const guard = make();
    const random = hashes();
    const units = (): bigint[] => Array.from({ length: UNITS }, () => random.next().value);
    const known = units();
    guard.remember(cell(known));
    return sizes.map((size) => {
      while (guard.size < size) guard.remember(cell(units()));
      const strangers = Array.from({ length: COMPARISONS }, () => cell(units()));
      const perCell = Array.from({ length: Math.max(3, runs) }, () => {
        const before = process.cpuUsage();
        const clear = strangers.filter((one) => guard.compare(one) === 'clear').length;
        const { user, system } = process.cpuUsage(before);
        if (clear < COMPARISONS * 0.95)
          throw new Error(`${name}: ${COMPARISONS - clear} strangers were taken for near`);
        return (user + system) / 1000 / COMPARISONS;
      });
      if (guard.compare(cell(known.slice(1))) !== 'tooClose')
        throw new Error(`${name}: a cell that lacks one unit of an earlier one was let through`);
      return measurement({
        section: 'scale',
        group: 'CPU of comparing one cell against past cells',
        name,
        unit: 'CPU ms',
        at: { axis: 'past cells', value: size },
        runs: perCell,
        checked: 'strangers are let through, and a cell that lacks one unit of an earlier one is not',
      });
    });
  });
}

/** Random-looking 64-bit numbers from a fixed seed (splitmix64). */
function* hashes(): Generator<bigint, never> {
  let state = 2026n;
  for (;;) {
    state = BigInt.asUintN(64, state + 0x9e37_79b9_7f4a_7c15n);
    yield mixed(state);
  }
}

function mixed(state: bigint): bigint {
  const half = BigInt.asUintN(64, (state ^ (state >> 30n)) * 0xbf58_476d_1ce4_e5b9n);
  const word = BigInt.asUintN(64, (half ^ (half >> 27n)) * 0x94d0_49bb_1331_11ebn);
  return word ^ (word >> 31n);
}
