/**
 * Lists of constants however they are written: each is the very statement of the form that was offered before, so what
 * holds for that holds for it.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { HOSPITAL } from './honest/worlds.ts';
import { OpenWorld } from './redteam/world.ts';

const A_STAY = "('surgery', 'acute'), ('heart', 'acute'), ('nerves', 'chronic'), ('children', 'other')";

/** Another spelling and the one that it is read as. */
const SAME: readonly (readonly [string, string])[] = [
  [
    "SELECT count(*) FROM stays WHERE ward IN ['heart', 'surgery']",
    "SELECT count(*) FROM stays WHERE ward IN ('heart', 'surgery')",
  ],
  [
    "SELECT count(*) FROM stays WHERE ward = ANY (['heart', 'surgery'])",
    "SELECT count(*) FROM stays WHERE ward IN ('heart', 'surgery')",
  ],
  [
    "SELECT count(*) FROM stays WHERE list_contains(['heart'], ward)",
    "SELECT count(*) FROM stays WHERE ward IN ('heart')",
  ],
  [
    "SELECT count(*) FROM stays WHERE ward NOT IN ['heart', 'surgery']",
    "SELECT count(*) FROM stays WHERE NOT (ward IN ('heart', 'surgery'))",
  ],
  [
    "SELECT count(*) FROM stays WHERE ward <> ALL (['heart', 'surgery'])",
    "SELECT count(*) FROM stays WHERE NOT (ward IN ('heart', 'surgery'))",
  ],
  [
    'SELECT count(*) FILTER (born IN [1950, 1960]) FROM patients',
    'SELECT count(*) FILTER (born IN (1950, 1960)) FROM patients',
  ],
  [
    `SELECT l.label, count(*) FROM stays s, (VALUES ${A_STAY}) l(ward, label) WHERE s.ward = l.ward GROUP BY 1`,
    `SELECT l.label, count(*) FROM stays s JOIN (VALUES ${A_STAY}) l(ward, label) ON s.ward = l.ward GROUP BY 1`,
  ],
  [
    `SELECT l.label, count(*) FROM stays s CROSS JOIN (VALUES ${A_STAY}) l(ward, label) WHERE s.emergency AND l.ward = s.ward GROUP BY 1`,
    `SELECT l.label, count(*) FROM stays s JOIN (VALUES ${A_STAY}) l(ward, label) ON l.ward = s.ward WHERE s.emergency GROUP BY 1`,
  ],
  [
    "SELECT count(*) FROM stays WHERE admitted >= strptime('01.06.2023', '%d.%m.%Y')",
    "SELECT count(*) FROM stays WHERE admitted >= TIMESTAMP '2023-06-01 00:00:00'",
  ],
  [
    "SELECT count(*) FROM stays WHERE admitted >= try_strptime('20230601 0930', '%Y%m%d %H%M')",
    "SELECT count(*) FROM stays WHERE admitted >= TIMESTAMP '2023-06-01 09:30:00'",
  ],
];

/** Over what is released, and beside other joins: as the engine answers. */
const ANSWERED: readonly string[] = [
  "SELECT l.label, sum(s.n) FROM (SELECT ward, count(*) AS n FROM stays GROUP BY 1) s, (VALUES ('surgery', 'acute'), ('heart', 'acute')) l(ward, label) WHERE s.ward = l.ward GROUP BY 1",
  "SELECT b.ward, l.label FROM wards a, (VALUES ('surgery', 'acute'), ('heart', 'acute')) l(ward, label), wards b WHERE b.ward = l.ward AND a.ward = b.ward",
  "SELECT l.label, w.ward FROM wards w, (VALUES ('surgery', 'acute'), ('x', 'none')) l(ward, label) WHERE w.ward = l.ward OR w.floor = 3",
  `SELECT w.floor, l.label, count(*) FROM stays s JOIN wards w ON w.ward = s.ward, (VALUES ${A_STAY}) l(ward, label) WHERE s.ward = l.ward GROUP BY 1, 2`,
];

const REFUSED: readonly (readonly [string, string])[] = [
  ["SELECT count(*) FROM stays WHERE ward NOT IN ['heart', NULL]", 'function-not-allowed'],
  ['SELECT count(*) FROM stays WHERE ward IN [ward]', 'function-not-allowed'],
  ['SELECT count(*) FROM stays WHERE cost IN [300, 301]', 'column-right-missing'],
  ['SELECT count(*) FROM stays WHERE patient = ANY ([1, 2, 3])', 'column-right-missing'],
  ["SELECT count(*) FROM stays WHERE ward = ANY (SELECT unnest(['heart', 'surgery']) LIMIT 1)", 'function-not-allowed'],
  [
    "SELECT count(*) FROM stays s, (VALUES ('heart', 1), ('heart', 2)) l(ward, n) WHERE s.ward = l.ward",
    'values-beside-rows',
  ],
  [
    "SELECT count(*) FROM stays s, (VALUES ('heart', 1), ('nerves', 2)) l(ward, n) WHERE s.ward = l.ward OR l.n = 2",
    'values-beside-rows',
  ],
  ['SELECT count(*) FROM stays s, (VALUES (1), (2)) l(patient) WHERE s.patient = l.patient', 'column-right-missing'],
  ["SELECT count(*) FROM stays WHERE admitted > strptime('2023-13-01', '%Y-%m-%d')", 'wrong-arguments'],
  ["SELECT count(*) FROM stays WHERE admitted > strptime('2023-01-01 x', '%Y-%m-%d')", 'wrong-arguments'],
  ["SELECT count(*) FROM stays WHERE admitted > strptime('23 1 1', '%y %-m %-d')", 'wrong-arguments'],
  ["SELECT count(*) FROM stays WHERE admitted > strptime(ward, '%Y-%m-%d')", 'wrong-arguments'],
  ["SELECT count(*) FROM stays WHERE admitted > strptime('2023-01-01', ward)", 'wrong-arguments'],
];

describe('lists of constants', () => {
  let open: OpenWorld;
  before(async () => {
    open = await OpenWorld.open(HOSPITAL);
  });
  after(() => open.close());

  for (const [other, known] of SAME)
    it(`are one statement in both spellings: ${other}`, async () => {
      const [ours, theirs] = [await open.enforced(other), await open.enforced(known)].map((one) => {
        const { kind, enforced, reasons } = one as { kind: string; enforced: unknown; reasons: unknown };
        assert.notEqual(kind, 'denied', JSON.stringify(reasons));
        return JSON.stringify(enforced, (key, value: unknown) =>
          key === 'outputs' ? undefined : typeof value === 'bigint' ? String(value) : value,
        ).replaceAll(/count_star\(\)[^"]*/g, 'count_star()');
      });
      assert.equal(ours, theirs);
      assert.equal((await open.ask(other)).kind, 'answer');
    });

  for (const sql of ANSWERED)
    it(`are answered as the engine answers them: ${sql}`, async () => {
      const seen = await open.ask(sql);
      assert.ok(seen.kind === 'answer', seen.kind === 'denied' ? seen.message : 'failed');
      const lines = (rows: readonly (readonly unknown[])[]): string[] =>
        rows.map((row) => row.map(String).join(' | ')).toSorted();
      assert.deepEqual(lines(seen.rows), lines((await open.plain(sql)).rows));
    });

  for (const [sql, code] of REFUSED)
    it(`are refused as before: ${sql}`, async () => {
      const seen = await open.ask(sql);
      assert.deepEqual([seen.kind, 'code' in seen ? seen.code : ''], ['denied', code]);
    });

  it('BETWEEN SYMMETRIC, which the parser cannot write down, is refused at its place with what to write', async () => {
    const sql = "SELECT count(*)\nFROM events WHERE day BETWEEN SYMMETRIC '2024-06-01' AND '2023-06-01'";
    const { reasons } = (await open.enforced(sql)) as {
      reasons: readonly { code: string; at: unknown; remedy: string }[];
    };
    assert.deepEqual(
      reasons.map(({ code, at }) => ({ code, at })),
      [{ code: 'sql-not-allowed', at: { line: 2, column: 31 } }],
    );
    assert.match(reasons[0]?.remedy ?? '', /lower bound first/);
  });
});
