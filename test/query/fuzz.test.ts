import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fc } from '../property.ts';
import { compileQuery } from '../../runtime/query/compile.ts';
import { parseLossless } from '../../runtime/query/lossless-json.ts';
import { checkText, MAX_QUERY_BYTES } from '../../runtime/query/text.ts';
import { astOf, contextOf, openClinic } from './clinic.ts';

const SEEDS = [
  'WITH a AS (SELECT ward, cost FROM visits WHERE urgent) SELECT w.kind, sum(cost) FILTER (WHERE w.floor < 3) AS s FROM a JOIN wards w USING (ward) GROUP BY ALL HAVING count(*) > 1 ORDER BY s DESC LIMIT 3',
  "SELECT ward, sum(CASE WHEN diagnosis LIKE 'f%' THEN cost ELSE 0 END), rank() OVER (ORDER BY count(*)) FROM visits WHERE admitted >= DATE '2024-01-01' + INTERVAL 1 MONTH AND age IN (1, 2.5, 3) GROUP BY ward UNION ALL SELECT 'x', 1, 2",
];

/** Every path into a JSON value. */
function pathsOf(value: unknown, path: readonly (string | number)[] = []): (readonly (string | number)[])[] {
  if (typeof value !== 'object' || value === null) return [path];
  return [
    path,
    ...Object.entries(value).flatMap(([key, one]) => pathsOf(one, [...path, Array.isArray(value) ? Number(key) : key])),
  ];
}

function changed(root: unknown, path: readonly (string | number)[], make: (old: unknown) => unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return make(root);
  if (Array.isArray(root)) return root.map((one: unknown, index) => (index === key ? changed(one, rest, make) : one));
  const object = root as Record<string, unknown>;
  return { ...object, [key]: changed(object[String(key)], rest, make) };
}

describe('damaged input', async () => {
  const connection = await openClinic();
  const seeds = await Promise.all(SEEDS.map(async (sql) => ({ sql, ast: await astOf(connection, sql) })));
  const anything = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom<unknown>(
      'SELECT_NODE',
      'TABLE_FUNCTION',
      'COLUMN_REF',
      '__proto__',
      'constructor',
      '',
      -1,
      2 ** 60,
      true,
      null,
      [],
      {},
      { rawJSON: '1e5' },
    ),
    fc.constantFrom<unknown>(
      'patient',
      'cost',
      'sum',
      'max',
      'patients',
      'LEFT',
      'ANTI',
      'COMPARE_EQUAL',
      'OPERATOR_TRY',
    ),
  );

  it('a mutated syntax tree never crashes the compiler: it is permitted or denied', () => {
    for (const { sql, ast } of seeds) {
      const paths = pathsOf(ast);
      fc.assert(
        fc.property(fc.array(fc.tuple(fc.nat(paths.length - 1), anything), { minLength: 1, maxLength: 3 }), (edits) => {
          let mutated = ast;
          for (const [index, value] of edits) {
            try {
              mutated = changed(mutated, paths[index] ?? [], () => value);
            } catch {
              // An earlier edit removed the place of this one.
            }
          }
          const answer = compileQuery(mutated, sql, contextOf());
          assert.ok(answer.kind === 'denied' || answer.kind === 'permitted');
        }),
        { numRuns: 1500 },
      );
    }
  });

  it('a node with one more key is denied, wherever it is', () => {
    for (const { sql, ast } of seeds) {
      for (const path of pathsOf(ast)) {
        const grown = changed(ast, path, (old) =>
          typeof old === 'object' && old !== null && !Array.isArray(old) ? { ...old, surprise: null } : old,
        );
        const isObject = JSON.stringify(grown) !== JSON.stringify(ast);
        // The parser's note about types of constants and the list of parameter names are not read.
        if (
          !isObject ||
          path.includes('type_info') ||
          path.includes('named_param_map') ||
          path.includes('query_location')
        )
          continue;
        if (['type', 'cast_type', 'query_location'].includes(String(path.at(-1))) || typeof path.at(-1) === 'undefined')
          continue;
        assert.equal(compileQuery(grown, sql, contextOf()).kind, 'denied', path.join('.'));
      }
    }
  });

  it('deep and large trees are denied, not crashed on', () => {
    let deep: unknown = {
      class: 'COLUMN_REF',
      type: 'COLUMN_REF',
      alias: '',
      query_location: 0,
      column_names: ['age'],
    };
    for (let i = 0; i < 100_000; i++)
      deep = { class: 'OPERATOR', type: 'OPERATOR_NOT', alias: '', query_location: 0, children: [deep] };
    const { sql, ast } = seeds[0] ?? assert.fail();
    const grown = changed(ast, ['statements', 0, 'node', 'having'], () => deep);
    assert.equal(compileQuery(grown, sql, contextOf()).kind, 'denied');
  });

  it('text that is too long or not UTF-8 is denied before it is parsed', () => {
    assert.equal(checkText(new Uint8Array(MAX_QUERY_BYTES + 1).fill(32)).kind, 'denied');
    assert.equal(checkText(Uint8Array.of(0xff, 0xfe)).kind, 'denied');
    assert.equal(checkText(Uint8Array.of(0x61, 0)).kind, 'denied');
    assert.deepEqual(checkText(new TextEncoder().encode('SELECT 1')), { kind: 'text', text: 'SELECT 1' });
  });

  it('numbers keep every digit, and what is not JSON is refused', () => {
    assert.deepEqual(
      JSON.stringify(parseLossless('[9007199254740993, 1e0, 18446744073709551615, 7]')),
      '[9007199254740993,1e0,18446744073709551615,7]',
    );
    assert.throws(() => parseLossless('[Infinity]'), SyntaxError);
  });

  it('a constant beyond 2^53 reaches the engine unrounded', async () => {
    const sql = 'SELECT count(*) FROM visits WHERE age = 9007199254740993 OR age = 123456789012345678901234567890';
    const answer = compileQuery(await astOf(connection, sql), sql, contextOf());
    assert.ok(answer.kind === 'permitted');
    assert.match(answer.enforced.setup.join('\n'), /'9007199254740993'/);
    assert.match(answer.enforced.setup.join('\n'), /'123456789012345678901234567890'/);
  });

  it('no byte of the consumer text is in our statements except inside constants', async () => {
    const sql = `SELECT ward AS "x'; DROP TABLE visits; --", count(*) AS "__gb_evil" FROM visits AS "t""u" GROUP BY ALL ORDER BY "__gb_evil"`;
    const answer = compileQuery(await astOf(connection, sql), sql, contextOf());
    assert.ok(answer.kind === 'permitted');
    const all = [...answer.enforced.setup, answer.enforced.result, answer.enforced.summary].join('\n');
    assert.doesNotMatch(all, /DROP|evil|t""u/);
    assert.equal(answer.enforced.outputs[0]?.name, "x'; DROP TABLE visits; --");
  });

  it('re-spellings of one question have one canonical text', async () => {
    const spell = async (sql: string): Promise<string> => {
      const answer = compileQuery(await astOf(connection, sql), sql, contextOf());
      assert.ok(answer.kind === 'permitted');
      return answer.enforced.canonical;
    };
    const one = await spell(
      "SELECT ward, count(*) FROM visits WHERE age > 30 AND diagnosis IN ('a', 'b') GROUP BY ward",
    );
    const other = await spell(
      "WITH q AS (SELECT * FROM hospital.visits v) SELECT x.WARD w, COUNT(*) FROM q x WHERE x.diagnosis in ('b', 'a', 'b') AND 30 < x.age GROUP BY 1",
    );
    assert.equal(one, other);
  });
});
