import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { meansOfBlocks } from '../../runtime/sandbox/javascript/blocks.ts';
import type { BlockOutput } from '../../runtime/sandbox/javascript/blocks.ts';
import type { ColumnSpec } from '../../runtime/sandbox/javascript/columns.ts';
import { iterationResult, runIteration, startIteration } from '../../runtime/sandbox/javascript/iterate.ts';
import { checkRowFunction, planRowFunction } from '../../runtime/sandbox/javascript/row-function/check.ts';
import { finishReducer } from '../../runtime/sandbox/javascript/row-function/finish.ts';
import type { OutputSpec, Reducer } from '../../runtime/sandbox/javascript/row-function/reducer.ts';
import { runApproved } from '../../runtime/sandbox/javascript/run-approved.ts';
import { keyedBlocks, runBlocks } from '../../runtime/sandbox/javascript/run-blocks.ts';
import { runOnTwin, runPost } from '../../runtime/sandbox/javascript/run-post.ts';
import { runRowFunction } from '../../runtime/sandbox/javascript/run-row-function.ts';
import type { ColumnSource } from '../../runtime/sandbox/javascript/source.ts';
import { pooledWorkers } from '../../runtime/sandbox/javascript/pooled-workers.ts';
import { factory, jailedWorkers, numbersSource, prepareInWorker, terms } from './jailed.ts';

const { pool, workers } = await jailedWorkers();

const columns: readonly ColumnSpec[] = [
  { name: 'age', kind: 'int32', isNullable: true },
  { name: 'cost', kind: 'float64', isNullable: false },
  { name: 'sex', kind: 'dictionary', isNullable: true },
  { name: 'smokes', kind: 'boolean', isNullable: true },
];
/** Six visits of four patients; the third patient's sex, and one age, are not known. */
const visits: ColumnSource = {
  columns,
  dictionaries: new Map([['sex', ['female', 'male']]]),
  units: 4,
  batches: () => [
    {
      rows: 4,
      columns: [
        { values: Int32Array.of(30, 30, 50, 0), validity: Uint8Array.of(1, 1, 1, 0) },
        { values: Float64Array.of(10, 20, 30, 40) },
        { values: Int32Array.of(0, 0, 1, 0), validity: Uint8Array.of(1, 1, 1, 0) },
        { values: Uint8Array.of(1, 1, 0, 0), validity: Uint8Array.of(1, 1, 1, 0) },
      ],
      unit: Int32Array.of(0, 0, 1, 2),
    },
    {
      rows: 2,
      columns: [
        { values: Int32Array.of(40, 70) },
        { values: Float64Array.of(50, 900) },
        { values: Int32Array.of(1, 1) },
        { values: Uint8Array.of(1, 0) },
      ],
      unit: Int32Array.of(1, 3),
    },
  ],
};

suite('rowFunction', () => {
  const outputs: readonly OutputSpec[] = [{ name: 'cost', range: [0, 100], step: 0.5 }];
  const spec = { columns, outputs, reducer: { kind: 'sum' } as Reducer, rowsPerUnit: 2 };

  test('a TypeScript function is stripped, checked and summed per declared key, with units counted', async () => {
    const rowNames = { columns, parameters: [], outputs: ['cost'] };
    const source =
      'type Visit = { age: number };\n(visit: Visit) => visit.smokes === false ? null : visit.cost as number';
    const prepared = await prepareInWorker(workers, { language: 'typescript', source, rowNames });
    assert.equal(prepared.kind, 'rowFunction');
    if (prepared.kind !== 'rowFunction') return;
    const checked = planRowFunction(prepared.program, spec);
    assert.equal(checked.kind, 'ok');
    if (checked.kind !== 'ok') return;
    const job = { checked, reducer: spec.reducer, rowsPerUnit: 2, isCountingUnits: true };
    const whole = await runRowFunction(workers, job, visits, { tier: 'balanced', timeoutMs: 2000 });
    // Smokers and unknown: 10 + 20 + 40 + 50, in steps of 0.5.
    assert.deepEqual(whole.kind === 'done' && whole.groups, [{ cells: [240n], units: 4 }]);
    const groupBy = { column: 'sex', keys: ['male', 'female', 'other'] };
    const grouped = await runRowFunction(workers, { ...job, groupBy }, visits, { tier: 'strict', timeoutMs: 2000 });
    assert.deepEqual(grouped.kind === 'done' && grouped.groups, [
      { cells: [100n], units: 2 },
      { cells: [60n], units: 1 },
      { cells: [0n], units: 0 },
    ]);
  });

  test('a unit contributes no more rows than it may, and texts, nulls and parameters are what they say', async () => {
    const checked = checkRowFunction(
      '(r, c) => r.sex === "female" ? c.bonus : r.age == null ? 7 : r.age > 45 ? 3 : 0',
      {
        ...spec,
        parameters: { bonus: 11 },
        rowsPerUnit: 1,
      },
    );
    assert.equal(checked.kind, 'ok');
    if (checked.kind !== 'ok') return;
    const job = { checked, reducer: spec.reducer, rowsPerUnit: 1, parameters: { bonus: 11 } };
    const outcome = await runRowFunction(workers, job, visits, { tier: 'balanced', timeoutMs: 2000 });
    // Patient 0 gives 11 once, patient 1 gives 3, patient 2 gives 7, patient 3 gives 3.
    assert.deepEqual(outcome.kind === 'done' && outcome.groups[0]?.cells, [48n]);
    assert.deepEqual(outcome.kind === 'done' && outcome.sensitivity.perCell, [200n]);
  });

  test('the complaints of a refused function name its line and column', async () => {
    const rowNames = { columns, parameters: [], outputs: ['cost'] };
    const refused = await prepareInWorker(workers, {
      language: 'typescript',
      source: '(r) => {\n  while (r.age) {}\n}',
      rowNames,
    });
    assert.deepEqual(refused, {
      kind: 'refused',
      reasons: [{ line: 2, column: 3, message: '`while statement` cannot be used in a row function' }],
    });
    const typed = await prepareInWorker(workers, {
      language: 'typescript',
      source: 'enum A { b }\n(r) => 1',
      rowNames,
    });
    assert.equal(typed.kind, 'refused');
  });
});

const output = (name: string, lo: number, hi: number): BlockOutput => ({
  name,
  range: [lo, hi],
  default: (lo + hi) / 2,
});
const identity = (blocks: number): Int32Array => Int32Array.from({ length: blocks }, (_, i) => i);

suite('blocks', () => {
  test('any code runs on disjoint blocks, and the mean over blocks is near the truth', async () => {
    const source = numbersSource(Array.from({ length: 2000 }, (_, i) => (i * 7919) % 1000));
    const outputs = [output('mean', 0, 1000), output('slope', 0, 10)];
    const code = `({ columns, rows }) => {
      let sx = 0, sy = 0, sxx = 0, sxy = 0;
      for (let i = 0; i < rows; i++) { const x = columns.x[i], y = columns.y[i]; sx += x; sy += y; sxx += x * x; sxy += x * y }
      return { slope: (rows * sxy - sx * sy) / (rows * sxx - sx * sx), mean: sx / rows };
    }`;
    const blocks = 40;
    const job = {
      factory: factory(code),
      outputs,
      assign: keyedBlocks(new Uint8Array(32).fill(9)),
      blocks,
      lanes: 2,
    };
    const outcome = await runBlocks(workers, job, source, terms);
    assert.ok(outcome.blocks.every((block) => block.status === 'ok'));
    const [mean, slope] = meansOfBlocks(outputs, outcome.sums, blocks);
    assert.ok(Math.abs((mean ?? 0) - 499.5) < 10 && Math.abs((slope ?? 0) - 2) < 1e-3);
    const again = await runBlocks(workers, { ...job, lanes: 1 }, source, { ...terms, tier: 'strict' });
    assert.deepEqual(
      again.sums,
      outcome.sums,
      'the same job computes the same, whatever the tier and the number of lanes',
    );
  });

  test('nothing that one block does is there for the next', async () => {
    const traces = [
      `globalThis.mark`,
      `Object.prototype.mark`,
      `Array.prototype.mark`,
      `Symbol.for('mark').description === 'mark' && globalThis[Symbol.for('mark')]`,
      `Math.max === Math.min`,
      `JSON.stringify(1) !== '1'`,
      `input.columns.x.mark`,
      `input.columns.x[0] !== 1`,
      `/a/.lastIndex`,
      `RegExp.$1`,
      `String.prototype.mark`,
    ];
    const code = `(input) => {
      const saw = [${traces.join(',')}].some(Boolean);
      globalThis.mark = Object.prototype.mark = Array.prototype.mark = String.prototype.mark = 1;
      globalThis[Symbol.for('mark')] = 1; Math.max = Math.min; JSON.stringify = () => 'x';
      input.columns.x.mark = 1; input.columns.x.fill(5); /(a)/.exec('a');
      return saw ? 1 : 0;
    }`;
    const job = {
      factory: factory(code),
      outputs: [{ ...output('saw', 0, 1), step: 1 }],
      assign: () => identity(6),
      blocks: 6,
    };
    const outcome = await runBlocks(workers, job, numbersSource([1, 1, 1, 1, 1, 1]), terms);
    assert.deepEqual(
      outcome.blocks.map((block) => [block.status, block.integers[0]]),
      Array.from({ length: 6 }, () => ['ok', 0]),
    );
  });

  test('blocks see the same free memory, the same clock and their own repeatable chance', async () => {
    const code = `(input) => {
      if (input.columns.x[0] === 1) { globalThis.keep = []; for (let i = 0; i < 50; i++) keep.push(new Array(5e4).fill(i)); Symbol.for('x'.repeat(1e6)) }
      const blocks = [];
      try { for (;;) { blocks.push(new ArrayBuffer(1e6)); if (blocks.length > 500) break } } catch {}
      return [blocks.length, Date.now() - Date.UTC(2026, 0, 2), Math.random()];
    }`;
    const outputs = [output('free', 0, 1000), output('clock', -1, 1), output('chance', 0, 1)];
    const job = { factory: factory(code), outputs, assign: () => identity(4), blocks: 4 };
    const run = () => runBlocks(workers, job, numbersSource([0, 1, 0, 0]), terms);
    const [one, two] = [await run(), await run()];
    // How much the hog itself gets depends on when its garbage is collected; what the others see must not: the hog keeps
    // twenty megabytes, and the moment at which the collector runs is worth one or two.
    const others = (blocks: typeof one.blocks) => blocks.filter((_, i) => i !== 1);
    const free = [...others(one.blocks), ...others(two.blocks)].map(({ integers }) => Number(integers[0]) / 1024);
    assert.ok(Math.max(...free) - Math.min(...free) <= 3, `free blocks: ${free.join(', ')}`);
    const rest = (blocks: typeof one.blocks) =>
      others(blocks).map(({ status, integers }) => [status, ...integers.slice(1)]);
    assert.deepEqual(rest(one.blocks), rest(two.blocks));
    const [first, , third, fourth] = one.blocks;
    assert.equal(first?.status, 'ok');
    assert.deepEqual([third?.integers[1], fourth?.integers[1]], [first?.integers[1], first?.integers[1]]);
    assert.notEqual(first?.integers[2], third?.integers[2]);
  });

  test('a block that hangs, crashes or lies counts as the default, and the others are what they were', async () => {
    const code = (bad: string): string =>
      `(input) => { if (input.columns.x[0] === 3) { ${bad} } return input.columns.x[0] }`;
    const outputs = [{ ...output('x', 0, 10), step: 1 }];
    const expected = [1, 2, 5, 4, 5];
    for (const bad of [
      'for (;;);',
      'Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)',
      'const a = []; for (;;) a.push(new Array(1e5).fill(1))',
      'throw 1',
      'return "3"',
      'return NaN',
      'return [3, 3]',
      '(function f() { f() })()',
    ]) {
      const job = { factory: factory(code(bad)), outputs, assign: () => identity(5), blocks: 5 };
      const outcome = await runBlocks(workers, job, numbersSource([1, 2, 3, 4, 5]), { ...terms, timeoutMs: 200 });
      assert.deepEqual(
        outcome.blocks.map((block) => block.integers[0]),
        expected,
        bad,
      );
    }
  });

  test('cancelling stops a running job at once and leaves no worker behind', async () => {
    const stop = new AbortController();
    const job = {
      factory: factory('() => { for (;;); }'),
      outputs: [output('x', 0, 1)],
      assign: () => identity(2),
      blocks: 2,
    };
    const running = runBlocks(workers, job, numbersSource([1, 2]), {
      ...terms,
      timeoutMs: 10_000,
      signal: stop.signal,
    });
    const started = performance.now();
    setTimeout(() => stop.abort(new Error('cancelled')), 300);
    await assert.rejects(running, /cancelled/);
    // Before the block's own ten seconds: so it was the cancelling that ended it.
    assert.ok(performance.now() - started < 9000);
  });
});

suite('approved', () => {
  const table = [
    { name: 'visits', kind: 'int32', maxBytes: 0 },
    { name: 'mean', kind: 'float64', maxBytes: 0 },
    { name: 'note', kind: 'text', maxBytes: 16 },
    { name: 'isLarge', kind: 'boolean', maxBytes: 0 },
  ] as const;

  test('code gives typed rows per declared group, and the runtime counts the units behind each', async () => {
    const code = `(input) => {
      let sum = 0; for (const cost of input.columns.cost) sum += cost;
      return { visits: input.rows, mean: input.rows ? sum / input.rows : null, note: 'Größe ✓ ' + input.labels.sex.length, isLarge: sum > 100, units: 1e6 };
    }`;
    const job = {
      factory: factory(code),
      table,
      maxRowsPerGroup: 1,
      groupBy: { column: 'sex', keys: ['female', 'male', 'other'] },
    };
    const outcome = await runApproved(workers, job, visits, terms);
    assert.deepEqual(outcome.groups, [
      { status: 'ok', key: 'female', units: 1, rowsIn: 2, rows: [[2, 15, 'Größe ✓ 2', false]] },
      { status: 'ok', key: 'male', units: 2, rowsIn: 3, rows: [[3, 980 / 3, 'Größe ✓ 2', true]] },
      { status: 'ok', key: 'other', units: 0, rowsIn: 0, rows: [[0, null, 'Größe ✓ 2', false]] },
    ]);
  });

  test('a row can only hold what the code saw of its own group', async () => {
    const code = `(input) => { const before = globalThis.saved ?? 0; globalThis.saved = input.columns.cost[0]; return { visits: before, mean: 0, note: '', isLarge: false } }`;
    const job = {
      factory: factory(code),
      table,
      maxRowsPerGroup: 1,
      groupBy: { column: 'sex', keys: ['female', 'male'] },
    };
    const outcome = await runApproved(workers, job, visits, terms);
    assert.deepEqual(
      outcome.groups.map((group) => group.rows[0]?.[0]),
      [0, 0],
    );
  });

  test('rows beyond the limits or of other types are no rows', async () => {
    const bad = [
      'null',
      '1',
      '[1]',
      '[{}, {}]',
      '{ visits: 1.5, mean: 0, note: "", isLarge: true }',
      '{ visits: 1, mean: "0", note: "", isLarge: true }',
      '{ visits: 1, mean: 0, note: 5, isLarge: true }',
      '{ visits: 1, mean: 0, note: "x".repeat(17), isLarge: true }',
      '{ visits: 1, mean: 0, note: "é".repeat(9), isLarge: true }',
      '{ visits: 1, mean: 0, note: "", isLarge: 1 }',
      '{ length: 2 ** 40 }',
    ];
    for (const value of bad) {
      const job = { factory: factory(`() => (${value})`), table, maxRowsPerGroup: 1 };
      const { groups } = await runApproved(workers, job, visits, terms);
      assert.ok(groups[0]?.status !== 'ok' && groups[0]?.rows.length === 0, value);
    }
  });
});

suite('post and twin', () => {
  test('code over released results gives JSON of bounded size, and errors say nothing', async () => {
    const run = (code: string, input: unknown = { counts: [3, 4] }) =>
      runPost(workers, { factory: factory(code), input }, { ...terms, timeoutMs: 300 });
    assert.deepEqual(
      await run(
        '(r) => ({ total: r.counts.reduce((a, b) => a + b), text: "é\\u2028😀", now: new Date().toISOString() })',
      ),
      {
        kind: 'done',
        value: { total: 7, text: 'é\u2028😀', now: '2026-01-02T00:00:00.000Z' },
      },
    );
    for (const code of [
      '() => undefined',
      '() => { throw new Error("x") }',
      '() => "x".repeat(2e6)',
      '() => { for (;;); }',
      '() => { const a = []; a.push(a); return a }',
      '() => 1n',
      '() => { let o = 1; for (let i = 0; i < 50; i++) o = [o]; return o }',
      'let o = []; for (let i = 0; i < 60; i++) o = [o, o]; () => o',
    ]) {
      assert.equal((await run(code)).kind, 'failed', code);
    }
  });

  test('on synthetic data the author sees console and errors in full', async () => {
    const code =
      '(input) => { console.log("rows", input.rows, { a: 1 }); console.error("careful"); return input.secret.x }';
    const said = await runOnTwin(workers, { factory: factory(code) }, visits, terms);
    assert.deepEqual(said, {
      kind: 'done',
      console: ['rows 6 {"a":1}', 'error: careful'],
      error: "TypeError: Cannot read properties of undefined (reading 'x')",
    });
  });
});

suite('iteration', () => {
  /** Rounds without noise: what a round gives to the noise is exact. */
  const exactRounds =
    (source: ColumnSource, text: string, outputs: readonly OutputSpec[]) => async (reducer: Reducer) => {
      const checked = checkRowFunction(text, { columns: source.columns, outputs, reducer, rowsPerUnit: 1 });
      assert.equal(checked.kind, 'ok');
      if (checked.kind !== 'ok') return undefined;
      const outcome = await runRowFunction(workers, { checked, reducer, rowsPerUnit: 1 }, source, {
        tier: 'balanced',
        timeoutMs: 2000,
      });
      const cells = outcome.kind === 'done' ? outcome.groups[0]?.cells : undefined;
      return cells && { cells, halfWidths: [] };
    };

  test('k-means finds two clusters', async () => {
    const source = numbersSource([1, 2, 3, 101, 102, 103]);
    const outputs = [{ name: 'x', range: [0, 200] as const }];
    const plan = { algorithm: 'kMeans', rounds: 3, centres: [[0], [60]] } as const;
    const end = await runIteration(startIteration(plan, outputs), exactRounds(source, '(r) => r.x', outputs));
    const result = iterationResult(end);
    assert.deepEqual(
      result.map(({ name }) => name),
      ['cluster 0: x', 'cluster 1: x'],
    );
    result.forEach(({ value }, i) => assert.ok(Math.abs(value - [2, 102][i]!) < 1e-3));
  });

  test('logistic regression by gradient steps separates two classes', async () => {
    const source = numbersSource([-2, -1, -1.5, -0.5, 0.5, 1, 1.5, 2]);
    const outputs = [
      { name: 'isPositive', range: [0, 1] as const },
      { name: 'x', range: [-3, 3] as const },
    ];
    const plan = { algorithm: 'logisticRegression', rounds: 8, weights: [0, 0], clip: 4, rate: 2 } as const;
    const end = await runIteration(
      startIteration(plan, outputs),
      exactRounds(source, '(r) => [r.x > 0, r.x]', outputs),
    );
    const [bias, weight] = iterationResult(end);
    assert.ok(Math.abs(bias?.value ?? 9) < 0.2 && (weight?.value ?? 0) > 1.5);
  });
});

test('mean of a row function is finished from its cells', async () => {
  const outputs = [{ name: 'cost', range: [0, 100] as const }];
  const reducer = { kind: 'mean' } as const;
  const checked = checkRowFunction('(r) => r.cost', { columns, outputs, reducer, rowsPerUnit: 2 });
  assert.ok(checked.kind === 'ok');
  const outcome = await runRowFunction(workers, { checked, reducer, rowsPerUnit: 2 }, visits, {
    tier: 'balanced',
    timeoutMs: 2000,
  });
  assert.ok(outcome.kind === 'done');
  const { values } = finishReducer(outputs, reducer, checked.plan, outcome.groups[0]?.cells ?? []);
  // The cost of 900 is clamped to 100.
  assert.ok(Math.abs((values[0]?.value ?? 0) - 250 / 6) < 1e-3);
  assert.deepEqual(values[1], { name: 'count', value: 6, low: 6, high: 6 });
});

test('a row function that uses more processor time than it was leased for says so, and only to us', async () => {
  const small = pooledWorkers(pool, { party: 'acme', cpuMs: 50 });
  const values = new Float64Array(2 ** 16).fill(3);
  const column: readonly ColumnSpec[] = [{ name: 'x', kind: 'float64', isNullable: false }];
  const outputs: readonly OutputSpec[] = [{ name: 'v', range: [0, 9], step: 1 }];
  const reducer: Reducer = { kind: 'sum' };
  const checked = checkRowFunction('(r) => Math.exp(Math.log(r.x))', {
    columns: column,
    outputs,
    reducer,
    rowsPerUnit: 1,
  });
  assert.ok(checked.kind === 'ok');
  let batches = 0;
  const endless: ColumnSource = {
    columns: column,
    dictionaries: new Map(),
    units: 1,
    boundedRowsPerUnit: 1,
    *batches() {
      for (; batches < 2 ** 14; batches++) yield { rows: values.length, columns: [{ values }] };
    },
  };
  const outcome = await runRowFunction(small, { checked, reducer, rowsPerUnit: 1 }, endless, {
    ...terms,
    timeoutMs: 60_000,
  });
  assert.ok(outcome.kind === 'failed' && outcome.isOutOfTime === true, JSON.stringify(outcome, String));
  assert.ok(batches > 0 && batches < 2 ** 14);
});
