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

/** Numbers that look like chance and are the same everywhere: 0 … n - 1 of row i. */
const dice = (i: string, salt: number, n: number): string => `(hash(${i} + ${salt * 1_000_003}) % ${n})::BIGINT`;

/** Six hundred patients, their stays and diagnoses. Minimum 5. */
export const HOSPITAL: World = {
  name: 'hospital',
  consumer: 'acme',
  policy: policy(
    'hospital',
    `  patients:
    privacyUnit: [patient]
    columns:
      patient:   { rights: [join, countDistinct] }
      sex:       { rights: [group, filter] }
      born:      { rights: [group, filter, aggregate], ${ALL}, bounds: [1900, 2026] }
      district:  { rights: [group, filter, join] }
      insurance: { rights: [group, filter] }
  stays:
    privacyUnit: { columns: [patient], via: patient -> patients.patient }
    columns:
      patient:    { rights: [join, countDistinct] }
      ward:       { rights: [group, filter, join, order] }
      admitted:   { rights: [group, filter, compare, aggregate] }
      discharged: { rights: [group, filter, compare, aggregate] }
      emergency:  { rights: [group, filter] }
      died:       { rights: [group, filter] }
      cost:       { rights: [aggregate], ${ALL}, bounds: [0, 20000] }
  events:
    privacyUnit: { columns: [patient], via: patient -> patients.patient }
    columns:
      patient: { rights: [join, countDistinct] }
      kind:    { rights: [group, filter] }
      day:     { rights: [group, filter, compare] }
      score:   { rights: [aggregate, group, filter], ${ALL}, bounds: [0, 100] }
  wards:
    public: true
    columns:
      ward:  { rights: [join, group] }
      floor: { rights: [group, filter] }
      beds:  { rights: [group, filter, aggregate], functions: [sum, avg, count] }`,
    'minUnits: 5, smallGroups: drop, maxRows: 1000',
  ),
  tables: {
    patients: `SELECT i::INTEGER AS patient, ['f', 'm'][1 + ${dice('i', 1, 2)}] AS sex, (1935 + ${dice('i', 2, 70)})::INTEGER AS born,
      'D' || (1 + ${dice('i', 3, 4)}) AS district, ['state', 'private', 'none'][1 + ${dice('i', 4, 3)}] AS insurance FROM range(600) r(i)`,
    stays: `SELECT (${dice('i', 5, 600)})::INTEGER AS patient, ['surgery', 'heart', 'nerves', 'children'][1 + ${dice('i', 6, 4)}] AS ward,
      DATE '2023-01-01' + (${dice('i', 7, 730)})::INTEGER AS admitted,
      DATE '2023-01-01' + (${dice('i', 7, 730)} + 1 + ${dice('i', 8, 14)})::INTEGER AS discharged,
      ${dice('i', 9, 3)} = 0 AS emergency, ${dice('i', 10, 9)} = 0 AS died,
      (300 + ${dice('i', 11, 9000)} / 3)::DECIMAL(9,2) AS cost FROM range(2400) r(i)`,
    events: `SELECT (${dice('i', 12, 600)})::INTEGER AS patient, ['stroke', 'fall', 'infarct', 'flu', 'check'][1 + ${dice('i', 13, 5)}] AS kind,
      DATE '2023-01-01' + (${dice('i', 14, 700)})::INTEGER AS day, (${dice('i', 15, 101)})::INTEGER AS score FROM range(1800) r(i)`,
    wards: `SELECT * FROM (VALUES ('surgery', 1, 40), ('heart', 2, 24), ('nerves', 2, 30), ('children', 3, 28)) t(ward, floor, beds)`,
  },
};

/** Customers of a bank, what they pay and an experiment. Minimum 8, small groups become one remainder. */
export const BANK: World = {
  name: 'bank',
  consumer: 'acme',
  policy: policy(
    'bank',
    `  customers:
    privacyUnit: [customer]
    columns:
      customer: { rights: [join, countDistinct] }
      segment:  { rights: [group, filter] }
      region:   { rights: [group, filter, join] }
      since:    { rights: [group, filter] }
      income:   { rights: [aggregate], ${ALL}, bounds: [0, 200000] }
      arm:      { rights: [group, filter] }
      converted: { rights: [group, filter] }
  payments:
    privacyUnit: { columns: [customer], via: customer -> customers.customer }
    columns:
      customer: { rights: [join, countDistinct] }
      day:      { rights: [group, filter, compare] }
      channel:  { rights: [group, filter] }
      category: { rights: [group, filter] }
      fraud:    { rights: [group, filter] }
      amount:   { rights: [aggregate, group, filter], ${ALL}, bounds: [0, 5000] }
  regions:
    public: true
    columns:
      region:  { rights: [join, group] }
      country: { rights: [group, filter] }`,
    'minUnits: 8, smallGroups: remainder, maxRows: 1000',
  ),
  tables: {
    customers: `SELECT i::INTEGER AS customer, ['retail', 'business', 'wealth'][1 + ${dice('i', 1, 3)}] AS segment, ['north', 'south', 'west'][1 + ${dice('i', 2, 3)}] AS region,
      DATE '2015-01-01' + (${dice('i', 3, 3200)})::INTEGER AS since, (18000 + ${dice('i', 4, 90000)})::INTEGER AS income,
      ['A', 'B'][1 + ${dice('i', 5, 2)}] AS arm, ${dice('i', 6, 10)} < 3 AS converted FROM range(500) r(i)`,
    payments: `SELECT (${dice('i', 7, 500)})::INTEGER AS customer, DATE '2022-01-01' + (${dice('i', 8, 1095)})::INTEGER AS day,
      ['app', 'branch', 'web'][1 + ${dice('i', 9, 3)}] AS channel, ['food', 'rent', 'travel', 'other'][1 + ${dice('i', 10, 4)}] AS category,
      ${dice('i', 11, 12)} = 0 AS fraud, (5 + ${dice('i', 12, 90000)} / 40)::DECIMAL(9,2) AS amount FROM range(4000) r(i)`,
    regions: `SELECT * FROM (VALUES ('north', 'DE'), ('south', 'DE'), ('west', 'FR')) t(region, country)`,
  },
};

/** Shifts of the people who run machines. Minimum 4; every answer is compared with those before it, so all of them are shown together. */
export const FACTORY: World = {
  name: 'factory',
  consumer: 'acme',
  policy: policy(
    'factory',
    `  shifts:
    privacyUnit: [operator]
    columns:
      operator: { rights: [join, countDistinct] }
      machine:  { rights: [group, filter] }
      line:     { rights: [group, filter, join] }
      day:      { rights: [group, filter] }
      shift:    { rights: [group, filter] }
      planned:  { rights: [aggregate], ${ALL}, bounds: [0, 480] }
      running:  { rights: [aggregate], ${ALL}, bounds: [0, 480] }
      pieces:   { rights: [aggregate], ${ALL}, bounds: [0, 1000] }
      defects:  { rights: [aggregate, group, filter], ${ALL}, bounds: [0, 100] }
  lines:
    public: true
    columns:
      line:  { rights: [join, group] }
      ideal: { rights: [group, filter, aggregate], functions: [sum, avg, count] }
      plant: { rights: [group, filter] }`,
    'minUnits: 4, smallGroups: drop, maxRows: 1000, differencing: guard',
  ),
  tables: {
    shifts: `SELECT (${dice('i', 1, 120)})::INTEGER AS operator, 'M' || (1 + ${dice('i', 2, 8)}) AS machine, ['press', 'paint', 'pack'][1 + ${dice('i', 3, 3)}] AS line,
      DATE '2024-01-01' + (${dice('i', 4, 364)})::INTEGER AS day, ['early', 'late', 'night'][1 + ${dice('i', 5, 3)}] AS shift,
      (400 + ${dice('i', 6, 81)})::INTEGER AS planned, (300 + ${dice('i', 7, 100)})::INTEGER AS running,
      (200 + ${dice('i', 8, 500)})::INTEGER AS pieces, (1 + ${dice('i', 9, 20)})::INTEGER AS defects FROM range(3600) r(i)`,
    lines: `SELECT * FROM (VALUES ('press', 2, 'one'), ('paint', 1, 'one'), ('pack', 3, 'two')) t(line, ideal, plant)`,
  },
};

/** What residents of a city pay for and how they travel. Minimum 10. */
export const CITY: World = {
  name: 'city',
  consumer: 'acme',
  policy: policy(
    'city',
    `  residents:
    privacyUnit: [resident]
    columns:
      resident: { rights: [join, countDistinct] }
      district: { rights: [group, filter, join] }
      age:      { rights: [group, filter] }
      renting:  { rights: [group, filter] }
  trips:
    privacyUnit: { columns: [resident], via: resident -> residents.resident }
    columns:
      resident: { rights: [join, countDistinct] }
      mode:     { rights: [group, filter] }
      origin:   { rights: [group, filter] }
      target:   { rights: [group, filter] }
      left_at:  { rights: [group, filter] }
      minutes:  { rights: [aggregate, group, filter], ${ALL}, bounds: [0, 240] }
      fare:     { rights: [aggregate], ${ALL}, bounds: [0, 20] }
  districts:
    public: true
    columns:
      district: { rights: [join, group] }
      name:     { rights: [group, filter] }
      area:     { rights: [group, filter, aggregate], functions: [sum, avg, count] }`,
    'minUnits: 10, smallGroups: drop, maxRows: 1000',
  ),
  tables: {
    residents: `SELECT i::INTEGER AS resident, (1 + ${dice('i', 1, 5)})::INTEGER AS district, (18 + ${dice('i', 2, 70)})::INTEGER AS age, ${dice('i', 3, 2)} = 0 AS renting FROM range(700) r(i)`,
    trips: `SELECT (${dice('i', 4, 700)})::INTEGER AS resident, ['bus', 'bike', 'car', 'walk'][1 + ${dice('i', 5, 4)}] AS mode,
      (1 + ${dice('i', 6, 5)})::INTEGER AS origin, (1 + ${dice('i', 7, 5)})::INTEGER AS target,
      TIMESTAMP '2024-03-01 00:00:00' + to_minutes((${dice('i', 8, 40320)})::BIGINT) AS left_at,
      (3 + ${dice('i', 9, 80)})::INTEGER AS minutes, (${dice('i', 10, 700)} / 100)::DECIMAL(5,2) AS fare FROM range(5000) r(i)`,
    districts: `SELECT * FROM (VALUES (1, 'Harbour', 12), (2, 'Old Town', 4), (3, 'Hill', 20), (4, 'Mill', 9), (5, 'Field', 31)) t(district, name, area)`,
  },
};
