import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { runtimeWorld, type RuntimeWorld } from '../gateway/runtime-world.ts';
import { colon } from '../homomorphic/support.ts';
import { ARMS, DATASET, homomorphicWorld, program, type HomomorphicWorld } from './homomorphic-world.ts';

/* Every program over encrypted columns, through gRPC, a jailed worker, the decryptor and the release gate. */

const { time, age, rx } = colon();
const rows = time.length;
const arm = rx.map((name) => ARMS.indexOf(name));
const MOST = (1n << 63n) - 1n;
const LEAST = -(1n << 63n);
const wide = time.map((days, i) => (i % 3 === 0 ? MOST : i % 3 === 1 ? LEAST : BigInt(days) * 1_000_003_000_017n));
const CUBIC = { c0: 0.5, c1: 0.197, c2: 0, c3: -0.004 };
const WEIGHTS = [0.4, -1.2];
const common = { decimals: 0 } as const;

const POLICY = `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: ${DATASET}, grade: important }
privacyUnit: [id]
columns:
  id: { rights: [countDistinct] }
  rx: { rights: [group], consumers: ['group:researchers'] }
  arm: { rights: [group] }
  time: { rights: [aggregate], consumers: ['group:researchers'] }
${['age', 'spread', 'age_p', 'time_p', 'wide', 'z1', 'z2'].map((name) => `  ${name}: { rights: [aggregate] }`).join('\n')}
allow:
  - { id: encrypted, mode: homomorphic, release: { programs: [sum, count, mean, variance, covariance, dot, linear, logistic, groupSums, histogram, countEqual], schemes: [bgv, ckks], securityBits: 128, minUnits: 10 } }
`;

let world: RuntimeWorld;
let clinic: HomomorphicWorld;
before(async () => {
  world = await runtimeWorld();
  clinic = await homomorphicWorld(world, {
    policy: POLICY,
    profiles: ['bgv-add-a', 'bgv-add-b', 'bgv-product', 'ckks-deep'],
    more: [
      { ...common, column: 'spread', values: time, programs: ['variance', 'sum'], low: 0, high: 4000 },
      { ...common, column: 'age_p', values: age, programs: ['dot', 'covariance'], low: 0, high: 120 },
      { ...common, column: 'time_p', values: time, programs: ['dot', 'covariance'], low: 0, high: 4000 },
      { ...common, column: 'wide', values: wide, programs: ['sum'], low: LEAST, high: MOST },
      {
        ...common,
        column: 'arm',
        values: arm,
        programs: ['histogram', 'countEqual'],
        low: 0,
        high: 2,
        categories: [0, 1, 2],
      },
      { ...common, column: 'z1', values: age.map(scoreOfAge), programs: ['logistic'], low: -2, high: 2 },
      { ...common, column: 'z2', values: time.map(scoreOfTime), programs: ['logistic'], low: -2, high: 2 },
    ],
  });
});
after(async () => {
  await clinic[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

function scoreOfAge(value: number): number {
  return (value - 60) / 30;
}
function scoreOfTime(value: number): number {
  return (value - 1700) / 1300;
}

interface Row {
  readonly name: string;
  readonly group: string | null;
  readonly value: number;
  readonly exact: string | null;
  readonly error_bound: number;
}

async function answered(...args: Parameters<typeof program>): Promise<readonly Row[]> {
  const outcome = await clinic.acme.jobs.run(program(...args));
  assert.ok(
    outcome.kind === 'released',
    outcome.kind === 'refused' ? JSON.stringify([outcome.reasons, clinic.refusals]) : '',
  );
  return outcome.table.toArray().map((row) => (row as { toJSON(): Row }).toJSON());
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
const isNear = (got: number | undefined, wanted: number): void =>
  assert.ok(Math.abs((got ?? Number.NaN) - wanted) <= 1e-9 * Math.abs(wanted), `${got} is not ${wanted}`);

test('variance of population and of a sample equal those of the plaintext', async () => {
  const middle = mean(time);
  const squares = time.reduce((sum, value) => sum + (value - middle) ** 2, 0);
  isNear((await answered('variance', ['spread']))[0]?.value, squares / rows);
  isNear((await answered('variance', ['spread'], { parameters: { sample: 1 } }))[0]?.value, squares / (rows - 1));
});

test('a dot product is exact, and a covariance equals that of the plaintext', async () => {
  const product = age.reduce((sum, value, i) => sum + value * (time[i] ?? 0), 0);
  const [dot] = await answered('dot', ['age_p', 'time_p']);
  assert.equal(dot?.exact, String(product));
  const [covariance] = await answered('covariance', ['age_p', 'time_p']);
  isNear(covariance?.value, product / rows - mean(age) * mean(time));
});

test('a sum of 64-bit integers at both ends of their range is exact to the last digit', async () => {
  const [sum] = await answered('sum', ['wide']);
  assert.equal(sum?.exact, String(wide.reduce((a, b) => a + b, 0n)));
});

test('what a program does to ciphertext is metered, as its plan tells it', async () => {
  const taken = async (...args: Parameters<typeof program>): Promise<bigint | undefined> => {
    const outcome = await clinic.acme.jobs.run(program(...args));
    return outcome.kind === 'released' ? outcome.job.meter?.ciphertextOperations : undefined;
  };
  const billed = async (): Promise<bigint> =>
    (await clinic.acme.meters.report({})).lines.reduce((sum, line) => sum + line.ciphertextOperations, 0n);
  const before = await billed();
  const [narrow = 0n, wider = 0n] = [await taken('sum', ['spread']), await taken('sum', ['wide'])];
  assert.ok(narrow > 0n && wider > narrow, `a 64-bit sum takes blocks under more moduli: ${narrow}, ${wider}`);
  assert.equal(await billed(), before + narrow + wider);
});

test('a histogram and a count where equal are exact', async () => {
  const counts = ARMS.map((_, index) => String(arm.filter((code) => code === index).length));
  const histogram = await answered('histogram', ['arm']);
  assert.deepEqual(
    histogram.map(({ group, exact }) => [group, exact]),
    counts.map((count, index) => [String(index), count]),
  );
  const [one] = await answered('countEqual', ['arm'], { parameters: { value: 2 } });
  assert.equal(one?.exact, counts[2]);
});

test('a logistic score lies within its printed bound of the declared polynomial on plaintext', async () => {
  const [score] = await answered('logistic', ['z1', 'z2'], { weights: WEIGHTS, parameters: { ...CUBIC, range: 8 } });
  const polynomial = (x: number): number => CUBIC.c0 + CUBIC.c1 * x + CUBIC.c2 * x * x + CUBIC.c3 * x * x * x;
  const truth = mean(
    age.map((years, i) =>
      polynomial((WEIGHTS[0] ?? 0) * scoreOfAge(years) + (WEIGHTS[1] ?? 0) * scoreOfTime(time[i] ?? 0)),
    ),
  );
  const bound = score?.error_bound ?? 0;
  assert.ok(bound > 0 && bound < 1e-2, `the bound is ${bound}`);
  assert.ok(Math.abs((score?.value ?? 0) - truth) <= bound, `${score?.value} ${truth} ±${bound}`);
});

test('what could overflow or leave the declared range is refused before anything runs', async () => {
  for (const [name, columns, more] of [
    ['linear', ['time', 'age'], { weights: [1e9, 1e9], parameters: { weightDecimals: 6 } }],
    ['logistic', ['z1', 'z2'], { weights: [1000, 1000], parameters: { ...CUBIC, range: 8 } }],
    ['dot', ['time', 'age'], {}],
    ['countEqual', ['arm'], { parameters: { value: 7 } }],
  ] as const) {
    const outcome = await clinic.acme.jobs.run(program(name, columns, more));
    assert.ok(outcome.kind === 'refused', name);
    assert.match(outcome.reasons[0]?.code ?? '', /^(no-parameters|bad-program|out-of-range)$/, name);
  }
});
