import { readFileSync } from 'node:fs';
import type { World } from '../redteam/world.ts';

const ROOT = new URL('../../../', import.meta.url);
const csv = (name: string): string =>
  `SELECT * FROM read_csv('${new URL(`examples/data/clinical/${name}.csv`, ROOT).pathname.replaceAll("'", "''")}')`;

const FUNCTIONS = 'sum, avg, count, variance, stddev, correlation, regressionSlope, quantile';

/** The published clinical data of the demo under the demo's own policy, with more functions of three columns. */
export const CLINIC: World = {
  name: 'clinical',
  consumer: 'acme',
  policy: readFileSync(new URL('policies/clinical.yaml', ROOT), 'utf8')
    .replace('bounds: [18, 90]', `functions: [${FUNCTIONS}], bounds: [18, 90]`)
    .replace('bounds: [0, 40]', `functions: [${FUNCTIONS}], bounds: [0, 40]`)
    .replace('bounds: [0, 50]', `functions: [${FUNCTIONS}], bounds: [0, 50]`),
  tables: { colon: csv('colon'), pbcseq: csv('pbcseq'), flchain: csv('flchain'), extent: csv('extent') },
};

/** Sales with dates, texts, money and flags. */
export const SALES: World = {
  name: 'shop',
  consumer: 'acme',
  policy: `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: shop, grade: internal }
tables:
  sales:
    privacyUnit: [customer]
    columns:
      customer: { rights: [countDistinct] }
      day:      { rights: [group, filter] }
      moment:   { rights: [group, filter] }
      city:     { rights: [group, filter, join] }
      member:   { rights: [group, filter] }
      price:    { rights: [aggregate], bounds: [0, 1000] }
      quantity: { rights: [aggregate], bounds: [0, 10] }
      discount: { rights: [aggregate], bounds: [0, 1] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 5, smallGroups: drop, maxRows: 1000 } }
`,
  tables: {
    sales: `SELECT (i % 80)::INTEGER AS customer, DATE '2024-01-01' + (i // 80 * 4)::INTEGER AS day,
      TIMESTAMP '2024-01-01 08:00:00' + to_hours((i // 80 * 97)::INTEGER) AS moment,
      ['Oslo', 'Bergen', 'Köln', ' Oslo '][1 + i % 4] AS city, i % 3 = 0 AS member,
      ((i * 7919 % 90000) / 100)::DECIMAL(9,2) AS price, (1 + i % 9)::INTEGER AS quantity,
      ((1 + i % 7) / 10)::DECIMAL(3,2) AS discount FROM range(2400) r(i)`,
  },
};
