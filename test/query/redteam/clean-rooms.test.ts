import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { importBigQuery } from '../../../runtime/policy-file/import/bigquery.ts';
import { importCcl } from '../../../runtime/policy-file/import/ccl.ts';
import { importCleanRooms } from '../../../runtime/policy-file/import/clean-rooms.ts';
import type { Imported } from '../../../runtime/policy-file/import/imported.ts';
import { importSnowflake } from '../../../runtime/policy-file/import/snowflake.ts';
import {
  AWS,
  AWS_ALONE,
  BIGQUERY,
  type Case,
  DATASHIELD,
  DIFFIX,
  SCQL,
  SNOWFLAKE,
  type Verdict,
  ZETASQL,
} from './clean-rooms.ts';
import {
  AWS_MORE,
  BIGQUERY_MORE,
  DATASHIELD_MORE,
  DIFFIX_MORE,
  SCQL_MORE,
  SNOWFLAKE_MORE,
} from './clean-rooms-more.ts';
import { compileDifferential } from '../../../runtime/query/differential/compile.ts';
import { RELEASE } from '../differential-world.ts';
import { PRACTICE } from './classes-world.ts';
import { OpenWorld, type Seen, type World } from './world.ts';

const source = (name: string): string =>
  readFileSync(join(import.meta.dirname, '../../policy-file/import/sources', name), 'utf8');

function documentOf(imported: Imported): string {
  assert.ok(imported.kind === 'imported', imported.kind === 'refused' ? imported.reason : '');
  return imported.document;
}

interface Room {
  readonly policy: string;
  readonly table: Readonly<Record<string, string>>;
  /** What the consumer brings along. */
  readonly brings?: Readonly<Record<string, string>>;
  /** What only small groups are called. */
  readonly small: RegExp;
  readonly cases: readonly Case[];
}

const SHOP = {
  policy: documentOf(importCleanRooms(source('clean-rooms-aggregation.json'), { dataset: 'shop/purchases' })),
  table: {
    purchases: `SELECT 'e' || (i % 100) AS hashed_email, ['a', 'b'][1 + i % 2] AS product_category,
      CASE WHEN i % 100 < 50 THEN 'east' WHEN i % 100 < 93 THEN 'west' ELSE 'tiny' END AS store_region,
      DATE '2024-01-01' + (i % 7)::INTEGER AS purchase_date, (i * 37 % 101)::DOUBLE AS purchase_amount, '0' || i AS phone FROM range(400) r(i)`,
  },
  brings: { mine: `SELECT 'e' || i AS hashed_email, ['x', 'y'][1 + i % 2] AS segment FROM range(120) r(i)` },
  small: /tiny/,
};

const ROOMS: Readonly<Record<string, Room>> = {
  'an aggregation rule of AWS Clean Rooms': {
    ...SHOP,
    policy: SHOP.policy.replace(/^( *)joins: required$/m, '$1consumerTables: onUnit'),
    cases: [...AWS, ...AWS_MORE],
  },
  'an aggregation rule of AWS Clean Rooms that requires a join': {
    ...SHOP,
    policy: SHOP.policy.replace(/^( *)joins: required$/m, '$&\n$1consumerTables: onUnit'),
    cases: AWS_ALONE,
  },
  'policies of Snowflake': {
    policy: documentOf(importSnowflake(source('snowflake.sql'))),
    table: {
      viewership_log: `SELECT 'e' || i AS email, '555' || lpad(i::VARCHAR, 2, '0') AS phone,
        CASE WHEN i < 20 THEN 'TX' WHEN i < 37 THEN 'CA' ELSE 'WY' END AS state, (i * 7 % 50)::DECIMAL(10, 2) AS minutes FROM range(40) r(i)`,
    },
    small: /WY/,
    cases: [...SNOWFLAKE, ...SNOWFLAKE_MORE],
  },
  'an analysis rule of BigQuery': {
    policy: documentOf(importBigQuery(source('bigquery-threshold.sql'))),
    table: {
      dcr_view: `SELECT i::INTEGER AS id, (30 + i % 3)::INTEGER AS age, 'm' || i AS email,
        CASE WHEN i < 60 THEN 'TX' WHEN i < 110 THEN 'CA' ELSE 'WY' END AS state, ['A', 'B'][1 + i % 2] AS city FROM range(120) r(i)`,
    },
    small: /WY/,
    cases: [...BIGQUERY, ...BIGQUERY_MORE],
  },
  'a column control list of SCQL': {
    policy: documentOf(
      importCcl(
        `${source('scql-ccl.sql')} GRANT SELECT ENCRYPTED_ONLY(secret) ON demo.ta TO bob;`.replaceAll(/\bID\b/g, 'id'),
        { dataset: 'ta', unit: ['id'], minUnits: 4 },
      ),
    ),
    table: {
      ta: `SELECT 'i' || i AS id, (CASE WHEN i < 3 THEN 9 ELSE 5 + i % 2 END)::INTEGER AS credit_rank, (i * 777 % 5000)::INTEGER AS income,
        (20 + i % 4 * 12)::INTEGER AS age, i::INTEGER AS secret, 'n' || i AS note FROM range(60) r(i)`,
    },
    small: /^9$/,
    cases: [...SCQL, ...SCQL_MORE],
  },
  'the defaults of Diffix': {
    policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: diffix/customers }
privacyUnit: [id]
columns:
  id:      { rights: [countDistinct] }
  city:    { rights: [group, filter] }
  name:    { rights: [group] }
  balance: { rights: [aggregate], functions: [sum, avg, count] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 3, smallGroups: remainder, maxRows: 1000 } }
`,
    table: {
      customers: `SELECT i::INTEGER AS id, 'n' || i AS name, CASE WHEN i < 20 THEN 'Rome' WHEN i < 38 THEN 'Oslo' ELSE 'Bari' END AS city,
        (i * 150)::INTEGER AS balance FROM range(40) r(i)`,
    },
    small: /Bari|^B$/,
    cases: [...DIFFIX, ...DIFFIX_MORE],
  },
  'the defaults of DataSHIELD': {
    policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: datashield/cohort }
privacyUnit: [id]
columns:
  id:   { rights: [countDistinct] }
  sex:  { rights: [group, filter] }
  site: { rights: [group, filter] }
  bmi:  { rights: [aggregate], functions: [sum, avg, count, variance, stddev, quantile, correlation, regressionSlope] }
  sbp:  { rights: [aggregate], functions: [sum, avg, count, variance, stddev, quantile, correlation, regressionSlope] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 3, smallGroups: drop, maxRows: 1000 } }
`,
    table: {
      cohort: `SELECT i::INTEGER AS id, ['f', 'm'][1 + i % 2] AS sex, CASE WHEN i < 48 THEN 'one' ELSE 'two' END AS site,
        (20 + i * 7 % 15)::DOUBLE AS bmi, (110 + i * 13 % 40)::DOUBLE AS sbp FROM range(50) r(i)`,
    },
    small: /two/,
    cases: [...DATASHIELD, ...DATASHIELD_MORE],
  },
};

const STRICTNESS: Readonly<Record<Verdict, number>> = { answered: 0, withheld: 1, refused: 1 };

for (const [name, { policy, table, brings, small, cases }] of Object.entries(ROOMS)) {
  describe(name, async () => {
    const world: World = { name: 'room', consumer: 'bob', policy, tables: table };
    const room = await OpenWorld.open(world);
    for (const [brought, body] of Object.entries(brings ?? {})) await room.bring(brought, body);
    after(() => room.close());
    for (const [sql, theirs, ours] of cases) {
      it(`is not kept more loosely here: ${sql}`, async () => {
        const seen = await room.ask(sql);
        assert.notEqual(seen.kind, 'failed');
        assert.equal(verdictOf(seen), ours, seen.kind === 'denied' ? seen.message : '');
        assert.ok(STRICTNESS[ours] >= STRICTNESS[theirs], `${ours}, there ${theirs}`);
        const shown =
          seen.kind === 'answer' ? seen.rows.filter((row) => row.some((cell) => small.test(String(cell)))) : [];
        assert.deepEqual(shown, []);
      });
    }
  });
}

describe('differential privacy as ZetaSQL has it', async () => {
  const room = await OpenWorld.open(PRACTICE);
  after(() => room.close());
  for (const [sql, theirs, ours] of ZETASQL) {
    it(`is not kept more loosely here: ${sql}`, async () => {
      const compiled = compileDifferential(await room.ast(sql), sql, { ...room.context, release: RELEASE });
      const why = compiled.kind === 'denied' ? compiled.reasons[0]?.message : '';
      assert.equal(compiled.kind === 'denied' ? 'refused' : 'answered', ours, why);
      assert.ok(STRICTNESS[ours] >= STRICTNESS[theirs], `${ours}, there ${theirs}`);
    });
  }
});

/** Keys alone, k0 and so on, tell nothing where numbers beside them are withheld. */
function verdictOf(seen: Seen): Verdict {
  if (seen.kind !== 'answer') return 'refused';
  const numbers = seen.names.flatMap((name, i) => (/^k\d+$/.test(name) ? [] : [i]));
  const isTold = seen.rows.some((row) => numbers.length === 0 || numbers.some((i) => row[i] !== null));
  return isTold ? 'answered' : 'withheld';
}
