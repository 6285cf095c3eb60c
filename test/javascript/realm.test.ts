import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { runOnTwin } from '../../runtime/sandbox/javascript/run-post.ts';
import { factory, jailedWorkers, numbersSource, terms } from './jailed.ts';

const { workers } = await jailedWorkers(2);

async function evaluate(expression: string): Promise<unknown> {
  const said = await runOnTwin(
    workers,
    { factory: factory(`(input) => JSON.stringify(${expression})`) },
    numbersSource([1]),
    terms,
  );
  assert.equal(said.kind, 'done');
  if (said.kind !== 'done') return undefined;
  assert.equal(said.error, undefined);
  return JSON.parse(said.result ?? 'null');
}

// A new global of a newer engine (Temporal, say, with a clock of its own) must fail this test and be thought about.
// prettier-ignore
const golden = [
  'AggregateError', 'Array', 'ArrayBuffer', 'BigInt', 'BigInt64Array', 'BigUint64Array', 'Boolean', 'DataView', 'Date', 'Error', 'EvalError', 'Float16Array',
  'Float32Array', 'Float64Array', 'Function', 'Infinity', 'Int16Array', 'Int32Array', 'Int8Array', 'Iterator', 'JSON', 'Map', 'Math', 'NaN', 'Number', 'Object',
  'Promise', 'Proxy', 'RangeError', 'ReferenceError', 'Reflect', 'RegExp', 'Set', 'String', 'Symbol', 'SyntaxError', 'TypeError', 'URIError', 'Uint16Array',
  'Uint32Array', 'Uint8Array', 'Uint8ClampedArray', 'WeakMap', 'WeakSet', 'decodeURI', 'decodeURIComponent', 'encodeURI', 'encodeURIComponent', 'eval', 'global',
  'globalThis', 'isFinite', 'isNaN', 'parseFloat', 'parseInt', 'self', 'undefined',
];

suite('the hardened realm', () => {
  test('holds exactly the globals of the list', async () => {
    // `console` exists on synthetic data only.
    const names = (await evaluate('Object.getOwnPropertyNames(globalThis).sort()')) as string[];
    assert.deepEqual(names, [...golden, 'console'].toSorted());
  });

  test('has one clock, one chance and no locale, and they repeat', async () => {
    const expression = `[Date.now(), new Date().toISOString(), Date().length > 10, new Date(5).getTime(), new Date(2026, 0, 1).toISOString(), Math.random(), Math.random(), 'b'.localeCompare('a'), (1234.5).toLocaleString(), new Date(0).toLocaleString(), [1, 2].toLocaleString()]`;
    const [one, two] = [await evaluate(expression), await evaluate(expression)];
    assert.deepEqual(one, two);
    const [now, iso, , five, utc, a, b, compared, number, date, list] = one as unknown[];
    assert.deepEqual(
      [now, iso, five, utc, compared, number, date, list],
      [
        terms.nowMs,
        '2026-01-02T00:00:00.000Z',
        5,
        '2026-01-01T00:00:00.000Z',
        1,
        '1234.5',
        '1970-01-01T00:00:00.000Z',
        '1,2',
      ],
    );
    assert.notEqual(a, b);
  });

  test('keeps what honest code needs', async () => {
    const expression =
      `[new Float64Array(new ArrayBuffer(16)).length, Symbol.for('a') === Symbol.for('a'), Symbol.keyFor(Symbol.for('a')), new Date(0) instanceof Date, class extends ArrayBuffer {}.name, [3, 1, 2].toSorted().join(), Object.groupBy([1, 2], (v) => v % 2 ? 'odd' : 'even').odd, new (class A extends Error {})('m').message, String(structure ?? '')]`.replace(
        ", String(structure ?? '')",
        '',
      );
    assert.deepEqual(await evaluate(expression), [2, true, 'a', true, '', '1,2,3', [1], 'm']);
  });
});
