import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { learnColumns } from '../../runtime/dataset/column-facts.ts';
import type { JoinStep } from '../../runtime/policy/model.ts';
import type { CatalogueTable } from '../../runtime/query/catalogue.ts';
import type { SqlType } from '../../runtime/query/types.ts';
import { rowsPerUnitOf } from '../../runtime/query/differential/fan-out.ts';
import {
  ask,
  column,
  compileText,
  contextOf,
  DOUBLE,
  grant,
  INTEGER,
  openClinic,
  PATIENTS,
  UNIT_COLUMNS,
  VISITS,
  WARDS,
} from './clinic.ts';

/**
 * A join to a table with one row of each unit repeats nothing. That it has is known of the rows as they are, so it may
 * spare a comparison that finds nothing, and may decide nothing that anybody is told.
 */
const knowing = (isUnique: boolean, type: SqlType = INTEGER): CatalogueTable => ({
  ...PATIENTS,
  columns: PATIENTS.columns.map((one) =>
    one.name === 'id'
      ? { ...one, type, facts: { isComplete: true, low: 0, high: 69, ...(isUnique ? { isUnique } : {}) } }
      : one,
  ),
});
const JOINED = 'SELECT sex, sum(cost), count(*) FROM visits JOIN patients ON patient = id GROUP BY sex';
const contextWith = (patients: CatalogueTable): ReturnType<typeof contextOf> =>
  contextOf({}, { tables: [VISITS, patients, WARDS] });

describe('a table with one row of each unit', async () => {
  const connection = await openClinic();

  it('is known by its key, which missing values do not spoil and a second row of anybody does', async () => {
    const learn = async (body: string, keys: readonly string[]): Promise<boolean> => {
      await connection.run(`CREATE OR REPLACE TABLE people AS ${body}`);
      return (await learnColumns(connection, 'people', ['id'], { keys }))['id']?.isUnique === true;
    };
    const body = 'SELECT i::INTEGER AS id FROM range(5000) r(i)';
    assert.equal(await learn(body, ['id']), true);
    assert.equal(await learn(`${body} UNION ALL SELECT NULL FROM range(2)`, ['id']), true);
    assert.equal(await learn(`${body} UNION ALL SELECT 4711`, ['id']), false);
    assert.equal(await learn(body, []), false, 'only what is a unit is looked at');
  });

  it('repeats no row that it is joined to, so that the groups of one answer need no comparison', async () => {
    const groups = async (patients: CatalogueTable): Promise<readonly (boolean | undefined)[]> => {
      const compiled = await compileText(connection, JOINED, contextWith(patients));
      assert.ok(compiled.kind !== 'denied');
      return (compiled.enforced.guard?.blocks ?? []).flatMap(({ series }) => series.map((one) => one.isOverlapping));
    };
    assert.ok((await groups(knowing(false))).includes(true));
    assert.ok(!(await groups(knowing(true))).includes(true));
    assert.ok((await groups(knowing(true, DOUBLE))).includes(true), 'two numbers can be one double');
  });

  it('gives the same answers and the same refusals, whether that is known or not', async () => {
    const texts = [
      JOINED,
      'SELECT sex, sum(income), avg(cost) FROM visits JOIN patients ON patient = id WHERE age < 60 GROUP BY sex',
      'SELECT ward, sum(income) FROM visits JOIN patients ON patient = id GROUP BY ward',
      'SELECT avg(n) FROM (SELECT patient, count(*) AS n FROM visits JOIN patients ON patient = id GROUP BY patient) t',
      'SELECT avg(n) FROM (SELECT id, sum(cost) AS n FROM visits JOIN patients ON patient = id GROUP BY id) t',
    ];
    for (const text of texts) {
      const [known, unknown] = [
        await ask(connection, text, contextWith(knowing(true))),
        await ask(connection, text, contextWith(knowing(false))),
      ];
      assert.deepEqual(known, unknown, text);
    }
  });

  it('enters no sensitivity', () => {
    const rows = (patients: CatalogueTable): number => {
      const bases = [VISITS, patients].map((table, relation) => ({ relation, table, leftOn: null, at: null }));
      const [left, right] = [
        { relation: 0, table: VISITS, column: column('patient', INTEGER) },
        { relation: 1, table: patients, column: column('id', INTEGER) },
      ] as const;
      const expression = { kind: 'constant', literal: { kind: 'null' }, type: null, digits: null, at: null } as never;
      return rowsPerUnitOf({ bases, equalities: [{ left, right, expression }], predicates: [] }, 3);
    };
    assert.equal(rows(knowing(true)), 9);
    assert.equal(rows(knowing(false)), 9);
  });
});

describe('values of each unit', async () => {
  const connection = await openClinic();
  const VALUES = '(SELECT patient, count(*) AS n FROM visits GROUP BY patient)';
  const asked = (join: string): string =>
    `SELECT n >= 4 AS often, sum(income), count(*) FROM patients ${join} ${VALUES} v ON id = v.patient GROUP BY often`;
  const isCompared = async (text: string, patients: CatalogueTable): Promise<boolean> => {
    const compiled = await compileText(connection, text, contextWith(patients));
    assert.ok(compiled.kind !== 'denied', JSON.stringify(compiled));
    return (compiled.enforced.guard?.blocks ?? []).some(({ series }) =>
      series.some((one) => one.isOverlapping === true),
    );
  };

  for (const join of ['JOIN', 'LEFT JOIN']) {
    it(`repeat no row by their key, so that groups need no comparison: ${join}`, async () => {
      assert.equal(await isCompared(asked(join), knowing(false)), false);
    });

    it(`are not known to repeat none where keys of another type meet: ${join}`, async () => {
      assert.equal(await isCompared(asked(join), knowing(false, DOUBLE)), true, 'two numbers can be one double');
    });
  }

  it('repeat rows where a unit has several of them', async () => {
    const text =
      'SELECT n >= 4 AS often, sum(income) FROM patients JOIN (SELECT patient, ward, count(*) AS n FROM visits GROUP BY patient, ward) v ON id = v.patient GROUP BY often';
    assert.equal(await isCompared(text, knowing(false)), true);
  });
});

describe('a unit reached by way of a third table', async () => {
  const path: readonly JoinStep[] = [{ from: 'visit', table: 'visits', to: 'number' }];
  const lines = (names: readonly string[]): CatalogueTable => ({
    ...VISITS,
    names,
    physical: '"main"."lines"',
    columns: [
      column('visit', INTEGER, grant(['join'])),
      column('price', INTEGER, ...(VISITS.columns[6]?.grants ?? [])),
    ],
    units: [{ keyColumns: [], domain: 'patient', hash: '__gb_u0', oneHot: '__gb_b0', path }],
  });
  const visits: CatalogueTable = {
    ...VISITS,
    columns: [...VISITS.columns, column('number', INTEGER, grant(['join']))],
  };
  const connection = await openClinic(`
    CREATE TABLE patients AS SELECT *, ${UNIT_COLUMNS('id')} FROM (SELECT i::INTEGER AS id, 'f' AS sex, 1 AS income FROM range(70) r(i));
    CREATE TABLE visits AS SELECT *, ${UNIT_COLUMNS('patient')} FROM (SELECT i::INTEGER AS number, (i % 70)::INTEGER AS patient FROM range(300) r(i));
    CREATE TABLE lines AS SELECT *, ${UNIT_COLUMNS('(visit % 70)::INTEGER')} FROM (SELECT (i % 300)::INTEGER AS visit, 3 AS price FROM range(900) r(i));`);
  const tables = [PATIENTS, visits, lines(['lines'])];

  for (const from of [
    'patients, visits, lines',
    'patients, lines, visits',
    'lines, visits, patients',
    'lines, patients, visits',
  ]) {
    it(`is one unit, in whatever order the tables stand: ${from}`, async () => {
      const text = `SELECT sex, sum(price) FROM ${from} WHERE id = patient AND number = visit GROUP BY sex`;
      const compiled = await compileText(connection, text, contextOf({}, { tables }));
      assert.ok(compiled.kind !== 'denied', JSON.stringify(compiled));
      assert.doesNotMatch(compiled.enforced.setup[0] ?? '', / AS u1\b/);
    });
  }

  it('stays another one where the third is not joined along the path', async () => {
    const text =
      'SELECT sex, sum(price) FROM patients, visits, lines WHERE id = patient AND patient = visit GROUP BY sex';
    const compiled = await compileText(connection, text, contextOf({}, { tables }));
    assert.ok(compiled.kind !== 'denied', JSON.stringify(compiled));
    assert.match(compiled.enforced.setup[0] ?? '', / AS u1\b/);
  });
});
