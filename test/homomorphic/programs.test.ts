import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseProgram } from '../../runtime/homomorphic/program.ts';
import { planProgram } from '../../runtime/homomorphic/plan.ts';
import { answer, colon, encrypted, keyHolder, runtimeBackend } from './support.ts';

const holder = await keyHolder([
  'bgv-add-a',
  'bgv-add-b',
  'bfv-add-a',
  'bfv-add-b',
  'bgv-wide',
  'bgv-product',
  'ckks-deep',
]);
const runtime = await runtimeBackend(holder.open);
const { time, age, nodes, rx } = colon();
const ALIGNED = `sha256:${'a'.repeat(64)}`;
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

test('sum, mean and variance under encryption equal plaintext on the clinical data', async () => {
  const column = await encrypted(
    holder,
    { column: 'time', programs: ['sum', 'mean', 'variance'], low: 0, high: 4000, decimals: 0 },
    [{ values: time }],
  );
  const sum = await answer(holder, runtime, { name: 'sum', columns: ['time'] }, [column]);
  assert.equal(sum.scalars[0]?.exact, String(time.reduce((a, b) => a + b, 0)));
  const middle = await answer(holder, runtime, { name: 'mean', columns: ['time'] }, [column]);
  assert.ok(Math.abs((middle.scalars[0]?.number ?? 0) - mean(time)) < 1e-9);
  const m = mean(time);
  const variance = time.reduce((a, b) => a + (b - m) ** 2, 0) / (time.length - 1);
  const got = await answer(holder, runtime, { name: 'variance', columns: ['time'], parameters: { sample: 1 } }, [
    column,
  ]);
  assert.ok(Math.abs((got.scalars[0]?.number ?? 0) - variance) < 1e-6 * variance);
});

test('missing values count neither in the mean nor in the count', async () => {
  const column = await encrypted(
    holder,
    { column: 'nodes', programs: ['mean', 'count'], low: 0, high: 40, decimals: 0, isNullable: true },
    [{ values: nodes }],
  );
  const present = nodes.filter((value) => value !== null);
  const { scalars } = await answer(holder, runtime, { name: 'mean', columns: ['nodes'] }, [column]);
  assert.ok(Math.abs((scalars[0]?.number ?? 0) - mean(present)) < 1e-12);
  assert.equal(scalars[1]?.exact, String(present.length));
  assert.ok(present.length < nodes.length);
  const count = await answer(holder, runtime, { name: 'count', columns: ['nodes'] }, [column]);
  assert.equal(count.scalars[0]?.exact, String(present.length));
});

test('covariance and dot product of two aligned columns are exact, without any key at the runtime', async () => {
  const common = { programs: ['dot', 'covariance'] as const, decimals: 0, alignment: ALIGNED };
  const left = await encrypted(holder, { ...common, column: 'age', low: 0, high: 120 }, [{ values: age }]);
  const right = await encrypted(holder, { ...common, column: 'time', low: 0, high: 4000 }, [{ values: time }]);
  const dot = await answer(holder, runtime, { name: 'dot', columns: ['age', 'time'] }, [left, right]);
  assert.equal(dot.scalars[0]?.exact, String(age.reduce((sum, a, i) => sum + a * (time[i] ?? 0), 0)));
  const { scalars } = await answer(holder, runtime, { name: 'covariance', columns: ['age', 'time'] }, [left, right]);
  const expected = mean(age.map((a, i) => a * (time[i] ?? 0))) - mean(age) * mean(time);
  assert.ok(Math.abs((scalars[0]?.number ?? 0) - expected) < 1e-6 * Math.abs(expected));
});

test('a weighted sum with signed decimal weights over columns of different decimals is exact', async () => {
  const common = { programs: ['linear'] as const, alignment: ALIGNED, weightTotal: 20_000 };
  const left = await encrypted(holder, { ...common, column: 'age', low: 0, high: 120, decimals: 0 }, [{ values: age }]);
  const halves = time.map((value) => value / 4);
  const right = await encrypted(holder, { ...common, column: 'quarter', low: 0, high: 1000, decimals: 2 }, [
    { values: halves },
  ]);
  const program = {
    name: 'linear',
    columns: ['age', 'quarter'],
    weights: [-1.5, 0.25],
    parameters: { weightDecimals: 2, intercept: 10 },
  };
  const { scalars } = await answer(holder, runtime, program, [left, right]);
  const expected = mean(age.map((a, i) => -1.5 * a + 0.25 * (halves[i] ?? 0))) + 10;
  assert.ok(Math.abs((scalars[0]?.number ?? 0) - expected) < 1e-9, `${scalars[0]?.number} ${expected}`);
});

test('group sums come from blocks partitioned by public group', async () => {
  const groups = ['Obs', 'Lev', 'Lev+5FU'];
  const rows = groups.map((group) => ({ group, values: time.filter((_, i) => rx[i] === group) }));
  const column = await encrypted(
    holder,
    { column: 'time', programs: ['groupSums'], low: 0, high: 4000, decimals: 0, groups, isNullable: true },
    rows,
  );
  const { scalars } = await answer(holder, runtime, { name: 'groupSums', columns: ['time'] }, [column]);
  for (const { group, values } of rows) {
    const of = (name: string) => scalars.find((scalar) => scalar.group === group && scalar.name === name);
    assert.equal(of('sum')?.exact, String(values.reduce((a, b) => a + b, 0)));
    assert.equal(of('count')?.exact, String(values.length));
    assert.ok(Math.abs((of('mean')?.number ?? 0) - mean(values)) < 1e-9);
  }
});

test('histogram and count-where-equal count public categories that the runtime cannot see', async () => {
  const codes = rx.map((arm) => ['Obs', 'Lev', 'Lev+5FU'].indexOf(arm));
  const column = await encrypted(
    holder,
    { column: 'rx', programs: ['histogram'], low: 0, high: 2, decimals: 0, categories: [0, 1, 2] },
    [{ values: codes }],
  );
  const { scalars } = await answer(holder, runtime, { name: 'histogram', columns: ['rx'] }, [column]);
  assert.deepEqual(
    scalars.map((s) => [s.group, s.exact]),
    [0, 1, 2].map((code) => [String(code), String(codes.filter((c) => c === code).length)]),
  );
  const one = await answer(holder, runtime, { name: 'countEqual', columns: ['rx'], parameters: { value: 1 } }, [
    column,
  ]);
  assert.deepEqual(
    one.scalars.map((s) => s.exact),
    [String(codes.filter((c) => c === 1).length)],
  );
  assert.equal(one.plan.outputs.length, 3, 'all are counted, so that one alone tells no more than all together');
});

test('partial columns of several providers under one key add up', async () => {
  const cut = 700;
  const a = await encrypted(holder, { column: 'a', programs: ['sum'], low: 0, high: 4000, decimals: 0 }, [
    { values: time.slice(0, cut) },
  ]);
  const b = await encrypted(holder, { column: 'b', programs: ['sum'], low: 0, high: 4000, decimals: 0 }, [
    { values: time.slice(cut) },
  ]);
  const { scalars } = await answer(holder, runtime, { name: 'sum', columns: ['a', 'b'] }, [a, b]);
  assert.equal(scalars[0]?.exact, String(time.reduce((x, y) => x + y, 0)));
});

test('a column encrypted under the public key alone sums exactly', async () => {
  const column = await encrypted(
    holder,
    { column: 'time', programs: ['sum'], low: 0, high: 4000, decimals: 0, mode: 'publicKey' },
    [{ values: time }],
  );
  assert.equal(column.header.channels[0]?.profile, 'bgv-wide');
  const { scalars } = await answer(holder, runtime, { name: 'sum', columns: ['time'] }, [column]);
  assert.equal(scalars[0]?.exact, String(time.reduce((a, b) => a + b, 0)));
});

for (const scheme of ['bgv', 'bfv'] as const) {
  test(`sums of 64-bit integers at both ends of their range are exact in ${scheme.toUpperCase()}`, async () => {
    const most = (1n << 63n) - 1n;
    const least = -(1n << 63n);
    const values = BigInt64Array.from({ length: 9000 }, (_, i) =>
      i % 3 === 0 ? most : i % 3 === 1 ? least : BigInt(i) * 1_000_003_000_017n,
    );
    const column = await encrypted(
      holder,
      { column: 'x', programs: ['sum'], low: least, high: most, decimals: 0, scheme, rows: 9000 },
      [{ values }],
    );
    assert.equal(column.header.channels.length, 2);
    const { scalars } = await answer(holder, runtime, { name: 'sum', columns: ['x'] }, [column]);
    assert.equal(scalars[0]?.exact, String(values.reduce((a, b) => a + b, 0n)));
  });
}

test('a sum at the limit of one modulus splits into segments instead of overflowing', async () => {
  const high = 2 ** 30;
  const values = new Float64Array(4096 * 70).fill(high);
  const column = await encrypted(holder, { column: 'x', programs: ['sum'], low: 0, high, decimals: 0, rows: 4096 }, [
    { values },
  ]);
  const { plan, scalars } = await answer(holder, runtime, { name: 'sum', columns: ['x'] }, [column]);
  assert.equal(scalars[0]?.exact, String(BigInt(high) * BigInt(values.length)));
  assert.equal(plan.outputs.length, 1);
});

test('logistic scores by a cubic stay within the printed error bound', async () => {
  const common = { programs: ['logistic'] as const, decimals: 0, alignment: ALIGNED, low: -1, high: 1 };
  const x = age.map((a) => (a - 60) / 60);
  const y = time.map((t) => (t - 1600) / 2400);
  const columns = [
    await encrypted(holder, { ...common, column: 'x' }, [{ values: x }]),
    await encrypted(holder, { ...common, column: 'y' }, [{ values: y }]),
  ];
  const program = { name: 'logistic', columns: ['x', 'y'], weights: [1.25, -2], parameters: { intercept: 0.5 } };
  const { plan, scalars } = await answer(holder, runtime, program, columns);
  const cubic = (z: number): number => 0.5 + 0.15012 * z - 0.0015930078125 * z ** 3;
  const expected = mean(x.map((v, i) => cubic(1.25 * v - 2 * (y[i] ?? 0) + 0.5)));
  const bound = plan.logistic?.errorBound ?? 0;
  assert.ok(bound < 1e-4, `${bound}`);
  assert.ok(
    Math.abs((scalars[0]?.number ?? 0) - expected) < bound,
    `${Math.abs((scalars[0]?.number ?? 0) - expected)} against ${bound}`,
  );
});

test('programs that could overflow, lack a column or break alignment are refused before running', async () => {
  const column = await encrypted(
    holder,
    { column: 'x', programs: ['sum', 'linear'], low: 0, high: 4000, decimals: 0 },
    [{ values: time }],
  );
  const plan =
    (program: unknown, columns = [column]) =>
    () =>
      planProgram(parseProgram(program), columns);
  assert.throws(plan({ name: 'linear', columns: ['x'], weights: [5000], parameters: { weightDecimals: 3 } }), {
    code: 'no-parameters',
  });
  assert.throws(plan({ name: 'sum', columns: ['y'] }), { code: 'bad-program' });
  assert.throws(
    plan({ name: 'dot', columns: ['x', 'y'] }, [column, { ...column, header: { ...column.header, column: 'y' } }]),
    { code: 'bad-program' },
  );
  assert.throws(plan({ name: 'groupSums', columns: ['x'] }), { code: 'bad-program' });
  assert.throws(plan({ name: 'histogram', columns: ['x'] }), { code: 'bad-program' });
  const other = { ...column, header: { ...column.header, column: 'y', keyId: `sha256:${'0'.repeat(64)}` } };
  assert.throws(plan({ name: 'sum', columns: ['x', 'y'] }, [column, other]), /different keys/);
});

test('only the closed set of programs is read, and every surprise is refused', () => {
  const bad: unknown[] = [
    null,
    [],
    'sum',
    { name: 'toString', columns: ['x'] },
    { name: 'sum' },
    { name: 'sum', columns: [] },
    { name: 'sum', columns: ['x', 'x'] },
    { name: 'sum', columns: [7] },
    { name: 'sum', columns: ['x'], weights: [1] },
    { name: 'sum', columns: ['x'], extra: 1 },
    { name: 'mean', columns: ['x', 'y'] },
    { name: 'linear', columns: ['x'], weights: [Number.NaN] },
    { name: 'linear', columns: ['x'], weights: [0] },
    { name: 'linear', columns: ['x'], weights: [1e10] },
    { name: 'linear', columns: ['x'], weights: [1], parameters: { weightDecimals: 0.5 } },
    { name: 'linear', columns: ['x'], weights: [1], parameters: { __proto__: null, slots: 1 } },
    { name: 'countEqual', columns: ['x'] },
    { name: 'logistic', columns: ['x'], weights: [1], parameters: { range: -1 } },
  ];
  for (const program of bad) assert.throws(() => parseProgram(program), { code: 'bad-program' });
});
