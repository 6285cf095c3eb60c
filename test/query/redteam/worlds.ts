import type { World } from './world.ts';

/**
 * Four providers with quite different policies. Group sizes are chosen so that nothing sits exactly on the threshold:
 * a group is either well above the minimum or clearly below it, so removing one person must not flip an answer.
 */

/** Visits reach their person over the patients table; a public list of wards lacks one ward. Minimum 3, drop. */
export const HOSPITAL: World = {
  name: 'hospital',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: hospital/records, grade: important }
tables:
  patients:
    privacyUnit: [pid]
    columns:
      pid:    { rights: [join, countDistinct] }
      sex:    { rights: [group, filter, order] }
      age:    { rights: [group, filter, compare] }
      city:   { rights: [group, filter, countDistinct] }
      income: { rights: [aggregate], functions: [sum, avg, count, variance, stddev], bounds: [0, 1000000] }
      smoker: { rights: [aggregate], functions: [sum, avg] }
      code:   { rights: [aggregate], functions: [sum] }
  visits:
    privacyUnit: { columns: [pid], via: patient -> patients.pid }
    columns:
      patient:   { rights: [join, countDistinct] }
      ward:      { rights: [group, filter, join, order] }
      diagnosis: { rights: [group, filter] }
      day:       { rights: [group, filter] }
      urgent:    { rights: [filter] }
      cost:      { rights: [aggregate], functions: [sum, avg, count, stddev, variance, correlation], bounds: [0, 100000] }
      score:     { rights: [aggregate], functions: [sum, avg, correlation] }
  wards:
    public: true
    columns:
      ward:  { rights: [join, group] }
      floor: { rights: [group, filter] }
      beds:  { rights: [group, filter] }
      kind:  { rights: [group, filter] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 3, smallGroups: drop, maxRows: 1000 } }
`,
  tables: {
    patients: `SELECT i::INTEGER AS pid, CASE WHEN i % 2 = 0 THEN 'f' ELSE 'm' END AS sex,
      (30 + i % 5 * 10)::INTEGER AS age, CASE WHEN i = 5 THEN 'Ålesund' WHEN i < 12 THEN 'Köln' ELSE '北京' END AS city,
      CASE WHEN i = 9 THEN NULL ELSE 1000 + i * 137 % 911 END::INTEGER AS income,
      (i = 7)::INTEGER AS smoker, (CASE WHEN i = 8 THEN 3 ELSE 2 END)::INTEGER AS code FROM range(24) r(i)`,
    visits: `SELECT (i % 24)::INTEGER AS patient,
      CASE WHEN i % 24 < 10 THEN 'north' WHEN i % 24 < 22 THEN 'south' ELSE 'tiny' END AS ward,
      CASE WHEN i % 24 = 7 THEN 'rare' WHEN i % 24 % 3 = 0 THEN 'flu' ELSE 'asthma' END AS diagnosis,
      DATE '2024-01-01' + (i % 24 // 6 * 31)::INTEGER AS day, i % 24 % 4 < 2 AS urgent,
      CASE WHEN i = 11 THEN NULL ELSE (100 + i * i * 7919 % 9973)::INTEGER END AS cost, ((i * 13) % 97) / 8.0::DOUBLE AS score
      FROM range(72) r(i)`,
    wards: `SELECT * FROM (VALUES ('north', 1, 10, 'big'), ('south', 2, 20, 'big'), ('south', 2, 20, 'big'), ('east', 4, 7, 'big')) t(ward, floor, beds, kind)`,
  },
};

/** Transactions of accounts known by two columns; a row scope; small groups become one remainder. Minimum 4. */
export const BANK: World = {
  name: 'bank',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: bank/ledger, grade: important }
tables:
  ledger:
    privacyUnit: [branch, account]
    rows: "region = 'EU'"
    columns:
      region:  { rights: [group, filter] }
      branch:  { rights: [group, countDistinct] }
      account: { rights: [countDistinct] }
      type:    { rights: [group, filter] }
      booked:  { rights: [group, filter] }
      amount:  { rights: [aggregate], functions: [sum, avg, count, stddev] }
      fee:     { rights: [aggregate], functions: [sum, avg] }
      flagged: { rights: [group, filter] }
      name:    [{ consumers: [someone-else], rights: [group, filter] }, { rights: [countDistinct] }]
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 4, smallGroups: remainder, maxRows: 500 } }
`,
  tables: {
    ledger: `SELECT CASE WHEN i % 40 >= 36 THEN 'US' ELSE 'EU' END AS region, 'b' || (i % 40 % 3) AS branch, (i % 40 // 3)::BIGINT AS account,
      CASE WHEN i % 40 = 4 THEN NULL WHEN i % 40 = 5 THEN 'O''Brien "x" é' WHEN i % 40 % 2 = 0 THEN 'card' ELSE 'wire' END AS type,
      TIMESTAMP '2024-03-01 10:00:00' + to_days((i % 40 % 4 * 30)::INTEGER) AS booked,
      CAST((i * 7919 % 100003) / 100.0 AS DECIMAL(12,2)) AS amount, CAST(0.25 AS DECIMAL(6,2)) AS fee, i % 40 = 12 AS flagged,
      'n' || (i % 40) AS name FROM range(160) r(i)`,
  },
};

/** Every row is a unit; known values, so small groups show as keys without values. Minimum 2. */
export const FACTORY: World = {
  name: 'factory',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: factory/parts, grade: internal }
privacyUnit: row
columns:
  line:   { rights: [group, filter], values: [a, b, c, d] }
  ok:     { rights: [group, filter] }
  made:   { rights: [group, filter, compare] }
  checked: { rights: [group, filter, compare] }
  size:   { rights: [aggregate], functions: [sum, avg, stddev, variance] }
  weight: { rights: [aggregate], functions: [sum, avg], bounds: [-1000, 1000] }
  serial: { rights: [aggregate], functions: [sum] }
  grade:  { rights: [group, filter, aggregate], functions: [sum, avg] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 2, smallGroups: 'null', maxRows: 100 } }
`,
  tables: {
    parts: `SELECT CASE WHEN i = 3 THEN 'b' WHEN i % 3 = 0 THEN 'a' ELSE 'c' END AS line, i % 5 <> 0 AS ok,
      DATE '2023-12-30' + (i % 4)::INTEGER AS made, DATE '2023-12-31' + (i % 4)::INTEGER AS checked,
      CASE WHEN i = 4 THEN 'nan'::DOUBLE WHEN i = 9 THEN 'inf'::DOUBLE ELSE i * 1.25 END AS size,
      (i * 31 % 17 - 8)::FLOAT AS weight, (9007199254740993 + i)::HUGEINT AS serial, (i % 3)::TINYINT AS grade FROM range(20) r(i)`,
  },
};

/** Deals between buyers and sellers, both protected, some unknown; dominance; nothing if anything is small. Minimum 3. */
export const TRADE: World = {
  name: 'trade',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: trade/deals, grade: core }
privacyUnits: [buyer, seller]
columns:
  buyer:   { rights: [countDistinct, join] }
  seller:  { rights: [countDistinct] }
  product: { rights: [group, filter, order] }
  quarter: { rights: [group, filter] }
  value:   { rights: [aggregate], functions: [sum, avg, variance, count], bounds: [0, 1000000] }
  pieces:  { rights: [aggregate], functions: [sum, avg] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 3, smallGroups: refuse, dominance: { n: 1, share: 0.6 }, maxRows: 100 } }
`,
  tables: {
    deals: `SELECT CASE WHEN i % 20 = 6 THEN NULL ELSE 'buyer' || (i % 20) END AS buyer, CASE WHEN i % 17 = 5 THEN NULL ELSE 'seller' || (i % 11) END AS seller,
      CASE WHEN i % 20 = 13 THEN 'gold' WHEN i % 2 = 0 THEN 'iron' ELSE 'coal' END AS product, (i // 40)::INTEGER AS quarter,
      CASE WHEN i % 20 = 2 THEN 900000 ELSE 1000 + i * 37 % 500 END::BIGINT AS value, (i % 7)::INTEGER AS pieces FROM range(80) r(i)`,
  },
};

/** Customers, their orders and the lines of those: the unit is two and three tables away; a public list lacks a nation. */
export const TPCH: World = {
  name: 'tpch',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: trade/tpch, grade: important }
tables:
  customer:
    privacyUnit: [c_custkey]
    columns:
      c_custkey:    { rights: [join, countDistinct] }
      c_nationkey:  { rights: [join] }
      c_mktsegment: { rights: [group, filter] }
      c_acctbal:    { rights: [aggregate], functions: [sum, avg, count, stddev] }
  orders:
    privacyUnit: { columns: [c_custkey], via: o_custkey -> customer.c_custkey }
    columns:
      o_orderkey:  { rights: [join] }
      o_custkey:   { rights: [join, countDistinct] }
      o_status:    { rights: [group, filter] }
      o_orderdate: { rights: [group, filter, order, extremum] }
      o_total:     { rights: [aggregate, extremum], functions: [sum, avg, count, quantile] }
  lineitem:
    privacyUnit: { columns: [c_custkey], via: [ l_orderkey -> orders.o_orderkey, o_custkey -> customer.c_custkey ] }
    columns:
      l_orderkey: { rights: [join] }
      l_quantity: { rights: [aggregate, filter], functions: [sum, avg] }
      l_price:    { rights: [aggregate], functions: [sum, avg] }
      l_discount: { rights: [aggregate, filter], functions: [sum, avg] }
      l_flag:     { rights: [group, filter] }
      l_shipdate: { rights: [filter, group] }
  nation:
    public: true
    columns:
      n_nationkey: { rights: [join] }
      n_name:      { rights: [group, filter] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 3, smallGroups: drop, maxRows: 1000 } }
`,
  tables: {
    customer: `SELECT i::INTEGER AS c_custkey, (CASE WHEN i = 4 THEN 9 WHEN i > 17 THEN 3 ELSE i % 3 END)::INTEGER AS c_nationkey,
      CASE WHEN i = 11 THEN 'RARE' WHEN i % 2 = 0 THEN 'AUTO' ELSE 'FOOD' END AS c_mktsegment,
      CASE WHEN i = 6 THEN NULL ELSE ((i * 7919 % 99991 + 100) / 100)::DECIMAL(15,2) END AS c_acctbal FROM range(20) r(i)`,
    orders: `SELECT i::BIGINT AS o_orderkey, (i % 19)::INTEGER AS o_custkey, CASE WHEN i % 19 IN (2, 3) THEN 'P' WHEN i % 2 = 0 THEN 'O' ELSE 'F' END AS o_status,
      DATE '1995-01-01' + (i * 17 % 300)::INTEGER AS o_orderdate, (i * 104729 % 999983 / 100)::DECIMAL(15,2) AS o_total FROM range(60) r(i)`,
    lineitem: `SELECT (i % 57)::BIGINT AS l_orderkey, (1 + i % 50)::DECIMAL(15,2) AS l_quantity, (i * 7919 % 99991)::DECIMAL(15,2) AS l_price,
      (i % 11 / 100)::DECIMAL(15,2) AS l_discount, CASE WHEN i % 57 = 8 THEN 'X' WHEN i % 3 = 0 THEN 'R' ELSE 'N' END AS l_flag,
      DATE '1995-01-10' + (i * 13 % 320)::INTEGER AS l_shipdate FROM range(180) r(i)`,
    nation: `SELECT * FROM (VALUES (0, 'PERU'), (1, 'CHINA'), (2, 'KENYA'), (3, 'FRANCE')) t(n_nationkey, n_name)`,
  },
};
