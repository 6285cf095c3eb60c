import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { suite, test } from 'node:test';
import { aggregateBlocks } from '../../runtime/release/sample-and-aggregate.ts';
import { Uniform } from '../../runtime/release/uniform.ts';
import { decodeBlock, summariseBlocks } from '../../runtime/sandbox/javascript/blocks.ts';
import type { BlockOutput } from '../../runtime/sandbox/javascript/blocks.ts';
import { blockResults, estimatesOf, noisedCells, noiseOfCells } from '../../runtime/sandbox/javascript/noised.ts';
import { planReducer, sensitivityOf } from '../../runtime/sandbox/javascript/row-function/reducer.ts';
import type { OutputSpec, Reducer } from '../../runtime/sandbox/javascript/row-function/reducer.ts';

const entropy = { bytes: (count: number): Uint8Array => randomBytes(count) };
const outputs: readonly OutputSpec[] = [
  { name: 'a', range: [0, 100] },
  { name: 'b', range: [-1, 1] },
];
const reducers: readonly Reducer[] = [
  { kind: 'sum' },
  { kind: 'mean' },
  { kind: 'variance' },
  { kind: 'covariance' },
  {
    kind: 'histogram',
    edges: [
      [0, 50, 100],
      [-1, 0, 1],
    ],
  },
  { kind: 'gradient', model: 'logistic', weights: [0, 1], clip: 2 },
  {
    kind: 'clusterSums',
    centres: [
      [10, 0],
      [90, 0],
    ],
  },
];

suite('noise on row functions', () => {
  test('every cell of every reducer is in exactly one query, and the queries cover the whole sensitivity', () => {
    for (const reducer of reducers) {
      const planned = planReducer(outputs, reducer);
      assert.ok(planned.kind === 'ok');
      const { plan } = planned;
      assert.deepEqual(
        plan.queries.flatMap((query) => query.cells).toSorted((a, b) => a - b),
        plan.cells.map((_, i) => i),
      );
      const { queries, l1, perCell } = sensitivityOf(plan, 3);
      assert.ok(queries.reduce((sum, query) => sum + query.l1, 0n) >= l1);
      for (const query of queries) for (const cell of query.cells) assert.ok(query.l1 >= (perCell[cell] ?? 0n));
    }
  });

  test('intervals hold the exact statistics as often as they say', () => {
    for (const reducer of reducers) {
      const planned = planReducer(outputs, reducer);
      assert.ok(planned.kind === 'ok');
      const { plan } = planned;
      // Cells as 10 000 rows could give them: all of them half way.
      const exact = plan.cells.map((cell) =>
        cell.largest === 1 ? 10_000n : BigInt(Math.floor(cell.largest / 2)) * 10_000n,
      );
      const outcome = { groups: [{ cells: exact, units: undefined }], sensitivity: sensitivityOf(plan, 1) };
      const truth = estimatesOf(outputs, reducer, plan, { cells: exact, noise: [] });
      const uniform = new Uniform(entropy);
      let held = 0;
      const runs = 100;
      for (let run = 0; run < runs; run++) {
        const noised = noisedCells(outcome, { kind: 'laplace', microEpsilon: 1_000_000 }, uniform);
        const values = estimatesOf(outputs, reducer, plan, { cells: noised.groups[0] ?? [], noise: noised.noise });
        if (
          values.every(
            ({ low, high }, i) => low - 1e-9 <= (truth[i]?.value ?? 0) && (truth[i]?.value ?? 0) <= high + 1e-9,
          )
        )
          held += 1;
      }
      assert.ok(held >= 88, `${reducer.kind}: ${held} of ${runs}`);
    }
  });

  test('a count gets the noise of a count, not that of a sum', () => {
    const planned = planReducer(outputs, { kind: 'mean' });
    assert.ok(planned.kind === 'ok');
    const noise = noiseOfCells(sensitivityOf(planned.plan, 1), { kind: 'laplace', microEpsilon: 3_000_000 });
    assert.deepEqual(noise[2], { kind: 'laplace', scale: { numerator: 1n, denominator: 1n } });
    assert.throws(() => noiseOfCells(sensitivityOf(planned.plan, 1), { kind: 'laplace', microEpsilon: 2 }), RangeError);
  });
});

test('blocks pass into the release engine as they are', () => {
  const blockOutputs: readonly BlockOutput[] = [{ name: 'a', range: [0, 8], step: 0.5, default: 4 }];
  const answer = (value: number): Uint8Array => Uint8Array.of(1, ...new Uint8Array(Float64Array.of(value).buffer));
  const blocks = [1, 2.2, Number.NaN, 99].map((value) => decodeBlock(answer(value), blockOutputs)!);
  const results = blockResults(summariseBlocks(blockOutputs, blocks));
  assert.deepEqual(
    results.map(({ values }) => values[0]),
    [1, 2, 4, 8],
  );
  const plan = {
    blocks: 4,
    copies: 1,
    outputs: [
      { name: 'a', low: 0, high: 8, step: { numerator: 1n, denominator: 2n }, fallback: 4, method: 'mean' as const },
    ],
    budget: { kind: 'laplace', microEpsilon: 1e9, femtoDelta: 0 } as const,
  };
  const [estimate] = aggregateBlocks(plan, results, entropy);
  assert.ok(Math.abs((estimate?.value ?? 0) - 3.75) < 0.01);
});
