import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import type { ColumnGrant } from '../../runtime/policy/model.ts';
import type { CatalogueTable, QueryContext } from '../../runtime/query/catalogue.ts';
import type { SqlType } from '../../runtime/query/types.ts';
import { compileDifferential, type DifferentialQuery } from '../../runtime/query/differential/compile.ts';
import { parseLossless } from '../../runtime/query/lossless-json.ts';
import { exactId } from '../../runtime/release/mechanisms/mechanism.ts';
import { RELEASE } from './differential-world.ts';

const grant = (more: Partial<ColumnGrant>): ColumnGrant => ({
  consumers: null,
  rights: [],
  functions: [],
  bounds: null,
  values: null,
  bins: null,
  ...more,
});
const column = (name: string, type: SqlType, more: Partial<ColumnGrant>): CatalogueTable['columns'][number] => ({
  name,
  type,
  grants: [grant(more)],
});
const INTEGER: SqlType = { kind: 'integer', bits: 32, isSigned: true };

const visits: CatalogueTable = {
  dataset: 'visits',
  names: ['visits'],
  physical: '"d0"."visits"',
  isPublic: false,
  columns: [
    column('patient', INTEGER, { rights: ['countDistinct'] }),
    column(
      'ward',
      { kind: 'text' },
      {
        rights: ['group', 'filter'],
        values: [
          { kind: 'text', value: 'north' },
          { kind: 'text', value: 'south' },
        ],
      },
    ),
    column('town', { kind: 'text' }, { rights: ['group'] }),
    column('age', INTEGER, {
      rights: ['filter', 'aggregate'],
      functions: ['quantile', 'avg'],
      bounds: { low: 0, high: 100 },
      bins: [20, 40, 60],
    }),
    column(
      'cost',
      { kind: 'double' },
      {
        rights: ['aggregate'],
        functions: ['sum', 'avg', 'count', 'variance', 'correlation'],
        bounds: { low: 0, high: 1000 },
      },
    ),
    column('free', { kind: 'double' }, { rights: ['aggregate'], functions: ['sum'] }),
  ],
  units: [{ keyColumns: ['patient'], domain: 'visits:patient', hash: '__gb_u0', oneHot: '__gb_b0' }],
  joins: 'allowed',
  rowCount: 5n,
};
const context: QueryContext = {
  consumer: 'acme',
  tables: [visits],
  release: RELEASE,
  clause: 'visits v1 allow[private]',
  parameters: {},
};

let connection: DuckDBConnection;
before(async () => {
  connection = await (await DuckDBInstance.create(':memory:')).connect();
  await connection.run(`ATTACH ':memory:' AS d0`);
  await connection.run(
    `CREATE TABLE d0.visits(patient INTEGER, ward VARCHAR, town VARCHAR, age INTEGER, cost DOUBLE, free DOUBLE, __gb_u0 UBIGINT, __gb_b0 UBIGINT, __gb_rank UINTEGER, __gb_f_age BIGINT, __gb_f_cost BIGINT)`,
  );
  const step = 2 ** (10 - 30);
  const rows = [
    [1, 'north', 'A', 30, 100, 0],
    [1, 'north', 'A', 30, 200, 1],
    [1, 'north', 'A', 30, 300, 2], // the third row of the patient: beyond the bound
    [2, 'south', 'B', 70, null, 0],
    [3, 'south', 'B', 10, 50.5, 0],
  ] as const;
  for (const [patient, ward, town, age, cost, rank] of rows) {
    await connection.run(
      `INSERT INTO d0.visits VALUES (${patient}, '${ward}', '${town}', ${age}, ${cost}, 0, ${patient}, 1, ${rank}, ${age}, ${cost === null ? 'NULL' : Math.round(cost / step)})`,
    );
  }
});
after(() => connection.closeSync());

async function compiled(sql: string): Promise<ReturnType<typeof compileDifferential>> {
  const reader = await connection.runAndReadAll('select json_serialize_sql($1::varchar)', [sql]);
  return compileDifferential(parseLossless(String(reader.getRows()[0]?.[0])), sql, context);
}

async function exactOf(query: DifferentialQuery): Promise<readonly Record<string, unknown>[]> {
  const rows = (await connection.runAndReadAll(query.enforced.result))
    .getRows()
    .map((row) => row.map((cell) => String(cell)));
  return rows.map((row) => ({
    key: row.slice(0, query.keys.length),
    ...Object.fromEntries(query.exact.map((one, index) => [exactId(one), row[query.keys.length + index]])),
  }));
}

test('the exact part counts at most the bound of rows of each unit, in whole numbers', async () => {
  const query = await compiled('select ward, count(*) n, sum(cost) s, count(cost) c from visits group by ward');
  assert.ok(query.kind === 'permitted');
  const groups = await exactOf(query);
  const north = groups.find(({ key }) => String(key) === 'north');
  const south = groups.find(({ key }) => String(key) === 'south');
  assert.equal(north?.['rows'], '2', 'the third row of patient 1 is not there');
  assert.equal(Number(north?.['["sum","cost"]']) * 2 ** -20, 300);
  assert.equal(south?.['rows'], '2');
  assert.equal(south?.['["present","cost"]'], '1');
  assert.equal(Number(south?.['["sum","cost"]']) * 2 ** -20, 50.5);
});

test('declared keys are public; others come only with a threshold', async () => {
  const declared = await compiled('select ward, count(*) from visits group by ward');
  assert.ok(declared.kind === 'permitted');
  assert.equal(declared.keys[0]?.values?.length, 2);
  const free = await compiled('select town, count(*) from visits group by town');
  assert.ok(free.kind === 'permitted');
  assert.equal(free.keys[0]?.values, null);
  assert.ok(free.enforced.inWords.some((text) => text.includes('noisy threshold')));
});

test('quantiles read declared bins, distinct units are counted by their hash', async () => {
  const query = await compiled('select median(age), count(distinct patient) from visits');
  assert.ok(query.kind === 'permitted');
  const [all] = await exactOf(query);
  assert.deepEqual(
    [0, 1, 2, 3].map((bin) => all?.[`["bin","age",${bin}]`]),
    ['1', '2', '0', '1'],
  );
  assert.equal(all?.['distinctUnits'], '3');
});

test('order, limit and the places of the select list are kept for after the noise', async () => {
  const query = await compiled('select count(*) n, ward from visits group by ward order by n desc, 2 limit 1 offset 1');
  assert.ok(query.kind === 'permitted');
  assert.deepEqual(query.outputs, [
    { name: 'n', aggregate: 0 },
    { name: 'ward', key: 0 },
  ]);
  assert.deepEqual(
    query.order.map(({ by, descending }) => [by.kind === 'column' ? by.sql : '', descending]),
    [
      ['a0', true],
      ['k0', false],
    ],
  );
  assert.deepEqual([query.limit, query.offset], [1, 1]);
  assert.ok(!/LIMIT 1\b/.test(query.enforced.result), 'the exact part is not cut');
});

const refused: readonly (readonly [string, string])[] = [
  ['select cost from visits', 'rows-not-released'],
  ['select max(cost) from visits', 'aggregate-not-allowed'],
  ['select sum(free) from visits', 'bounds-missing'],
  ['select sum(cost * cost) from visits', 'measure-not-allowed'],
  ['select count(*) from visits where cost > 5', 'column-right-missing'],
  ['select count(*) from visits where patient = 5', 'column-right-missing'],
  ['select patient, count(*) from visits group by patient', 'column-right-missing'],
  ['select count(*) from visits a, visits b', 'self-join'],
  ['select variance(age) from visits', 'aggregate-not-granted'],
];
for (const [sql, code] of refused) {
  test(`refused with differential privacy: ${sql}`, async () => {
    const verdict = await compiled(sql);
    assert.ok(verdict.kind === 'denied', 'it was permitted');
    assert.equal(verdict.reasons[0]?.code, code, verdict.reasons[0]?.message);
  });
}
