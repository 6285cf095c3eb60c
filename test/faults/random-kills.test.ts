import { test } from 'node:test';
import { TEST_SEED } from '../property.ts';
import { runKillRounds } from './kill-rounds.ts';

// The long form is `node benchmarks/kills.ts 50`.
test('a gateway that is killed at random instants under load keeps every promise it had made', async (t) => {
  const seed = TEST_SEED;
  t.diagnostic(`seed ${seed}`);
  await runKillRounds({ rounds: 2, seed, mostMs: 300 });
});
