import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { linesOf, plainLinesOf } from './redteam/lines.ts';
import { OpenWorld } from './redteam/world.ts';
import { compileText, contextOf, openClinic } from './clinic.ts';

const COLUMNS = Array.from({ length: 64 }, (_, i) => `m${i}`);

/** Sixty-four measures, each missing in some rows; `m5` has a value in the rows that f = 1 leaves out for one person alone. */
const WIDE = {
  name: 'wide',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: wide, grade: internal }
tables:
  t:
    privacyUnit: [id]
    columns:
      id: { rights: [countDistinct] }
      g: { rights: [group, filter] }
      f: { rights: [group, filter] }
${COLUMNS.map((name) => `      ${name}: { rights: [aggregate], bounds: [0, 1000] }`).join('\n')}
allow:
  - { id: s, mode: aggregate, release: { minUnits: 5, smallGroups: drop, maxRows: 1000 } }
`,
  tables: {
    t: `SELECT (i % 200)::INTEGER AS id, i % 4 AS g, i % 3 AS f, ${COLUMNS.map((name, k) => {
      const value = `(i * ${k + 3} % 1000)::INTEGER`;
      const missing = k === 5 ? 'i % 3 <> 1 AND i % 200 <> 8' : `(i % 200) % ${k + 70} = 0`;
      return `CASE WHEN ${missing} THEN NULL ELSE ${value} END AS ${name}`;
    }).join(', ')} FROM range(2000) r(i)`,
  },
};

describe('a query of many conditional aggregates over columns with missing values', () => {
  let world: OpenWorld;
  before(async () => {
    world = await OpenWorld.open(WIDE);
  });
  after(() => world.close());

  it('is answered, and only the cell that one person decides is withheld', async () => {
    const sql = `SELECT g, ${COLUMNS.map((name) => `sum(${name}) FILTER (WHERE f = 1) AS ${name}`).join(', ')} FROM t GROUP BY g`;
    const seen = await world.ask(sql);
    assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
    if (seen.kind !== 'answer') return;
    const [got, expected] = [linesOf(seen, 10), plainLinesOf((await world.plain(sql)).rows, 10)].map((lines) =>
      lines.map((line) => line.split(' | ')).toSorted((a, b) => Number(a[0]) - Number(b[0])),
    );
    assert.equal(got?.length, 4);
    for (const [row, line] of (got ?? []).entries())
      for (const [column, value] of line.entries()) {
        const isOpen = row === 0 && column === 6;
        assert.equal(value, isOpen ? 'NULL' : expected?.[row]?.[column], `group ${row}, column ${column}`);
      }
  });
});

describe('an order that nobody asked for', async () => {
  const connection = await openClinic();
  after(() => connection.closeSync());
  const resultOf = async (sql: string): Promise<string> => {
    const compiled = await compileText(connection, sql, contextOf());
    return compiled.kind === 'permitted' ? compiled.enforced.result : '';
  };

  it('is made where the order of private rows could show, and not for public tables', async () => {
    assert.doesNotMatch(await resultOf('SELECT * FROM wards'), /ORDER BY/);
    assert.doesNotMatch(await resultOf('SELECT w.kind, count(*) FROM wards w GROUP BY 1'), /ORDER BY/);
    assert.match(await resultOf('SELECT * FROM wards ORDER BY floor'), /ORDER BY/);
    for (const sql of [
      'SELECT ward, count(*) FROM visits GROUP BY ward',
      'SELECT w.ward FROM wards w WHERE w.ward IN (SELECT ward FROM visits GROUP BY ward)',
      'SELECT w.ward FROM wards w SEMI JOIN (SELECT DISTINCT ward FROM visits) v USING (ward)',
    ])
      assert.match(await resultOf(sql), /ORDER BY/, sql);
  });
});
