import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DuckDBConnection } from '@duckdb/node-api';
import { fc } from '../property.ts';
import { learnColumns } from '../../runtime/dataset/column-facts.ts';
import type { SmallGroups } from '../../runtime/policy/model.ts';
import type { CatalogueColumn, CatalogueTable } from '../../runtime/query/catalogue.ts';
import {
  type Answer,
  ask,
  column,
  comparable,
  contextOf,
  DOUBLE,
  grant,
  INTEGER,
  measure,
  openClinic,
  shortWays,
} from './clinic.ts';

/**
 * What the runtime knows of a table spares checks and picks plans. Each question is asked with that knowledge and
 * without, over the same rows: one answer. (`ask` itself asks both with the gates' short way and without.)
 */
const K = 4;
const MODES: readonly SmallGroups[] = ['drop', 'remainder', 'null', 'refuse'];

interface Row {
  readonly patient: number;
  readonly doctor: number;
  readonly g: number;
  readonly f: number;
  readonly x: number | null;
  readonly w: number;
  readonly y: number | null;
}

const row = (nulls: boolean, zeros: boolean): fc.Arbitrary<Row> =>
  fc.record({
    patient: fc.nat(20),
    doctor: fc.nat(6),
    g: fc.nat(3),
    f: fc.nat(4),
    x: nulls ? fc.option(fc.integer({ min: -3, max: 9 }), { freq: 12 }) : fc.integer({ min: 1, max: 9 }),
    w: zeros ? fc.nat(4) : fc.integer({ min: 1, max: 4 }),
    y: nulls ? fc.option(fc.integer({ min: -8, max: 8 }), { freq: 9 }) : fc.integer({ min: 1, max: 8 }),
  });

const rows = fc
  .tuple(fc.boolean(), fc.boolean())
  .chain(([nulls, zeros]) => fc.array(row(nulls, zeros), { minLength: 1, maxLength: 90 }));

const COLUMNS: readonly CatalogueColumn[] = [
  column('patient', INTEGER, grant(['join'])),
  column('doctor', INTEGER, grant(['join'])),
  column(
    'g',
    INTEGER,
    grant(['group', 'filter'], { values: [0, 1, 2, 3].map((n) => ({ kind: 'number', text: String(n) })) }),
  ),
  column('f', INTEGER, grant(['group', 'filter'])),
  column('x', INTEGER, measure(['sum', 'avg', 'count', 'correlation']), grant(['filter'])),
  column('w', INTEGER, measure(['sum', 'avg', 'count', 'correlation']), grant(['filter'])),
  column('y', DOUBLE, measure(['sum', 'avg', 'count'])),
];

const QUERIES: readonly string[] = [
  'SELECT g, count(*), sum(x), avg(x), count(x) FROM stays GROUP BY g',
  'SELECT sum(x * w), sum(x), sum(y), avg(y) FROM stays',
  'SELECT g, sum(x * w), sum(x * (1 + w)), sum(x * (5 - w)) FROM stays GROUP BY g',
  'SELECT g, count(*), sum(x * w) FROM stays WHERE f < 3 GROUP BY g',
  'SELECT g, sum(x * w), avg(y) FROM stays WHERE w >= 1 AND x BETWEEN 1 AND 5 GROUP BY g',
  'SELECT g, sum(x * w), sum(x) FROM stays WHERE 0 < x GROUP BY g',
  'SELECT g, f, count(*), avg(y) FROM stays WHERE w > 1 GROUP BY g, f',
  'SELECT g, count(*) FILTER (WHERE f > 1), sum(x) FILTER (WHERE f > 1), avg(y) FILTER (WHERE f > 1) FROM stays GROUP BY g',
  'SELECT g, sum(CASE WHEN f = 1 THEN x * w ELSE 0 END), sum(y) FROM stays WHERE g <> 2 GROUP BY g',
  'SELECT count(*), sum(x) FROM stays WHERE f >= 0',
  'SELECT g, count(*), count(*) FILTER (WHERE f = 1), count(*) FILTER (WHERE f > 1) FROM stays GROUP BY g',
  'SELECT count(*), sum(x) FILTER (WHERE f < 2), sum(x) FILTER (WHERE f > 2), count(*) FILTER (WHERE f >= 1) FROM stays WHERE g < 3',
  'SELECT count(*) FILTER (WHERE f = 0), count(*) FILTER (WHERE f = 1), count(*) FILTER (WHERE f = 2), count(*) FILTER (WHERE f = 3), count(*) FILTER (WHERE f < 3) FROM stays',
  'SELECT g, sum(x * y), sum(CASE WHEN f > 1 THEN x * (w + 1) ELSE 0 END), corr(x, w) FROM stays GROUP BY g',
];

async function load(connection: DuckDBConnection, all: readonly Row[]): Promise<void> {
  const values = all.map(
    (one) => `(${one.patient}, ${one.doctor}, ${one.g}, ${one.f}, ${one.x ?? 'NULL'}, ${one.w}, ${one.y ?? 'NULL'})`,
  );
  await connection.run(`CREATE OR REPLACE TABLE stays AS SELECT patient, doctor, g, f, CAST(x AS INTEGER) AS x, w,
    CASE WHEN y = 7 THEN 'NaN'::DOUBLE ELSE CAST(y AS DOUBLE) / 2 END AS y, ${units('patient', 0)}, ${units('doctor', 1)}
    FROM (VALUES ${values.join(', ')}) t(patient, doctor, g, f, x, w, y)`);
}

/** Salted: the engine's hash of 0 is 0, which is nobody's. */
const units = (key: string, u: number): string =>
  `hash(${key}, 'unit') AS __gb_u${u}, (1::UBIGINT << (hash(${key}, 'unit') & 63)) AS __gb_b${u}`;

function tableOf(columns: readonly CatalogueColumn[], unitCount: number, rowCount: bigint): CatalogueTable {
  const keys = ['patient', 'doctor'].slice(0, unitCount);
  return {
    dataset: 'hospital/stays',
    names: ['stays'],
    physical: '"main"."stays"',
    isPublic: false,
    columns,
    units: keys.map((key, u) => ({ keyColumns: [key], domain: key, hash: `__gb_u${u}`, oneHot: `__gb_b${u}` })),
    joins: 'allowed',
    rowCount,
  };
}

async function learnt(connection: DuckDBConnection, distinctValues: number): Promise<CatalogueColumn[]> {
  const facts = await learnColumns(
    connection,
    'stays',
    COLUMNS.map(({ name }) => name),
  );
  return COLUMNS.map((one) => {
    const known = facts[one.name];
    if (known === undefined) throw new Error('nothing was learnt');
    const { isComplete, low, high } = known;
    return { ...one, distinctValues, facts: { isComplete, low, high } };
  });
}

async function answerOf(
  connection: DuckDBConnection,
  sql: string,
  table: CatalogueTable,
  smallGroups: SmallGroups,
): Promise<{ rows: string[]; withheld: string }> {
  const answer = await ask(connection, sql, contextOf({ minUnits: K, smallGroups }, { tables: [table] }));
  assert.equal(answer.kind, 'answer', answer.kind === 'denied' ? answer.reasons[0]?.message : '');
  const { rows: shown, withheld } = answer as Answer;
  return { rows: comparable(shown).toSorted(), withheld: String(withheld) };
}

describe('short ways', async () => {
  const connection = await openClinic();

  it('give the answer of the long way, whatever the rows, the way with small groups and the number of units', async () => {
    await fc.assert(
      fc.asyncProperty(
        rows,
        fc.constantFrom(...QUERIES),
        fc.constantFrom(...MODES),
        fc.constantFrom(1, 2),
        // Few values: samples decide. Many: bits of all rows do, and one pass looks at all that was left out.
        fc.constantFrom(4, 1000),
        // Very small tables are counted at once, small ones looked at whole, large ones sampled.
        fc.constantFrom(null, 100_000n, 1_000_000n),
        async (all, sql, mode, unitCount, distinctValues, size) => {
          await load(connection, all);
          const rowCount = size ?? BigInt(all.length);
          const known = tableOf(await learnt(connection, distinctValues), unitCount, rowCount);
          const plain = tableOf(COLUMNS, unitCount, 0n);
          assert.deepEqual(
            await answerOf(connection, sql, known, mode),
            await answerOf(connection, sql, plain, mode),
            `${sql} / ${mode}`,
          );
        },
      ),
      { numRuns: 30 },
    );
    assert.ok(shortWays.taken > 0 && shortWays.refused > 0, 'both ways were walked');
  });

  it('never take a sample for the whole: groups whose first rows are of one person are counted exactly', async () => {
    // 3,000 rows of one person stand before those of everybody else; group 1 has nobody else, group 2 just too few.
    await connection.run(`CREATE OR REPLACE TABLE stays AS SELECT *, ${units('patient', 0)}, ${units('doctor', 1)} FROM (
      SELECT CASE WHEN i < 3000 THEN 0 ELSE (CASE i % 3 WHEN 0 THEN i % 50 WHEN 1 THEN 0 ELSE i % 3 + i % 2 END) END::INTEGER AS patient,
        (i % 9)::INTEGER AS doctor, (i % 3)::INTEGER AS g, (i % 2)::INTEGER AS f, 1::INTEGER AS x, 1::INTEGER AS w, 1.5::DOUBLE AS y FROM range(6000) r(i))`);
    const known = tableOf(await learnt(connection, 3), 1, 1_000_000n);
    const plain = tableOf(COLUMNS, 1, 0n);
    for (const sql of QUERIES.slice(0, 4)) {
      const shown = await answerOf(connection, sql, known, 'drop');
      assert.deepEqual(shown, await answerOf(connection, sql, plain, 'drop'), sql);
    }
    const { rows: groups } = await answerOf(connection, QUERIES[0] ?? '', known, 'drop');
    assert.deepEqual(
      groups.map((line) => line.split(' | ')[0]),
      ['0'],
    );
  });

  it('give that answer over joins too, sampled ahead of the join, by all rows of it, or not at all', async () => {
    const joined = [
      'SELECT s, count(*), sum(x * z) FROM stays JOIN people ON stays.patient = people.id GROUP BY s',
      'SELECT g, count(*), count(*) FILTER (WHERE s = 1), sum(x * w) FROM stays JOIN people ON stays.patient = people.id WHERE f < 3 GROUP BY g',
      'SELECT sum(z * w), count(*) FILTER (WHERE s = 0 OR f = 1), count(*) FILTER (WHERE s = 1) FROM people, stays WHERE stays.patient = people.id',
      'SELECT sum(CASE WHEN s = 2 THEN x * w ELSE 0 END), sum(x * w) FROM people, stays WHERE stays.patient = people.id AND s > 0',
    ];
    const large = fc.constantFrom(0n, 90n, 100_000n, 1_000_000n);
    await fc.assert(
      fc.asyncProperty(
        fc.array(row(false, true), { minLength: 20, maxLength: 90 }),
        fc.constantFrom(...joined),
        large,
        large,
        async (all, sql, stayCount, peopleCount) => {
          await load(connection, all);
          await connection.run(`CREATE OR REPLACE TABLE people AS SELECT *, ${units('id', 0)} FROM (
            SELECT i::INTEGER AS id, (i % 3)::INTEGER AS s, (1 + i % 2)::INTEGER AS z FROM range(21) r(i))`);
          const people = (rowCount: bigint): CatalogueTable => ({
            ...tableOf([], 1, rowCount),
            names: ['people'],
            physical: '"main"."people"',
            columns: [
              column('id', INTEGER, grant(['join'])),
              column('s', INTEGER, grant(['group', 'filter'])),
              column('z', INTEGER, measure(['sum'])),
            ].map((one) => (rowCount === 0n ? one : { ...one, distinctValues: 3 })),
            units: [{ keyColumns: ['id'], domain: 'patient', hash: '__gb_u0', oneHot: '__gb_b0' }],
          });
          const answers = [];
          for (const [stays, others] of [
            [tableOf(await learnt(connection, 4), 1, stayCount), people(peopleCount)],
            [tableOf(COLUMNS, 1, 0n), people(0n)],
          ] as const) {
            const answer = await ask(connection, sql, contextOf({ minUnits: K }, { tables: [stays, others] }));
            assert.equal(answer.kind, 'answer', answer.kind === 'denied' ? answer.reasons[0]?.message : '');
            answers.push(comparable((answer as Answer).rows).toSorted());
          }
          assert.deepEqual(answers[0], answers[1], sql);
        },
      ),
      { numRuns: 8 },
    );
  });

  it('prove a column with gaps by bits, and count where only few have a value', async () => {
    const stay = (patient: number, g: number, x: number | null): Row => ({
      patient,
      doctor: 1,
      g,
      f: patient % 3,
      x,
      w: 1,
      y: null,
    });
    const many = Array.from({ length: 60 }, (_, patient) => stay(patient, patient % 2, patient % 5 === 0 ? null : 2));
    // The third group has enough patients, of whom two have a value.
    const few = Array.from({ length: 30 }, (_, patient) => stay(patient, 2, patient < 2 ? 7 : null));
    for (const [all, taken, cells] of [
      [many, 1, ['0 | 30 | 48', '1 | 30 | 48']],
      [[...many, ...few], 0, ['0 | 30 | 48', '1 | 30 | 48', '2 | 30 | NULL']],
    ] as const) {
      await load(connection, all);
      const tables = [tableOf(await learnt(connection, 3), 1, 20_000n)];
      const before = shortWays.taken;
      const sql = 'SELECT g, count(*), sum(x) FROM stays GROUP BY g';
      const answer = await ask(connection, sql, contextOf({ minUnits: K }, { tables }));
      assert.equal(answer.kind, 'answer');
      assert.deepEqual(comparable((answer as Answer).rows).toSorted(), cells);
      assert.equal(shortWays.taken - before, taken);
    }
  });

  it('count a very small table in one statement, which leaves nothing open', async () => {
    await load(connection, [{ patient: 1, doctor: 1, g: 1, f: 1, x: 1, w: 1, y: 1 }]);
    const { compileText } = await import('./clinic.ts');
    for (const [size, statements] of [
      [16_384n, 1],
      [16_385n, 7],
    ] as const) {
      const table = tableOf(await learnt(connection, 4), 1, size);
      const sql = 'SELECT g, count(*) FROM stays WHERE f < 3 GROUP BY g';
      const compiled = await compileText(connection, sql, contextOf({ minUnits: K }, { tables: [table] }));
      assert.ok(compiled.kind === 'permitted');
      assert.equal(compiled.enforced.setup.length, statements);
      assert.equal((compiled.enforced.gates ?? []).length, statements === 1 ? 0 : 1);
    }
  });

  it('ask for whole numbers of rows, and for no more groups than the keys have values', async () => {
    await load(connection, [{ patient: 1, doctor: 1, g: 1, f: 1, x: 1, w: 1, y: 1 }]);
    const { compileText } = await import('./clinic.ts');
    const limitsWith = async (low: number | null, high: number | null): Promise<readonly string[]> => {
      const columns = COLUMNS.map((one) => ({ ...one, distinctValues: 47, facts: { isComplete: true, low, high } }));
      const context = contextOf({ minUnits: K }, { tables: [tableOf(columns, 1, 1_000_000n)] });
      const compiled = await compileText(connection, 'SELECT f, count(*) FROM stays WHERE w > 1 GROUP BY f', context);
      assert.ok(compiled.kind === 'permitted');
      return compiled.enforced.setup.join(' ').match(/LIMIT [^ )]+/g) ?? [];
    };
    // 47 distinct values may be 57; of 50 that can be there are 50.
    assert.equal((await limitsWith(null, null))[0], `LIMIT ${57 * 128}`);
    assert.equal((await limitsWith(1, 50))[0], `LIMIT ${50 * 128}`);
    for (const limit of await limitsWith(null, null)) assert.match(limit, /^LIMIT \d+$/);
  });

  it('leave the digest of a question as it is without knowledge of rows', async () => {
    await load(connection, [{ patient: 1, doctor: 1, g: 1, f: 1, x: 1, w: 1, y: 1 }]);
    const { compileText } = await import('./clinic.ts');
    const canonical = async (table: CatalogueTable): Promise<string> => {
      const compiled = await compileText(connection, QUERIES[2] ?? '', contextOf({}, { tables: [table] }));
      assert.ok(compiled.kind === 'permitted');
      return compiled.enforced.canonical;
    };
    const known = await canonical(tableOf(await learnt(connection, 4), 1, 1_000_000n));
    assert.equal(known, await canonical(tableOf(COLUMNS, 1, 0n)));
  });
});
