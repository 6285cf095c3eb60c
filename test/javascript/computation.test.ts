import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { fc } from '../property.ts';
import { parseComputation } from '../../runtime/sandbox/javascript/computation.ts';

const row = {
  mode: 'rowFunction',
  language: 'typescript',
  source: '(r) => r.cost',
  table: 'visits',
  columns: ['cost', 'sex'],
  outputs: [{ name: 'cost', range: [0, 3000], step: 0.5 }],
  reducer: { kind: 'mean' },
  groupBy: { column: 'sex', keys: ['f', 'm'] },
};
const blocks = {
  mode: 'blocks',
  language: 'javascript',
  source: '(i) => 1',
  table: 'visits',
  columns: ['cost'],
  libraries: ['jstat'],
  outputs: [{ name: 'p', range: [0, 1] }],
  blocks: { count: 100, timeoutMs: 500, aggregate: 'median' },
};
const approved = {
  mode: 'approved',
  language: 'javascript',
  source: '(i) => ({ n: 1 })',
  table: 'visits',
  columns: ['cost'],
  result: [
    { name: 'n', kind: 'int32' },
    { name: 't', kind: 'text', maxBytes: 10 },
  ],
};
const post = { mode: 'post', language: 'javascript', source: '(r) => r', results: ['job-1'] };

/** Returns the complaints about a value. */
function complaints(value: unknown): string {
  const parsed = parseComputation(value);
  return parsed.kind === 'refused' ? parsed.reasons.join('; ') : 'ok';
}

suite('a submitted computation', () => {
  test('is read with its defaults', () => {
    assert.deepEqual(parseComputation(row), { kind: 'ok', computation: row });
    assert.deepEqual(parseComputation(blocks), {
      kind: 'ok',
      computation: { ...blocks, outputs: [{ name: 'p', range: [0, 1], default: 0.5 }] },
    });
    assert.deepEqual(parseComputation(approved), {
      kind: 'ok',
      computation: {
        ...approved,
        result: [
          { name: 'n', kind: 'int32', maxBytes: 0 },
          { name: 't', kind: 'text', maxBytes: 10 },
        ],
        maxRowsPerGroup: 1,
        timeoutMs: 10_000,
      },
    });
    assert.deepEqual(parseComputation(post), { kind: 'ok', computation: { ...post, timeoutMs: 10_000 } });
    assert.equal(
      complaints({ ...row, reducer: undefined, iterate: { algorithm: 'kMeans', rounds: 3, centres: [[1], [2]] } }),
      'ok',
    );
  });

  test('is refused with the path of what is wrong', () => {
    const cases: readonly (readonly [unknown, RegExp])[] = [
      [undefined, /mode: must be/],
      [{ ...row, mode: 'shell' }, /mode: must be/],
      [{ ...row, extra: 1 }, /extra: is not known/],
      [{ ...row, language: 'python' }, /language: must be one of `javascript`/],
      [{ ...row, source: '' }, /source: is missing/],
      [{ ...row, source: 'x'.repeat(20_000) }, /source: is longer/],
      [{ ...row, columns: [] }, /columns: must be a list/],
      [{ ...row, columns: ['a', 'a'] }, /columns: name one twice/],
      [{ ...row, columns: ['a"; drop'] }, /columns\[0\]: is not a name/],
      [{ ...row, outputs: [{ name: 'a', range: [5, 1] }] }, /not low < high/],
      [{ ...row, outputs: [{ name: 'a', range: [1] }] }, /needs 2 numbers/],
      [{ ...row, outputs: [{ name: 'a', range: [0, 1], default: 0 }] }, /default: is not known/],
      [
        {
          ...row,
          outputs: [
            { name: 'a', range: [0, 1] },
            { name: 'a', range: [0, 1] },
          ],
        },
        /declared twice/,
      ],
      [{ ...row, reducer: { kind: 'max' } }, /reducer.kind/],
      [{ ...row, reducer: { kind: 'histogram', edges: [[2, 1]] } }, /rise/],
      [{ ...row, reducer: { kind: 'gradient', model: 'linear', weights: [1], clip: 1 } }, /at least one feature/],
      [{ ...row, libraries: ['jstat'] }, /uses none/],
      [{ ...row, groupBy: { column: 'sex', keys: ['f', 'f'] } }, /twice/],
      [{ ...row, groupBy: { column: 'sex', keys: [null] } }, /texts, numbers/],
      [{ ...row, parameters: { w: 'x' } }, /parameters.w/],
      [{ ...row, iterate: { algorithm: 'kMeans', rounds: 1000, centres: [[1]] } }, /rounds: must be a whole number/],
      [{ ...blocks, libraries: ['fs'] }, /not in the image/],
      [{ ...blocks, blocks: { count: 1 } }, /blocks.count/],
      [{ ...blocks, blocks: { timeoutMs: 1e9 } }, /blocks.timeoutMs/],
      [{ ...blocks, outputs: [{ name: 'p', range: [0, 1], default: 2 }] }, /outside of the range/],
      [{ ...approved, result: [{ name: 'n', kind: 'date' }] }, /result\[0\].kind/],
      [{ ...approved, maxRowsPerGroup: 0 }, /maxRowsPerGroup/],
      [{ ...post, results: [] }, /results/],
    ];
    for (const [value, expected] of cases) assert.match(complaints(value), expected);
  });

  test('survives any data', () => {
    fc.assert(
      fc.property(
        fc.anything({ withNullPrototype: true }),
        fc.constantFrom('rowFunction', 'blocks', 'approved', 'post'),
        fc.constantFrom(
          'outputs',
          'reducer',
          'columns',
          'blocks',
          'result',
          'groupBy',
          'iterate',
          'source',
          'parameters',
        ),
        (value, mode, key) => {
          for (const base of [row, blocks, approved, post])
            assert.ok(['ok', 'refused'].includes(parseComputation({ ...base, mode, [key]: value }).kind));
          assert.ok(['ok', 'refused'].includes(parseComputation(value).kind));
        },
      ),
    );
  });
});
