import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { OpenWorld } from './world.ts';

/** Rows without a patient, and rows of patients 5 and 6 whom no other table knows, beside two or three who are known. */
const ROWS = [
  ...[0, 1, -1, -1].map((patient) => [patient, 'two and missing']),
  ...[0, 1, 2, -1].map((patient) => [patient, 'three and missing']),
  ...[7, 8, 5].map((patient) => [patient, 'two and unknown']),
  ...[7, 8, 9].map((patient) => [patient, 'three']),
  ...[-1, -1, -1, -1].map((patient) => [patient, 'missing']),
].map(([patient, ward], i) => `(${patient}, '${ward}', ${10 + i}, ${1 + (i % 2)})`);

const worldOf = (unit: string): Parameters<typeof OpenWorld.open>[0] => ({
  name: 'nobody',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: hospital/stays, grade: important }
tables:
  patients:
    privacyUnit: [pid]
    columns:
      pid: { rights: [join, countDistinct] }
  stays:
    privacyUnit: ${unit}
    columns:
      ward: { rights: [group, filter] }
      cost: { rights: [aggregate, extremum], functions: [sum, avg, count, quantile] }
      code: { rights: [aggregate], functions: [sum] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 3, smallGroups: drop, maxRows: 100 } }
`,
  tables: {
    patients: 'SELECT i::INTEGER AS pid FROM range(20) r(i) WHERE i NOT IN (5, 6)',
    stays: `SELECT nullif(patient, -1)::INTEGER AS patient, ward::VARCHAR AS ward, cost::INTEGER AS cost, code::INTEGER AS code FROM (VALUES ${ROWS.join(', ')}) t(patient, ward, cost, code)`,
  },
});
const KNOWN_BY = {
  'its own key': ['[patient]', ['three', 'three and missing', 'two and unknown']],
  'a path to another table': ['{ columns: [pid], via: patient -> patients.pid }', ['three', 'three and missing']],
  'two columns': ['[patient, ward]', ['three', 'three and missing', 'two and unknown']],
} as const;

for (const [how, [unit, shown]] of Object.entries(KNOWN_BY))
  for (const rowCount of [0, 1_000_000])
    describe(`rows of nobody, where the unit is ${how}, tables said to have ${rowCount} rows`, () => {
      const wards = async (cells: string, terms = {}): Promise<readonly string[]> => {
        const world = await OpenWorld.open(worldOf(unit), {}, rowCount);
        try {
          const seen = await world.ask(`SELECT ward, ${cells} FROM stays GROUP BY ward`, terms);
          if (seen.kind !== 'answer') throw new Error(JSON.stringify(seen));
          return seen.rows.flatMap((row) => (row[1] === null ? [] : [String(row[0])])).toSorted();
        } finally {
          await world.close();
        }
      };

      for (const cell of ['count(*)', 'sum(cost)', 'avg(cost)', 'median(cost)', 'max(cost)', 'sum(cost * code)'])
        it(`help no group to reach the minimum: ${cell}`, async () => {
          const seen = await wards(`${cell} AS s`);
          assert.deepEqual(
            seen.filter((ward) => !(shown as readonly string[]).includes(ward)),
            [],
          );
          if (!cell.includes('code')) assert.deepEqual(seen, shown);
        });

      it('help no difference of two answers to reach it', async () => {
        const world = await OpenWorld.open(worldOf(unit), { differencingGuard: true }, rowCount);
        const sumOf = async (where: string): Promise<unknown> => {
          const seen = await world.ask(`SELECT sum(cost) AS s FROM stays WHERE ${where}`);
          return seen.kind === 'answer' ? (seen.rows[0]?.[0] ?? null) : seen;
        };
        assert.notEqual(await sumOf("ward NOT IN ('three', 'two and missing')"), null);
        assert.equal(await sumOf("ward <> 'three'"), null);
        await world.close();
      });

      it('are few, not none, where a condition leaves out them alone', async () => {
        const world = await OpenWorld.open(worldOf(unit), {}, rowCount);
        const all = await world.ask("SELECT count(*) AS n FROM stays WHERE ward <> 'missing'");
        assert.deepEqual(all.kind === 'answer' ? all.rows : all, []);
        await world.close();
      });
    });
