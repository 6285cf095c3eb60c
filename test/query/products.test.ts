import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { learnColumns } from '../../runtime/dataset/column-facts.ts';
import type { CatalogueTable } from '../../runtime/query/catalogue.ts';
import { ask, column, contextOf, grant, INTEGER, measure, openClinic, UNIT_COLUMNS } from './clinic.ts';

/**
 * A sum of products with a factor that nearly everybody shares tells the rows of whoever differs. 40 patients with three
 * rows each, `pay` 10, `code` as each test says; at least four units must differ from whatever value of the factor.
 */
const PATIENTS = 40;
const COLUMNS = [
  column('patient', INTEGER, grant(['join'])),
  column('g', INTEGER, grant(['group', 'filter'])),
  column('pay', INTEGER, measure(['sum', 'avg', 'correlation'])),
  column('code', INTEGER, measure(['sum', 'avg', 'correlation'])),
];

describe('a sum of products', async () => {
  const connection = await openClinic('SELECT 1');

  /** The cells of the one column asked for, the same whatever the runtime knows of the table. */
  async function cells(code: string, pay = '10', select = 'sum(pay * code)'): Promise<(number | null)[]> {
    await connection.run(`CREATE OR REPLACE TABLE stays AS SELECT *, ${UNIT_COLUMNS('patient')} FROM (
      SELECT patient, (patient % 2)::INTEGER AS g, (${pay})::INTEGER AS pay, (${code})::INTEGER AS code
      FROM (SELECT (i % ${PATIENTS})::INTEGER AS patient, i // ${PATIENTS} AS visit FROM range(${3 * PATIENTS}) r(i)))`);
    const facts = await learnColumns(
      connection,
      'stays',
      COLUMNS.map(({ name }) => name),
    );
    const known = COLUMNS.map((one) => ({ ...one, facts: facts[one.name] ?? null, distinctValues: 2 }));
    const seen: string[] = [];
    // Unknown, known and small, known and said to be large: one statement by bits of all rows, or a sample.
    for (const [columns, rowCount] of [
      [COLUMNS, 0n],
      [known, BigInt(3 * PATIENTS)],
      [known, 1_000_000n],
    ] as const) {
      const table: CatalogueTable = {
        dataset: 'hospital/stays',
        names: ['stays'],
        physical: '"main"."stays"',
        isPublic: false,
        columns: columns as CatalogueTable['columns'],
        units: [{ keyColumns: ['patient'], domain: 'patient', hash: '__gb_u0', oneHot: '__gb_b0' }],
        joins: 'allowed',
        rowCount,
      };
      const answer = await ask(
        connection,
        `SELECT ${select} AS cell FROM stays`,
        contextOf({ minUnits: 4 }, { tables: [table] }),
      );
      assert.equal(answer.kind, 'answer', answer.kind === 'denied' ? answer.reasons[0]?.message : '');
      if (answer.kind === 'answer') seen.push(answer.rows.map((row) => String(row[0])).join());
    }
    assert.deepEqual(seen, [seen[0], seen[0], seen[0]]);
    return (seen[0] ?? '').split(',').map((cell) => (cell === 'null' ? null : Number(cell)));
  }

  it('is withheld where three differ, and shown where four do', async () => {
    assert.deepEqual(await cells('1 + CASE WHEN patient < 3 THEN 1 ELSE 0 END'), [null]);
    assert.deepEqual(await cells('1 + CASE WHEN patient < 4 THEN 1 ELSE 0 END'), [1320]);
  });

  it('is judged by units, not by rows: three who differ in every row are three', async () => {
    assert.deepEqual(await cells('CASE WHEN patient < 3 THEN 5 + visit ELSE 1 END'), [null]);
  });

  it('is shown where four have one row each that differs, as a FILTER over those rows is', async () => {
    assert.deepEqual(await cells('CASE WHEN patient < 4 AND visit = 0 THEN 2 ELSE 1 END'), [1240]);
  });

  it('is not saved by people whose factor is missing', async () => {
    assert.deepEqual(await cells('CASE WHEN patient < 3 THEN 2 WHEN patient < 20 THEN 1 END'), [null]);
    assert.deepEqual(await cells('CASE WHEN patient < 4 THEN 2 WHEN patient < 20 THEN 1 END'), [720]);
  });

  it('is not saved by people who differ but have nothing to multiply', async () => {
    const pay = 'CASE WHEN patient BETWEEN 3 AND 9 THEN NULL ELSE 10 END';
    assert.deepEqual(await cells('CASE WHEN patient < 10 THEN 2 ELSE 1 END', pay), [null]);
  });

  it('is shown where the factor is one and the same for all', async () => {
    assert.deepEqual(await cells('7'), [8400]);
  });

  it('is judged whatever constants surround the factor', async () => {
    assert.deepEqual(await cells('CASE WHEN patient < 3 THEN 1 ELSE 0 END', '10', 'sum(pay * (1 + code * 1000))'), [
      null,
    ]);
    assert.deepEqual(
      await cells('CASE WHEN patient < 4 THEN 1 ELSE 0 END', '10', 'sum(pay * (1 + code * 1000))'),
      [121_200],
    );
  });
});
