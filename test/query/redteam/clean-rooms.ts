/**
 * What other systems document that they do with a question, beside what ours does under their rules as `policy import`
 * reads them. `refused`: no answer at all; `withheld`: an answer in which nothing is told; `answered`: small groups, if
 * there are any, are left out of it by both.
 *
 * Sources: the user guide of AWS Clean Rooms (aggregation analysis rule), the Snowflake reference (aggregation and
 * projection policies), the BigQuery documentation (analysis rules), the documentation of SecretFlow SCQL 1.x (CCL),
 * the analyser tests of google/zetasql (SELECT WITH DIFFERENTIAL_PRIVACY), the analyst guide of Open Diffix, and dsBase 6.3 of DataSHIELD (its `nfilter` defaults).
 */
export type Verdict = 'refused' | 'withheld' | 'answered';
/** The question, their verdict, and ours. */
export type Case = readonly [sql: string, theirs: Verdict, ours: Verdict];

export const AWS: readonly Case[] = [
  [
    'SELECT store_region AS k0, sum(purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email GROUP BY k0',
    'answered',
    'answered',
  ],
  [
    'SELECT p.product_category AS k0, avg(p.purchase_amount) AS a0, count(DISTINCT p.hashed_email) AS a1 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email GROUP BY k0',
    'answered',
    'answered',
  ],
  [
    'SELECT m.segment AS k0, sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email GROUP BY k0',
    'answered',
    'answered',
  ],
  [
    "SELECT sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email WHERE p.store_region = 'east'",
    'answered',
    'answered',
  ],
  // Join columns are never shown, grouped by, or compared with constants.
  [
    'SELECT p.hashed_email AS k0, sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email GROUP BY k0',
    'refused',
    'refused',
  ],
  [
    'SELECT m.hashed_email AS k0, sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email GROUP BY k0',
    'refused',
    'withheld',
  ],
  [
    "SELECT count(DISTINCT p.hashed_email) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email WHERE p.hashed_email = 'e7'",
    'refused',
    'refused',
  ],
  // Only listed aggregates on listed columns.
  [
    'SELECT min(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email',
    'refused',
    'refused',
  ],
  [
    'SELECT max(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email',
    'refused',
    'refused',
  ],
  [
    'SELECT stddev(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email',
    'refused',
    'refused',
  ],
  [
    'SELECT sum(DISTINCT p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email',
    'refused',
    'refused',
  ],
  [
    'SELECT count(DISTINCT p.product_category) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email',
    'refused',
    'refused',
  ],
  // Measures are neither dimensions nor filters; a column that is not listed is nothing.
  [
    'SELECT p.purchase_amount AS k0, count(DISTINCT p.hashed_email) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email GROUP BY k0',
    'refused',
    'refused',
  ],
  [
    'SELECT sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email WHERE p.purchase_amount > 10',
    'refused',
    'refused',
  ],
  [
    'SELECT p.phone AS k0, sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email GROUP BY k0',
    'refused',
    'refused',
  ],
  [
    "SELECT sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email WHERE p.phone LIKE '0%'",
    'refused',
    'refused',
  ],
  // Inner joins on equality only.
  ['SELECT sum(p.purchase_amount) AS a0 FROM purchases p CROSS JOIN mine m', 'refused', 'refused'],
  [
    'SELECT sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email <> m.hashed_email',
    'refused',
    'refused',
  ],
  [
    'SELECT sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.store_region = m.segment',
    'refused',
    'refused',
  ],
  [
    'SELECT sum(p.purchase_amount) AS a0 FROM purchases p FULL JOIN mine m ON p.hashed_email = m.hashed_email',
    'refused',
    'refused',
  ],
  ['SELECT p.store_region FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email', 'refused', 'refused'],
  // Below the minimum of COUNT_DISTINCT(hashed_email) a row is left out.
  [
    "SELECT p.store_region AS k0, sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email WHERE p.store_region = 'tiny' GROUP BY k0",
    'withheld',
    'withheld',
  ],
  [
    "SELECT sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email WHERE p.store_region <> 'tiny'",
    'answered',
    'withheld',
  ],
  [
    'SELECT sum(a.purchase_amount) AS a0 FROM purchases a JOIN purchases b ON a.hashed_email = b.hashed_email JOIN mine m ON a.hashed_email = m.hashed_email',
    'refused',
    'refused',
  ],
  ['SELECT * FROM mine m JOIN purchases p ON p.hashed_email = m.hashed_email', 'refused', 'refused'],
];

/** joinRequired: QUERY_RUNNER. */
export const AWS_ALONE: readonly Case[] = [
  ['SELECT store_region AS k0, sum(purchase_amount) AS a0 FROM purchases GROUP BY k0', 'refused', 'refused'],
  ['SELECT count(DISTINCT hashed_email) AS a0 FROM purchases', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM purchases', 'refused', 'refused'],
  ["SELECT sum(purchase_amount) AS a0 FROM purchases WHERE store_region = 'east'", 'refused', 'refused'],
  // A table of names that the consumer makes up is no private table of another.
  [
    'SELECT sum(p.purchase_amount) AS a0 FROM purchases p JOIN mine m ON p.hashed_email = m.hashed_email',
    'answered',
    'refused',
  ],
];

export const SNOWFLAKE: readonly Case[] = [
  ['SELECT state AS k0, sum(minutes) AS a0 FROM viewership_log GROUP BY k0', 'answered', 'answered'],
  [
    'SELECT state AS k0, avg(minutes) AS a0, count(*) AS a1 FROM viewership_log GROUP BY k0 ORDER BY a1',
    'answered',
    'answered',
  ],
  ['SELECT count(*) AS a0 FROM viewership_log', 'answered', 'answered'],
  ['SELECT count(DISTINCT email) AS a0 FROM viewership_log', 'answered', 'answered'],
  ["SELECT sum(minutes) AS a0 FROM viewership_log WHERE state = 'TX'", 'answered', 'answered'],
  ["SELECT sum(minutes) AS a0 FROM viewership_log WHERE state = 'WY'", 'withheld', 'withheld'],
  ["SELECT count(*) AS a0 FROM viewership_log WHERE email = 'e3'", 'withheld', 'refused'],
  ["SELECT count(*) AS a0 FROM viewership_log WHERE phone = '55503'", 'withheld', 'withheld'],
  ["SELECT count(*) AS a0 FROM viewership_log WHERE phone <> '55503'", 'answered', 'withheld'],
  // Every query of a constrained table aggregates.
  ['SELECT * FROM viewership_log', 'refused', 'refused'],
  ['SELECT state FROM viewership_log LIMIT 1', 'refused', 'refused'],
  ['SELECT email AS k0, sum(minutes) AS a0 FROM viewership_log GROUP BY k0', 'withheld', 'refused'],
  // A projection policy keeps the column out of what is shown.
  ['SELECT phone AS k0, count(*) AS a0 FROM viewership_log GROUP BY k0', 'refused', 'refused'],
  ['SELECT left(phone, 3) AS k0, count(*) AS a0 FROM viewership_log GROUP BY k0', 'refused', 'refused'],
  [
    "SELECT CASE WHEN phone = '55503' THEN 'x' ELSE 'y' END AS k0, count(*) AS a0 FROM viewership_log GROUP BY k0",
    'refused',
    'refused',
  ],
  // Aggregates that the policy does not allow.
  ['SELECT min(minutes) AS a0 FROM viewership_log', 'refused', 'refused'],
  ['SELECT max(minutes) AS a0 FROM viewership_log', 'refused', 'refused'],
  ['SELECT any_value(state) AS a0 FROM viewership_log', 'refused', 'refused'],
  ['SELECT array_agg(state) AS a0 FROM viewership_log', 'refused', 'refused'],
  ['SELECT median(minutes) AS a0 FROM viewership_log', 'refused', 'refused'],
  ['SELECT string_agg(email) AS a0 FROM viewership_log', 'refused', 'refused'],
  ['SELECT sum(minutes) OVER () AS a0 FROM viewership_log', 'refused', 'refused'],
  ["SELECT state AS k0 FROM viewership_log EXCEPT SELECT 'TX'", 'refused', 'refused'],
  ['SELECT state AS k0 FROM viewership_log UNION SELECT email FROM viewership_log', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM viewership_log a JOIN viewership_log b ON a.email = b.email', 'answered', 'refused'],
  ['SELECT sum(CAST(state AS INTEGER)) AS a0 FROM viewership_log', 'refused', 'refused'],
  [
    'WITH RECURSIVE r AS (SELECT email FROM viewership_log UNION SELECT email FROM r) SELECT count(*) AS a0 FROM r',
    'refused',
    'refused',
  ],
  [
    'SELECT (SELECT count(*) FROM viewership_log b WHERE b.state = a.state) AS a0 FROM viewership_log a',
    'refused',
    'refused',
  ],
];

export const BIGQUERY: readonly Case[] = [
  ['SELECT state AS k0, count(*) AS a0 FROM dcr_view GROUP BY k0', 'answered', 'answered'],
  ['SELECT state AS k0, avg(age) AS a0 FROM dcr_view GROUP BY k0', 'answered', 'answered'],
  ['SELECT count(DISTINCT id) AS a0 FROM dcr_view', 'answered', 'answered'],
  ['SELECT state AS k0, city AS k1, count(*) AS a0 FROM dcr_view GROUP BY ALL', 'answered', 'answered'],
  ['SELECT age AS k0, count(*) AS a0 FROM dcr_view GROUP BY k0', 'answered', 'answered'],
  ["SELECT count(*) AS a0 FROM dcr_view WHERE state = 'WY'", 'withheld', 'withheld'],
  ["SELECT state AS k0, count(*) AS a0 FROM dcr_view WHERE state = 'WY' GROUP BY k0", 'withheld', 'withheld'],
  ["SELECT count(*) AS a0 FROM dcr_view WHERE state <> 'WY'", 'answered', 'withheld'],
  ['SELECT id AS k0, count(*) AS a0 FROM dcr_view GROUP BY k0', 'withheld', 'refused'],
  ['SELECT * FROM dcr_view', 'refused', 'refused'],
  ['SELECT id FROM dcr_view', 'refused', 'refused'],
  ['SELECT email AS k0, count(*) AS a0 FROM dcr_view GROUP BY k0', 'withheld', 'withheld'],
  ['SELECT count(*) AS a0 FROM dcr_view WHERE id = 4', 'withheld', 'refused'],
  ['SELECT max(age) AS a0 FROM dcr_view', 'refused', 'refused'],
  ['SELECT min(age) AS a0 FROM dcr_view', 'refused', 'refused'],
  ['SELECT any_value(email) AS a0 FROM dcr_view', 'refused', 'refused'],
  ['SELECT array_agg(email) AS a0 FROM dcr_view', 'refused', 'refused'],
  ['SELECT string_agg(city) AS a0 FROM dcr_view', 'refused', 'refused'],
  ['SELECT state AS k0, row_number() OVER (ORDER BY id) AS a0 FROM dcr_view', 'refused', 'refused'],
  ['SELECT DISTINCT email AS k0 FROM dcr_view', 'refused', 'withheld'],
  ['SELECT count(*) AS a0 FROM dcr_view a JOIN dcr_view b ON a.id = b.id', 'answered', 'refused'],
  ['SELECT count(*) AS a0 FROM dcr_view a JOIN dcr_view b ON a.state = b.state', 'refused', 'refused'],
  // A sub-query over the view is refused there as it is written; the same question as the join above is answered.
  ['SELECT count(*) AS a0 FROM dcr_view WHERE id IN (SELECT id FROM dcr_view WHERE age > 50)', 'answered', 'withheld'],
];

export const SCQL: readonly Case[] = [
  // credit_rank: plaintext after GROUP BY.
  ['SELECT credit_rank AS k0, count(*) AS a0 FROM ta GROUP BY k0', 'answered', 'answered'],
  ['SELECT credit_rank AS k0, sum(income) AS a0 FROM ta GROUP BY k0', 'answered', 'answered'],
  ['SELECT credit_rank AS k0, avg(income) AS a0 FROM ta GROUP BY k0', 'answered', 'answered'],
  ['SELECT credit_rank AS k0, count(*) AS a0 FROM ta WHERE age > 30 GROUP BY k0', 'answered', 'answered'],
  ['SELECT sum(income) AS a0 FROM ta', 'answered', 'answered'],
  ['SELECT sum(income) AS a0 FROM ta WHERE age >= 50', 'answered', 'answered'],
  ['SELECT credit_rank FROM ta', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM ta WHERE credit_rank = 9', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM ta WHERE credit_rank > 5', 'refused', 'refused'],
  // A group of at most three rows is left out.
  ['SELECT credit_rank AS k0, sum(income) AS a0 FROM ta WHERE age = 99 GROUP BY k0', 'withheld', 'withheld'],
  // income: plaintext after aggregation.
  ['SELECT income FROM ta', 'refused', 'refused'],
  ['SELECT income AS k0, count(*) AS a0 FROM ta GROUP BY k0', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM ta WHERE income > 1000', 'refused', 'refused'],
  ['SELECT sum(income) AS a0 FROM ta WHERE income > 1000', 'refused', 'refused'],
  ['SELECT max(income) AS a0 FROM ta', 'answered', 'refused'],
  // age: plaintext after comparison.
  ['SELECT age FROM ta', 'refused', 'refused'],
  ['SELECT age AS k0, count(*) AS a0 FROM ta GROUP BY k0', 'refused', 'refused'],
  ['SELECT sum(age) AS a0 FROM ta', 'refused', 'refused'],
  ['SELECT age > 30 FROM ta', 'answered', 'refused'],
  // ID: plaintext after a join; secret: encrypted only; note: no grant.
  ['SELECT id FROM ta', 'refused', 'refused'],
  ['SELECT id AS k0, count(*) AS a0 FROM ta GROUP BY k0', 'refused', 'refused'],
  ["SELECT count(*) AS a0 FROM ta WHERE id = 'i4'", 'refused', 'refused'],
  ['SELECT sum(secret) AS a0 FROM ta', 'refused', 'refused'],
  ['SELECT secret AS k0, count(*) AS a0 FROM ta GROUP BY k0', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM ta WHERE secret = 3', 'refused', 'refused'],
  ['SELECT count(note) AS a0 FROM ta', 'refused', 'refused'],
  ['SELECT note AS k0, count(*) AS a0 FROM ta GROUP BY k0', 'refused', 'refused'],
  ['SELECT credit_rank AS k0, sum(income) OVER (PARTITION BY credit_rank) AS a0 FROM ta', 'refused', 'refused'],
  ['SELECT rank() OVER (PARTITION BY credit_rank ORDER BY income) AS a0 FROM ta', 'refused', 'refused'],
  ['SELECT credit_rank AS k0 FROM ta UNION SELECT income FROM ta', 'refused', 'refused'],
];

/** An entity column, at least three entities a bucket, and everything after the bucket free. */
export const DIFFIX: readonly Case[] = [
  ['SELECT city AS k0, count(*) AS a0 FROM customers GROUP BY k0', 'answered', 'answered'],
  [
    'SELECT city AS k0, count(DISTINCT id) AS a0 FROM customers GROUP BY k0 ORDER BY a0 DESC LIMIT 2',
    'answered',
    'answered',
  ],
  ["SELECT count(*) AS a0 FROM customers WHERE city = 'Rome'", 'answered', 'answered'],
  ["SELECT count(*) AS a0 FROM customers WHERE city = 'Bari'", 'withheld', 'withheld'],
  ['SELECT substring(city, 1, 1) AS k0, count(*) AS a0 FROM customers GROUP BY k0', 'answered', 'answered'],
  ['SELECT max(n) AS a0 FROM (SELECT city, count(*) AS n FROM customers GROUP BY city)', 'answered', 'answered'],
  ['SELECT DISTINCT city AS k0 FROM customers', 'answered', 'answered'],
  ['SELECT id AS k0, count(*) AS a0 FROM customers GROUP BY k0', 'withheld', 'refused'],
  ['SELECT * FROM customers', 'withheld', 'refused'],
  ['SELECT count(*) AS a0 FROM customers a, customers b', 'refused', 'refused'],
  ['SELECT min(balance) AS a0 FROM customers', 'refused', 'refused'],
  ['SELECT count(*) OVER () AS a0 FROM customers', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM customers WHERE id IN (SELECT id FROM customers)', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM customers WHERE balance * 2 = 300', 'refused', 'refused'],
  ['SELECT count(DISTINCT id) FILTER (WHERE random() < 0.5) AS a0 FROM customers', 'refused', 'refused'],
  ['SELECT sum(sqrt(balance)) AS a0 FROM customers', 'refused', 'refused'],
  ['SELECT corr(balance, id) AS a0 FROM customers', 'refused', 'refused'],
  // All of them stand in the bucket of the small ones.
  ['SELECT name AS k0, count(*) AS a0 FROM customers GROUP BY k0', 'answered', 'answered'],
];

/** nfilter.tab and nfilter.subset 3; quantiles from 5 to 95 per cent; nothing of one person, no minimum, no maximum. */
export const DATASHIELD: readonly Case[] = [
  ['SELECT sex AS k0, count(*) AS a0 FROM cohort GROUP BY k0', 'answered', 'answered'],
  ['SELECT avg(bmi) AS a0, variance(bmi) AS a1, count(bmi) AS a2 FROM cohort', 'answered', 'answered'],
  ['SELECT median(bmi) AS a0 FROM cohort', 'answered', 'answered'],
  ['SELECT corr(bmi, sbp) AS a0 FROM cohort', 'answered', 'answered'],
  ['SELECT regr_slope(sbp, bmi) AS a0 FROM cohort', 'answered', 'answered'],
  ["SELECT avg(bmi) AS a0 FROM cohort WHERE sex = 'f'", 'answered', 'answered'],
  ["SELECT avg(bmi) AS a0 FROM cohort WHERE site = 'two'", 'withheld', 'withheld'],
  ["SELECT site AS k0, count(*) AS a0 FROM cohort WHERE site = 'two' GROUP BY k0", 'withheld', 'withheld'],
  ["SELECT avg(bmi) AS a0 FROM cohort WHERE site <> 'two'", 'answered', 'withheld'],
  ['SELECT min(bmi) AS a0 FROM cohort', 'refused', 'refused'],
  ['SELECT max(bmi) AS a0 FROM cohort', 'refused', 'refused'],
  ['SELECT bmi FROM cohort', 'refused', 'refused'],
  ['SELECT list(bmi) AS a0 FROM cohort', 'refused', 'refused'],
  ['SELECT bmi AS k0, count(*) AS a0 FROM cohort GROUP BY k0', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM cohort WHERE id = 5', 'withheld', 'refused'],
  ['SELECT id AS k0, count(*) AS a0 FROM cohort GROUP BY k0', 'refused', 'refused'],
  ["SELECT count(*) AS a0 FROM cohort WHERE regexp_matches(site, repeat('a', 100))", 'refused', 'refused'],
  ['SELECT * FROM cohort USING SAMPLE 5 ROWS', 'refused', 'refused'],
  ['SELECT sex AS k0, site AS k1, count(*) AS a0 FROM cohort GROUP BY CUBE (k0, k1)', 'answered', 'answered'],
];

/** Differentially private queries of ZetaSQL. Noise, keys and bounds are the release's; here it is what may be asked. */
export const ZETASQL: readonly Case[] = [
  ['SELECT count(*) AS a0 FROM visits', 'answered', 'answered'],
  ['SELECT clinic AS k0, count(*) AS a0 FROM visits GROUP BY k0', 'answered', 'answered'],
  ['SELECT clinic AS k0, sum(cost) AS a0, avg(cost) AS a1 FROM visits GROUP BY k0', 'answered', 'answered'],
  ['SELECT stddev(cost) AS a0, variance(cost) AS a1 FROM visits', 'answered', 'answered'],
  ['SELECT quantile_cont(cost, 0.5) AS a0 FROM visits', 'answered', 'answered'],
  ['SELECT count(DISTINCT person) AS a0 FROM visits', 'answered', 'answered'],
  ["SELECT count(*) AS a0 FROM visits WHERE disease = 'rare'", 'answered', 'answered'],
  [
    'SELECT p.sex AS k0, sum(v.cost) AS a0 FROM visits v JOIN people p ON v.person = p.person GROUP BY k0',
    'answered',
    'answered',
  ],
  ['SELECT a0 FROM (SELECT clinic, count(*) AS a0 FROM visits GROUP BY clinic) ORDER BY a0', 'answered', 'answered'],
  ['SELECT * FROM visits', 'refused', 'refused'],
  ['SELECT clinic FROM visits', 'refused', 'refused'],
  ['SELECT person AS k0, count(*) AS a0 FROM visits GROUP BY k0', 'withheld', 'refused'],
  ['SELECT DISTINCT person AS k0 FROM visits', 'refused', 'refused'],
  ['SELECT max(cost) AS a0 FROM visits', 'refused', 'refused'],
  ['SELECT min(cost) AS a0 FROM visits', 'refused', 'refused'],
  ['SELECT any_value(cost) AS a0 FROM visits', 'refused', 'refused'],
  ['SELECT array_agg(cost) AS a0 FROM visits', 'refused', 'refused'],
  ['SELECT string_agg(clinic) AS a0 FROM visits', 'refused', 'refused'],
  ['SELECT bool_or(flag) AS a0 FROM visits', 'refused', 'refused'],
  ['SELECT sum(cost) OVER () AS a0 FROM visits', 'refused', 'refused'],
  ['SELECT rank() OVER (ORDER BY cost) AS a0 FROM visits', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM visits a JOIN visits b ON a.clinic = b.clinic', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM visits v JOIN people p ON v.visit = p.born', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM visits, people', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM visits USING SAMPLE 10%', 'answered', 'refused'],
  ['SELECT count(*) AS a0 FROM visits WHERE cost > (SELECT avg(cost) FROM visits)', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM (SELECT * FROM visits ORDER BY cost LIMIT 5)', 'refused', 'refused'],
  ['SELECT sum(DISTINCT cost) AS a0 FROM visits', 'refused', 'refused'],
  ['SELECT count(*) AS a0 FROM visits WHERE person = 7', 'answered', 'refused'],
];
