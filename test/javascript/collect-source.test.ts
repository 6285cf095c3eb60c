import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { JavaScriptProgram } from '../../runtime/gen/messages.ts';
import type { ColumnBatch, Schema } from '../../runtime/release/columns.ts';
import { collectSource } from '../../runtime/sandbox/javascript/collect-source.ts';
import { computationOfMessage } from '../../runtime/sandbox/javascript/from-message.ts';

const bytes = (array: { readonly buffer: ArrayBufferLike }): Uint8Array => new Uint8Array(array.buffer);
const text = (...values: readonly string[]): { values: Uint8Array; offsets: Int32Array } => {
  const parts = values.map((value) => new TextEncoder().encode(value));
  const offsets = Int32Array.from([
    0,
    ...parts.map((_, i) => parts.slice(0, i + 1).reduce((sum, part) => sum + part.length, 0)),
  ]);
  return { values: Uint8Array.from(parts.flatMap((part) => [...part])), offsets };
};

const schema: Schema = [
  { name: 'patient', type: { kind: 'utf8' }, nullable: true },
  { name: 'age', type: { kind: 'int32' }, nullable: true },
  { name: 'visits', type: { kind: 'int64' }, nullable: false },
  { name: 'cost', type: { kind: 'decimal128', precision: 38, scale: 2 }, nullable: false },
  { name: 'smokes', type: { kind: 'bool' }, nullable: false },
  { name: 'sex', type: { kind: 'utf8' }, nullable: true },
  { name: 'at', type: { kind: 'timestampMicros' }, nullable: false },
];
const fixed = (values: Uint8Array, validity: number | null = null) => ({
  validity: validity === null ? null : Uint8Array.of(validity),
  values,
  offsets: null,
});
const batch = (patients: readonly [string, string, string], known: number): ColumnBatch => ({
  rowCount: 3,
  columns: [
    { validity: Uint8Array.of(known), ...text(...patients) },
    fixed(bytes(Int32Array.of(30, 40, 50)), 0b101),
    fixed(bytes(BigInt64Array.of(1n, 2n, -3n))),
    fixed(bytes(BigInt64Array.of(150n, 0n, -150n, -1n, 1n, 0n))),
    fixed(Uint8Array.of(0b110)),
    { validity: Uint8Array.of(0b011), ...text('f', 'm', '') },
    fixed(bytes(BigInt64Array.of(1_500_000n, 0n, 1n))),
  ],
});

suite('a table becomes a source', () => {
  test('texts become codes, units become numbers, and rows of nobody are left out', async () => {
    const source = await collectSource(schema, 'patient', [
      batch(['ann', 'bob', 'ann'], 0b111),
      batch(['bob', '', 'cy'], 0b101),
    ]);
    assert.deepEqual(
      source.columns.map(({ name, kind }) => [name, kind]),
      [
        ['age', 'int32'],
        ['visits', 'float64'],
        ['cost', 'float64'],
        ['smokes', 'boolean'],
        ['sex', 'dictionary'],
        ['at', 'float64'],
      ],
    );
    assert.equal(source.units, 3);
    assert.deepEqual(source.dictionaries, new Map([['sex', ['f', 'm']]]));
    const [first, second] = [
      ...(source.batches() as Iterable<{
        rows: number;
        unit?: Int32Array;
        columns: readonly { values: ArrayLike<number>; validity?: Uint8Array }[];
      }>),
    ];
    assert.deepEqual([...(first?.unit ?? [])], [0, 1, 0]);
    assert.deepEqual(
      first?.columns.map(({ values }) => Array.from(values)),
      [
        [30, 40, 50],
        [1, 2, -3],
        [1.5, -1.5, 0.01],
        [0, 1, 1],
        [0, 1, -1],
        [1500, 0, 0.001],
      ],
    );
    assert.deepEqual(second?.rows, 2);
    assert.deepEqual([...(second?.unit ?? [])], [1, 2]);
    assert.deepEqual(
      second?.columns.map(({ values }) => Array.from(values)),
      [
        [30, 50],
        [1, -3],
        [1.5, 0.01],
        [0, 1],
        [0, -1],
        [1500, 0.001],
      ],
    );
    assert.deepEqual(
      second?.columns.map(({ validity }) => validity && [...validity]),
      [[1, 1], undefined, undefined, undefined, [1, 0], undefined],
    );
  });

  test('a table without the unit, or with a unit that is no key, is a fault', async () => {
    await assert.rejects(collectSource(schema, 'nobody', []), RangeError);
    await assert.rejects(collectSource(schema, 'smokes', [batch(['a', 'b', 'c'], 7)]), RangeError);
  });
});

suite('a program of the public API', () => {
  const base: JavaScriptProgram = {
    source: '(r) => r.x',
    isTypeScript: true,
    method: 'unspecified',
    table: 't',
    columns: ['x'],
    outputs: [{ name: 'x', low: 0, high: 1, defaultValue: 0.25, bins: [0, 0.5, 1], step: 0, hasDefault: false }],
    reducer: '',
    blocks: 0,
    rounds: 0,
    codeDigest: '',
    image: '',
    parameters: {},
    inputJobIds: ['j1'],
    libraries: [],
    groupColumn: '',
    groupKeys: [],
    result: [],
    maxRowsPerGroup: 0,
    timeoutMs: 0,
    iterate: null,
    microEpsilon: 0n,
  };
  const read = (change: Partial<JavaScriptProgram>): unknown => {
    const parsed = computationOfMessage({ ...base, ...change });
    return parsed.kind === 'ok' ? parsed.computation : parsed.reasons;
  };

  test('is read as the computation it means', () => {
    const common = { language: 'typescript', source: '(r) => r.x', table: 't', columns: ['x'] };
    const outputs = [{ name: 'x', range: [0, 1] }];
    assert.deepEqual(read({}), { mode: 'rowFunction', ...common, outputs, reducer: { kind: 'mean' }, parameters: {} });
    assert.deepEqual(read({ reducer: 'histogram' }), {
      mode: 'rowFunction',
      ...common,
      outputs,
      reducer: { kind: 'histogram', edges: [[0, 0.5, 1]] },
      parameters: {},
    });
    assert.deepEqual(read({ method: 'blocks', reducer: 'median', blocks: 20 }), {
      mode: 'blocks',
      ...common,
      outputs: [{ name: 'x', range: [0, 1], default: 0.25 }],
      blocks: { count: 20, timeoutMs: 100, aggregate: 'median' },
    });
    assert.deepEqual(read({ method: 'post' }), {
      mode: 'post',
      language: 'typescript',
      source: '(r) => r.x',
      results: ['j1'],
      timeoutMs: 10_000,
    });
    const two = [
      ...base.outputs,
      { name: 'y', low: -1, high: 1, defaultValue: 0, bins: [], step: 0, hasDefault: false },
    ];
    const regression = read({
      reducer: 'logistic',
      rounds: 5,
      outputs: two,
      parameters: { clip: 2, rate: 0.5, w: 3 },
    }) as { iterate: unknown; parameters: unknown };
    assert.deepEqual(regression.iterate, {
      algorithm: 'logisticRegression',
      rounds: 5,
      weights: [0, 0],
      clip: 2,
      rate: 0.5,
    });
    assert.deepEqual(regression.parameters, { w: 3 });
    assert.match(String(read({ reducer: 'max' })), /reducer.kind/);
  });
});
