import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { learnColumns } from '../../runtime/dataset/column-facts.ts';
import { compileQuery } from '../../runtime/query/compile.ts';
import type { CatalogueTable } from '../../runtime/query/catalogue.ts';
import { parseLossless } from '../../runtime/query/lossless-json.ts';
import { ask, column, contextOf, grant, INTEGER, measure, openClinic, UNIT_COLUMNS } from './clinic.ts';

/**
 * 600 groups of twelve patients with two rows each. In most a factor differs for half of them; in the groups that tests speak of
 * only for as many as they say. At least four units must differ from whatever value.
 */
const COLUMNS = [
  column('patient', INTEGER, grant(['join'])),
  column('g', INTEGER, grant(['group', 'filter'])),
  column('pay', INTEGER, measure(['sum', 'avg'])),
  column('code', INTEGER, measure(['sum', 'avg'])),
];
const SIDE = (name: string, cut: number): string =>
  `CAST(CASE WHEN ${name} > ${cut} THEN (1::UBIGINT << (__gb_u0 & 31)) << 32 WHEN ${name} <= ${cut} THEN 1::UBIGINT << (__gb_u0 & 31) ELSE 0 END AS UBIGINT) AS __gb_s_${name}`;

describe('sides that the layout prepared', async () => {
  const connection = await openClinic('SELECT 1');

  /** The groups that are withheld, whichever way products are proved: with words of the layout, whatever their cut, or without. */
  async function withheld(
    code: string,
    { cut = 1, sql = 'sum(pay * code)', isTaken = true } = {},
  ): Promise<readonly string[]> {
    await connection.run(`CREATE OR REPLACE TABLE stays AS SELECT *, ${SIDE('pay', 10)}, ${SIDE('code', cut)} FROM (
      SELECT *, ${UNIT_COLUMNS('patient')} FROM (SELECT (i // 2)::INTEGER AS patient, g::INTEGER AS g, (9 + p % 2 * 2)::INTEGER AS pay, (${code})::INTEGER AS code
        FROM (SELECT i, i // 24 AS g, (i // 2) % 12 AS p, i % 2 AS visit FROM range(14400) r(i))))`);
    const names = COLUMNS.map(({ name }) => name);
    const facts = await learnColumns(connection, 'stays', names);
    const columns = COLUMNS.map((one) => ({ ...one, facts: facts[one.name] ?? null, distinctValues: 600 }));
    const unit = { keyColumns: ['patient'], domain: 'patient', hash: '__gb_u0', oneHot: '__gb_b0' };
    const sides = new Map(['pay', 'code'].map((name) => [name, `__gb_s_${name}`]));
    const answers: string[] = [];
    for (const own of [unit, { ...unit, sides }]) {
      const table: CatalogueTable = {
        dataset: 'hospital/stays',
        names: ['stays'],
        physical: '"main"."stays"',
        isPublic: false,
        columns: columns as CatalogueTable['columns'],
        units: [own],
        joins: 'allowed',
        rowCount: 1_000_000n,
      };
      const context = contextOf({ minUnits: 4 }, { tables: [table] });
      const text = `SELECT g, ${sql} AS cell FROM stays GROUP BY g ORDER BY g`;
      const tree = await connection.runAndReadAll(`SELECT json_serialize_sql('${text}')`);
      const compiled = compileQuery(parseLossless(String(tree.getRows()[0]?.[0])), text, context);
      const isUsed = compiled.kind !== 'denied' && compiled.enforced.setup.some((one) => one.includes('__gb_s_'));
      assert.equal(isUsed, own !== unit && isTaken);
      const answer = await ask(connection, text, context);
      if (answer.kind !== 'answer') throw new Error('no answer');
      assert.equal(answer.rows.length, 600);
      answers.push(JSON.stringify(answer.rows.flatMap(([g, cell]) => (cell === null ? [String(g)] : []))));
    }
    assert.equal(answers[0], answers[1]);
    return JSON.parse(answers[1] ?? '') as readonly string[];
  }

  it('prove products of many groups, and show what a count of units shows', async () => {
    assert.deepEqual(await withheld('1 + p % 2'), []);
  });

  it('never prove a group in which too few differ', async () => {
    assert.deepEqual(
      await withheld(
        'CASE g WHEN 17 THEN 1 + (p < 3)::INT WHEN 18 THEN 1 + (p < 4)::INT WHEN 19 THEN 5 ELSE 1 + p % 2 END',
      ),
      ['17'],
    );
  });

  it('leave the answer as it is where the cut has all values on one side', async () => {
    for (const cut of [-1, 100])
      assert.deepEqual(await withheld('CASE WHEN g = 17 THEN 1 + (p < 3)::INT ELSE 1 + p % 2 END', { cut }), ['17']);
  });

  it('are not taken for more than a column, or a column with gaps', async () => {
    const few = 'CASE WHEN g = 17 THEN 1 + (p < 3)::INT ELSE 1 + p % 2 END';
    assert.deepEqual(await withheld(few, { sql: 'sum(pay * (1 + code * 1000))', isTaken: false }), ['17']);
    const gaps = `CASE WHEN p > 7 THEN NULL ELSE ${few} END`;
    assert.deepEqual(await withheld(gaps, { isTaken: false }), ['17']);
  });
});
