import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { runKillRounds } from './kill-rounds.ts';

// The long form is `node benchmarks/kills.ts 50`.
test('a gateway that is killed at random instants under load keeps every promise it had made', async (t) => {
  const seed = randomInt(2 ** 31);
  t.diagnostic(`seed ${seed}`);
  await runKillRounds({ rounds: 2, seed, mostMs: 300 });
});
