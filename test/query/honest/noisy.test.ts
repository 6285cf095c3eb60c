/**
 * Honest questions under noise. With so much budget that the noise is nothing, each is answered as the engine answers it;
 * with a budget as policies grant it, the engine's answer lies in the interval that is printed beside the noisy one at
 * least as often as the interval says. All draws are seeded.
 */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Cell } from '../../../runtime/release/column-values.ts';
import { linesOf, plainLinesOf } from '../redteam/lines.ts';
import {
  NOISY_BANK_ASKS,
  NOISY_CITY_ASKS,
  NOISY_FACTORY_ASKS,
  NOISY_HOSPITAL_ASKS,
  type NoisyAsk,
} from './noisy-questions.ts';
import { type NoisySeen, NoisyWorld, seeded } from './noisy-world.ts';
import { NOISY_BANK, NOISY_CITY, NOISY_FACTORY, NOISY_HOSPITAL } from './noisy-worlds.ts';

/** So much budget that the noise is 0. */
const LAVISH = { microEpsilonPerJob: 1e12 };
/** Measures are whole numbers of steps, so the last digits may differ. */
const DIGITS = 4;
const DRAWS = 12;

type Answer = NoisySeen & { kind: 'answer' };

/** Rows by their keys. */
function byKey(lines: readonly string[], keys: number): ReadonlyMap<string, readonly string[]> {
  const rows = lines.map((line) => line.split(' | '));
  return new Map(rows.map((row) => [row.slice(0, keys).join(' | '), row.slice(keys)]));
}

const asNumber = (text: string | undefined): number =>
  text === undefined ? 0 : text === 'NULL' ? Number.NaN : Number(text);

/** How many of the printed intervals hold what the engine says, of how many. */
function held(seen: Answer, truth: ReadonlyMap<string, readonly string[]>, keys: number): readonly [number, number] {
  const lines = linesOf({ ...seen, withheld: null }, 12).map((line) => line.split(' | '));
  let [hits, all] = [0, 0];
  for (const { column, cells } of seen.errors) {
    const index = seen.names.indexOf(column);
    for (const [row, line] of lines.entries()) {
      const [low, high] = [cells?.low[row] ?? Number.NaN, cells?.high[row] ?? Number.NaN];
      // A key that is declared and has no rows counts nobody.
      const value = asNumber(truth.get(line.slice(0, keys).join(' | '))?.[index - keys] ?? '0');
      if (Number.isNaN(low) || Number.isNaN(value)) continue;
      const slack = Math.abs(value) * 1e-4;
      all += 1;
      if (value >= low - slack && value <= high + slack) hits += 1;
    }
  }
  return [hits, all];
}

for (const [world, questions] of [
  [NOISY_HOSPITAL, NOISY_HOSPITAL_ASKS],
  [NOISY_BANK, NOISY_BANK_ASKS],
  [NOISY_FACTORY, NOISY_FACTORY_ASKS],
  [NOISY_CITY, NOISY_CITY_ASKS],
] as const) {
  describe(`an analyst of a ${world.name} asks under noise`, async () => {
    const open = await NoisyWorld.open(world);
    after(() => open.close());
    const answer = async (sql: string, ...more: [number, typeof LAVISH?]): Promise<Answer> => {
      const [seed, terms] = more;
      const seen = await open.ask(sql, seeded(seed), terms);
      assert.ok(seen.kind === 'answer', seen.kind === 'denied' ? `${seen.code}: ${seen.message}` : 'failed');
      return seen;
    };
    const total = { hits: 0, all: 0 };
    for (const [number, one] of questions.entries()) {
      const { sql, keys } = one;
      it(`and gets what the engine says within the printed interval: ${sql}`, async () => {
        const plain = plainLinesOf(await open.plain(sql), 12);
        if (one.isNear === undefined) checkExact(await answer(sql, 0, LAVISH), await open.plain(sql), one);
        const truth = byKey(plain, keys);
        let [hits, all] = [0, 0];
        for (let draw = 0; draw < DRAWS; draw += 1) {
          const seen = await answer(sql, number * DRAWS + draw);
          const [inside, told] = held(seen, truth, keys);
          hits += inside;
          all += told;
        }
        // Four standard deviations below what the interval promises.
        assert.ok(hits >= 0.95 * all - 4 * Math.sqrt(all * 0.05 * 0.95), `${hits} of ${all} intervals hold the answer`);
        total.hits += hits;
        total.all += all;
      });
    }
    it('and all intervals together hold it as often as they say', () => {
      assert.ok(total.all > 200);
      assert.ok(total.hits >= 0.95 * total.all, `${total.hits} of ${total.all}`);
    });
  });
}

/** Without noise every row is the engine's; a declared key without rows counts nobody. */
function checkExact(seen: Answer, plain: readonly (readonly unknown[])[], { sql, keys }: NoisyAsk): void {
  const expected = byKey(plainLinesOf(plain, DIGITS), keys);
  const got = byKey(linesOf({ ...seen, withheld: null }, DIGITS), keys);
  assert.ok(got.size > 0 && got.size >= expected.size * 0.9, sql);
  for (const [key, cells] of got) {
    const wanted = expected.get(key) ?? cells.map((): Cell => '0');
    assert.deepEqual(cells, wanted, `${sql}: ${key}`);
  }
}
