/**
 * As analysts ask under differential privacy. `keys`: how many columns at the start of a row tell it from the others;
 * `isNear`: without noise the answer is near the engine's and not equal to it, as it lies on bins or on the grid of its squares.
 */
export interface NoisyAsk {
  readonly sql: string;
  readonly keys: number;
  readonly isNear?: true;
}

const ask = (keys: number, sql: string): NoisyAsk => ({ sql, keys });
const near = (keys: number, sql: string): NoisyAsk => ({ sql, keys, isNear: true });

export const NOISY_HOSPITAL_ASKS: readonly NoisyAsk[] = [
  ask(0, 'SELECT count(*) AS n, sum(cost) AS total, avg(cost) AS mean FROM stays'),
  ask(1, 'SELECT ward, count(*) AS n, sum(cost) AS total, avg(cost) AS mean FROM stays GROUP BY ward ORDER BY ward'),
  ask(1, 'SELECT ward, variance(cost) AS v, stddev(cost) AS s FROM stays GROUP BY ward ORDER BY ward'),
  ask(1, 'SELECT ward, count(DISTINCT patient) AS people FROM stays WHERE emergency GROUP BY ward'),
  near(0, 'SELECT median(cost) AS middle, quantile_cont(cost, 0.9) AS p90 FROM stays'),
  near(1, 'SELECT ward, median(cost) AS middle FROM stays GROUP BY ward'),
  near(0, 'SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY born) AS early FROM patients'),
  ask(1, "SELECT date_trunc('quarter', admitted) AS q, count(*) AS n FROM stays GROUP BY q ORDER BY q"),
  ask(2, 'SELECT year(admitted) AS y, ward, sum(cost) AS c FROM stays GROUP BY ALL ORDER BY ALL'),
  ask(
    2,
    'SELECT p.sex, s.ward, count(*) AS n, avg(s.cost) AS m FROM stays s JOIN patients p USING (patient) GROUP BY ALL ORDER BY ALL',
  ),
  ask(
    1,
    'SELECT w.floor, count(*) AS n, sum(s.cost) AS c FROM stays s JOIN wards w USING (ward) GROUP BY w.floor ORDER BY 1',
  ),
  ask(2, 'SELECT ward, emergency, count(*) AS n FROM stays GROUP BY ROLLUP (ward, emergency) ORDER BY ALL'),
  ask(
    1,
    "SELECT 'stays' AS what, count(*) AS n FROM stays UNION ALL SELECT 'people', count(*) FROM patients ORDER BY 1",
  ),
  ask(
    1,
    "WITH m AS (SELECT date_trunc('quarter', admitted) AS q, sum(cost) AS c FROM stays GROUP BY q) SELECT q, c, lag(c) OVER (ORDER BY q) AS before, sum(c) OVER (ORDER BY q) AS running FROM m ORDER BY q",
  ),
  ask(
    0,
    'SELECT avg(n) AS mean, stddev(n) AS spread, count(*) AS people FROM (SELECT patient, count(*) AS n FROM stays GROUP BY patient)',
  ),
  ask(
    1,
    'SELECT n, count(*) AS people FROM (SELECT patient, count(*) AS n FROM stays GROUP BY patient) GROUP BY n ORDER BY n',
  ),
  near(
    0,
    'SELECT avg(total) AS mean, median(total) AS middle FROM (SELECT patient, sum(cost) AS total FROM stays GROUP BY patient)',
  ),
  ask(
    1,
    "SELECT sex, avg(born) AS born, count(*) AS n FROM patients WHERE patient IN (SELECT patient FROM events WHERE kind = 'stroke') GROUP BY sex ORDER BY sex",
  ),
  ask(
    1,
    'SELECT ward, count(*) FILTER (WHERE died) AS deaths, count(*) AS n, count(*) FILTER (WHERE died) / NULLIF(count(*), 0) AS rate FROM stays GROUP BY ward ORDER BY ward',
  ),
  ask(1, 'SELECT kind, count(*) AS n, avg(score) AS m FROM events GROUP BY kind ORDER BY n DESC'),
  ask(
    1,
    'SELECT g.m, coalesce(x.n, 0) AS n FROM range(1, 13) AS g(m) LEFT JOIN (SELECT month(admitted) AS m, count(*) AS n FROM stays GROUP BY 1) x ON x.m = g.m ORDER BY 1',
  ),
  ask(1, 'SELECT dayname(admitted) AS d, count(*) AS n FROM stays GROUP BY d ORDER BY n DESC'),

  ask(
    1,
    "WITH stroke AS (SELECT DISTINCT patient FROM events WHERE kind = 'stroke') SELECT ward, count(*) AS stays FROM stays WHERE patient IN (SELECT patient FROM stroke) GROUP BY ward",
  ),
  ask(
    1,
    'SELECT year(first_stay) AS y, count(*) AS patients FROM (SELECT patient, min(admitted) AS first_stay FROM stays GROUP BY patient) GROUP BY y',
  ),
  ask(
    1,
    'WITH last AS (SELECT patient, ward, row_number() OVER (PARTITION BY patient ORDER BY admitted DESC, ward) AS rn FROM stays) SELECT ward, count(*) AS patients FROM last WHERE rn = 1 GROUP BY ward',
  ),
  ask(
    1,
    'SELECT ever, count(*) AS n FROM (SELECT patient, bool_or(emergency) AS ever FROM stays GROUP BY patient) GROUP BY ever',
  ),
  ask(
    1,
    'SELECT band * 25 AS from_score, count(*) AS n FROM (SELECT patient, max(score) // 25 AS band FROM events GROUP BY patient) GROUP BY band',
  ),
  ask(
    1,
    'WITH s AS (SELECT patient, ward, admitted, lag(discharged) OVER (PARTITION BY patient ORDER BY admitted, ward) AS before FROM stays) SELECT ward, count(*) AS n, count(*) FILTER (WHERE admitted <= before + INTERVAL 60 DAY) AS soon FROM s GROUP BY ward',
  ),
  ask(
    1,
    'SELECT p.sex, count(*) AS n, avg(coalesce(v.visits, 0)) AS visits FROM patients p LEFT JOIN (SELECT patient, count(*) AS visits FROM stays GROUP BY patient) v USING (patient) GROUP BY p.sex',
  ),
  ask(
    1,
    "SELECT CASE WHEN v.n IS NULL THEN 'never' WHEN v.n < 3 THEN 'seldom' ELSE 'often' END AS use, count(*) AS people FROM patients LEFT JOIN (SELECT patient, count(*) AS n FROM stays WHERE emergency GROUP BY patient) v USING (patient) GROUP BY use",
  ),
  ask(
    1,
    "SELECT sex, avg(died::INT) AS dead, sum((ward = 'heart')::INT) AS heart FROM stays JOIN patients USING (patient) GROUP BY sex",
  ),
];

export const NOISY_BANK_ASKS: readonly NoisyAsk[] = [
  ask(2, 'SELECT segment, arm, count(*) AS n, avg(income) AS income FROM customers GROUP BY segment, arm ORDER BY ALL'),
  ask(
    2,
    'SELECT c.region, any_value(r.country) AS land, count(*) AS n FROM customers c JOIN regions r USING (region) GROUP BY c.region',
  ),
  ask(
    1,
    'WITH k AS (SELECT country, count(*) AS parts FROM regions GROUP BY country) SELECT k.parts, count(*) AS n FROM customers c JOIN regions r USING (region) JOIN k ON k.country = r.country GROUP BY 1',
  ),
  ask(
    1,
    'SELECT segment, avg((SELECT count(*) FROM payments p WHERE p.customer = c.customer)) AS mean FROM customers c GROUP BY segment',
  ),
  ask(
    1,
    "SELECT segment, count(DISTINCT p.customer) AS n FROM customers c LEFT JOIN payments p ON p.customer = c.customer AND p.channel = 'app' GROUP BY segment",
  ),
  ask(1, 'SELECT channel, 100.0 * count_if(fraud) / count(*) AS fraud_percent FROM payments GROUP BY channel'),
  ask(
    1,
    'WITH m AS (SELECT year(day) AS y, sum(amount) AS v FROM payments GROUP BY y) SELECT y, v, v / sum(v) OVER () AS share FROM m ORDER BY y',
  ),
  ask(
    1,
    "SELECT * FROM (SELECT channel, category, count(*) AS n FROM payments GROUP BY ALL) PIVOT (sum(n) FOR channel IN ('app', 'web', 'branch')) ORDER BY category",
  ),
  ask(
    1,
    'SELECT c.segment, avg(p.n) AS payments, count(*) AS busy FROM customers c JOIN (SELECT customer, count(*) AS n FROM payments GROUP BY customer HAVING count(*) >= 7) p ON p.customer = c.customer GROUP BY c.segment ORDER BY 1',
  ),
  ask(
    1,
    'SELECT r.country, count(*) AS n, sum(c.income) AS income FROM customers c JOIN regions r ON c.region = r.region GROUP BY r.country',
  ),

  ask(2, 'SELECT segment, arm, count(*) AS n, avg(converted::INT) AS rate FROM customers GROUP BY segment, arm'),
  ask(
    0,
    "SELECT count(*) AS customers, sum(paid) AS paid, sum(app) AS app FROM (SELECT customer, max(CASE WHEN amount > 2000 THEN 1 ELSE 0 END) AS paid, max(CASE WHEN channel = 'app' THEN 1 ELSE 0 END) AS app FROM payments GROUP BY customer)",
  ),
  ask(
    1,
    'SELECT channel, count(*) AS n, avg(amount) AS mean FROM (SELECT DISTINCT ON (customer) customer, channel, amount FROM payments ORDER BY customer, day, channel, category, amount) GROUP BY channel',
  ),
];

export const NOISY_FACTORY_ASKS: readonly NoisyAsk[] = [
  ask(1, 'SELECT shift, sum(defects) AS d, sum(pieces) AS p, avg(running) AS r FROM shifts GROUP BY shift'),
  near(1, 'SELECT line, corr(running, pieces) AS r, regr_slope(pieces, running) AS slope FROM shifts GROUP BY line'),
  ask(2, 'SELECT line, shift, count(*) AS n, sum(pieces) AS p FROM shifts GROUP BY CUBE (line, shift) ORDER BY ALL'),
  ask(
    1,
    "SELECT CASE WHEN day < DATE '2024-07-01' THEN 'first' ELSE 'second' END AS half, avg(pieces) AS m FROM shifts GROUP BY half",
  ),
];

export const NOISY_CITY_ASKS: readonly NoisyAsk[] = [
  ask(
    1,
    'SELECT district, count(*) AS n, n / sum(n) OVER () AS share FROM residents GROUP BY district ORDER BY district',
  ),
  ask(2, 'SELECT mode, hour(left_at) // 6 AS part, count(*) AS n FROM trips GROUP BY ALL ORDER BY ALL'),
  ask(
    1,
    'WITH w AS (SELECT week(left_at) AS w, count(*) AS n FROM trips GROUP BY 1) SELECT a.w, a.n, a.n - b.n AS change FROM w a LEFT JOIN w b ON b.w = a.w - 1 ORDER BY a.w',
  ),
  ask(
    1,
    'WITH a AS (SELECT origin AS d, count(*) AS out_n FROM trips GROUP BY 1), b AS (SELECT target AS d, count(*) AS in_n FROM trips GROUP BY 1) SELECT d, out_n, in_n, out_n - in_n AS net FROM a FULL OUTER JOIN b USING (d) ORDER BY 1',
  ),
  ask(
    1,
    "SELECT CASE WHEN age < 30 THEN 'young' WHEN age < 60 THEN 'middle' ELSE 'old' END AS band, count(*) AS n FROM residents GROUP BY band",
  ),
  ask(1, 'SELECT mode, count(DISTINCT resident) AS people, sum(fare) AS spent FROM trips GROUP BY mode'),
  ask(
    0,
    "SELECT count(*) FILTER (WHERE mode ILIKE 'B%') AS b, count(*) AS n FROM trips WHERE origin IS DISTINCT FROM 3",
  ),
  ask(1, 'SELECT mode, count(*) AS n FROM trips GROUP BY mode QUALIFY row_number() OVER (ORDER BY n DESC, mode) <= 4'),

  ask(
    1,
    "SELECT modes, count(*) AS residents FROM (SELECT resident, bool_or(mode = 'bus')::INT + bool_or(mode = 'bike')::INT AS modes FROM trips GROUP BY resident) GROUP BY modes",
  ),
  ask(
    1,
    'WITH first AS (SELECT DISTINCT ON (resident) resident, mode FROM trips ORDER BY resident, left_at, mode) SELECT mode, count(*) AS n FROM first GROUP BY mode',
  ),
  ask(
    1,
    "SELECT renting, avg(buses) AS buses, avg(bikes) AS bikes FROM residents JOIN (SELECT resident, count(*) FILTER (WHERE mode = 'bus') AS buses, count(*) FILTER (WHERE mode = 'bike') AS bikes FROM trips GROUP BY resident) t USING (resident) GROUP BY renting",
  ),
];
