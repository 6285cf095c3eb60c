import type { Case } from './clean-rooms.ts';

/** More of what the systems of clean-rooms.ts document: rules that are easily forgotten beside the others. */

/** HAVING, ORDER BY and dimensions in ON and WHERE; a join column is part of no expression. */
export const AWS_MORE: readonly Case[] = [
  [
    'SELECT p.store_region AS k0, sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email GROUP BY k0 HAVING count(DISTINCT p.hashed_email) > 30',
    'answered',
    'answered',
  ],
  [
    'SELECT p.store_region AS k0, sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email GROUP BY k0 ORDER BY a0 DESC LIMIT 1',
    'answered',
    'answered',
  ],
  [
    'SELECT extract(month FROM p.purchase_date) AS k0, sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email GROUP BY k0',
    'answered',
    'answered',
  ],
  [
    "SELECT sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email WHERE p.store_region IN ('east', 'west') AND p.product_category = 'a'",
    'answered',
    'answered',
  ],
  [
    "SELECT sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email AND p.store_region = 'east'",
    'answered',
    'answered',
  ],
  [
    'SELECT sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email OR p.store_region = m.segment',
    'refused',
    'refused',
  ],
  [
    'SELECT sum(p.purchase_amount) AS a0 FROM purchases p LEFT JOIN mine m ON p.hashed_email = m.hashed_email WHERE m.hashed_email IS NULL',
    'refused',
    'withheld',
  ],
  [
    'SELECT sum(p.purchase_amount) AS a0 FROM purchases p RIGHT JOIN mine m ON p.hashed_email = m.hashed_email',
    'refused',
    'refused',
  ],
  [
    'SELECT sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON lower(p.hashed_email) = m.hashed_email',
    'refused',
    'refused',
  ],
  [
    "SELECT sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email || ''",
    'refused',
    'refused',
  ],
  [
    'SELECT sum(p.purchase_amount) AS a0 FROM purchases p JOIN (SELECT hashed_email FROM mine LIMIT 3) m ON p.hashed_email = m.hashed_email',
    'refused',
    'refused',
  ],
  [
    'SELECT substring(p.hashed_email, 1, 2) AS k0, sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email GROUP BY k0',
    'refused',
    'refused',
  ],
  [
    "SELECT avg(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email WHERE p.purchase_date = '2024-01-03' AND p.store_region = 'tiny'",
    'withheld',
    'withheld',
  ],
  [
    "SELECT sum(p.purchase_amount) FILTER (WHERE m.hashed_email = 'e7') AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email",
    'refused',
    'withheld',
  ],
  [
    "SELECT sum(CASE WHEN p.hashed_email = 'e7' THEN p.purchase_amount END) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email",
    'refused',
    'refused',
  ],
  [
    "SELECT sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m USING (hashed_email) WHERE EXISTS (SELECT 1 FROM mine x WHERE x.hashed_email = p.hashed_email AND x.hashed_email = 'e7')",
    'refused',
    'withheld',
  ],
];

/** The smallest groups cannot be found by HAVING; a column under a projection policy filters and is counted, and is in no output. */
export const SNOWFLAKE_MORE: readonly Case[] = [
  ['SELECT sum(minutes) AS a0 FROM viewership_log HAVING count(*) < 5', 'withheld', 'withheld'],
  ['SELECT state AS k0, count(*) AS a0 FROM viewership_log GROUP BY k0 HAVING count(*) < 5', 'withheld', 'withheld'],
  ['SELECT count(phone) AS a0 FROM viewership_log', 'answered', 'answered'],
  ['SELECT count(DISTINCT phone) AS a0 FROM viewership_log', 'answered', 'answered'],
  [
    "SELECT state AS k0, sum(minutes) AS a0 FROM viewership_log WHERE phone LIKE '5550%' GROUP BY k0",
    'answered',
    'answered',
  ],
  [
    'SELECT max(a0) AS a0 FROM (SELECT state, sum(minutes) AS a0 FROM viewership_log GROUP BY state)',
    'answered',
    'answered',
  ],
  ["SELECT phone || '' AS k0 FROM viewership_log", 'refused', 'refused'],
  ['SELECT DISTINCT phone AS k0 FROM viewership_log', 'refused', 'refused'],
  ['SELECT max(phone) AS a0 FROM viewership_log', 'refused', 'refused'],
  ['SELECT hash(phone) AS k0, count(*) AS a0 FROM viewership_log GROUP BY k0', 'refused', 'refused'],
  ['SELECT length(phone) AS k0, count(*) AS a0 FROM viewership_log GROUP BY k0', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM viewership_log WHERE minutes = 7', 'withheld', 'withheld'],
  ['SELECT state AS k0, sum(minutes) AS a0 FROM viewership_log GROUP BY state, email', 'withheld', 'refused'],
  [
    'SELECT count(*) AS a0 FROM viewership_log a LEFT JOIN viewership_log b ON a.phone = b.phone',
    'answered',
    'refused',
  ],
  ['SELECT variance(minutes) AS a0 FROM viewership_log', 'refused', 'refused'],
  [
    "SELECT sum(minutes) - sum(minutes) FILTER (WHERE phone <> '55503') AS a0 FROM viewership_log",
    'withheld',
    'withheld',
  ],
];

/** Only aggregates that mix units, and no aggregate of a unit. */
export const BIGQUERY_MORE: readonly Case[] = [
  ['SELECT state AS k0, count(*) AS a0, count(DISTINCT city) AS a1 FROM dcr_view GROUP BY k0', 'answered', 'answered'],
  ['SELECT sum(age) AS a0, avg(age) AS a1, count(age) AS a2 FROM dcr_view', 'answered', 'answered'],
  ["SELECT count(*) AS a0 FROM dcr_view WHERE email = 'm7'", 'withheld', 'withheld'],
  ["SELECT count_if(email = 'm7') AS a0 FROM dcr_view", 'withheld', 'withheld'],
  ['SELECT count_if(id = 7) AS a0 FROM dcr_view', 'withheld', 'refused'],
  ['SELECT state AS k0, count(*) AS a0 FROM dcr_view GROUP BY k0 HAVING count(*) < 20', 'withheld', 'withheld'],
  ['SELECT state AS k0, stddev(age) AS a0 FROM dcr_view GROUP BY k0', 'answered', 'refused'],
  ['SELECT approx_quantile(age, 0.5) AS a0 FROM dcr_view', 'answered', 'refused'],
  ['SELECT string_agg(city) AS a0 FROM dcr_view', 'refused', 'refused'],
  ['SELECT list(age) AS a0 FROM dcr_view', 'refused', 'refused'],
  ['SELECT age AS k0, row_number() OVER (ORDER BY age) AS a0 FROM dcr_view', 'refused', 'refused'],
  ['SELECT a.state AS k0, count(*) AS a0 FROM dcr_view a CROSS JOIN dcr_view b GROUP BY k0', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM dcr_view WHERE id IN (1, 2, 3)', 'withheld', 'refused'],
  ['SELECT count(*) AS a0 FROM dcr_view WHERE id % 2 = 0', 'answered', 'refused'],
  ['SELECT id % 3 AS k0, count(*) AS a0 FROM dcr_view GROUP BY k0', 'answered', 'refused'],
  ['SELECT bit_xor(age) AS a0 FROM dcr_view', 'refused', 'refused'],
  ['SELECT corr(age, id) AS a0 FROM dcr_view', 'refused', 'refused'],
];

/** Each level of a column is for its own use and for no other. */
export const SCQL_MORE: readonly Case[] = [
  ['SELECT max(income) AS a0 FROM ta', 'answered', 'refused'],
  ['SELECT credit_rank AS k0, avg(income) AS a0 FROM ta GROUP BY k0 HAVING count(*) > 4', 'answered', 'answered'],
  ['SELECT credit_rank AS k0, count(*) AS a0 FROM ta WHERE age > 30 GROUP BY k0', 'answered', 'answered'],
  ['SELECT sum(income * age) AS a0 FROM ta', 'refused', 'refused'],
  ['SELECT income > 100 AS k0, count(*) AS a0 FROM ta GROUP BY k0', 'refused', 'refused'],
  ['SELECT income + 1 FROM ta', 'refused', 'refused'],
  ['SELECT credit_rank AS k0, min(id) AS a0 FROM ta GROUP BY k0', 'refused', 'refused'],
  ["SELECT count(*) AS a0 FROM ta WHERE id LIKE 'i1%'", 'refused', 'refused'],
  ['SELECT credit_rank + age AS k0, count(*) AS a0 FROM ta GROUP BY k0', 'refused', 'refused'],
  ['SELECT CASE WHEN credit_rank = 9 THEN income END AS k0 FROM ta', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM ta WHERE age > income', 'refused', 'refused'],
  ['SELECT sum(CASE WHEN secret = 3 THEN income END) AS a0 FROM ta', 'refused', 'refused'],
];

/** Isolating columns, arithmetic on them and moments of them; entities neither compared nor taken apart. */
export const DIFFIX_MORE: readonly Case[] = [
  ['SELECT count(*) AS a0 FROM customers WHERE id <> 7', 'refused', 'refused'],
  ['SELECT id % 10 AS k0, count(*) AS a0 FROM customers GROUP BY k0', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM customers WHERE id % 2 = 1', 'refused', 'refused'],
  ["SELECT sum(balance) AS a0 FROM customers WHERE city <> 'Bari'", 'answered', 'withheld'],
  ['SELECT city AS k0, sum(balance) AS a0, stddev(balance) AS a1 FROM customers GROUP BY k0', 'refused', 'refused'],
  ['SELECT substring(name, 1, 1) AS k0, count(*) AS a0 FROM customers GROUP BY k0', 'answered', 'answered'],
  ['SELECT round(balance, -3) AS k0, count(*) AS a0 FROM customers GROUP BY k0', 'refused', 'refused'],
  ['SELECT floor(balance / 1000) AS k0, count(*) AS a0 FROM customers GROUP BY k0', 'refused', 'refused'],
  ['SELECT city AS k0, sum(balance * balance) AS a0 FROM customers GROUP BY k0', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM customers WHERE sqrt(balance) = 30', 'refused', 'refused'],
  [
    "SELECT sum(balance) AS a0 FROM customers WHERE city IN (SELECT city FROM customers WHERE name = 'n7')",
    'refused',
    'refused',
  ],
  ['SELECT count(DISTINCT name) AS a0 FROM customers', 'answered', 'refused'],
];

/** Subsets and fits below nfilter, extremes, and values in tables. */
export const DATASHIELD_MORE: readonly Case[] = [
  [
    "SELECT avg(bmi) AS a0, stddev(bmi) AS a1, count(*) AS a2 FROM cohort WHERE sex = 'f' AND site = 'two'",
    'withheld',
    'withheld',
  ],
  ['SELECT quantile_cont(bmi, 0.01) AS a0 FROM cohort', 'answered', 'answered'],
  ['SELECT quantile_disc(bmi, [0.05, 0.95]) AS a0 FROM cohort', 'answered', 'refused'],
  ['SELECT sex AS k0, site AS k1, count(*) AS a0 FROM cohort GROUP BY k0, k1', 'answered', 'answered'],
  ['SELECT avg(bmi) AS a0 FROM cohort WHERE bmi > 34', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM cohort WHERE bmi = 20', 'refused', 'refused'],
  ['SELECT rank() OVER (ORDER BY bmi) AS a0 FROM cohort', 'refused', 'refused'],
  ['SELECT first(bmi ORDER BY id) AS a0 FROM cohort', 'refused', 'refused'],
  ['SELECT skewness(bmi) AS a0, kurtosis(bmi) AS a1 FROM cohort', 'refused', 'refused'],
  ['SELECT histogram(bmi) AS a0 FROM cohort', 'refused', 'refused'],
  ["SELECT covar_pop(bmi, sbp) AS a0 FROM cohort WHERE site = 'two'", 'withheld', 'withheld'],
  [
    "SELECT regr_slope(sbp, bmi) AS a0, regr_intercept(sbp, bmi) AS a1 FROM cohort WHERE site = 'two'",
    'withheld',
    'withheld',
  ],
  ['SELECT floor(bmi) AS k0, count(*) AS a0 FROM cohort GROUP BY k0', 'refused', 'refused'],
  ['SELECT avg(bmi) AS a0 FROM cohort WHERE id < 49', 'refused', 'refused'],
  ["SELECT sex AS k0, list_aggregate(list(bmi), 'sum') AS a0 FROM cohort GROUP BY k0", 'refused', 'refused'],
];
