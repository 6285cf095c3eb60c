/**
 * Complementary suppression for tables with totals (ROLLUP, CUBE, GROUPING SETS): when one cell of a row is withheld and the
 * total is shown, subtraction brings the cell back, so more cells have to go (Hundepool et al., *Statistical Disclosure
 * Control*, 2012, section 4.4).
 *
 * Afterwards no withheld cell follows from the shown ones by the table's equations, and what a single equation tells about
 * its withheld cells together rests on at least the minimum of units. Bounds known from elsewhere (all cells are positive)
 * still narrow withheld cells to intervals; that is the known limit of cell suppression.
 */

/** One cell of a table: the units behind it (a lower bound will do) and whether a rule withheld it. */
export interface TableCell {
  readonly units: number;
  readonly isWithheld: boolean;
}

/** `total` is the sum of `parts`; indexes of cells. */
export interface Equation {
  readonly total: number;
  readonly parts: readonly number[];
}

export const MAX_SUPPRESSION_CELLS = 20_000;

export interface SuppressionRule {
  readonly minUnits: number;
  /** Whether no unit can be in two parts of a total (one row per unit). If not, only the largest part is sure to count. */
  readonly areUnitsDisjoint: boolean;
}

/**
 * The cells to withhold, by index: those given and those that must go with them, smallest first. Deterministic. Throws
 * `RangeError` beyond `MAX_SUPPRESSION_CELLS` or for an equation about a cell that is not there.
 */
export function withComplements(
  cells: readonly TableCell[],
  equations: readonly Equation[],
  rule: SuppressionRule,
): ReadonlySet<number> {
  const everyIndex = equations.flatMap(({ total, parts }) => [total, ...parts]);
  if (cells.length > MAX_SUPPRESSION_CELLS || everyIndex.some((index) => cells[index] === undefined)) {
    throw new RangeError('a table to suppress in is too large or has equations about other cells');
  }
  const withheld = new Set(cells.flatMap((cell, index) => (cell.isWithheld ? [index] : [])));
  // Each round withholds at least one more cell or ends.
  for (;;) {
    const weak = equations.filter((equation) => isWeak(cells, equation, withheld, rule));
    const next = weak.flatMap((equation) => smallestShown(cells, equation, withheld));
    if (next.length > 0) {
      for (const index of next) withheld.add(index);
      continue;
    }
    const recoverable = recoverableCells(equations, withheld);
    if (recoverable.length === 0) return withheld;
    const near = recoverable.flatMap((index) =>
      smallestAround(
        cells,
        equations.filter((one) => concerns(one, index)),
        withheld,
      ),
    );
    // The cells that give one away may be farther off: then the smallest that is tied to any withheld cell goes.
    const more =
      near.length > 0
        ? near
        : smallestAround(
            cells,
            equations.filter((one) => concernsAny(one, withheld)),
            withheld,
          );
    if (more.length === 0) return withheld;
    for (const index of more) withheld.add(index);
  }
}

/** Whether an equation gives back its only withheld cell, or tells about too few units in its withheld cells together. */
function isWeak(
  cells: readonly TableCell[],
  { total, parts }: Equation,
  withheld: ReadonlySet<number>,
  { minUnits, areUnitsDisjoint }: SuppressionRule,
): boolean {
  const hidden = parts.filter((index) => withheld.has(index));
  if (withheld.has(total)) return hidden.length === 0;
  if (hidden.length === 0) return false;
  // The total minus the shown parts is the sum of the hidden ones.
  const units = hidden.map((index) => cells[index]?.units ?? 0);
  const together = areUnitsDisjoint ? units.reduce((sum, one) => sum + one, 0) : Math.max(...units);
  return hidden.length === 1 || together < minUnits;
}

function smallestShown(
  cells: readonly TableCell[],
  { total, parts }: Equation,
  withheld: ReadonlySet<number>,
): readonly number[] {
  const shown = parts.filter((index) => !withheld.has(index));
  const candidates = shown.length > 0 ? shown : withheld.has(total) ? [] : [total];
  return candidates.toSorted((a, b) => (cells[a]?.units ?? 0) - (cells[b]?.units ?? 0) || a - b).slice(0, 1);
}

function concerns({ total, parts }: Equation, index: number): boolean {
  return total === index || parts.includes(index);
}

function concernsAny({ total, parts }: Equation, indexes: ReadonlySet<number>): boolean {
  return indexes.has(total) || parts.some((part) => indexes.has(part));
}

/** The smallest shown cell of some equations, parts and totals alike; none when all are withheld. */
function smallestAround(
  cells: readonly TableCell[],
  equations: readonly Equation[],
  withheld: ReadonlySet<number>,
): readonly number[] {
  const shown = equations.flatMap(({ total, parts }) => [total, ...parts]).filter((index) => !withheld.has(index));
  return shown.toSorted((a, b) => (cells[a]?.units ?? 0) - (cells[b]?.units ?? 0) || a - b).slice(0, 1);
}

/**
 * Withheld cells that follow from the shown ones: those e with e = Σ (multiples of equations) over shown cells. Found by
 * elimination over a prime field; coefficients are −1, 0 and 1, so a solution over the rationals is one there too, unless
 * the prime divides a minor, which for this prime and tables of this size can be ruled out in practice.
 */
export function recoverableCells(equations: readonly Equation[], withheld: ReadonlySet<number>): readonly number[] {
  const rows = equations
    .map(({ total, parts }) => {
      const row = new Map<number, number>();
      if (withheld.has(total)) row.set(total, 1);
      for (const part of parts) if (withheld.has(part)) row.set(part, PRIME - 1);
      return row;
    })
    .filter((row) => row.size > 0);
  const reduced: { pivot: number; row: Map<number, number> }[] = [];
  for (const row of rows) {
    for (const { pivot, row: other } of reduced) subtractMultiple(row, other, pivot);
    const pivot = row.keys().next().value;
    if (pivot === undefined) continue;
    scale(row, inverse(row.get(pivot) ?? 1));
    for (const earlier of reduced) subtractMultiple(earlier.row, row, pivot);
    reduced.push({ pivot, row });
  }
  return reduced.flatMap(({ pivot, row }) => (row.size === 1 ? [pivot] : []));
}

/** Prime below 2²⁶, so that products stay exact in doubles. */
const PRIME = 67_108_859;

function subtractMultiple(row: Map<number, number>, other: ReadonlyMap<number, number>, pivot: number): void {
  const factor = row.get(pivot);
  if (factor === undefined) return;
  for (const [index, value] of other) {
    const next = ((row.get(index) ?? 0) + (PRIME - ((factor * value) % PRIME))) % PRIME;
    if (next === 0) row.delete(index);
    else row.set(index, next);
  }
}

function scale(row: Map<number, number>, factor: number): void {
  for (const [index, value] of row) row.set(index, (value * factor) % PRIME);
}

function inverse(value: number): number {
  let [result, base, exponent] = [1, value, PRIME - 2];
  while (exponent > 0) {
    if (exponent % 2 === 1) result = (result * base) % PRIME;
    base = (base * base) % PRIME;
    exponent = Math.floor(exponent / 2);
  }
  return result;
}

/** A row of a table with totals: its key, and for each key column whether the row is grouped by it (else it is a total). */
export interface GroupedRow {
  readonly key: readonly string[];
  readonly isGrouped: readonly boolean[];
}

/**
 * The equations among the rows of GROUPING SETS: each row is the sum of the rows that are grouped by one or more further
 * columns and agree with it, for each finer grouping set of the table.
 */
export function equationsOf(rows: readonly GroupedRow[]): readonly Equation[] {
  const sets = new Map<string, { isGrouped: readonly boolean[]; members: number[] }>();
  for (const [index, { isGrouped }] of rows.entries()) {
    const name = isGrouped.map(Number).join('');
    const set = sets.get(name);
    if (set === undefined) sets.set(name, { isGrouped, members: [index] });
    else set.members.push(index);
  }
  const all = [...sets.values()];
  return all.flatMap((coarse) =>
    all.filter((fine) => isFiner(fine.isGrouped, coarse.isGrouped)).flatMap((fine) => pairUp(rows, coarse, fine)),
  );
}

function isFiner(fine: readonly boolean[], coarse: readonly boolean[]): boolean {
  return (
    coarse.every((grouped, i) => !grouped || fine[i] === true) &&
    fine.some((grouped, i) => grouped && coarse[i] !== true)
  );
}

function pairUp(
  rows: readonly GroupedRow[],
  coarse: { isGrouped: readonly boolean[]; members: readonly number[] },
  fine: { members: readonly number[] },
): readonly Equation[] {
  const sharedKey = (index: number): string =>
    JSON.stringify(rows[index]?.key.filter((_, i) => coarse.isGrouped[i] === true) ?? []);
  const parts = Map.groupBy(fine.members, sharedKey);
  return coarse.members.map((total) => ({ total, parts: parts.get(sharedKey(total)) ?? [] }));
}
