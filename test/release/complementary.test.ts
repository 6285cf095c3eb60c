import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  equationsOf,
  recoverableCells,
  withComplements,
  type GroupedRow,
  type TableCell,
} from '../../runtime/release/complementary.ts';

const RULE = { minUnits: 10, areUnitsDisjoint: true };

/** A cube over two columns: every cell with its totals, units added up. */
function cube(units: readonly (readonly number[])[]): { rows: GroupedRow[]; cells: TableCell[] } {
  const rows: GroupedRow[] = [];
  const cells: TableCell[] = [];
  const add = (key: string[], isGrouped: boolean[], count: number): void => {
    rows.push({ key, isGrouped });
    cells.push({ units: count, isWithheld: count < RULE.minUnits });
  };
  units.forEach((line, i) => line.forEach((count, j) => count > 0 && add([`r${i}`, `c${j}`], [true, true], count)));
  units.forEach((line, i) => add([`r${i}`, ''], [true, false], sum(line)));
  (units[0] ?? []).forEach((_, j) => add(['', `c${j}`], [false, true], sum(units.map((line) => line[j] ?? 0))));
  add(['', ''], [false, false], sum(units.flat()));
  return { rows, cells };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

const sorted = (indexes: Iterable<number>): number[] => [...indexes].toSorted((a, b) => a - b);

describe('complementary suppression', () => {
  it('a single withheld part takes the next smallest part along, because the total would give it back', () => {
    const rows: GroupedRow[] = ['a', 'b', 'c', ''].map((name) => ({ key: [name], isGrouped: [name !== ''] }));
    const cells = [4, 30, 50, 84].map((units) => ({ units, isWithheld: units < 10 }));
    assert.deepEqual([...withComplements(cells, equationsOf(rows), RULE)], [0, 1]);
  });

  it('nothing goes when nothing was withheld', () => {
    const { rows, cells } = cube([
      [20, 30],
      [40, 50],
    ]);
    assert.equal(withComplements(cells, equationsOf(rows), RULE).size, 0);
  });

  it('two withheld parts over too few units together take a third along', () => {
    const rows: GroupedRow[] = ['a', 'b', 'c', ''].map((name) => ({ key: [name], isGrouped: [name !== ''] }));
    const cells = [4, 3, 50, 57].map((units) => ({ units, isWithheld: units < 10 }));
    assert.deepEqual(sorted(withComplements(cells, equationsOf(rows), RULE)), [0, 1, 2]);
  });

  it('when units can be in several parts, only the largest withheld part counts', () => {
    const rows: GroupedRow[] = ['a', 'b', 'c', ''].map((name) => ({ key: [name], isGrouped: [name !== ''] }));
    const cells = [9, 9, 50, 60].map((units) => ({ units, isWithheld: units < 10 }));
    assert.equal(withComplements(cells, equationsOf(rows), RULE).size, 2);
    assert.equal(withComplements(cells, equationsOf(rows), { ...RULE, areUnitsDisjoint: false }).size, 3);
  });

  it('in any cube, no withheld cell can be solved for, and no equation tells about too few units', () => {
    const tables = fc.array(
      fc.array(fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 60 })), {
        minLength: 3,
        maxLength: 3,
      }),
      {
        minLength: 1,
        maxLength: 5,
      },
    );
    fc.assert(
      fc.property(tables, (units) => {
        const { rows, cells } = cube(units);
        const equations = equationsOf(rows);
        const withheld = withComplements(cells, equations, RULE);
        for (const [index, cell] of cells.entries()) if (cell.isWithheld) assert.ok(withheld.has(index));
        if (withheld.size < cells.length) assert.deepEqual(recoverableCells(equations, withheld), []);
        for (const { total, parts } of equations) {
          const hidden = parts.filter((part) => withheld.has(part));
          if (withheld.has(total) || hidden.length === 0) continue;
          assert.ok(hidden.length > 1 && sum(hidden.map((part) => cells[part]?.units ?? 0)) >= RULE.minUnits);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('a cell that only a combination of equations gives back is found', () => {
    // Rows a+b and b+c and c+a known: each single equation has two unknowns, together they give all three.
    const equations = [
      { total: 3, parts: [0, 1] },
      { total: 4, parts: [1, 2] },
      { total: 5, parts: [2, 0] },
    ];
    assert.deepEqual(sorted(recoverableCells(equations, new Set([0, 1, 2]))), [0, 1, 2]);
    const cells = [9, 9, 9, 18, 18, 18].map((units, i) => ({ units, isWithheld: i < 3 }));
    const withheld = withComplements(cells, equations, RULE);
    assert.ok(withheld.size > 3);
    assert.deepEqual(recoverableCells(equations, withheld), []);
  });

  it('the equations of a rollup tie each total to its parts on every finer level', () => {
    const rows: GroupedRow[] = [
      { key: ['n', 'x'], isGrouped: [true, true] },
      { key: ['n', 'y'], isGrouped: [true, true] },
      { key: ['s', 'x'], isGrouped: [true, true] },
      { key: ['n', ''], isGrouped: [true, false] },
      { key: ['s', ''], isGrouped: [true, false] },
      { key: ['', ''], isGrouped: [false, false] },
    ];
    const found = equationsOf(rows).map(({ total, parts }) => [total, ...parts].join());
    assert.deepEqual(new Set(found), new Set(['3,0,1', '4,2', '5,0,1,2', '5,3,4']));
  });

  it('an equation about a cell that is not there is a fault', () => {
    assert.throws(
      () => withComplements([{ units: 1, isWithheld: false }], [{ total: 0, parts: [1] }], RULE),
      RangeError,
    );
  });
});
