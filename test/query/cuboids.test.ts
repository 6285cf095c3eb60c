import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { LearntColumn } from '../../runtime/dataset/column-facts.ts';
import { cuboidColumns, makeCuboids } from '../../runtime/dataset/cuboids.ts';
import type { AggregateRelease } from '../../runtime/policy/model.ts';
import type { CatalogueColumn, CatalogueTable, TableCuboid } from '../../runtime/query/catalogue.ts';
import { UNIT_WORDS } from '../../runtime/query/layout.ts';
import { fc } from '../property.ts';
import {
  ask,
  column,
  comparable,
  compileText,
  contextOf,
  DOUBLE,
  grant,
  INTEGER,
  measure,
  openClinic,
  SKETCH_COLUMNS,
  TEXT,
  UNIT_COLUMNS,
} from './clinic.ts';

/** Stays of patients with a doctor each; some rows say nothing of the ward, some wards are not on the public list. */
const STAYS = `CREATE TABLE stays AS SELECT *, ${UNIT_COLUMNS('patient')}, hash(i, patient) AS __gb_t0, ${SKETCH_COLUMNS()},
    hash(doctor, 'doctor') AS __gb_u1, (1::UBIGINT << (hash(doctor, 'doctor') & 63)) AS __gb_b1, hash(i, doctor) AS __gb_t1, ${SKETCH_COLUMNS(1)}
  FROM (SELECT i, (h % 90)::INTEGER AS patient, (h // 3 % 40)::INTEGER AS doctor,
    CASE WHEN h // 7 % 9 < 8 THEN 'ward ' || (h // 7 % 9) END AS "ward ""r0.", (h // 31 % 4)::INTEGER AS day, (h // 97 % 6)::INTEGER AS grade,
    (h // 11 % 50)::INTEGER AS pay, (h // 17 % 700 / 4)::DECIMAL(9,2) AS fee, (h // 13 % 9 / 4)::DOUBLE AS dose, repeat('long ', 60) || (h % 2) AS note
  FROM (SELECT i, (hash(i, 5) & 1048575)::INTEGER AS h FROM range(900) r(i)))`;
const WARDS = `CREATE TABLE wards AS SELECT * FROM (VALUES ('ward 0', 'big', 1), ('ward 1', 'big', 2), ('ward 2', 'small', 1),
  ('ward 3', 'small', 3), ('ward 5', NULL, 2)) t(ward, kind, floor)`;

const COMPLETE = { isComplete: true, low: null, high: null };
const COLUMNS: readonly CatalogueColumn[] = [
  column('patient', INTEGER, grant(['join', 'group'])),
  column('ward "r0.', TEXT, grant(['group', 'filter', 'join'])),
  column('day', INTEGER, grant(['group', 'filter', 'compare', 'order'])),
  column('grade', INTEGER, grant(['group', 'filter', 'compare'])),
  { ...column('pay', INTEGER, measure(['sum', 'avg', 'count']), grant(['filter'])), facts: COMPLETE },
  { ...column('fee', { kind: 'decimal', width: 9, scale: 2 }, measure(['sum', 'avg', 'count'])), facts: COMPLETE },
  column('dose', DOUBLE, measure(['sum', 'avg', 'count'])),
  column('note', TEXT, grant(['group', 'filter'])),
];
const DIMENSIONS = [['ward "r0.', 'day', 'grade', 'note', 'patient'], ['pay']];
const UNITS = ['patient', 'doctor'].map((domain, i) => ({
  keyColumns: domain === 'patient' ? ['patient'] : [],
  domain,
  hash: `__gb_u${i}`,
  oneHot: `__gb_b${i}`,
  tag: `__gb_t${i}`,
  words: UNIT_WORDS(i),
}));

const KEYS = [
  '',
  'day',
  '"ward ""r0."',
  'day, grade',
  'grade + day',
  'upper("ward ""r0.")',
  'note',
  'ROLLUP (day, grade)',
];
const CELLS = [
  'count(*)',
  'sum(pay)',
  'avg(dose)',
  'count(*) FILTER (WHERE day > 1)',
  'sum(pay) FILTER (WHERE grade IN (1, 2, 3))',
  'count(*) FILTER (WHERE pay > 20)',
  'sum(CASE WHEN day = 2 THEN pay ELSE 0 END)',
  'avg(CASE WHEN grade < 3 THEN 1.0 ELSE 0 END)',
];
const SUMS = [
  'avg(pay)',
  'sum(fee)',
  'avg(fee)',
  'avg(fee) FILTER (WHERE day <> 2)',
  'sum(CASE WHEN grade > 3 THEN fee END)',
  'count(fee)',
  'sum(pay) FILTER (WHERE grade > 1)',
  'sum(fee * 2)',
];
const FROM = [
  'stays',
  'stays WHERE grade > 0',
  `stays WHERE "ward ""r0." <> 'ward 4' OR day = 2`,
  'stays WHERE pay < 40',
  'stays JOIN wards ON "ward ""r0." = ward',
  `stays JOIN wards ON "ward ""r0." = ward WHERE kind = 'big' AND day < 3`,
  'stays LEFT JOIN wards ON "ward ""r0." = ward',
  'stays LEFT JOIN wards ON "ward ""r0." = ward WHERE kind IS NULL OR floor > 2',
];

describe('cuboids', async () => {
  const connection = await openClinic(`${STAYS}; ${WARDS}`);
  const rows = 4_000_000;
  let cuboids: readonly TableCuboid[] = [];
  before(async () => {
    const distinct = [90_000, 9, 4, 6, 50, 700_000, 9, 2];
    const learnt = COLUMNS.map(({ name, facts }, i): [string, LearntColumn] => [
      name,
      { ...COMPLETE, isComplete: facts !== undefined, distinctValues: distinct[i] ?? 0 },
    ]);
    const table = {
      name: 'stays',
      columns: COLUMNS.map(({ name }) => name),
      units: [
        { columns: ['patient'], via: [] },
        { columns: ['doctor'], via: [] },
      ],
      rows: null,
      bounds: {},
      maxRowsPerUnit: null,
      isTagged: true,
      hasLanes: true as const,
      dimensions: DIMENSIONS,
      measures: ['pay', 'fee', 'dose'],
    };
    assert.deepEqual(await makeCuboids(connection, table, { columns: Object.fromEntries(learnt), rowCount: 1000 }), []);
    const made = await makeCuboids(connection, table, { columns: Object.fromEntries(learnt), rowCount: rows });
    cuboids = made.map(({ name, ...rest }) => ({ ...rest, physical: `"main"."${name}"` }));
  });

  const contextWith = (
    held: readonly TableCuboid[],
    terms: Partial<AggregateRelease>,
  ): ReturnType<typeof contextOf> => {
    const rest = { joins: 'allowed' as const, dataset: 'hospital/stays' };
    const stays: CatalogueTable = {
      ...rest,
      names: ['stays'],
      physical: '"main"."stays"',
      isPublic: false,
      columns: COLUMNS,
      units: UNITS,
      rowCount: BigInt(rows),
      cuboids: held,
    };
    const unique = { isComplete: true, low: null, high: null, mostRepeats: 1 };
    const wards: CatalogueTable = {
      ...rest,
      names: ['wards'],
      physical: '"main"."wards"',
      isPublic: true,
      columns: [{ ...column('ward', TEXT), facts: unique }, column('kind', TEXT), column('floor', INTEGER)],
      units: [],
      rowCount: 5n,
    };
    return contextOf({ minUnits: 4, differencingGuard: true, ...terms }, { tables: [stays, wards] });
  };

  /** The sketches of what is shown, and what their statements read. */
  async function sketched(
    sql: string,
    held: readonly TableCuboid[],
    terms: Partial<AggregateRelease>,
  ): Promise<{ readonly rows: readonly string[]; readonly text: string }> {
    const compiled = await compileText(connection, sql, contextWith(held, terms));
    const guard = compiled.kind === 'denied' ? undefined : compiled.enforced.guard;
    if (compiled.kind === 'denied' || guard === undefined)
      throw new Error(`${sql}: ${compiled.kind === 'denied' ? compiled.reasons[0]?.message : 'no guard'}`);
    for (const statement of [...compiled.enforced.setup, ...guard.setup])
      await connection.run(statement.replace('CREATE TEMP TABLE', 'CREATE OR REPLACE TEMP TABLE'));
    const found: string[] = [];
    for (const select of guard.sketches) found.push(...comparable((await connection.runAndReadAll(select)).getRows()));
    return { rows: found.toSorted(), text: [...compiled.enforced.setup, ...guard.sketches].join('\n') };
  }

  it('are made of columns of few values that fit together', () => {
    const dimension = ([name, values]: readonly [string, number]): { name: string; values: number } => ({
      name,
      values,
    });
    const of = (rowCount: number, ...all: readonly (readonly [string, number])[]): readonly (readonly string[])[] =>
      cuboidColumns(all.map(dimension), rowCount);
    assert.deepEqual(of(10_000_000, ['a', 7], ['b', 25], ['c', 100], ['d', 1000], ['e', 5]), [
      ['a', 'b', 'c', 'e'],
      ['d', 'a', 'e'],
      ['b', 'd', 'e'],
      ['c', 'd'],
    ]);
    // At least 64 rows for each combination.
    assert.deepEqual(of(64 * 700, ['a', 7], ['b', 25], ['c', 100]), [
      ['a', 'b'],
      ['c', 'a'],
    ]);
    assert.deepEqual(of(10_000_000, ['id', 5_000_000]), []);
    const many = Array.from({ length: 9 }, (_, i) => [`x${i}`, 60_000] as const);
    assert.equal(of(1e9, ...many).length, 4);
    const constant = Array.from({ length: 1000 }, (_, i) => [`x${i}`, 1] as const);
    assert.deepEqual(
      of(1e9, ...constant).map((names) => names.length),
      [12, 12, 12, 12],
    );
  });

  it('leave long texts out', () => {
    assert.ok(cuboids.length > 0);
    const names = new Set(cuboids.flatMap(({ columns }) => columns));
    assert.deepEqual([...names].toSorted(), ['day', 'grade', 'pay', 'ward "r0.']);
  });

  it('show the differencing guard what the rows do', async () => {
    const met = { held: 0, beside: 0, both: 0, sketches: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...FROM),
        fc.constantFrom(...KEYS),
        fc.uniqueArray(fc.constantFrom(...CELLS), { minLength: 1, maxLength: 3 }),
        fc.constantFrom('drop', 'remainder', 'null'),
        async (from, keys, cells, smallGroups) => {
          const by = keys === '' ? '' : ` GROUP BY ${keys}`;
          const sql = `SELECT ${cells.join(', ')} FROM ${from}${by}`;
          if (smallGroups === 'remainder' && keys.startsWith('ROLLUP')) return;
          const terms = { smallGroups } as const;
          const [with_, without] = [await sketched(sql, cuboids, terms), await sketched(sql, [], terms)];
          assert.deepEqual(with_.rows, without.rows, sql);
          const [isHeld, isBeside] = [with_.text.includes('"__gb_c'), /^CREATE.*bit_xor/m.test(with_.text)];
          met[isHeld && isBeside ? 'both' : isHeld ? 'held' : 'beside'] += 1;
          met.sketches += with_.rows.length;
        },
      ),
      { numRuns: 60 },
    );
    assert.ok(met.held > 10 && met.beside > 5 && met.both > 1 && met.sketches > 200, JSON.stringify(met));
  });

  it('answer what the rows do, and prove as much', async () => {
    const met = { held: 0, rows: 0, shown: 0, withheld: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...FROM),
        fc.constantFrom(...KEYS),
        fc.uniqueArray(fc.constantFrom(...CELLS, ...SUMS), { minLength: 1, maxLength: 4 }),
        fc.constantFrom('drop', 'null', 'remainder', 'refuse'),
        fc.constantFrom(2, 4, 12, 25),
        fc.boolean(),
        fc.constantFrom(null, null, { n: 1, share: 0.3 }),
        async (from, keys, cells, smallGroups, minUnits, differencingGuard, dominance) => {
          const sql = `SELECT ${cells.join(', ')} FROM ${from}${keys === '' ? '' : ` GROUP BY ${keys}`}`;
          if (smallGroups === 'remainder' && keys.startsWith('ROLLUP')) return;
          const terms = { smallGroups, minUnits, differencingGuard, dominance } as const;
          const [with_, without] = [contextWith(cuboids, terms), contextWith([], terms)];
          const compiled = await compileText(connection, sql, with_);
          const setup = compiled.kind === 'denied' ? '' : compiled.enforced.setup.join('\n');
          met[setup.includes('"__gb_c') ? 'held' : 'rows'] += 1;
          const [one, other] = [await ask(connection, sql, with_), await ask(connection, sql, without)];
          assert.equal(one.kind, other.kind, sql);
          if (one.kind === 'denied' || other.kind === 'denied') return;
          assert.deepEqual(comparable(one.rows), comparable(other.rows), sql);
          assert.equal(one.withheld, other.withheld, sql);
          met[one.rows.length === 0 ? 'withheld' : 'shown'] += 1;
        },
      ),
      { numRuns: 45 },
    );
    assert.ok(met.held > 12 && met.rows > 12 && met.shown > 25 && met.withheld > 2, JSON.stringify(met));
  });

  it('spare reading any row', async () => {
    const readFirst = async (sql: string): Promise<string> => {
      const compiled = await compileText(connection, sql, contextWith(cuboids, { differencingGuard: false }));
      assert.ok(compiled.kind !== 'denied', sql);
      const { setup, gates = [] } = compiled.enforced;
      return setup.filter((_, i) => !gates.some(({ from, to }) => from <= i && i < to)).join('\n');
    };
    for (const sql of [
      'SELECT day, count(*), sum(pay), avg(fee) FROM stays GROUP BY day',
      'SELECT sum(fee) FILTER (WHERE grade > 3) FROM stays WHERE day <> 2',
      `SELECT kind, avg(pay) FROM stays JOIN wards ON "ward ""r0." = ward WHERE floor < 3 GROUP BY kind`,
      'SELECT day, count(*) FROM stays WHERE pay > 3 GROUP BY day',
      'SELECT day, sum(fee) FILTER (WHERE pay > 20) FROM stays GROUP BY day',
    ]) {
      const text = await readFirst(sql);
      if (!text.includes('"__gb_c')) console.log(text);
      assert.ok(text.includes('"__gb_c'), sql);
      assert.ok(!text.includes('"main"."stays"'), sql);
      assert.equal((await ask(connection, sql, contextWith(cuboids, {}))).kind, 'answer');
    }
    for (const sql of [
      'SELECT day, sum(dose) FROM stays GROUP BY day',
      'SELECT day, sum(pay * 2) FROM stays GROUP BY day',
      `SELECT day, sum(CASE WHEN note LIKE '%1' THEN pay END) FROM stays GROUP BY day`,
      `SELECT day, count(*) FROM stays WHERE note LIKE '%1' GROUP BY day`,
      'SELECT count(*) FROM (SELECT patient, count(*) AS n FROM stays GROUP BY patient)',
      'SELECT count(*) FROM (SELECT DISTINCT patient FROM stays)',
      `SELECT count(*) FROM (SELECT * FROM stays WHERE note LIKE '%1')`,
    ])
      assert.ok(!(await readFirst(sql)).includes('"__gb_c'), sql);
  });

  it('leave room to tell which groups share a key, or rows of their own tell it', async () => {
    const ranksOf = async (keys: readonly string[], cells: string): Promise<void> => {
      const { rows } = await sketched(`SELECT ${keys.join(', ')}, ${cells} FROM stays GROUP BY ALL`, cuboids, {
        minUnits: 2,
      });
      const values = await connection.runAndReadAll(
        `SELECT id, ${keys.map((_, i) => `k${i}`).join(', ')} FROM temp."gb0_i" ORDER BY id`,
      );
      const ranks = new Map<number, number[]>();
      for (const [, series = 0, group = 0, partition = 0, bucket = 0, ...words] of rows.map((row) =>
        row.split(' | ').map(Number),
      )) {
        const own = ranks.get(group) ?? [];
        const told = series === -1 ? [bucket, ...words] : [partition, bucket, ...words.slice(5)];
        for (const [i, rank] of told.entries()) if (rank > 0) own[(series === -1 ? partition : 0) + i] = rank;
        ranks.set(group, own);
      }
      assert.ok(ranks.size > 4, keys.join());
      const shared = (of: readonly (readonly unknown[])[], key: number): string[] =>
        of.map((row) => String(of.findIndex((other) => other[key] === row[key])));
      const shown = values.getRows().filter(([id]) => ranks.has(Number(id)));
      for (const key of keys.keys())
        assert.deepEqual(
          shared(
            shown.map(([id]) => ranks.get(Number(id)) ?? []),
            key,
          ),
          shared(
            shown.map(([, ...of]) => of),
            key,
          ),
          `${keys[key]} of ${keys.join()}`,
        );
    };
    await ranksOf(['day', 'grade'], 'count(*)');
    await ranksOf(['"ward ""r0."', 'day', 'nullif(grade, 2)'], 'sum(pay)');
    await ranksOf(['day', 'grade % 2', 'day > 1', 'grade > 3', 'note'], 'count(*)');
    await ranksOf(['day', 'grade'], 'count(*), sum(pay) FILTER (WHERE pay > 20)');
  });

  it('are not asked for columns that they have not added up by', async () => {
    const asked = async (sql: string): Promise<boolean> => (await sketched(sql, cuboids, {})).text.includes('"__gb_c');
    assert.ok(await asked('SELECT day, avg(dose) FROM stays WHERE grade > 1 GROUP BY day'));
    for (const sql of [
      'SELECT note, count(*) FROM stays GROUP BY note',
      `SELECT day, count(*) FROM stays WHERE note LIKE '%1' GROUP BY day`,
      'SELECT "ward ""r0.", day, count(*) FILTER (WHERE pay > 3 AND length(note) > 2) FROM stays GROUP BY ALL',
      // Who has a value is told by no cuboid.
      'SELECT count(*) FROM (SELECT patient, count(*) AS n FROM stays GROUP BY patient)',
      'SELECT day, sum(n) FROM (SELECT patient, day, count(*) AS n FROM stays GROUP BY patient, day) GROUP BY day',
    ])
      assert.equal(await asked(sql), false, sql);
  });
});
