// `node benchmarks/kills.ts [ROUNDS] [SEED]`: kills a gateway at random instants while consumers and a provider work with
// it, and compares what it says after each start with all that anyone was told before. Fails at the first promise that
// was broken; 50 rounds by default, not part of the tests.
import { runKillRounds } from '../test/faults/kill-rounds.ts';

const rounds = Number(process.argv[2] ?? 50);
const seed = Number(process.argv[3] ?? Date.now() % 2 ** 31);
const begun = performance.now();
await runKillRounds({
  rounds,
  seed,
  mostMs: 1500,
  onRound: (round) => void process.stdout.write(`${JSON.stringify(round)}\n`),
});
const seconds = Math.round((performance.now() - begun) / 1000);
process.stdout.write(`${rounds} rounds of seed ${seed} in ${seconds} s: every promise was kept\n`);
