import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CatalogueColumn, CatalogueTable } from '../../runtime/query/catalogue.ts';
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
import { UNIT_WORDS } from '../../runtime/query/layout.ts';
import { fc } from '../property.ts';

/** Visits at places of some kinds, of which one is listed twice, one at no known place, and some say nothing of their place. */
const STAYS = (
  seed: number,
  patients: number,
): string => `CREATE OR REPLACE TABLE stays AS SELECT *, ${UNIT_COLUMNS('patient')}, hash(patient, place, day, pay, dose) AS __gb_t0,
  ${SKETCH_COLUMNS()} FROM (
  SELECT (h % ${patients})::INTEGER AS patient, CASE WHEN h // 7 % 40 < 12 THEN h // 7 % 40 END::INTEGER AS place, (h // 300 % 4)::INTEGER AS day,
    (h // 11 % 50)::INTEGER AS pay, (h // 19 % 8)::INTEGER AS slot, CASE WHEN h // 23 % 7 < h // 6000 % 8 THEN (h // 29 % 40)::SMALLINT END AS gap, (h // 13 % 9 / 4)::DECIMAL(9, 2) AS fee, (h // 17 % 9 / 4)::DOUBLE AS dose
  FROM (SELECT (hash(i, ${seed}) & 1048575)::INTEGER AS h FROM range(400) r(i)))`;
const PLACES = `CREATE TABLE places AS SELECT * FROM (VALUES (0, 'ward', 1), (1, 'ward', 2), (2, 'home', 1), (2, 'bath', 2), (3, NULL, 1),
  (4, 'home', 2), (5, 'ward', 1), (6, 'ward', 1), (7, 'bath', 2), (8, 'home', 1)) t(place, kind, zone)`;

const SMALL = { kind: 'integer', bits: 16, isSigned: true } as const;
const MONEY = { kind: 'decimal', width: 9, scale: 2 } as const;
const few = { distinctValues: 4 };
const COLUMNS: readonly CatalogueColumn[] = [
  column('patient', INTEGER, grant(['join'])),
  { ...column('place', INTEGER, grant(['join', 'filter'])), ...few },
  { ...column('day', INTEGER, grant(['group', 'filter', 'compare'])), ...few },
  // Thought to be so many that a sample would be large.
  { ...column('slot', INTEGER, grant(['group', 'filter'])), distinctValues: 900 },
  // Without gaps, as the layout would know.
  ...[
    column('pay', INTEGER, measure(['sum', 'avg', 'count']), grant(['filter'])),
    column('fee', MONEY, measure(['sum'])),
  ].map((one) => ({ ...one, facts: { isComplete: true, low: 0, high: 60 } })),
  { ...column('gap', SMALL, measure(['sum', 'avg', 'count']), grant(['filter'])), distinctValues: 40 },
  { ...column('dose', DOUBLE, measure(['sum'])), facts: { isComplete: true, low: 0, high: 3 } },
];
const PUBLIC = [
  column('place', INTEGER, grant([])),
  column('kind', TEXT, grant([])),
  column('zone', INTEGER, grant([])),
];
const JOINED = 'stays JOIN places ON stays.place = places.place';

const QUERIES: readonly string[] = [
  `SELECT kind, count(*), sum(pay) FROM ${JOINED} GROUP BY kind`,
  `SELECT kind, day, sum(fee), sum(pay), count(*) FROM ${JOINED} WHERE pay > 3 GROUP BY kind, day`,
  `SELECT zone, sum(pay) FROM ${JOINED} WHERE kind <> 'home' AND pay < 40 GROUP BY zone`,
  `SELECT kind, sum(pay + 2) FROM ${JOINED} WHERE stays.place > 1 AND day <> zone GROUP BY kind`,
  `SELECT kind, count(*), sum(pay) FROM stays LEFT JOIN places ON stays.place = places.place GROUP BY kind`,
  `SELECT day, sum(pay) FROM stays, places WHERE places.place = stays.place AND pay + 1 > 4 GROUP BY day`,
  `SELECT kind, avg(pay) FROM ${JOINED} GROUP BY kind`,
  `SELECT kind, sum(pay) FILTER (WHERE pay > 20), count(*) FROM ${JOINED} GROUP BY kind`,
  `SELECT kind, day, avg(CASE WHEN day > 1 THEN 1 ELSE 0 END), sum(CASE WHEN pay > 30 THEN fee END) FROM ${JOINED} GROUP BY kind, day`,
];
/** Cells of rows that meet something; of some the conditions overlap, leave out few, or nobody. */
const CELLS: readonly string[] = [
  'count(*)',
  'sum(pay)',
  'avg(pay) FILTER (WHERE day > 0)',
  'count(*) FILTER (WHERE pay > 20)',
  'count(*) FILTER (WHERE pay > 20 AND day = 1)',
  // Next to nobody is between this one and that with 20.
  'count(*) FILTER (WHERE pay > 21)',
  'count(*) FILTER (WHERE place > 6)',
  'sum(fee) FILTER (WHERE NOT pay > 20)',
  'sum(CASE WHEN pay > 45 THEN 1 ELSE 0 END)',
  'sum((pay > 45)::INTEGER)',
  'count(CASE WHEN pay > 40 THEN 1 END)',
  'avg(CASE WHEN pay > 25 THEN pay END)',
  'avg(CASE WHEN pay > 25 THEN pay ELSE 0 END)',
  'avg(CASE WHEN day = 2 THEN 1.0 ELSE 0 END)',
  'avg(CASE WHEN place < 9 THEN 1.25 END)',
  'sum(CASE WHEN place < 9 THEN 1 ELSE 0.0 END)',
  'avg(CASE WHEN day = 2 THEN 0 ELSE pay + 1 END)',
  'sum(CASE WHEN day = 3 THEN fee ELSE 0 END) FILTER (WHERE pay > 10)',
  'sum(gap)',
  'avg(gap)',
  'count(gap)',
  'sum(gap) FILTER (WHERE pay > 20)',
  'avg(gap) FILTER (WHERE pay > 20)',
  'count(gap) FILTER (WHERE day = 1)',
  'avg(CASE WHEN pay > 20 THEN gap END)',
  'sum(CASE WHEN pay > 20 THEN gap ELSE 0 END)',
  'avg(CASE WHEN pay > 20 THEN gap ELSE 0 END)',
  'sum(gap + pay)',
  'sum(gap) FILTER (WHERE gap > 10)',
  'avg(CASE WHEN place > 4 THEN 1.0 ELSE 0 END)',
  'sum(CASE WHEN place > 4 THEN pay ELSE fee END)',
];
const WAYS = [
  'FROM stays',
  'FROM stays WHERE pay < 44',
  `FROM ${JOINED}`,
  `FROM ${JOINED} WHERE pay > 2 AND kind <> 'bath'`,
];
const AS_ROWS: readonly string[] = [
  `SELECT kind, sum(dose) FROM ${JOINED} GROUP BY kind`,
  `SELECT kind, sum(pay * zone) FROM ${JOINED} GROUP BY kind`,
  `SELECT kind, sum(pay) FILTER (WHERE zone > 1) FROM ${JOINED} GROUP BY kind`,
  'SELECT day, sum(pay) FROM stays GROUP BY day',
];

describe('sums ahead of a join', async () => {
  const connection = await openClinic(
    `${PLACES}; CREATE TABLE spots AS SELECT DISTINCT ON (place) * FROM places ORDER BY place, zone`,
  );

  const contextWith = (rowCount: bigint, { isGuarded = false, isKnown = true } = {}): ReturnType<typeof contextOf> => {
    const rest = { joins: 'allowed' as const, dataset: 'hospital/stays' };
    const unit = {
      keyColumns: ['patient'],
      domain: 'patient',
      hash: '__gb_u0',
      oneHot: '__gb_b0',
      tag: '__gb_t0',
      words: UNIT_WORDS(0),
    };
    const stays = {
      names: ['stays'],
      physical: '"main"."stays"',
      isPublic: false,
      columns: isKnown ? COLUMNS : COLUMNS.map((one) => ({ ...one, distinctValues: Infinity })),
      units: [unit],
      rowCount,
    };
    const facts = { isComplete: true, low: null, high: null, mostRepeats: isGuarded ? 1 : 2 };
    const known = PUBLIC.map((one) => ({ ...one, distinctValues: 4, ...(one.name === 'place' ? { facts } : {}) }));
    const places = {
      names: ['places'],
      // The guard sketches rows that a join repeats in a pass of its own.
      physical: isGuarded ? '"main"."spots"' : '"main"."places"',
      isPublic: true,
      columns: known,
      units: [],
      rowCount: 10n,
    };
    const tables: readonly CatalogueTable[] = [stays, places].map((one) => ({ ...rest, ...one }));
    return contextOf({ minUnits: 4, differencingGuard: isGuarded }, { tables });
  };

  async function isAhead(sql: string, rowCount: bigint): Promise<boolean> {
    const compiled = await compileText(connection, sql, contextWith(rowCount));
    if (compiled.kind === 'denied') throw new Error(`${sql}: ${compiled.reasons[0]?.message}`);
    return compiled.enforced.setup.some((one) => one.includes('sum(r0.__gb_n)'));
  }

  it('are those of the joined rows, whatever a row meets', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(1_000_000),
        fc.constantFrom(7, 60),
        fc.constantFrom(...QUERIES),
        async (seed, patients, sql) => {
          await connection.run(STAYS(seed, patients));
          const answers = [];
          for (const rowCount of [4_000_000n, 100_000n]) {
            assert.equal(await isAhead(sql, rowCount), rowCount > 1_000_000n, sql);
            const answer = await ask(connection, sql, contextWith(rowCount));
            if (answer.kind !== 'answer') throw new Error('no answer');
            answers.push({ rows: comparable(answer.rows).toSorted(), withheld: String(answer.withheld) });
          }
          assert.ok(answers[0] !== undefined && answers[0].rows.length > 0);
          assert.deepEqual(answers[0], answers[1], sql);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('show the differencing guard the same rows and units', async () => {
    const picked = CELLS.map(
      (cell, i) => `SELECT day, ${cell}, ${CELLS[(i * 5 + 3) % CELLS.length]} FROM stays GROUP BY day`,
    );
    const met = { joined: 0, alone: 0 };
    for (const sql of [...QUERIES.slice(0, 4), ...picked.slice(3, 14), ...picked.slice(-2)]) {
      await connection.run(STAYS(7, 60));
      const shown = [];
      for (const isKnown of [true, false]) {
        const context = contextWith(4_000_000n, { isGuarded: true, isKnown });
        const compiled = await compileText(connection, sql, context);
        const guard = compiled.kind === 'denied' ? undefined : compiled.enforced.guard;
        if (compiled.kind === 'denied' || guard === undefined) throw new Error(sql);
        const { setup } = compiled.enforced;
        const isTwice = setup.some((one) => /\bbit_xor\((?:CASE WHEN .* THEN )?(?:r0\.)?__gb_w0\b/.test(one));
        if (isTwice) met[sql.includes('JOIN') ? 'joined' : 'alone'] += 1;
        assert.ok(isKnown || !isTwice, sql);
        for (const statement of [...setup, ...guard.setup])
          await connection.run(statement.replace('CREATE TEMP TABLE', 'CREATE OR REPLACE TEMP TABLE'));
        const sketches: string[] = [];
        for (const select of guard.sketches)
          sketches.push(...comparable((await connection.runAndReadAll(select)).getRows()));
        shown.push(sketches.toSorted());
      }
      assert.ok((shown[0]?.length ?? 0) > 0, sql);
      assert.deepEqual(shown[0], shown[1], sql);
    }
    assert.ok(met.joined === 4 && met.alone > 6, JSON.stringify(met));
  });

  it('by the conditions that rows meet are those of the rows, and as much is withheld', async () => {
    const met = { byMask: 0, shown: 0, withheld: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.nat(1_000_000),
        fc.constantFrom(20, 90),
        fc.uniqueArray(fc.constantFrom(...CELLS), { minLength: 1, maxLength: 4 }),
        fc.constantFrom(...WAYS),
        fc.constantFrom('', 'day', 'slot', 'slot', 'kind', 'kind, day', 'kind, slot'),
        fc.boolean(),
        async (seed, patients, cells, from, keys, isGuarded) => {
          if (keys.includes('kind') && !from.includes('places')) return;
          const by = keys === '' ? '' : ` GROUP BY ${keys}`;
          const inJoin = (sql: string): string =>
            from.includes('places') ? sql.replaceAll('place ', 'stays.place ') : sql;
          const sql = `SELECT ${[...(keys === '' ? [] : [keys]), ...cells.map(inJoin)].join(', ')} ${from}${by}`;
          await connection.run(STAYS(seed, patients));
          const answers = [];
          for (const rowCount of [4_000_000n, 400n, 100_000n]) {
            const context = contextWith(rowCount, { isGuarded });
            const compiled = await compileText(connection, sql, context);
            if (compiled.kind === 'denied') throw new Error(`${sql}: ${compiled.reasons[0]?.message}`);
            if (compiled.enforced.setup.some((one) => one.includes('__gb_mask'))) met.byMask += 1;
            const answer = await ask(connection, sql, context);
            if (answer.kind !== 'answer') throw new Error('no answer');
            answers.push({ rows: comparable(answer.rows).toSorted(), withheld: String(answer.withheld) });
            met.shown += answer.rows.length;
            met.withheld += Number(answer.withheld ?? 0);
          }
          for (const answer of answers) assert.deepEqual(answer, answers[0], sql);
        },
      ),
      { numRuns: 36 },
    );
    assert.ok(met.byMask > 0 && met.shown > 0 && met.withheld > 0, JSON.stringify(met));
  });

  it('by conditions that few people tell apart are withheld', async () => {
    await connection.run(STAYS(3, 90));
    const cells = ['count(*) FILTER (WHERE pay > 20)', 'count(*) FILTER (WHERE pay > 21)'];
    // Of the many slots the units are seen in all rows, of the few days in a sample.
    for (const [key, seen] of [
      ['day', /__gb_mask(?!.*__gb_o0)/],
      ['slot', /__gb_mask.*__gb_o0/],
    ] as const) {
      const shown: number[] = [];
      for (const asked of [cells, cells.slice(0, 1), cells.slice(1)]) {
        const sql = `SELECT ${key}, ${asked.join(', ')} FROM stays GROUP BY ${key}`;
        const compiled = await compileText(connection, sql, contextWith(4_000_000n));
        if (compiled.kind === 'denied') throw new Error(sql);
        assert.match(compiled.enforced.setup[0] ?? '', seen);
        const answer = await ask(connection, sql, contextWith(4_000_000n));
        if (answer.kind !== 'answer') throw new Error(sql);
        shown.push(answer.rows.flatMap((row) => row.slice(1)).filter((value) => value !== null).length);
      }
      const [both = 0, wide = 0, narrow = 0] = shown;
      assert.ok(wide > 2 && narrow > 2 && both < wide + narrow, `${key}: ${shown.join()}`);
    }
  });

  it('are made of whole numbers of one table only', async () => {
    await connection.run(STAYS(1, 60));
    for (const sql of AS_ROWS) assert.equal(await isAhead(sql, 4_000_000n), false, sql);
  });
});
