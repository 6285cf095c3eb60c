import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DuckDBConnection } from '@duckdb/node-api';
import { fc } from '../property.ts';
import { ask, comparable, contextOf, openClinic, plain, UNIT_COLUMNS } from './clinic.ts';

interface Row {
  readonly patient: number;
  readonly ward: string | null;
  readonly diagnosis: string;
  readonly age: number;
  readonly urgent: boolean;
  readonly cost: number | null;
}

const row: fc.Arbitrary<Row> = fc.record({
  patient: fc.nat(14),
  ward: fc.constantFrom('north', 'south', null),
  diagnosis: fc.constantFrom('flu', 'asthma'),
  age: fc.constantFrom(30, 40, 50),
  urgent: fc.boolean(),
  cost: fc.option(fc.nat(100), { freq: 9 }),
});

/** Conditions as SQL and as the same thing in plain code, so that the oracle shares nothing with the compiler. */
const CONDITIONS: readonly (readonly [string, (row: Row) => boolean])[] = [
  ['true', () => true],
  ['urgent', (one) => one.urgent],
  ['NOT urgent', (one) => !one.urgent],
  ['age > 30', (one) => one.age > 30],
  ["ward = 'north'", (one) => one.ward === 'north'],
  ["ward = 'north' OR age >= 40", (one) => one.ward === 'north' || one.age >= 40],
  ['ward IS NULL', (one) => one.ward === null],
  ["diagnosis <> 'flu' AND age BETWEEN 30 AND 40", (one) => one.diagnosis !== 'flu' && one.age <= 40],
];

const KEYS: readonly (readonly [string, (row: Row) => string])[] = [
  ["'all'", () => 'all'],
  ['ward', (one) => String(one.ward)],
  ['diagnosis', (one) => one.diagnosis],
  ['age // 20', (one) => String(Math.floor(one.age / 20))],
];

const K = 4;
const units = (rows: readonly Row[]): number => new Set(rows.map((one) => one.patient)).size;
const noneOrEnough = (rows: readonly Row[]): boolean => rows.length === 0 || units(rows) >= K;

async function load(connection: DuckDBConnection, rows: readonly Row[]): Promise<void> {
  const text = (value: string | null): string => (value === null ? 'NULL' : `'${value}'`);
  const values = rows.map(
    (one) =>
      `(${one.patient}, ${text(one.ward)}, ${text(one.diagnosis)}, ${one.age}, ${one.urgent}, ${one.cost ?? 'NULL'})`,
  );
  await connection.run(`CREATE OR REPLACE TABLE visits AS SELECT * REPLACE (CAST(ward AS VARCHAR) AS ward, CAST(cost AS INTEGER) AS cost), DATE '2024-01-01' AS admitted, DATE '2024-01-01' AS discharged,
    1.0::DOUBLE AS score, 0::INTEGER AS smoker, ${UNIT_COLUMNS('patient')} FROM (VALUES ${values.join(', ')}) t(patient, ward, diagnosis, age, urgent, cost)`);
}

/** Some groups may hide behind a constant key, which has no GROUP BY. */
function queryOf(key: string, where: string, filter: string): string {
  const cells = `count(*), sum(cost), count(*) FILTER (WHERE ${filter}), sum(CASE WHEN ${filter} THEN cost ELSE 0 END)`;
  return key === "'all'"
    ? `SELECT 'all', ${cells} FROM visits WHERE ${where}`
    : `SELECT ${key}, ${cells} FROM visits WHERE ${where} GROUP BY 1`;
}

describe('random data and random questions', async () => {
  const connection = await openClinic();
  it("every row that is shown is one that may be, with DuckDB's own values, and every one that may be is shown", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { minLength: 1, maxLength: 60 }),
        fc.constantFrom(...KEYS),
        fc.constantFrom(...CONDITIONS),
        fc.constantFrom(...CONDITIONS),
        async (rows, [key, keyOf], [where, isIn], [filter, isChosen]) => {
          await load(connection, rows);
          const sql = queryOf(key, where, filter);
          const answer = await ask(connection, sql, contextOf({ minUnits: K }));
          assert.ok(answer.kind === 'answer', answer.kind === 'denied' ? answer.reasons[0]?.message : '');
          const outside = rows.filter((one) => !isIn(one));
          const all = await plain(connection, sql);
          const expected: (readonly unknown[])[] = [];
          for (const full of all) {
            const name = String(full[0]);
            const group = rows.filter((one) => isIn(one) && keyOf(one) === name);
            const left = outside.filter((one) => keyOf(one) === name);
            const keyDecides = key === 'ward' && /^ward [=I][^O]*$/.test(where);
            const mayShow = units(group) >= K && noneOrEnough(outside) && (keyDecides || noneOrEnough(left));
            if (!mayShow) continue;
            const chosen = group.filter(isChosen);
            const rest = group.filter((one) => !isChosen(one));
            const isWhole = rest.length === 0;
            const cell = isWhole || (units(chosen) >= K && noneOrEnough(rest));
            const valued = (some: readonly Row[]): boolean =>
              some.every((one) => one.cost !== null) || units(some.filter((one) => one.cost !== null)) >= K;
            expected.push([
              full[0],
              full[1],
              valued(group) ? full[2] : null,
              cell ? full[3] : null,
              cell && valued(chosen) ? full[4] : null,
            ]);
          }
          assert.deepEqual(comparable(answer.rows).toSorted(), comparable(expected).toSorted(), sql);
        },
      ),
      { numRuns: 50 },
    );
  });
});
