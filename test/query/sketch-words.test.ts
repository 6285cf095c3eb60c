import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CatalogueTable } from '../../runtime/query/catalogue.ts';
import { sketchWords, UNIT_WORDS } from '../../runtime/query/layout.ts';
import { type LaneRow, LANES, lanesOf } from '../../runtime/release/lanes.ts';
import {
  column,
  compileText,
  contextOf,
  grant,
  INTEGER,
  measure,
  openClinic,
  SKETCH_COLUMNS,
  UNIT_COLUMNS,
} from './clinic.ts';

/** Treatments of patients by doctors, and where the doctors work: rows that are joined by room have two people each. */
const TABLES = `
CREATE TABLE stays AS SELECT *, ${UNIT_COLUMNS('patient')}, hash(i, patient) AS __gb_t0, ${SKETCH_COLUMNS()}
  FROM (SELECT i::INTEGER AS i, (hash(i) % 70)::INTEGER AS patient, (hash(i, 1) % 40)::INTEGER AS room, (i % 3)::INTEGER AS day FROM range(700) r(i));
CREATE TABLE rooms AS SELECT *, ${UNIT_COLUMNS('doctor')}, hash(room, doctor) AS __gb_t0, ${SKETCH_COLUMNS()}
  FROM (SELECT i::INTEGER AS room, (i % 13)::INTEGER AS doctor, (i % 9)::INTEGER AS beds FROM range(40) r(i));
CREATE TABLE others AS SELECT *, ${UNIT_COLUMNS('patient')}, hash(room, patient, 2) AS __gb_t0, ${SKETCH_COLUMNS()}
  FROM (SELECT i::INTEGER AS room, (hash(i, 3) % 70)::INTEGER AS patient, (i % 9)::INTEGER AS beds FROM range(40) r(i));
`;

const table = (name: string, key: string, domain: string): CatalogueTable => ({
  dataset: `hospital/${name}`,
  names: [name],
  physical: `"main"."${name}"`,
  isPublic: false,
  columns: [
    column(key, INTEGER, grant(['join'])),
    {
      ...column('room', INTEGER, grant(['join'])),
      ...(name === 'stays' ? {} : { facts: { isComplete: true, low: 0, high: 39, isUnique: true } }),
    },
    name === 'stays' ? column('day', INTEGER, grant(['group'])) : column('beds', INTEGER, measure(['sum'])),
  ],
  units: [
    {
      keyColumns: [key],
      domain,
      hash: '__gb_u0',
      oneHot: '__gb_b0',
      tag: '__gb_t0',
      words: UNIT_WORDS(0),
    },
  ],
  joins: 'allowed',
  rowCount: 1_000_000n,
});

describe('what rows add to a sketch', async () => {
  const connection = await openClinic(TABLES);
  const rowsOf = async (sql: string): Promise<readonly (readonly unknown[])[]> =>
    (await connection.runAndReadAll(sql)).getRows();

  it('is in the engine what the guard takes it for', async () => {
    const [first, second] = sketchWords('t', 'h');
    const from = `(SELECT hash(i, 1) AS t, CASE WHEN i = 5 THEN 0 ELSE hash(i // 3) END::UBIGINT AS h FROM range(300) r(i))`;
    const [words] = await rowsOf(`SELECT bit_xor(${first}), bit_xor(${second}) FROM ${from} WHERE h <> 0`);
    const rows = await rowsOf(`SELECT t, h FROM ${from} WHERE h <> 0`);
    const expected = lanesOf(rows.map(([tag, hash]) => laneRow(BigInt(String(tag)), BigInt(String(hash)))));
    assert.deepEqual(wordsOf(words ?? []), [...expected].slice(1));
    const [[nobody, other] = []] = await rowsOf(`SELECT ${first}, ${second} FROM ${from} WHERE h = 0`);
    const lanes = (1n << BigInt(LANES)) - 1n;
    assert.deepEqual([BigInt(String(nobody)) & lanes, BigInt(String(other)) >> BigInt(64 - LANES)], [0n, 0n]);
  });

  it('has the lane of whom the cells are compared by, whoever else has a row', async () => {
    // The doctors of rooms; and people of the same kind who are not those of the stays.
    for (const [name, domain] of [
      ['rooms', 'doctor'],
      ['others', 'patient'],
    ] as const) {
      const tables = [table('stays', 'patient', 'patient'), table(name, domain, domain)];
      const sql = `SELECT day, count(*) FROM stays JOIN ${name} ON stays.room = ${name}.room GROUP BY day`;
      const compiled = await compileText(
        connection,
        sql,
        contextOf({ minUnits: 3, differencingGuard: true }, { tables }),
      );
      const { guard, setup } = compiled.kind === 'denied' ? { guard: undefined, setup: [] } : compiled.enforced;
      assert.ok(guard !== undefined, JSON.stringify(compiled));
      for (const statement of [...setup, ...guard.setup])
        await connection.run(statement.replace('CREATE TEMP TABLE', 'CREATE OR REPLACE TEMP TABLE'));
      const shown = (await Promise.all(guard.sketches.map(rowsOf))).flat().map((row) => row.map(Number));
      const sketches = shown.filter(([, series = -1]) => series >= 0).map((row) => row.slice(5, 10).join());
      const expected: string[] = [];
      // Rows of either table, by the people of either; each row once.
      for (const rowsIn of ['stays', name])
        for (const unit of ['stays', name])
          for (const day of [0, 1, 2]) {
            const row = `min(${rowsIn}.__gb_t0), ${unit}.__gb_u0`;
            const found = await rowsOf(
              `SELECT ${row} FROM stays JOIN ${name} ON stays.room = ${name}.room WHERE day = ${day} GROUP BY ${rowsIn}.rowid, ${unit}.__gb_u0`,
            );
            const rows = found.map(([tag, hash]) => laneRow(BigInt(String(tag)), BigInt(String(hash))));
            expected.push([...lanesOf(rows)].join());
          }
      assert.deepEqual([...new Set(sketches)].toSorted(), [...new Set(expected)].toSorted(), name);
    }
  });
});

const laneRow = (tag: bigint, hash: bigint): LaneRow => ({ lane: Number((hash >> 6n) % BigInt(LANES)), tag });

function wordsOf(words: readonly unknown[]): number[] {
  return words.map(String).flatMap((word) => [Number(BigInt(word) & 0xffff_ffffn), Number(BigInt(word) >> 32n)]);
}
