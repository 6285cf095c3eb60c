/** Two trades in more tables: a bank whose transactions reach their customer over accounts, and machines with what they tell. */
import type { World } from '../redteam/world.ts';
const policy = (dataset: string, tables: string, release: string): string => `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${dataset}, grade: important }
tables:
${tables}
allow:
  - { id: statistics, mode: aggregate, release: { ${release} } }
`;
const ALL = 'functions: [sum, avg, count, variance, stddev, quantile, correlation, regressionSlope]';
const dice = (i: string, salt: number, n: number): string => `(hash(${i} + ${salt * 1_000_003}) % ${n})::BIGINT`;

const RELEASE = 'minUnits: 5, smallGroups: drop, maxRows: 1000';

export const BRANCH_BANK = (release: string = RELEASE): World => ({
  name: 'bank',
  consumer: 'acme',
  policy: policy(
    'bank',
    `  customers:
    privacyUnit: [customer_id]
    columns:
      customer_id: { rights: [join, countDistinct] }
      segment:  { rights: [group, filter] }
      city:     { rights: [group, filter, join] }
      born:     { rights: [group, filter, aggregate], ${ALL}, bounds: [1920, 2010] }
      joined:   { rights: [group, filter, compare] }
      income:   { rights: [aggregate, extremum], ${ALL}, bounds: [0, 200000] }
  accounts:
    privacyUnit: { columns: [customer_id], via: customer_id -> customers.customer_id }
    columns:
      account_id:  { rights: [join, countDistinct] }
      customer_id: { rights: [join, countDistinct] }
      branch_id:   { rights: [group, filter, join] }
      product:     { rights: [group, filter] }
      opened:      { rights: [group, filter, compare, aggregate], functions: [sum, avg, count, quantile] }
      closed:      { rights: [group, filter, compare, aggregate], functions: [sum, avg, count, quantile] }
      balance:     { rights: [aggregate, filter], ${ALL}, bounds: [0, 100000] }
      overdraft:   { rights: [aggregate, group, filter], ${ALL}, bounds: [0, 5000] }
  transactions:
    privacyUnit: { columns: [customer_id], via: account_id -> accounts.account_id }
    columns:
      account_id: { rights: [join, countDistinct] }
      booked_at:  { rights: [group, filter, compare, order] }
      type:       { rights: [group, filter] }
      channel:    { rights: [group, filter] }
      country:    { rights: [group, filter, join] }
      amount:     { rights: [aggregate, group, filter, order], ${ALL}, bounds: [0, 5000] }
      fee:        { rights: [aggregate], ${ALL}, bounds: [0, 50] }
      flagged:    { rights: [group, filter] }
  branches:
    public: true
    columns:
      branch_id: { rights: [join, group] }
      name:   { rights: [group, filter] }
      region: { rights: [group, filter, join] }
      staff:  { rights: [group, filter, aggregate], functions: [sum, avg, count] }
  countries:
    public: true
    columns:
      country: { rights: [join, group] }
      zone:    { rights: [group, filter] }
      rate:    { rights: [group, filter, aggregate], functions: [sum, avg, count] }`,
    release,
  ),
  tables: {
    customers: `SELECT i::INTEGER AS customer_id, ['retail','business','private'][1 + ${dice('i', 1, 3)}] AS segment, ['Bern','Basel','Genf','Chur'][1 + ${dice('i', 2, 4)}] AS city,
      (1940 + ${dice('i', 3, 65)})::INTEGER AS born, DATE '2012-01-01' + (${dice('i', 4, 4300)})::INTEGER AS joined, (20000 + ${dice('i', 5, 90000)})::INTEGER AS income FROM range(600) r(i)`,
    accounts: `SELECT i::INTEGER AS account_id, (CASE WHEN i < 600 THEN i ELSE ${dice('i', 6, 600)} END)::INTEGER AS customer_id, (1 + ${dice('i', 7, 6)})::INTEGER AS branch_id,
      ['giro','savings','card'][1 + ${dice('i', 8, 3)}] AS product, DATE '2013-01-01' + (${dice('i', 9, 3500)})::INTEGER AS opened,
      CASE WHEN ${dice('i', 10, 5)} = 0 THEN DATE '2023-01-01' + (${dice('i', 11, 600)})::INTEGER END AS closed,
      (${dice('i', 12, 9000000)} / 100)::DECIMAL(12,2) AS balance, (500 * ${dice('i', 13, 5)})::INTEGER AS overdraft FROM range(1100) r(i)`,
    transactions: `SELECT (${dice('i', 14, 1100)})::INTEGER AS account_id, TIMESTAMP '2024-01-01 00:00:00' + to_minutes(${dice('i', 15, 525600)}) AS booked_at,
      ['card','transfer','cash','direct debit'][1 + ${dice('i', 16, 4)}] AS type, ['app','web','branch'][1 + ${dice('i', 17, 3)}] AS channel,
      ['CH','DE','FR','IT','US'][1 + ${dice('i', 18, 5)}] AS country, (1 + ${dice('i', 19, 300000)} / 100)::DECIMAL(9,2) AS amount,
      (${dice('i', 20, 500)} / 100)::DECIMAL(6,2) AS fee, ${dice('i', 21, 15)} = 0 AS flagged FROM range(9000) r(i)`,
    branches: `SELECT * FROM (VALUES (1,'Markt','north',12),(2,'Bahnhof','north',20),(3,'See','south',8),(4,'Altstadt','south',15),(5,'Messe','west',9),(6,'Hafen','west',11)) t(branch_id,name,region,staff)`,
    countries: `SELECT * FROM (VALUES ('CH','home',1.0::DOUBLE),('DE','eu',1.05),('FR','eu',1.05),('IT','eu',1.05),('US','far',0.9)) t(country,zone,rate)`,
  },
});

export const PLANT = (release: string = RELEASE): World => ({
  name: 'plant',
  consumer: 'acme',
  policy: policy(
    'plant',
    `  machines:
    privacyUnit: [machine]
    columns:
      machine:   { rights: [join, countDistinct] }
      model:     { rights: [group, filter, join] }
      line:      { rights: [group, filter, join] }
      installed: { rights: [group, filter, compare, aggregate] }
      hours:     { rights: [aggregate, filter], ${ALL}, bounds: [0, 50000] }
  readings:
    privacyUnit: { columns: [machine], via: machine -> machines.machine }
    columns:
      machine:   { rights: [join, countDistinct] }
      at_time:   { rights: [group, filter, compare, order] }
      temp:      { rights: [aggregate, group, filter, compare], ${ALL}, bounds: [0, 150] }
      pressure:  { rights: [aggregate, filter], ${ALL}, bounds: [0, 20] }
      vibration: { rights: [aggregate, group, filter], ${ALL}, bounds: [-5, 5] }
      state:     { rights: [group, filter] }
  faults:
    privacyUnit: { columns: [machine], via: machine -> machines.machine }
    columns:
      machine:  { rights: [join, countDistinct] }
      began:    { rights: [group, filter, compare, order, aggregate], functions: [sum, avg, count, quantile] }
      ended:    { rights: [group, filter, compare, aggregate], functions: [sum, avg, count, quantile] }
      code:     { rights: [group, filter, join] }
      severity: { rights: [group, filter, aggregate], ${ALL}, bounds: [1, 5] }
      minutes:  { rights: [aggregate, group, filter], ${ALL}, bounds: [0, 600] }
      cost:     { rights: [aggregate], ${ALL}, bounds: [0, 10000] }
  shifts:
    privacyUnit: { columns: [machine], via: machine -> machines.machine }
    columns:
      machine: { rights: [join, countDistinct] }
      day:     { rights: [group, filter, compare, order] }
      shift:   { rights: [group, filter] }
      made:    { rights: [aggregate], ${ALL}, bounds: [0, 1000] }
      scrap:   { rights: [aggregate], ${ALL}, bounds: [0, 100] }
  models:
    public: true
    columns:
      model: { rights: [join, group] }
      maker: { rights: [group, filter] }
      power: { rights: [group, filter, aggregate], functions: [sum, avg, count] }
      max_temp: { rights: [group, filter, aggregate, compare], functions: [sum, avg, count] }
  codes:
    public: true
    columns:
      code:  { rights: [join, group] }
      label: { rights: [group, filter] }
      class: { rights: [group, filter] }`,
    release,
  ),
  tables: {
    machines: `SELECT i::INTEGER AS machine, ['X1','X2','Z9'][1 + ${dice('i', 1, 3)}] AS model, ['A','B','C','D'][1 + ${dice('i', 2, 4)}] AS line,
      DATE '2015-01-01' + (${dice('i', 3, 3000)})::INTEGER AS installed, (100 + ${dice('i', 4, 30000)})::INTEGER AS hours FROM range(240) r(i)`,
    readings: `SELECT (${dice('i', 5, 240)})::INTEGER AS machine, TIMESTAMP '2024-05-01 00:00:00' + to_minutes(${dice('i', 6, 43200)}) AS at_time,
      (40 + ${dice('i', 7, 600)} / 10.0)::DOUBLE AS temp, (2 + ${dice('i', 8, 100)} / 10.0)::DOUBLE AS pressure, (${dice('i', 9, 400)} / 100.0 - 2)::DOUBLE AS vibration,
      ['run','idle','stop'][1 + ${dice('i', 10, 3)}] AS state FROM range(8000) r(i)`,
    faults: `SELECT (${dice('i', 11, 240)})::INTEGER AS machine, TIMESTAMP '2024-05-01 00:00:00' + to_minutes(${dice('i', 12, 43200)}) AS began,
      TIMESTAMP '2024-05-01 00:00:00' + to_minutes(${dice('i', 12, 43200)} + 1 + ${dice('i', 13, 300)}) AS ended, ['E1','E2','E3','E4'][1 + ${dice('i', 14, 4)}] AS code,
      (1 + ${dice('i', 15, 5)})::INTEGER AS severity, (1 + ${dice('i', 13, 300)})::INTEGER AS minutes, (${dice('i', 16, 5000)})::INTEGER AS cost FROM range(1500) r(i)`,
    shifts: `SELECT (i % 240)::INTEGER AS machine, DATE '2024-05-01' + (i // 240 // 3)::INTEGER AS day, ['early','late','night'][1 + (i // 240) % 3] AS shift,
      (300 + ${dice('i', 17, 400)})::INTEGER AS made, (${dice('i', 18, 30)})::INTEGER AS scrap FROM range(7200) r(i)`,
    models: `SELECT * FROM (VALUES ('X1','Ruhr',40,85),('X2','Ruhr',55,90),('Z9','Soma',30,80)) t(model,maker,power,max_temp)`,
    codes: `SELECT * FROM (VALUES ('E1','overheat','thermal'),('E2','jam','mechanical'),('E3','sensor','electric'),('E4','leak','mechanical')) t(code,label,class)`,
  },
});
