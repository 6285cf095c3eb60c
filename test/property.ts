import { randomInt } from 'node:crypto';
import fc from 'fast-check';

/**
 * fast-check with one seed for every run, so that a suite which passed passes again and a failure is the change's own.
 * `GLOVEBOX_TEST_SEED=N` takes another seed, `GLOVEBOX_TEST_SEED=random` a new one a run (fast-check prints it when a
 * property fails): that is how counterexamples are looked for.
 */
const asked = process.env['GLOVEBOX_TEST_SEED'] ?? '20261122';
if (asked !== 'random') {
  const seed = Number(asked);
  if (!Number.isInteger(seed))
    throw new RangeError(`GLOVEBOX_TEST_SEED is '${asked}': give a whole number, or 'random'`);
  fc.configureGlobal({ seed });
}

/** The same seed for tests that draw for themselves; they print it when they fail. */
export const TEST_SEED = asked === 'random' ? randomInt(2 ** 31) : Number(asked);

export { fc };
