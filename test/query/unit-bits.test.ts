import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import type { CatalogueTable, UnitColumns } from '../../runtime/query/catalogue.ts';
import type { SqlType } from '../../runtime/query/types.ts';
import { bitOfGroup } from '../../runtime/query/compile/unit-bits.ts';
import { column, DOUBLE, grant, INTEGER, TEXT } from './clinic.ts';

const UNIT: UnitColumns = { keyColumns: ['person'], domain: 'person', hash: '__gb_u0', oneHot: '__gb_b0' };
const bitOf = (type: SqlType = INTEGER, unit: Partial<UnitColumns> = {}, physical = '"main"."visits"'): string => {
  const table: CatalogueTable = {
    dataset: 'hospital/visits',
    names: ['visits'],
    physical,
    isPublic: false,
    columns: [column('person', type, grant(['join']))],
    units: [{ ...UNIT, ...unit }],
    rowCount: 1000n,
    joins: 'allowed',
  };
  return bitOfGroup({ relation: 0, table, leftOn: null, at: null }, 'person', '__gb_b0');
};

describe('the bit of a unit whose rows are grouped by its key', async () => {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  after(() => {
    connection.closeSync();
    instance.closeSync();
  });

  for (const type of [
    'TINYINT',
    'UTINYINT',
    'SMALLINT',
    'INTEGER',
    'UINTEGER',
    'BIGINT',
    'UBIGINT',
    'HUGEINT',
    'UHUGEINT',
  ])
    it(`is one for each ${type}, none for nobody, and the same for the same`, async () => {
      const wide = /^U?HUGEINT$/.test(type) ? 126 : 61;
      const keys = `SELECT TRY_CAST(k AS ${type}) AS person FROM (SELECT i::HUGEINT AS k FROM range(-300, 300) r(i) UNION ALL
        SELECT s * (((1::HUGEINT << b) - 1) * 2 + 1 + d) FROM range(${wide}) b(b), (VALUES (-1), (1)) s(s), (VALUES (0), (-1)) d(d))`;
      const [row] = (
        await connection.runAndReadAll(`SELECT count(*) AS all_, count(*) FILTER (WHERE bit_count(bit) <> 1 AND person IS NOT NULL) AS other,
          count(*) FILTER (WHERE person IS NULL AND bit <> 0) AS ofNobody, count(*) FILTER (WHERE typeof(bit) <> 'UBIGINT') AS ofType,
          bit_count(bit_or(bit)) AS bits FROM (SELECT person, ${bitOf()} AS bit FROM (${keys}) GROUP BY person)`)
      ).getRowObjectsJson();
      assert.ok(Number(row?.['all_']) > 120, type);
      assert.deepEqual([row?.['other'], row?.['ofNobody'], row?.['ofType']], ['0', '0', '0']);
      assert.equal(Number(row?.['bits']), 61);
    });

  it('is the bit of the layout where a key is no whole number, made by a query, or only leads to the unit', () => {
    const least = 'min(__gb_b0)';
    assert.notEqual(bitOf(), least);
    assert.equal(bitOf(TEXT), least);
    assert.equal(bitOf(DOUBLE), least);
    assert.equal(bitOf(INTEGER, { keyColumns: ['person', 'site'] }), least);
    assert.equal(bitOf(INTEGER, { keyColumns: [] }), least);
    assert.equal(bitOf(INTEGER, { path: [{ from: 'person', table: 'people', to: 'person' }] }), least);
    assert.equal(bitOf(INTEGER, {}, '(SELECT 1)'), least);
  });
});
