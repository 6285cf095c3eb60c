import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { runtimeWorld, type RuntimeWorld } from '../gateway/runtime-world.ts';
import { ARMS, homomorphicWorld, program, type HomomorphicWorld } from './homomorphic-world.ts';

let world: RuntimeWorld;
let clinic: HomomorphicWorld;
before(async () => {
  world = await runtimeWorld();
  clinic = await homomorphicWorld(world);
});
after(async () => {
  await clinic[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

interface Row {
  readonly name: string;
  readonly group: string | null;
  readonly value: number;
  readonly exact: string | null;
}

async function answered(...args: Parameters<typeof program>): Promise<readonly Row[]> {
  const outcome = await clinic.acme.jobs.run(program(...args));
  assert.equal(
    outcome.kind,
    'released',
    outcome.kind === 'refused' ? JSON.stringify([outcome.reasons, clinic.refusals]) : '',
  );
  assert.ok(outcome.kind === 'released');
  return outcome.table.toArray().map((row) => (row as { toJSON(): Row }).toJSON());
}

test('a sum over encrypted survival times is exact, and the runtime never had a key', async () => {
  const rows = await answered('sum', ['time']);
  const total = clinic.clinic.time.reduce((a, b) => a + b, 0);
  assert.equal(rows.find(({ name }) => name === 'sum')?.exact, String(total));
  assert.equal(rows.find(({ name }) => name === 'count')?.value, clinic.clinic.time.length);
});

test('means and a weighted score equal those of the plaintext', async () => {
  const { time, age } = clinic.clinic;
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const [first] = await answered('mean', ['age']);
  assert.ok(Math.abs((first?.value ?? 0) - mean(age)) < 1e-9);
  const score = await answered('linear', ['time', 'age'], { weights: [2, -3], parameters: { intercept: 1 } });
  assert.ok(Math.abs((score[0]?.value ?? 0) - (2 * mean(time) - 3 * mean(age) + 1)) < 1e-9);
});

test('sums of treatment groups equal those of the plaintext', async () => {
  const rows = await answered('groupSums', ['time']);
  for (const arm of ARMS) {
    const total = clinic.clinic.time.reduce((sum, time, i) => sum + (clinic.clinic.rx[i] === arm ? time : 0), 0);
    assert.equal(rows.find(({ group, name }) => group === arm && name === 'sum')?.exact, String(total));
  }
});
