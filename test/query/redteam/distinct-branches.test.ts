import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { leaksOf, type Person } from './oracle.ts';
import { OpenWorld, type World } from './world.ts';

/** Everybody has a call; persons 0 to 14 have an x, 5 to 18 a y; 19 alone has neither. Of those with u or w, 0 alone has no w. */
const CLINIC: World = {
  name: 'clinic',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: clinic/events, grade: important }
tables:
  people:
    privacyUnit: [pid]
    columns:
      pid: { rights: [join, countDistinct] }
  events:
    privacyUnit: { columns: [pid], via: id -> people.pid }
    columns:
      id:   { rights: [join, countDistinct] }
      kind: { rights: [group, filter, countDistinct] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 3, smallGroups: drop, maxRows: 100 } }
`,
  tables: {
    people: 'SELECT i::INTEGER AS pid FROM range(20) r(i)',
    events: `SELECT i::INTEGER AS id, kind FROM range(20) r(i), (VALUES ('call'), ('x'), ('y'), ('u'), ('w')) k(kind)
      WHERE kind = 'call' OR (kind = 'x' AND i < 15) OR (kind = 'y' AND i BETWEEN 5 AND 18)
        OR (kind = 'u' AND i < 15) OR (kind = 'w' AND i BETWEEN 1 AND 15)`,
  },
};
const everybody: readonly Person[] = Array.from({ length: 20 }, (_, i) => ({
  key: `p${i}`,
  rows: { events: `id = ${i}`, people: `pid = ${i}` },
}));

/** All less those of either kind is the one of neither; the two kinds overlap, so their counts do not add up to it. */
const SUBTRACTING: readonly string[] = [
  "SELECT count(DISTINCT id), count(DISTINCT CASE WHEN kind = 'x' THEN id WHEN kind = 'y' THEN id END) FROM events",
  "SELECT count(DISTINCT id) - count(DISTINCT CASE WHEN kind = 'y' THEN id WHEN kind = 'x' THEN id END) FROM events",
  "SELECT count(DISTINCT id), count(DISTINCT CASE WHEN kind = 'x' THEN id ELSE (CASE WHEN kind = 'y' THEN id END) END) FROM events",
  "SELECT count(DISTINCT id), count(DISTINCT CASE WHEN kind IN ('x', 'y') THEN id END) FROM events",
  // Columns that the join equates name the same people.
  "SELECT count(DISTINCT p.pid), count(DISTINCT e.id) FILTER (WHERE kind = 'w') FROM events e JOIN people p ON e.id = p.pid WHERE kind IN ('u', 'w')",
  "SELECT count(DISTINCT e.id), count(DISTINCT CASE WHEN kind = 'w' THEN p.pid END) FROM events e JOIN people p ON e.id = p.pid WHERE kind IN ('u', 'w')",
];

describe('units that several branches of a CASE keep', async () => {
  const clinic = await OpenWorld.open(CLINIC);
  after(() => clinic.close());

  for (const sql of SUBTRACTING)
    it(`are counted once, and do not subtract to one of neither: ${sql}`, async () => {
      const leaks = await leaksOf(clinic, sql, everybody, 3);
      assert.deepEqual(
        leaks.filter(({ kind }) => kind === 'isolated'),
        [],
      );
    });

  it('are counted where nobody has neither', async () => {
    const seen = await clinic.ask(
      "SELECT count(DISTINCT id), count(DISTINCT CASE WHEN kind = 'x' THEN id WHEN kind = 'call' THEN id END) FROM events",
    );
    assert.deepEqual(seen.kind === 'answer' ? seen.rows : seen, [[20n, 20n]]);
  });

  it('are counted by either of two columns that name them', async () => {
    const seen = await clinic.ask(
      'SELECT count(DISTINCT p.pid), count(DISTINCT e.id), count(*) FROM events e JOIN people p ON e.id = p.pid',
    );
    assert.deepEqual(seen.kind === 'answer' ? seen.rows : seen, [[20n, 20n, 79n]]);
  });

  it('are of one column in all branches', async () => {
    const seen = await clinic.ask("SELECT count(DISTINCT CASE WHEN kind = 'x' THEN id ELSE kind END) FROM events");
    assert.equal(seen.kind, 'denied');
  });
});
