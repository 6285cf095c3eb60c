import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { wrongShape } from '../../runtime/gateway/javascript/diagnostics.ts';
import { collectDebugText, collectNumbersText } from '../../runtime/sandbox/javascript/guest/collectors.ts';

type Collect<Answer> = (factory: () => unknown, makeInput: () => unknown) => Answer;

/** In a realm of its own, as an isolate has. */
const compiled = <Answer>(text: string, argument: unknown): Collect<Answer> =>
  (runInNewContext(text) as (argument: unknown) => Collect<Answer>)(argument);

test('what explain says of a synthetic run is what the collector of blocks would take', () => {
  const answers: readonly unknown[] = [
    1,
    0,
    -2.5,
    NaN,
    Infinity,
    'one',
    '',
    true,
    null,
    undefined,
    [],
    [1],
    [1, 2],
    [1, 2, 3],
    [1, 'b'],
    [NaN, 2],
    { a: 1 },
    { a: 1, b: 2 },
    { a: 1, b: '2' },
    { b: 2, a: 1, c: 3 },
    {},
    new Float64Array([1, 2]),
    new Float64Array(3),
  ];
  for (const names of [['a'], ['a', 'b']])
    for (const answer of answers) {
      const main = (): unknown => () => answer;
      const taken = compiled<Float64Array>(collectNumbersText, names)(main, () => null)[0] === 1;
      const { result = '' } = JSON.parse(compiled<string>(collectDebugText, 10_000)(main, () => null)) as {
        result?: string;
      };
      const wrong = wrongShape({ outputs: names.map((name) => ({ name })) }, result);
      assert.equal(wrong === null, taken, `${names.join()}: ${result} (${String(wrong)})`);
    }
});

test('an object that was cut off is not complained about', () => {
  assert.equal(wrongShape({ outputs: [{ name: 'a' }] }, '{"b":[1,2'), null);
});
