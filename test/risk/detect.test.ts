import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Decided, type Finding, MAX_REMEMBERED, RiskDetectors, shapeOf } from '../../runtime/risk/detect.ts';

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

test('the shape of a question hides its constants and spacing, and nothing else', () => {
  assert.equal(
    shapeOf("SELECT  avg(x) FROM t WHERE d = 'a''b' AND y > 12.5"),
    'select avg(x) from t where d = ? and y > ?',
  );
  assert.equal(shapeOf('select c1 from t2 limit 10'), 'select c1 from t2 limit ?');
  assert.notEqual(shapeOf('select a from t'), shapeOf('select b from t'));
});
