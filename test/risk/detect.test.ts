import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Decided, type Finding, MAX_REMEMBERED, RiskDetectors } from '../../runtime/risk/detect.ts';
import { shapeOf } from '../../runtime/risk/shape.ts';
import { fc } from '../property.ts';

const MINUTE = 60_000;
function decided(more: Partial<Decided>): Decided {
  return {
    atMs: 0,
    hour: 10,
    party: 'acme',
    datasets: ['visits'],
    verdict: 'permit',
    codes: [],
    question: 'q',
    shape: 's',
    code: null,
    draws: [],
    violationAs: 'low',
    ...more,
  };
}
const run = (events: readonly Partial<Decided>[]): readonly Finding[] => {
  const detectors = new RiskDetectors();
  return events.flatMap((event) => detectors.observe(decided(event)));
};
const many = (count: number, of: (index: number) => Partial<Decided>): readonly Partial<Decided>[] =>
  Array.from({ length: count }, (_, index) => of(index));
const told = (events: readonly Partial<Decided>[]): readonly string[] =>
  run(events).map(({ detector, severity }) => `${detector} ${severity}`);

test('a burst of denials is told once for each step of severity, and denials far apart are not', () => {
  const denials = (count: number, apartMs: number): readonly Partial<Decided>[] =>
    many(count, (index) => ({ verdict: 'deny', codes: ['sql-syntax'], atMs: index * apartMs }));
  assert.deepEqual(told(denials(9, 1000)), []);
  assert.deepEqual(told(denials(49, 1000)), ['denial-burst medium']);
  assert.deepEqual(told(denials(200, 1000)), ['denial-burst medium', 'denial-burst high']);
  assert.deepEqual(told(denials(100, 2 * MINUTE)), []);
});

test('denials of several parties are not added up', () => {
  assert.deepEqual(told(many(40, (index) => ({ verdict: 'deny', party: `p${index % 5}`, atMs: index }))), []);
});

test('one question with ever other constants over one dataset looks like differencing; repeating it does not', () => {
  const asked = (index: number): Partial<Decided> => ({ question: `q${index}`, atMs: index * 1000 });
  const findings = run(many(20, asked));
  assert.deepEqual(
    findings.map(({ detector, severity, dataset, count }) => [detector, severity, dataset, count]),
    [['differencing-pattern', 'medium', 'visits', 12]],
  );
  assert.deepEqual(told(many(100, (index) => ({ atMs: index * 1000 }))), []);
  assert.deepEqual(told(many(100, (index) => ({ ...asked(index), shape: `s${index}` }))), []);
  assert.deepEqual(told(many(100, (index) => ({ ...asked(index), atMs: index * 10 * MINUTE }))), []);
});

test('a budget drawn fast is told; one job that takes all of a small one is not', () => {
  const draws = (amount: bigint, limit: bigint): Partial<Decided> => ({ draws: [{ budget: 'b', amount, limit }] });
  assert.deepEqual(told([draws(10n, 10n)]), []);
  assert.deepEqual(told(many(9, () => draws(1n, 10n))), ['budget-burn medium', 'budget-burn high']);
  assert.deepEqual(told(many(100, () => draws(1n, 1_000_000n))), []);
});

test('code that a dataset has not met is told once, and again for another dataset', () => {
  const code = { code: 'sha256:1' };
  assert.deepEqual(told([code, code, { ...code, datasets: ['other'] }, { code: null }]), [
    'new-code low',
    'new-code low',
  ]);
});

test('an hour at which a party never worked is told once its hours are known', () => {
  const days = many(40, (index) => ({ hour: 9 + (index % 8), atMs: index * 60 * MINUTE, question: `${index % 3}` }));
  assert.deepEqual(told([...days, { hour: 3, atMs: 41 * 60 * MINUTE }]), ['odd-hour low']);
  assert.deepEqual(told([...days, { hour: 17, atMs: 41 * 60 * MINUTE }]), []);
  assert.deepEqual(told([{ hour: 3 }, { hour: 15 }]), []);
});

test('a deny rule that is hit is told as severely as its policy says', () => {
  assert.deepEqual(told([{ verdict: 'deny', codes: ['rule-forbids'], violationAs: 'high' }]), ['rule-hit high']);
});

test('the same is told again after an hour, not before', () => {
  const hit = (atMs: number): Partial<Decided> => ({ verdict: 'deny', codes: ['rule-forbids'], atMs });
  assert.equal(run([hit(0), hit(1), hit(59 * MINUTE), hit(60 * MINUTE), hit(61 * MINUTE)]).length, 2);
});

test('a flood of parties and questions takes bounded memory and forgets the quietest first', () => {
  const detectors = new RiskDetectors();
  const before = process.memoryUsage().heapUsed;
  for (let index = 0; index < 3 * MAX_REMEMBERED; index += 1)
    detectors.observe(
      decided({ party: `p${index}`, shape: `s${index}`, verdict: index % 2 === 0 ? 'deny' : 'permit' }),
    );
  assert.ok(process.memoryUsage().heapUsed - before < 200 * 2 ** 20);
});

test('what only one spelling hides has one shape: constants, order, aliases, comments, brackets, conditions said twice', () => {
  const plain = shapeOf("select ward, avg(cost) from visits where age < 40 and sex = 'f' group by ward");
  assert.equal(plain, 'age avg cost sex visits ward');
  for (const other of [
    "SELECT ward AS w17, avg(cost) AS a17 FROM visits AS v17 WHERE v17.age < 41 AND sex = 'm' GROUP BY ward",
    "select ward w18, avg(cost) a18 from visits v18 where v18.age <= 41 and sex <> 'it''s' group by w18",
    'select ward, avg((cost)) from visits where (age < 4.5e1) and ((sex = $$x$$)) and 1 = 1 and 2 < 3 group by 1',
    "/* 17 */ select avg(cost), ward -- a17 'b\n from visits where sex = e'a\\'b' and age between 1 and 2 group by ward",
    'with t19 as (select * from visits), u as materialized (select 1) select "ward", avg("cost") as "x y" from t19 where sex = \'\\\' and "age" < 3 group by ward order by "x y" limit 20',
    "select ward, avg(cost) from visits where sex in ('f', 'm', 'd') or not (age > 1) group by ward",
  ])
    assert.equal(shapeOf(other), plain, other);
  for (const other of ['select ward, avg(cost) from visits', 'select max(cost) from visits where age < 1 and sex = 2'])
    assert.notEqual(shapeOf(other), plain);
});

test('the shape of any text is found in time that grows with it, whatever it holds', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      assert.equal(typeof shapeOf(text), 'string');
    }),
  );
  for (const part of ['/*', "'", '"', '$$', "e'\\", '--', '$a$', ' as ', '((', '1e', 'a '])
    assert.ok(typeof shapeOf(part.repeat(20_000)) === 'string', part);
});

test('one who makes every question look new is told by their number, and parties together by theirs', () => {
  const varied = (index: number): Partial<Decided> => ({
    question: `q${index}`,
    shape: `s${index}`,
    atMs: index * 1000,
  });
  assert.deepEqual(told(many(199, varied)), []);
  assert.deepEqual(told(many(700, varied)), ['differencing-pattern medium', 'differencing-pattern high']);
  // Three parties, each below what is told of one.
  const spread = (index: number): Partial<Decided> => ({ party: `p${index % 3}`, question: `q${index}`, atMs: index });
  const found = run(many(30, spread));
  assert.deepEqual(
    found.map(({ detector, party, dataset, count }) => [detector, party, dataset, count]),
    [['differencing-pattern', '', 'visits', 24]],
  );
  const same = (index: number): Partial<Decided> => ({ party: `p${index}`, question: `q${index % 5}`, atMs: index });
  assert.deepEqual(told(many(200, same)), [], 'many parties that ask the same few questions are a dashboard');
});

test('a budget drawn in thousands of small parts is told like one drawn in few', () => {
  const drop = (index: number): Partial<Decided> => ({
    draws: [{ budget: 'b', amount: 1n, limit: 4000n }],
    atMs: index * 500,
  });
  assert.deepEqual(told(many(3500, drop)), ['budget-burn medium', 'budget-burn high']);
  const slow = (index: number): Partial<Decided> => ({ ...drop(index), atMs: index * 60_000 });
  assert.deepEqual(told(many(3500, slow)), [], 'what is older than the hour does not count');
});

test('a flood cannot make more alerts than detectors, severities, parties and datasets allow in an hour', () => {
  const flood = many(5000, (index) => ({
    verdict: index % 2 === 0 ? 'deny' : 'permit',
    codes: ['rule-forbids', `made-up-${index}`],
    question: `q${index}`,
    shape: `s${index}`,
    code: `sha256:${index}`,
    hour: index % 24,
    atMs: index * 100,
    draws: [{ budget: `b${index % 7}`, amount: 1n, limit: 10n }],
  }));
  const detectors = 6;
  const severities = 3;
  assert.ok(told(flood).length <= detectors * severities);
});
