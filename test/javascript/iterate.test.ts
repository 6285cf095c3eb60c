import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fc } from '../property.ts';
import {
  absorb,
  type IterationPlan,
  iterationResult,
  type IterationState,
  nextReducer,
  startIteration,
} from '../../runtime/sandbox/javascript/iterate.ts';
import { type OutputSpec, planReducer } from '../../runtime/sandbox/javascript/row-function/reducer.ts';

const outputs: readonly OutputSpec[] = [
  { name: 'y', range: [0, 1] },
  { name: 'a', range: [-1, 1] },
  { name: 'b', range: [-2, 2] },
];
type Row = readonly [number, number, number];
const rowsOf = fc.array(
  fc.tuple(
    fc.constantFrom(0, 1),
    fc.double({ min: -1, max: 1, noNaN: true }),
    fc.double({ min: -2, max: 2, noNaN: true }),
  ),
  { minLength: 20, maxLength: 60 },
);

/** The definition of the reducer, in doubles: clipped gradients, their sum and the number of rows, in steps of the cells. */
function cellsOf(
  rows: readonly Row[],
  state: IterationState,
): { readonly exact: readonly bigint[]; readonly steps: readonly number[] } {
  const reducer = nextReducer(state);
  assert.ok(reducer?.kind === 'gradient');
  const planned = planReducer(outputs, reducer);
  assert.ok(planned.kind === 'ok');
  const steps = planned.plan.cells.map(({ step }) => step);
  const sums = outputs.map(() => 0);
  for (const [y, ...features] of rows) {
    const x = [1, ...features];
    const score = x.reduce((sum, one, i) => sum + one * (reducer.weights[i] ?? 0), 0);
    const residual = (reducer.model === 'logistic' ? 1 / (1 + Math.exp(-score)) : score) - y;
    const length = Math.abs(residual) * Math.hypot(...x);
    const factor = residual * Math.min(1, reducer.clip / Math.max(length, 1e-300));
    x.forEach((one, i) => (sums[i] = (sums[i] ?? 0) + one * factor));
  }
  return { exact: [...sums.map((sum, i) => BigInt(Math.round(sum / (steps[i] ?? 1)))), BigInt(rows.length)], steps };
}

function run(rows: readonly Row[], plan: IterationPlan, noise: (cell: number) => number, size: number): IterationState {
  let state = startIteration(plan, outputs);
  while (state.round < plan.rounds) {
    const { exact, steps } = cellsOf(rows, state);
    const halfWidths = steps.map((step) => Math.round(size / step));
    const cells = exact.map((one, i) => one + BigInt(Math.round(noise(i) * (halfWidths[i] ?? 0))));
    state = absorb(state, { cells, halfWidths });
  }
  return state;
}

suite('numbers of a job in rounds come with an interval', () => {
  for (const algorithm of ['linearRegression', 'logisticRegression'] as const) {
    test(`${algorithm}: the weights of the same rounds without noise lie in it, whatever noise within its half-widths does`, () => {
      fc.assert(
        fc.property(
          rowsOf,
          fc.constantFrom(0.05, 0.3, 1, 3),
          fc.constantFrom(0.5, 2, 10),
          fc.infiniteStream(fc.double({ min: -1, max: 1, noNaN: true })),
          (rows, rate, clip, stream) => {
            const plan = { algorithm, rounds: 6, weights: [0, 0, 0], clip, rate } as const;
            const exact = iterationResult(run(rows, plan, () => 0, 0));
            const noisy = iterationResult(run(rows, plan, () => stream.next().value ?? 0, 0.5));
            noisy.forEach(({ low, high }, i) => {
              const { value = Number.NaN } = exact[i] ?? {};
              // Rounding to the grid is not in the interval: a millionth is far more than it.
              if (low !== null && high !== null)
                assert.ok(low - 1e-4 <= value && value <= high + 1e-4, JSON.stringify([rate, clip, low, value, high]));
            });
          },
        ),
        { numRuns: 60 },
      );
    });
  }

  test('it is narrow where a step is short against the curvature, and one round of k-means has that of its means', () => {
    const rows = Array.from({ length: 50 }, (_, i): Row => [i % 2, (i % 7) / 7, (i % 5) / 5]);
    const plan = { algorithm: 'logisticRegression', rounds: 5, weights: [0, 0, 0], clip: 2, rate: 0.5 } as const;
    const [bias] = iterationResult(run(rows, plan, () => 0, 1));
    // Five steps of 0.5 with noise of at most 1 row in each of three sums over 50 rows.
    assert.ok((bias?.high ?? 9) - (bias?.value ?? 0) < 0.25);
    const kMeans = { algorithm: 'kMeans', rounds: 1, centres: [[0], [1]] } as const;
    const one: readonly OutputSpec[] = [{ name: 'x', range: [0, 2] }];
    const start = startIteration(kMeans, one);
    const reducer = nextReducer(start);
    assert.ok(reducer !== undefined);
    const planned = planReducer(one, reducer);
    assert.ok(planned.kind === 'ok');
    const cells = planned.plan.cells.map(({ name }) =>
      name.startsWith('cluster 0') && name.endsWith('count') ? 10n : 0n,
    );
    const [full, empty] = iterationResult(absorb(start, { cells, halfWidths: cells.map(() => 1) }));
    assert.ok(full !== undefined && full.low !== null && full.high !== null && full.low < full.high);
    assert.deepEqual(empty, { name: 'cluster 1: x', value: 1, low: null, high: null });
  });
});
