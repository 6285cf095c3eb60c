import { readFileSync } from 'node:fs';

const ROOT = new URL('../../', import.meta.url);
const csv = (name: string): string =>
  `SELECT * FROM read_csv('${new URL(`examples/data/clinical/${name}.csv`, ROOT).pathname.replaceAll("'", "''")}')`;

/** A dataset of these tests: its policy and, by table, the query that makes its rows. */
export interface Shelf {
  readonly dataset: string;
  readonly policy: string;
  readonly tables: Readonly<Record<string, string>>;
}

/** The published clinical data under the policy of the demo, with a private rule beside it. */
export const CLINICAL: Shelf = {
  dataset: 'clinical',
  policy: readFileSync(new URL('policies/clinical.yaml', ROOT), 'utf8')
    .replace(', when: { count: { max: 500, per: P30D } }', '')
    .replace(
      'bounds: [18, 90]',
      'functions: [sum, avg, count, variance, stddev, quantile, correlation, regressionSlope], bounds: [18, 90]',
    )
    .replace(
      'bounds: [0, 40]',
      'functions: [sum, avg, count, variance, stddev, quantile, correlation, regressionSlope], bounds: [0, 40]',
    ),
  tables: { colon: csv('colon'), pbcseq: csv('pbcseq'), flchain: csv('flchain'), extent: csv('extent') },
};

/**
 * Loans of a bank: customers, their loans, and a public list of countries that lacks one. The policy names neither the
 * column `ssn` nor the table `staff`. Customer 7 is the only one of LI, 33 the only one with a yacht, loan 1000 the largest.
 */
export const BANK: Shelf = {
  dataset: 'bank',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: bank, grade: important }
tables:
  customers:
    privacyUnit: [customer_id]
    columns:
      customer_id: { rights: [join, countDistinct] }
      segment:     { rights: [group, filter, order], values: [mass, affluent, private] }
      country:     { rights: [group, filter, join] }
      birth_year:  { rights: [group, filter] }
      joined:      { rights: [group, filter, compare] }
      income:      { rights: [aggregate], functions: [sum, avg, count, variance, stddev, quantile], bounds: [0, 500000] }
  loans:
    privacyUnit: { columns: [customer_id], via: customer_id -> customers.customer_id }
    columns:
      loan_id:     { rights: [join, countDistinct] }
      customer_id: { rights: [join, countDistinct] }
      product:     { rights: [group, filter, order] }
      opened:      { rights: [group, filter, compare] }
      closed:      { rights: [group, filter, compare] }
      amount:      { rights: [aggregate], functions: [sum, avg, count, stddev, quantile, correlation], bounds: [0, 1000000] }
      rate:        { rights: [aggregate], functions: [sum, avg, count, stddev, correlation], bounds: [0, 20] }
      days_late:   { rights: [group, filter, aggregate], functions: [sum, avg, count], bounds: [0, 365] }
      defaulted:   { rights: [group, filter] }
  countries:
    public: true
    columns:
      country: { rights: [join, group, filter] }
      region:  { rights: [group, filter] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 10, smallGroups: drop, maxRows: 1000 } }
  - { id: private, mode: differentialPrivacy, release: { epsilonPerJob: 0.5, epsilonTotal: 20, delta: 1e-6, maxRowsPerUnit: 4 } }
duties:
  - { do: log }
`,
  tables: {
    customers: `SELECT i::INTEGER AS customer_id, 'ssn-' || (900000 + i * 7) AS ssn, ['mass','mass','mass','affluent','private'][1 + i % 5] AS segment,
      CASE WHEN i = 7 THEN 'LI' WHEN i % 97 = 0 THEN NULL ELSE ['DE','FR','PL','SE','JP'][1 + (i * 7) % 5] END AS country,
      (1940 + (i * 37) % 65)::INTEGER AS birth_year, DATE '2015-01-01' + ((i * 53) % 2900)::INTEGER AS joined,
      CASE WHEN i % 41 = 0 THEN NULL ELSE 15000 + (i * 7919) % 90000 END::INTEGER AS income FROM range(600) r(i)`,
    loans: `SELECT (10000 + i)::BIGINT AS loan_id, ((i * 11) % 560)::INTEGER AS customer_id,
      CASE WHEN (i * 11) % 560 = 33 THEN 'yacht' ELSE ['mortgage','car','consumer','card'][1 + i % 4] END AS product,
      DATE '2020-01-01' + ((i * 29) % 1600)::INTEGER AS opened,
      CASE WHEN i % 3 = 0 THEN NULL ELSE DATE '2020-03-01' + ((i * 29) % 1600 + (i * 13) % 300)::INTEGER END AS closed,
      (CASE WHEN i = 1000 THEN 990000 ELSE 1000 + (i * 6151) % 60000 END)::DECIMAL(12,2) AS amount,
      (1 + (i * 17) % 90 / 10.0)::DOUBLE AS rate, (CASE WHEN i % 6 = 0 THEN (i * 7) % 120 ELSE 0 END)::INTEGER AS days_late,
      (i * 31) % 23 = 0 AS defaulted FROM range(1800) r(i)`,
    staff: `SELECT i AS badge, 'teller ' || i AS nickname FROM range(40) r(i)`,
    countries: `SELECT * FROM (VALUES ('DE', 'EU'), ('FR', 'EU'), ('PL', 'EU'), ('SE', 'EU'), ('JP', 'Asia')) t(country, region)`,
  },
};

/** Shipments of firms; moments, texts of several languages, flags. firm-5 alone has shipments through Vaduz. */
export const TRADE: Shelf = {
  dataset: 'trade',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: trade, grade: important }
tables:
  shipments:
    privacyUnit: [firm]
    columns:
      firm:      { rights: [countDistinct, join] }
      origin:    { rights: [group, filter, order] }
      "port of entry": { rights: [group, filter, order] }
      commodity: { rights: [group, filter, join] }
      shipped:   { rights: [group, filter, compare] }
      arrived:   { rights: [group, filter, compare] }
      express:   { rights: [group, filter] }
      tonnes:    { rights: [aggregate], functions: [sum, avg, count, stddev, variance, quantile, correlation, regressionSlope], bounds: [0, 5000] }
      value_usd: { rights: [aggregate], functions: [sum, avg, count, quantile, correlation, regressionSlope], bounds: [0, 10000000] }
  commodities:
    public: true
    columns:
      code:    { rights: [join, group] }
      chapter: { rights: [group, filter] }
      tariff:  { rights: [group, filter, aggregate] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 5, smallGroups: drop, maxRows: 2000 } }
`,
  tables: {
    shipments: `SELECT 'firm-' || ((i * 19) % 211) AS firm, ['China','Deutschland','Côte d''Ivoire','日本'][1 + (i * 3) % 4] AS origin,
      CASE WHEN (i * 19) % 211 = 5 THEN 'Vaduz' ELSE ['Rotterdam','Shanghai','Santos'][1 + i % 3] END AS "port of entry",
      ['2709','8703','1201'][1 + (i * 5) % 3] AS commodity,
      TIMESTAMP '2022-01-03 06:30:00' + to_hours(((i * 37) % 17000)::INTEGER) AS shipped,
      TIMESTAMP '2022-01-10 06:30:00' + to_hours(((i * 37) % 17000 + (i * 7) % 900)::INTEGER) AS arrived,
      i % 4 = 1 AS express, ((i * 6151) % 49990 / 10.0)::DECIMAL(8,1) AS tonnes, ((i * 7919) % 999983 * 3)::BIGINT AS value_usd FROM range(2500) r(i)`,
    commodities: `SELECT * FROM (VALUES ('2709', 'mineral', 0.0), ('8703', 'vehicles', 10.0), ('1201', 'seeds', 3.5), ('9999', 'none', 1.0)) t(code, chapter, tariff)`,
  },
};
