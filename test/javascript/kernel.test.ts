import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInThisContext } from 'node:vm';
import { fc } from '../property.ts';
import { encodeBatch, layoutOf, wireKinds } from '../../runtime/sandbox/javascript/columns.ts';
import type { ColumnBatch, ColumnSpec } from '../../runtime/sandbox/javascript/columns.ts';
import { checkRowFunction } from '../../runtime/sandbox/javascript/row-function/check.ts';
import type { CheckedRowFunction } from '../../runtime/sandbox/javascript/row-function/check.ts';
import { finishReducer } from '../../runtime/sandbox/javascript/row-function/finish.ts';
import { printKernel } from '../../runtime/sandbox/javascript/row-function/kernel.ts';
import { pairsOf, planReducer, sensitivityOf } from '../../runtime/sandbox/javascript/row-function/reducer.ts';
import type { Grid, OutputSpec, Reducer } from '../../runtime/sandbox/javascript/row-function/reducer.ts';

const columns: readonly ColumnSpec[] = [
  { name: 'x', kind: 'float64', isNullable: true },
  { name: 'y', kind: 'float64', isNullable: false },
  { name: 'g', kind: 'dictionary', isNullable: false },
];
const outputs: readonly OutputSpec[] = [
  { name: 'a', range: [-5, 10] },
  { name: 'b', range: [0, 3] },
];
const source = '(r) => [r.x, r.y]';
const groups = 3;

interface Row {
  readonly x: number | undefined;
  readonly y: number;
  readonly g: number;
  readonly unit: number;
}

function batchOf(rows: readonly Row[]): ColumnBatch {
  return {
    rows: rows.length,
    columns: [
      {
        values: Float64Array.from(rows, (row) => row.x ?? 0),
        validity: Uint8Array.from(rows, (row) => Number(row.x !== undefined)),
      },
      { values: Float64Array.from(rows, (row) => row.y) },
      { values: Int32Array.from(rows, (row) => row.g) },
    ],
    unit: Int32Array.from(rows, (row) => row.unit),
  };
}

function checkedFor(reducer: Reducer, rowsPerUnit = 2): CheckedRowFunction {
  const checked = checkRowFunction(source, { columns, outputs, reducer, rowsPerUnit });
  if (checked.kind === 'refused') throw new Error(checked.reasons[0]?.message);
  return checked;
}

/** With groups and counted units; or without groups, units bounded in the kernel; or without groups and without units. */
type Shape = 'counted' | 'bounded' | 'plain';

/** Runs the printed kernel in this process, which is fine: its text is ours. */
function runKernel(
  reducer: Reducer,
  batches: readonly (readonly Row[])[],
  rowsPerUnit = 2,
  shape: Shape = 'counted',
): { cells: number[]; units: number[] } {
  const checked = checkedFor(reducer, rowsPerUnit);
  const kernel = printKernel(checked.program, {
    columns,
    reducer,
    plan: checked.plan,
    parameters: {},
    codeOf: () => undefined,
    ...(shape === 'counted' ? { groupBy: { column: 'g', keys: [0, 2, undefined] } } : {}),
    ...(shape === 'plain' ? {} : { units: { count: 8, rowsPerUnit, isCounted: shape === 'counted' } }),
  });
  const run = runInThisContext(kernel) as (buffer?: ArrayBuffer, rows?: number, ...offsets: number[]) => Float64Array;
  for (const rows of batches) {
    const withUnit = shape !== 'plain';
    const { places } = layoutOf(wireKinds(columns, withUnit), rows.length);
    run(encodeBatch(columns, batchOf(rows), withUnit).buffer, rows.length, ...places.map((place) => place.offset));
  }
  const units = shape === 'counted' ? [...run(undefined, 1)] : [];
  return { cells: [...run()], units };
}

const quantise = (grid: Grid, value: number): number =>
  Math.round((Math.min(grid.hi, Math.max(grid.lo, value)) - grid.origin) / grid.step);

/** The same statistics written plainly. */
function expectedCells(reducer: Reducer, rows: readonly Row[], rowsPerUnit: number): number[] {
  const planned = planReducer(outputs, reducer);
  if (planned.kind === 'refused') throw new Error(planned.reasons.join());
  const { grids, cells } = planned.plan;
  const all = Array.from({ length: groups * cells.length }, () => 0);
  const seen = new Map<number, number>();
  for (const row of rows) {
    const before = seen.get(row.unit) ?? 0;
    if (before >= rowsPerUnit) continue;
    seen.set(row.unit, before + 1);
    const group = [0, 2].indexOf(row.g);
    if (group < 0) continue;
    const add = (cell: number, value: number): void => {
      all[group * cells.length + cell] = (all[group * cells.length + cell] ?? 0) + value;
    };
    const values = [row.x ?? Number.NaN, row.y];
    const isWhole = !values.some(Number.isNaN);
    const q = values.map((value, i) => quantise(grids[i] as Grid, value));
    switch (reducer.kind) {
      case 'sum':
        values.forEach((value, i) => Number.isNaN(value) || add(i, q[i] ?? 0));
        break;
      case 'mean':
      case 'variance':
      case 'covariance': {
        if (!isWhole) break;
        q.forEach((each, i) => add(i, each));
        if (reducer.kind === 'variance') q.forEach((each, i) => add(2 + i, each * each));
        if (reducer.kind === 'covariance') pairsOf(2).forEach(([i, j], p) => add(2 + p, (q[i] ?? 0) * (q[j] ?? 0)));
        add(cells.length - 1, 1);
        break;
      }
      case 'histogram': {
        let first = 0;
        reducer.edges.forEach((edges, i) => {
          const value = values[i] ?? Number.NaN;
          const bin = edges.findIndex(
            (edge, b) =>
              value >= edge && (value < (edges[b + 1] ?? edge) || (b === edges.length - 2 && value === edges[b + 1])),
          );
          if (bin >= 0 && bin < edges.length - 1) add(first + bin, 1);
          first += edges.length - 1;
        });
        break;
      }
      case 'clusterSums': {
        if (!isWhole) break;
        const clamped = values.map((value, i) => Math.min(grids[i]?.hi ?? 0, Math.max(grids[i]?.lo ?? 0, value)));
        const distances = reducer.centres.map((centre) =>
          centre.reduce((sum, each, i) => sum + ((clamped[i] ?? 0) - each) ** 2, 0),
        );
        const c = distances.indexOf(Math.min(...distances));
        q.forEach((each, i) => add(c * 3 + i, each));
        add(c * 3 + 2, 1);
        break;
      }
      case 'gradient':
        break;
    }
  }
  return all;
}

const row: fc.Arbitrary<Row> = fc.record({
  x: fc.option(
    fc.oneof(fc.double({ noNaN: true, min: -20, max: 20 }), fc.constantFrom(Infinity, -Infinity, 1e300, -0, 2.5)),
    { nil: undefined },
  ),
  y: fc.oneof(fc.double({ min: -1, max: 4 }), fc.integer({ min: 0, max: 3 })),
  g: fc.integer({ min: 0, max: 3 }),
  unit: fc.integer({ min: 0, max: 7 }),
});
const reducers: readonly Reducer[] = [
  { kind: 'sum' },
  { kind: 'mean' },
  { kind: 'variance' },
  { kind: 'covariance' },
  {
    kind: 'histogram',
    edges: [
      [-5, 0, 2.5, 10],
      [0, 1, 3],
    ],
  },
  {
    kind: 'clusterSums',
    centres: [
      [0, 0],
      [5, 2],
      [9, 1],
    ],
  },
];

test('every reducer sums exactly what its definition says, over any batches', () => {
  for (const reducer of reducers) {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 30 }), fc.integer({ min: 0, max: 30 }), (rows, cut) => {
        const { cells } = runKernel(reducer, [rows.slice(0, cut), rows.slice(cut)]);
        assert.deepEqual(
          cells.map((each) => each + 0),
          expectedCells(reducer, rows, 2).map((each) => each + 0),
        );
      }),
      { numRuns: 40 },
    );
  }
});

test('without groups the sums are those of one group, with units bounded here or by the source', () => {
  for (const reducer of reducers) {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 30 }), fc.integer({ min: 0, max: 30 }), (rows, cut) => {
        const all = rows.map((each) => ({ ...each, g: 0 }));
        const batches = [all.slice(0, cut), all.slice(cut)];
        const own = ({ cells }: { cells: readonly number[] }): number[] => cells.map((each) => each + 0);
        const only = (cells: number[]): number[] => cells.slice(0, cells.length / groups).map((each) => each + 0);
        assert.deepEqual(own(runKernel(reducer, batches, 2, 'bounded')), only(expectedCells(reducer, all, 2)));
        assert.deepEqual(own(runKernel(reducer, batches, 2, 'plain')), only(expectedCells(reducer, all, Infinity)));
      }),
      { numRuns: 20 },
    );
  }
});

test('a batch of many rows is summed whole, and a unit is bounded across it', () => {
  const rows = Array.from({ length: 10_001 }, (_, i): Row => ({
    x: i % 7 === 0 ? undefined : i % 10,
    y: i % 4,
    g: 0,
    unit: Math.floor(i / 1300),
  }));
  for (const [shape, limit] of [
    ['bounded', 1200],
    ['bounded', 5000],
    ['plain', 5000],
    ['counted', 1299],
  ] as const) {
    for (const reducer of reducers) {
      const expected = expectedCells(reducer, rows, limit);
      const wanted = shape === 'counted' ? expected : expected.slice(0, expected.length / groups);
      const { cells } = runKernel(reducer, [rows.slice(0, 5), rows.slice(5)], limit, shape);
      assert.deepEqual(
        cells.map((each) => each + 0),
        wanted.map((each) => each + 0),
        `${reducer.kind} ${shape}`,
      );
    }
  }
});

test('rows of no unit, or of one that cannot be, are left out', () => {
  const units = [-1, -1, 8, 3, 2 ** 31 - 1, 3, -(2 ** 31), 3];
  const rows = units.map((unit): Row => ({ x: 1, y: 1, g: 0, unit }));
  const { plan } = checkedFor({ kind: 'mean' });
  const { cells } = runKernel({ kind: 'mean' }, [rows], 2, 'bounded');
  assert.equal(cells[plan.cells.findIndex(({ name }) => name.endsWith('count'))], 2);
});

test('adding all rows of one unit moves the cells by no more than the stated sensitivity', () => {
  const gradient: readonly Reducer[] = [
    { kind: 'gradient', model: 'linear', weights: [0.5, -2], clip: 3 },
    { kind: 'gradient', model: 'logistic', weights: [-1, 40], clip: 0.25 },
  ];
  for (const reducer of [...reducers, ...gradient]) {
    fc.assert(
      fc.property(
        fc.array(row, { maxLength: 20 }),
        fc.array(row, { maxLength: 5 }),
        fc.integer({ min: 1, max: 3 }),
        (rows, own, limit) => {
          const others = rows.map((each) => ({ ...each, unit: each.unit % 7 }));
          const mine = own.map((each) => ({ ...each, unit: 7 }));
          const { plan } = checkedFor(reducer, limit);
          const bound = sensitivityOf(plan, limit);
          const [without, whole] = [
            runKernel(reducer, [others], limit).cells,
            runKernel(reducer, [[...mine, ...others]], limit).cells,
          ];
          const moved = whole.map((each, i) => BigInt(each) - BigInt(without[i] ?? 0));
          const size = (value: bigint): bigint => (value < 0n ? -value : value);
          assert.ok(moved.reduce((sum, each) => sum + size(each), 0n) <= bound.l1);
          assert.ok(moved.reduce((sum, each) => sum + each * each, 0n) <= bound.l2Squared);
          moved.forEach((each, i) => assert.ok(size(each) <= (bound.perCell[i % plan.cells.length] ?? 0n)));
        },
      ),
      { numRuns: 40 },
    );
  }
});

test('units are counted once per group, also across batches', () => {
  const rows = [0, 0, 1, 1, 2].map((unit, i): Row => ({ x: 1, y: 1, g: i % 2 === 0 ? 0 : 2, unit }));
  assert.deepEqual(runKernel({ kind: 'sum' }, [rows.slice(0, 2), rows.slice(2)]).units, [3, 2, 0]);
});

test('noise-free cells give the textbook statistics within the grid', () => {
  const rows = [1, 2, 3, 4, 6].map((x, unit): Row => ({ x, y: x / 2, g: 0, unit }));
  const finish = (reducer: Reducer): Record<string, number> => {
    const { plan } = checkedFor(reducer);
    const cells = runKernel(reducer, [rows]).cells.slice(0, plan.cells.length).map(BigInt);
    return Object.fromEntries(
      finishReducer(outputs, reducer, plan, cells).values.map(({ name, value }) => [name, value]),
    );
  };
  const near = (value: number | undefined, expected: number): void =>
    assert.ok(Math.abs((value ?? Number.NaN) - expected) < 0.001, `${value} is not ${expected}`);
  near(finish({ kind: 'sum' })['sum(a)'], 16);
  near(finish({ kind: 'mean' })['mean(a)'], 3.2);
  near(finish({ kind: 'mean' })['count'], 5);
  near(finish({ kind: 'variance' })['variance(a)'], 2.96);
  near(finish({ kind: 'covariance' })['covariance(a, b)'], 1.48);
  const slope = finish({ kind: 'gradient', model: 'linear', weights: [0, 1], clip: 100 });
  near(slope['gradient(bias)'], ((1 + 2 + 3 + 4 + 6) / 5) * -0.5);
  assert.deepEqual(
    Object.values(
      finish({
        kind: 'histogram',
        edges: [
          [0, 2, 4, 8],
          [0, 3],
        ],
      }),
    ),
    [1, 2, 2, 5],
  );
});

test('declarations that cannot be exact are refused in words', () => {
  const reasons = (given: readonly OutputSpec[], reducer: Reducer): string => {
    const planned = planReducer(given, reducer);
    return planned.kind === 'refused' ? planned.reasons.join('; ') : 'ok';
  };
  assert.match(reasons([{ name: 'a', range: [3, 3] }], { kind: 'sum' }), /not low < high/);
  assert.match(reasons([{ name: 'a', range: [0, Infinity] }], { kind: 'sum' }), /not low < high/);
  assert.match(reasons([{ name: 'a', range: [0, 1e16] }], { kind: 'sum' }), /at most/);
  assert.match(reasons([{ name: 'a', range: [0, 1], step: 1e-12 }], { kind: 'sum' }), /too fine/);
  assert.match(reasons([{ name: 'a', range: [0, 1], step: 1e-6 }], { kind: 'variance' }), /too fine/);
  assert.match(reasons(outputs, { kind: 'histogram', edges: [[0, 1]] }), /every output/);
  assert.match(
    reasons(outputs, {
      kind: 'histogram',
      edges: [
        [0, 1],
        [1, 1],
      ],
    }),
    /rise/,
  );
  assert.match(reasons(outputs, { kind: 'gradient', model: 'linear', weights: [1], clip: 1 }), /2 weights/);
  assert.match(reasons(outputs, { kind: 'gradient', model: 'linear', weights: [1, Number.NaN], clip: 1 }), /finite/);
  assert.match(reasons(outputs, { kind: 'clusterSums', centres: [[1]] }), /every centre/);
});
