import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CatalogueColumn, CatalogueTable } from '../../runtime/query/catalogue.ts';
import {
  ask,
  column,
  comparable,
  compileText,
  contextOf,
  grant,
  INTEGER,
  measure,
  openClinic,
  TEXT,
  UNIT_COLUMNS,
} from './clinic.ts';
import { fc } from '../property.ts';

/** So many rows that what is left out is looked for last, and only if rows are missing. */
const ROWS = 270_000;
/** `lost`: rows whose place is not in the list. As many are at a place that one of the lists has twice. */
const STAYS = (seed: number, lost: number): string =>
  `CREATE OR REPLACE TABLE stays AS SELECT *, ${UNIT_COLUMNS('patient')} FROM (
  SELECT (h % 3000)::INTEGER AS patient, CASE WHEN i < ${lost} THEN 99 WHEN i < ${2 * lost} THEN 89 ELSE h // 7 % 89 END::INTEGER AS place, (h // 700 % 40)::INTEGER AS day, (h // 11 % 50)::INTEGER AS pay
  FROM (SELECT i, (hash(i, ${seed}) & 16777215)::INTEGER AS h FROM range(${ROWS}) r(i)))`;
const PLACES = `CREATE TABLE places AS SELECT i::INTEGER AS place, 'kind ' || (i % 30) AS kind FROM range(90) r(i);
  CREATE TABLE spots AS FROM places UNION ALL FROM places WHERE place = 89`;

const few = { distinctValues: 40, facts: { isComplete: true, low: 0, high: 39 } };
const COLUMNS: readonly CatalogueColumn[] = [
  column('patient', INTEGER, grant(['join', 'countDistinct'])),
  { ...column('place', INTEGER, grant(['join'])), distinctValues: 91 },
  { ...column('day', INTEGER, grant(['group', 'filter'])), ...few },
  { ...column('pay', INTEGER, measure(['sum', 'avg', 'count']), grant(['filter'])), distinctValues: 50 },
];
const JOINED = 'stays JOIN places ON stays.place = places.place';
const QUERIES: readonly string[] = [
  `SELECT kind, count(*), sum(pay) FROM ${JOINED} GROUP BY kind`,
  `SELECT kind, day, sum(pay) FROM ${JOINED} GROUP BY kind, day`,
  `SELECT kind, day, sum(pay) FROM ${JOINED} WHERE pay > 0 GROUP BY kind, day`,
  `SELECT kind, day, sum(pay) FROM ${JOINED} WHERE pay >= 0 AND day <> 3 GROUP BY kind, day`,
  `SELECT kind, count(DISTINCT patient) FROM ${JOINED} GROUP BY kind`,
  `SELECT day, count(DISTINCT patient) FILTER (WHERE pay > 5), count(*) FROM ${JOINED} GROUP BY day`,
  `SELECT count(DISTINCT patient) FROM ${JOINED}`,
];

describe('a join that loses no row', async () => {
  const connection = await openClinic(PLACES);
  const contextWith = (rowCount: number, minUnits: number, isTwice: boolean): ReturnType<typeof contextOf> => {
    const rest = { joins: 'allowed' as const, dataset: 'hospital/stays' };
    const unit = { keyColumns: ['patient'], domain: 'patient', hash: '__gb_u0', oneHot: '__gb_b0' };
    const stays = { names: ['stays'], physical: '"main"."stays"', isPublic: false, columns: COLUMNS, units: [unit] };
    const facts = { isComplete: true, low: 0, high: 89, mostRepeats: isTwice ? 2 : 1 };
    const known = [
      { ...column('place', INTEGER, grant([])), distinctValues: 90, facts },
      { ...column('kind', TEXT, grant([])), distinctValues: 30 },
    ];
    const physical = isTwice ? '"main"."spots"' : '"main"."places"';
    const places = { names: ['places'], physical, isPublic: true, columns: known, units: [] };
    const tables: readonly CatalogueTable[] = [
      { ...rest, ...stays, rowCount: BigInt(rowCount) },
      { ...rest, ...places, rowCount: isTwice ? 91n : 90n },
    ];
    return contextOf({ minUnits }, { tables });
  };

  it('leaves nothing out, and one that loses some is held to the minimum, as where nobody knows how many there are', async () => {
    const met = { gated: 0, shown: 0, hidden: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.nat(1_000_000),
        fc.constantFrom(0, 1, 5, 2_000),
        fc.constantFrom(...QUERIES),
        fc.constantFrom(4, 30),
        fc.boolean(),
        async (seed, lost, sql, minUnits, isTwice) => {
          await connection.run(STAYS(seed, lost));
          const answers = [];
          // The true number, and one that says that the table is small.
          for (const rowCount of [ROWS, 100_000]) {
            const context = contextWith(rowCount, minUnits, isTwice);
            const compiled = await compileText(connection, sql, context);
            if (compiled.kind === 'denied') throw new Error(compiled.reasons[0]?.message);
            if (compiled.enforced.setup.some((one) => one.includes(`<> ${ROWS}`))) met.gated += 1;
            const answer = await ask(connection, sql, context);
            if (answer.kind !== 'answer') throw new Error('no answer');
            answers.push({ rows: comparable(answer.rows).toSorted(), withheld: String(answer.withheld) });
            met[answer.rows.length === 0 ? 'hidden' : 'shown'] += 1;
          }
          assert.deepEqual(answers[0], answers[1], `${sql}, ${lost} lost${isTwice ? ', as many twice' : ''}`);
        },
      ),
      { numRuns: 24 },
    );
    assert.ok(met.gated > 5 && met.shown > 0 && met.hidden > 0, JSON.stringify(met));
  });
});
