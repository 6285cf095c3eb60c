import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInThisContext } from 'node:vm';
import { fc } from '../property.ts';
import { encodeBatch, layoutOf, wireKind, wireKinds } from '../../runtime/sandbox/javascript/columns.ts';
import type { ColumnBatch, ColumnSpec } from '../../runtime/sandbox/javascript/columns.ts';
import { checkRowFunction } from '../../runtime/sandbox/javascript/row-function/check.ts';
import type { CheckedRowFunction } from '../../runtime/sandbox/javascript/row-function/check.ts';
import { printKernel } from '../../runtime/sandbox/javascript/row-function/kernel.ts';
import type { KernelTerms } from '../../runtime/sandbox/javascript/row-function/kernel.ts';
import { printRowFunction } from '../../runtime/sandbox/javascript/row-function/print.ts';
import type { OutputSpec, Reducer } from '../../runtime/sandbox/javascript/row-function/reducer.ts';
import { Elementary } from '../../runtime/sandbox/javascript/row-function/vector/elementary.ts';
import { Further } from '../../runtime/sandbox/javascript/row-function/vector/further.ts';
import { Graph } from '../../runtime/sandbox/javascript/row-function/vector/graph.ts';
import type { NodeId } from '../../runtime/sandbox/javascript/row-function/vector/graph.ts';
import type { LoadKind } from '../../runtime/sandbox/javascript/row-function/vector/instructions.ts';
import { lowerProgram } from '../../runtime/sandbox/javascript/row-function/vector/lower.ts';
import { encodeModule } from '../../runtime/sandbox/javascript/row-function/vector/module.ts';
import { vectorKernel } from '../../runtime/sandbox/javascript/row-function/vector/reduce.ts';
import { VectorKernel } from '../../runtime/sandbox/vector-kernel.ts';

const columns: readonly ColumnSpec[] = [
  { name: 'x', kind: 'float64', isNullable: false },
  { name: 'y', kind: 'float64', isNullable: true },
  { name: 'n', kind: 'int32', isNullable: false },
  { name: 'm', kind: 'int32', isNullable: true },
  { name: 'b', kind: 'boolean', isNullable: false },
  { name: 'p', kind: 'boolean', isNullable: true },
  { name: 't', kind: 'dictionary', isNullable: true },
];
const loadOf = { float64: 'float64', int32: 'int32', dictionary: 'int32', boolean: 'int8' } as const;
const loaded = columns.map((column): { as: LoadKind } => ({ as: loadOf[wireKind(column)] }));
const texts = ['north', 'south', 'east'];
const parameters = { w: -0.3, big: 1e300 };
const codeOf = (_column: string, text: string): number | undefined => {
  const code = texts.indexOf(text);
  return code < 0 ? undefined : code;
};
const shared = { columns, parameters, codeOf };

/** A row as it is stored: NaN and −1 are missing. */
type Row = readonly [number, number, number, number, number, number, number];

function batchOf(rows: readonly Row[]): ColumnBatch {
  const at = (i: number): number[] => rows.map((row) => row[i] ?? Number.NaN);
  return {
    rows: rows.length,
    columns: [
      { values: Float64Array.from(at(0)) },
      { values: Float64Array.from(at(1)) },
      { values: Int32Array.from(at(2)) },
      { values: Float64Array.from(at(3)) },
      { values: Int8Array.from(at(4)) },
      { values: Int8Array.from(at(5)) },
      { values: Int32Array.from(at(6)) },
    ],
  };
}

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly run: (rows: number, ...addresses: readonly number[]) => void;
}

const instanceOf = (bytes: Uint8Array): Exports =>
  new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as unknown as Exports;

/** Runs a module over one row at a time and returns what each cell is given: −0 plus a number is that number. */
function valuesOf(bytes: Uint8Array, cells: number, rows: readonly Row[]): number[][] {
  const { memory, run } = instanceOf(bytes);
  const halves = new Float64Array(memory.buffer, 0, 2 * cells);
  const { places } = layoutOf(wireKinds(columns, false), 1);
  return rows.map((row) => {
    new Uint8Array(memory.buffer).set(encodeBatch(columns, batchOf([row])), ROOM);
    halves.fill(-0);
    run(1, ...places.map((place) => ROOM + place.offset));
    return Array.from({ length: cells }, (_, cell) => halves[2 * cell] ?? 0);
  });
}
const ROOM = 65_536;

/** Runs the printed row function over the same row. */
function printedOf(text: string, outputs: number, rows: readonly Row[]): number[][] {
  const run = runInThisContext(text) as (...values: readonly unknown[]) => unknown;
  return rows.map(([x, y, n, m, b, p, t]) => {
    const out = new Float64Array(outputs);
    const value = run(x, y, n, m, b === 1, p < 0 ? undefined : p === 1, t, out);
    return outputs === 1 ? [Number(value)] : [...out];
  });
}

function check(source: string, outputs: readonly OutputSpec[], reducer: Reducer = { kind: 'sum' }): CheckedRowFunction {
  const checked = checkRowFunction(source, { columns, outputs, reducer, parameters, rowsPerUnit: 3 });
  if (checked.kind === 'refused') throw new Error(`${source}: ${checked.reasons[0]?.message}`);
  return checked;
}

const wide: readonly OutputSpec[] = [{ name: 'v', range: [-1e6, 1e6] }];
const two: readonly OutputSpec[] = [
  { name: 'a', range: [-5, 10] },
  { name: 'b', range: [0, 3], step: 0.1 },
];

/** The same bits from both ways of running a source, for every row. */
function assertSame(source: string, rows: readonly Row[], outputs = wide): void {
  const { program } = check(source, outputs);
  const terms = { ...shared, outputs: outputs.length };
  const graph = new Graph();
  const cells: readonly NodeId[] = lowerProgram(graph, program, terms);
  const found = valuesOf(encodeModule(graph, { cells, columns: loaded }), cells.length, rows);
  assert.deepEqual(found, printedOf(printRowFunction(program, terms), outputs.length, rows), source);
}

const odd = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  1.5,
  2.5,
  -1.5,
  0.49999999999999994,
  5e-324,
  -5e-324,
  2 ** -1022,
  2 ** 31,
  -(2 ** 31),
  2 ** 32,
  2 ** 53,
  2 ** 53 + 2,
  -(2 ** 63),
  1e300,
  -1e300,
  1e-300,
  Number.MAX_VALUE,
  Infinity,
  -Infinity,
  Number.NaN,
  Math.PI,
  709.8,
  -745.2,
];
const double = fc.oneof(fc.double(), fc.constantFrom(...odd), fc.integer({ min: -100, max: 100 }));
const int32 = fc.oneof(fc.integer(), fc.integer({ min: -3, max: 3 }));
const row: fc.Arbitrary<Row> = fc.tuple(
  double,
  double,
  int32,
  fc.oneof(int32, fc.constant(Number.NaN)),
  fc.integer({ min: 0, max: 1 }),
  fc.integer({ min: -1, max: 1 }),
  fc.integer({ min: -1, max: 3 }),
);

// prettier-ignore
const leaves = [
  'r.x', 'r.y', 'r.n', 'r.m', 'r.b', 'r.p', 'c.w', 'c.big', 'NaN', 'undefined', 'Infinity', 'Math.LN2', 'true', 'false',
  '(r.t === "north")', '(r.t !== "nowhere")', '(r.t == null)', '(r.y == null)', '(r.m ?? 3)', '(r.p === null)',
];
const leaf = fc.oneof(
  fc.constantFrom(...leaves),
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .map((value) => (value < 0 || Object.is(value, -0) ? `(${value})` : `${value}`)),
  fc.integer({ min: -9, max: 9 }).map((value) => `(${value})`),
);
const binary = [
  '+',
  '-',
  '*',
  '/',
  '%',
  '<',
  '<=',
  '>',
  '>=',
  '==',
  '!=',
  '===',
  '!==',
  '&',
  '|',
  '^',
  '&&',
  '||',
  '??',
];
// prettier-ignore
const called = [
  'abs', 'ceil', 'floor', 'round', 'trunc', 'sign', 'sqrt', 'exp', 'log', 'min', 'max',
  'log1p', 'log2', 'log10', 'expm1', 'sinh', 'cosh', 'tanh',
];
const { expression } = fc.letrec<{ expression: string }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    leaf,
    fc
      .tuple(tie('expression'), fc.constantFrom(...binary), tie('expression'))
      .map(([a, op, b]) => `((${a})${op}(${b}))`),
    fc
      .tuple(tie('expression'), fc.constantFrom('<<', '>>', '>>>'), fc.nat(40))
      .map(([a, op, by]) => `((${a})${op}${by})`),
    fc.tuple(fc.constantFrom('-', '+', '!', '~'), tie('expression')).map(([op, a]) => `(${op}(${a}))`),
    fc.tuple(tie('expression'), tie('expression'), tie('expression')).map(([a, b, c]) => `((${a})?(${b}):(${c}))`),
    fc.tuple(fc.constantFrom('isNaN', 'isFinite', 'isInteger'), tie('expression')).map(([f, a]) => `Number.${f}(${a})`),
    fc
      .tuple(fc.constantFrom(...called), fc.array(tie('expression'), { maxLength: 3 }))
      .map(([f, args]) => `Math.${f}(${args.join(',')})`),
  ),
}));
/** Steps with locals, branches that set some of them, and returns in the middle. */
const body = fc
  .tuple(expression, expression, expression, expression)
  .map(
    ([a, b, c, d]) =>
      `(r, c) => { let u = ${a}; const v = ${b}; if (${c}) { u = v; if (u > 1) return ${d}; else { const w = u; u += w; } } ` +
      `else if (v === undefined) u -= 1; else return [v, u][0]; return u ?? ${d}; }`.replace('[v, u][0]', 'v'),
  );

test('a compiled row function gives the bits of the printed one, for every program and row', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        expression.map((each) => `(r, c) => ${each}`),
        body,
      ),
      fc.array(row, { minLength: 1, maxLength: 12 }),
      (source, rows) => {
        assertSame(source, rows);
      },
    ),
    { numRuns: 400 },
  );
});

test('exponentials, logarithms and hyperbolic functions are V8’s own to the last bit, as are rounding and signs', () => {
  const words = new Uint32Array(2);
  const bits = new Float64Array(words.buffer);
  let state = 20261122;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
  const values: number[] = [];
  const around = [
    ...odd,
    709.782712893384,
    -745.1332191019411,
    -708.396,
    0.34657359027997264,
    1.0397207708399179,
    2 ** -28,
    Math.SQRT2,
    1 + 2 ** -20,
    Math.SQRT2 - 1,
    1 - Math.SQRT1_2,
    2 ** -29,
    2 ** -54,
    22,
    56 * Math.LN2,
    710.4758600739439,
  ];
  for (const value of around) {
    bits[0] = value;
    const [low = 0] = words;
    for (let d = -4; d <= 4; d++) {
      words[0] = low + d;
      values.push(bits[0] ?? 0, -(bits[0] ?? 0));
    }
  }
  for (let i = 0; i < 250_000; i++) {
    words[0] = next();
    words[1] = next();
    values.push(
      bits[0] ?? 0,
      (next() / 2 ** 32 - 0.5) * 1500,
      (next() / 2 ** 32 - 0.5) * 4,
      Math.exp((next() / 2 ** 32 - 0.5) * 1400),
    );
  }
  const first = ['exp', 'log', 'round', 'sign'] as const;
  const further = ['log1p', 'log2', 'log10', 'expm1', 'sinh', 'cosh', 'tanh'] as const;
  for (const name of [...first, ...further]) {
    const graph = new Graph();
    const elementary = new Elementary(graph);
    const x = graph.load(0, 'float64');
    const isFirst = (each: string): each is (typeof first)[number] => first.includes(each as 'exp');
    const cells = [isFirst(name) ? elementary[name](x) : new Further(graph, elementary)[name](x)];
    const tried = isFirst(name) ? values.length : 200_000;
    const { memory, run } = instanceOf(encodeModule(graph, { cells, columns: [{ as: 'float64' }] }));
    const halves = new Float64Array(memory.buffer, 0, 2);
    const input = new Float64Array(memory.buffer, ROOM, 2);
    for (let i = 0; i + 1 < tried; i += 2) {
      input.set([values[i] ?? 0, values[i + 1] ?? 0]);
      halves.fill(-0);
      run(2, ROOM);
      for (let lane = 0; lane < 2; lane++) {
        const value = values[i + lane] ?? 0;
        if (!Object.is(halves[lane], Math[name](value)))
          assert.equal(halves[lane], Math[name](value), `${name}(${value})`);
      }
    }
  }
});

test('a remainder is V8’s own to the last bit, whatever the size of its two numbers', () => {
  const graph = new Graph();
  const cells = [graph.make('remainder', [graph.load(0, 'float64'), graph.load(1, 'float64')])];
  const { memory, run } = instanceOf(encodeModule(graph, { cells, columns: [{ as: 'float64' }, { as: 'float64' }] }));
  const halves = new Float64Array(memory.buffer, 0, 2);
  const input = new Float64Array(memory.buffer, ROOM, 4);
  const pairOf = (one: readonly [number, number], other: readonly [number, number]): void => {
    input.set([one[0], other[0], one[1], other[1]]);
    halves.fill(-0);
    run(2, ROOM, ROOM + 16);
    for (const [lane, [a, b]] of [one, other].entries()) {
      if (!Object.is(halves[lane], a % b)) assert.equal(halves[lane], a % b, `${a} % ${b}`);
    }
  };
  const hard = [
    ...odd,
    3,
    7,
    -7,
    0.1,
    0.3,
    1e22,
    3e-310,
    1.5e-323,
    2 ** 53 - 1,
    2 ** 54 + 4,
    2 ** 970 * 1.1,
    2 ** 1023,
  ];
  for (const a of hard) for (const b of hard) pairOf([a, b], [b, a]);
  const words = new Uint32Array(4);
  const bits = new Float64Array(words.buffer);
  let state = 20261123;
  const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
  for (let i = 0; i < 60_000; i++) {
    for (let word = 0; word < 4; word++) words[word] = next();
    const [a = 0, b = 0] = bits;
    const near = 2 ** (next() % 60) * (1 + next() / 2 ** 32);
    pairOf([a, b], [next() - 2 ** 31, (next() % 1000) - 500]);
    pairOf([near, next() / 2 ** 32], [a, a / near]);
  }
});

const reducers: readonly Reducer[] = [
  { kind: 'sum' },
  { kind: 'mean' },
  { kind: 'variance' },
  { kind: 'covariance' },
  {
    kind: 'histogram',
    edges: [
      [-5, 0, 0.25, 10],
      [0, 3],
    ],
  },
  { kind: 'gradient', model: 'linear', weights: [0.5, -1.25], clip: 2 },
  { kind: 'gradient', model: 'logistic', weights: [-0.1, 3], clip: 0.01 },
  {
    kind: 'clusterSums',
    centres: [
      [0, 0],
      [5, 1],
      [5, 1],
      [-2, 3],
    ],
  },
];
const groupings: readonly KernelTerms['groupBy'][] = [
  undefined,
  { column: 't', keys: [2, undefined, 0] },
  { column: 'p', keys: [1, 0] },
  { column: 'n', keys: [0, -1, 2 ** 31 - 1, 0.5, 0] },
  { column: 'm', keys: [-0, 3] },
];

test('its cells are those of the printed kernel, whatever reduces and groups the rows, in batches of any length', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...reducers),
      fc.constantFrom(...groupings),
      fc.tuple(expression, expression),
      fc.array(fc.array(row, { maxLength: 21 }), { minLength: 1, maxLength: 3 }),
      (reducer, groupBy, [one, other], batches) => {
        const { program, plan } = check(`(r, c) => [${one}, ${other}]`, two, reducer);
        const terms: KernelTerms = { ...shared, reducer, plan, groupBy };
        const printed = runInThisContext(printKernel(program, terms)) as (
          buffer?: ArrayBuffer,
          rows?: number,
          ...offsets: readonly number[]
        ) => Float64Array;
        const bytes = vectorKernel(program, terms);
        assert.ok(bytes !== undefined);
        const compiled = VectorKernel.from(
          Buffer.from(bytes).toString('base64'),
          (groupBy?.keys.length ?? 1) * plan.cells.length,
        );
        assert.ok(compiled !== undefined);
        for (const rows of batches) {
          const encoded = encodeBatch(columns, batchOf(rows));
          const offsets = layoutOf(wireKinds(columns, false), rows.length).places.map((place) => place.offset);
          printed(encoded.buffer, rows.length, ...offsets);
          // What lies behind the batch is the rest of another one.
          compiled.roomFor(encoded.length + 64).fill(0x7f);
          compiled.roomFor(encoded.length).set(encoded);
          compiled.add(rows.length, offsets);
        }
        const sums = (cells: Float64Array): bigint[] => Array.from(cells, BigInt);
        assert.deepEqual(sums(compiled.takeCells()), sums(printed()));
        assert.ok(compiled.takeCells().every((cell) => cell === 0));
      },
    ),
    { numRuns: 250 },
  );
});

test('programs at the edges of the language compile to the same bits, and those beyond the compiler are left to the printed kernel', () => {
  const times = (count: number, each: (i: number) => string): string =>
    Array.from({ length: count }, (_, i) => each(i)).join('');
  const rows: readonly Row[] = [
    [1.5, Number.NaN, -7, 3, 1, -1, 2],
    [-0, 1e308, 2 ** 31 - 1, Number.NaN, 0, 0, -1],
  ];
  const edges = [
    `(r) => ${times(190, () => '-(')}r.x${times(190, () => ')')}`,
    `(r) => 0${times(190, (i) => `+${i}e${3 * i - 300}`)}`,
    `(r) => { let a = r.x; ${times(180, (i) => `a = a * r.y - ${i};`)} return a; }`,
    `(r) => { ${times(180, (i) => `const v${i} = ${i === 0 ? 'r.n' : `v${i - 1} + r.x`};`)} return v179; }`,
    `(r) => ${times(90, (i) => `r.n === ${i} ? ${i} :`)} -0`,
    '(r) => 1 / (r.y == null ? -0 : 0)',
    '(r) => { if (r.b) { if (r.p) return 1; } else if (r.n > 0) return -0; return r.y; }',
  ];
  for (const source of edges) assertSame(source, rows);
  for (const source of [
    '(r) => r.x ** 2',
    '(r) => Math.sin(r.x)',
    `(r) => 0${times(120, (i) => `+Math.exp(r.x+${i})`)}`,
  ]) {
    const { program, plan } = check(source, wide);
    assert.equal(vectorKernel(program, { ...shared, reducer: { kind: 'sum' }, plan }), undefined, source);
  }
});
