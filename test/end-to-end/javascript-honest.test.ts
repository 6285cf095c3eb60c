import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Glovebox } from '../../runtime/client/connect.ts';
import type { JavaScriptProgram, Job } from '../../runtime/gen/messages.ts';
import { readProgram } from '../../runtime/program-file/read-program.ts';
import { type CodeRuntime, seededEntropy, startCodeRuntime } from './code-runtime.ts';

/** The examples of the guide, each held against the same computation over the published file. */
const examples = join(import.meta.dirname, '..', '..', 'examples');
let code: CodeRuntime;
let acme: Glovebox;
before(async () => {
  code = await startCodeRuntime({
    dataset: 'clinical',
    files: [{ path: join(examples, 'data', 'clinical', 'colon.csv'), table: 'colon' }],
    policy: readFileSync(join(examples, 'code', 'policy.yaml'), 'utf8'),
    entropy: seededEntropy(12),
  });
  acme = await code.join('acme');
});
after(() => code.close());

const [head = [], ...body] = readFileSync(join(examples, 'data', 'clinical', 'colon.csv'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => line.split(',').map((cell) => cell.replaceAll('"', '')));
const column = (name: string): readonly (number | null)[] => {
  const at = head.indexOf(name);
  return body.map((cells) => (cells[at] === '' || cells[at] === 'NA' ? null : Number(cells[at])));
};

function programOf(name: string): JavaScriptProgram {
  const file = readProgram(readFileSync(join(examples, 'code', name), 'utf8'), name);
  assert.ok(file.kind === 'program' && file.sourceFile !== null);
  return { ...file.program, isTypeScript: true, source: readFileSync(join(examples, 'code', file.sourceFile), 'utf8') };
}

type Answer = ReadonlyMap<string, { readonly value: number; readonly low: number; readonly high: number }>;

async function answerOf(
  name: string,
  by = acme,
  change = (program: JavaScriptProgram): JavaScriptProgram => program,
): Promise<{ readonly found: Answer; readonly job: Job }> {
  const program = change(programOf(name));
  const outcome = await by.jobs.run({ computation: { kind: 'javascript', javascript: program } });
  assert.ok(outcome.kind === 'released', outcome.kind === 'refused' ? JSON.stringify(outcome.reasons) : '');
  const found = new Map(
    outcome.table.toArray().map((row) => {
      const { statistic, value, low, high, ...key } = (row?.toJSON() ?? {}) as Record<string, unknown>;
      const of = [...Object.values(key), statistic].join(' ');
      return [of, { value: Number(value), low: Number(low), high: Number(high) }] as const;
    }),
  );
  return { found, job: outcome.job };
}

function holds(found: Answer, name: string, exact: number, within: number): void {
  const one = found.get(name);
  assert.ok(
    one !== undefined && one.low <= exact && exact <= one.high,
    `${name}: ${exact} in ${JSON.stringify([...found])}`,
  );
  assert.ok(one.high - one.low < within, `${name} is known to ${one.high - one.low}`);
}

test('a survival curve is the Kaplan–Meier estimate within its interval, and leaves at its printed time', async () => {
  const program = programOf('survival-curve.yaml');
  const told = await acme.jobs.explain({ job: { computation: { kind: 'javascript', javascript: program } } });
  const leavesMs = Number(/leaves (\d+) ms/.exec(told.enforced.join('\n'))?.[1]);
  const started = performance.now();
  const { found, job } = await answerOf('survival-curve.yaml');
  assert.ok(leavesMs > 1000 && performance.now() - started >= leavesMs, `${leavesMs}`);
  const [time, status, etype] = [column('time'), column('status'), column('etype')];
  const patients = time.flatMap((day, i) => (etype[i] === 2 ? [{ day: day ?? 0, died: status[i] === 1 }] : []));
  for (let year = 1; year <= 5; year++) {
    const days = [...new Set(patients.filter(({ died }) => died).map(({ day }) => day))].filter(
      (day) => day <= 365 * year,
    );
    const exact = days.reduce((share, day) => {
      const atRisk = patients.filter((one) => one.day >= day).length;
      return share * (1 - patients.filter((one) => one.died && one.day === day).length / atRisk);
    }, 1);
    holds(found, `year${year}`, exact, 0.6);
  }
  // Noise hides how many rows there are; the rest of the use is told.
  assert.equal(job.meter?.rowsScanned, 0n);
  assert.equal(job.meter?.cellsReleased, 15n);
});

test('a score per arm is the mean of the same function within its interval', async () => {
  const { found } = await answerOf('risk-score.yaml');
  const [age, nodes] = [column('age'), column('nodes')];
  const at = head.indexOf('rx');
  for (const arm of ['Obs', 'Lev', 'Lev+5FU']) {
    const scores = body.flatMap((cells, i) => {
      if (cells[at] !== arm) return [];
      const burden = Math.min(nodes[i] ?? 0, 20) / 20;
      return [1 / (1 + Math.exp(-(2.2 * burden + 0.8 * (((age[i] ?? 60) - 18) / 72) - 1.4)))];
    });
    holds(found, `${arm} mean(score)`, scores.reduce((sum, one) => sum + one, 0) / scores.length, 0.2);
  }
});

test('a logistic regression in rounds has the weights of the same rounds without noise in its interval', async () => {
  const { found } = await answerOf('event-model.yaml');
  const [status, nodes, age] = [column('status'), column('nodes'), column('age')];
  const rows = status.map((event, i) => ({
    event: event ?? 0,
    x: [1, Math.min(nodes[i] ?? 0, 20) / 20, ((age[i] ?? 60) - 60) / 40],
  }));
  let weights = [0, 0, 0];
  for (let round = 0; round < 5; round++) {
    const step = [0, 0, 0];
    for (const { event, x } of rows) {
      const residual = 1 / (1 + Math.exp(-x.reduce((sum, one, i) => sum + one * (weights[i] ?? 0), 0))) - event;
      const factor = residual * Math.min(1, 0.5 / Math.max(1e-300, Math.abs(residual) * Math.hypot(...x)));
      x.forEach((one, i) => (step[i] = (step[i] ?? 0) + (one * factor) / rows.length));
    }
    weights = weights.map((weight, i) => weight - 2 * (step[i] ?? 0));
  }
  ['bias', 'weight(nodes)', 'weight(age)'].forEach((name, i) => holds(found, name, weights[i] ?? Number.NaN, 2));
});

test('k-means answers numbers with intervals around the centres of its last round', async () => {
  const { found } = await answerOf('clusters.yaml');
  assert.deepEqual([...found.keys()], ['cluster 0: age', 'cluster 0: nodes', 'cluster 1: age', 'cluster 1: nodes']);
  for (const { value, low, high } of found.values()) assert.ok(low <= value && value <= high && high - low < 40);
  const [young, old] = [found.get('cluster 0: age')?.value ?? 0, found.get('cluster 1: age')?.value ?? 0];
  assert.ok(young > 35 && young < 58 && old > 58 && old < 76);
});

test('one round of k-means has the exact means of the rows nearest to the declared centres in its intervals', async () => {
  const answers: Answer[] = [];
  for (let run = 0; run < 2; run++) {
    const { found } = await answerOf('clusters.yaml', acme, (program) => ({
      ...program,
      iterate: program.iterate && { ...program.iterate, rounds: 1 },
    }));
    answers.push(found);
  }
  const misses = answers.map(() => 0);
  const [age, nodes] = [column('age'), column('nodes')];
  const points = age.flatMap((years, i) => {
    const known = nodes[i];
    return years === null || known === null || known === undefined
      ? []
      : [[Math.min(90, Math.max(18, years)), Math.min(40, known)] as const];
  });
  const centres = [[40, 3] as const, [70, 3] as const];
  const distance = ([x, y]: readonly [number, number], [a, b]: readonly [number, number]): number =>
    (x - a) ** 2 + (y - b) ** 2;
  for (const [index, centre] of centres.entries()) {
    const other = centres[1 - index] ?? centre;
    // A tie goes to the first.
    const own = points.filter((point) =>
      index === 0
        ? distance(point, centre) <= distance(point, other)
        : distance(point, centre) < distance(point, other),
    );
    const mean = (at: 0 | 1): number => own.reduce((sum, point) => sum + point[at], 0) / own.length;
    for (const [at, name] of [`cluster ${index}: age`, `cluster ${index}: nodes`].entries()) {
      const exact = mean(at === 0 ? 0 : 1);
      for (const [run, found] of answers.entries()) {
        const { value = NaN, low = NaN, high = NaN } = found.get(name) ?? {};
        assert.ok(high - low < 12 && Math.abs(value - exact) <= high - low, `${name}: ${value} for ${exact}`);
        if (exact < low || exact > high) misses[run] = (misses[run] ?? 0) + 1;
      }
    }
  }
  // An interval may miss one time in twenty: not in both runs, and never by as much again.
  assert.ok(misses.includes(0), `${misses.join()}`);
});

test('where the policy adds losses up as zCDP, noise is Gaussian, rounds cost less and jobs last longer', async () => {
  const pure = (await answerOf('event-model.yaml')).found;
  const policy = readFileSync(join(examples, 'code', 'policy.yaml'), 'utf8');
  await code.attach(policy.replace('epsilonTotal: 40,', 'epsilonTotal: 3, accounting: zcdp, delta: 1e-6,'));
  const zeta = await code.join('zeta');
  const { enforced } = await zeta.jobs.explain({
    job: { computation: { kind: 'javascript', javascript: programOf('event-model.yaml') } },
  });
  const told = enforced.join('\n');
  assert.match(told, /Gaussian noise of deviation/);
  assert.match(told, /epsilon 2 at delta 0\.000001 \(zCDP, rho 0\.0\d+\)/);

  const { found } = await answerOf('event-model.yaml', zeta);
  const width = (answer: Answer): number => {
    const one = answer.get('weight(nodes)');
    return (one?.high ?? NaN) - (one?.low ?? NaN);
  };
  assert.ok(width(found) < width(pure), `${width(found)} against ${width(pure)}`);
  // As sums, two jobs of epsilon 2 would be more than the total of 3; as zCDP they are 2.9, and three are more.
  await answerOf('risk-score.yaml', zeta);
  await assert.rejects(answerOf('risk-score.yaml', zeta), /budget-exhausted/);
  const { budgets } = await zeta.budgets.list({});
  const own = budgets.find(({ ruleId }) => ruleId === 'code');
  assert.ok(own !== undefined && own.microEpsilonSpent > 2_000_000n && own.microEpsilonSpent <= 3_000_000n);
  assert.ok(own.microEpsilonLimit !== null && own.microEpsilonLimit <= 3_000_000n);

  // Whoever edits the policy back to plain sums finds what was spent in that measure.
  await code.attach(policy.replace('epsilonTotal: 40,', 'epsilonTotal: 5,'));
  const { agreement } = await code.provider.agreements.offer({ dataset: 'clinical', consumer: 'zeta' });
  await zeta.agreements.accept({ id: agreement?.id ?? '' });
  const again = await zeta.jobs.run({
    agreementIds: [agreement?.id ?? ''],
    computation: { kind: 'javascript', javascript: programOf('risk-score.yaml') },
  });
  assert.equal(again.kind === 'refused' && again.reasons[0]?.code, 'budget-exhausted');
});
