import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EVERYBODY, randomPractice, spelling } from './joined-world.ts';
import { Choice } from './grammar.ts';
import { isolatedIn, plainly, type Shown, shown, withoutEach } from './leave-one-out.ts';
import { OpenWorld } from './world.ts';

/** The long form: GLOVEBOX_FUZZ=500 GLOVEBOX_FUZZ_SEED=7 node --test test/query/redteam/joined.test.ts */
const COUNT = Number(process.env['GLOVEBOX_FUZZ'] ?? 12);
const SEED = Number(process.env['GLOVEBOX_FUZZ_SEED'] ?? 1);
const KEYS: readonly (string | null)[] = [null, 'sex', 'age'];

describe(`totals that joins and sub-queries spell, seed ${SEED}`, () => {
  it('are what the engine says, wherever they are shown', async () => {
    const choice = new Choice(SEED);
    const world = await OpenWorld.open(randomPractice(choice, false), { minUnits: 1 });
    const wrong: string[] = [];
    let same = 0;
    for (let i = 0; i < 6 * COUNT; i++) {
      const sql = spelling(choice, choice.of(KEYS));
      const answer = shown(await world.ask(sql));
      if (answer === null) continue;
      const plain = new Map((await plainly(world, sql)).rows.map((row) => [String(row.at(-2)), row.at(-1) ?? null]));
      for (const row of answer.rows) {
        const [ours, theirs] = [row.at(-1) ?? null, plain.get(String(row.at(-2))) ?? null];
        if (ours === null) continue;
        if (theirs !== null && Number(ours) === Number(theirs)) same++;
        else wrong.push(`${sql}: ${row.join(' | ')}, not ${theirs}`);
      }
    }
    await world.close();
    assert.deepEqual(wrong, []);
    assert.ok(same > 6 * COUNT, String(same));
  });

  for (const strays of [false, true])
    it(`do not subtract to few people under the guard, ${strays ? 'with' : 'without'} rows of nobody`, async () => {
      const choice = new Choice(SEED + 1000 + Number(strays));
      const world = await OpenWorld.open(randomPractice(choice, strays));
      const games: { readonly sql: string; readonly answer: Shown }[][] = [];
      for (let game = 0; game < COUNT; game++) {
        world.forget();
        const key = choice.of(KEYS);
        const released: { readonly sql: string; readonly answer: Shown }[] = [];
        // Differences of two answers; three or more are not promised.
        for (let i = 0; i < 2; i++) {
          const sql = spelling(choice, key);
          const answer = shown(await world.ask(sql, { differencingGuard: true }));
          if (answer !== null) released.push({ sql, answer });
        }
        games.push(released);
      }
      const asked = [...new Set(games.flat().map(({ sql }) => sql))];
      const without = (await withoutEach(world, asked, EVERYBODY)).map(
        (answers) => new Map([...answers].map(([sql, answer]) => [sql, withZeros(answer)])),
      );
      await world.close();
      const leaks = games.flatMap((released) => {
        const leak = isolatedIn(released, without, EVERYBODY, 3);
        return leak === null
          ? []
          : [`about ${leak.about.join()}: ${leak.cells.join(' ')} in ${JSON.stringify(released)}`];
      });
      assert.deepEqual(leaks, []);
      assert.ok(asked.length > COUNT, `${asked.length} answered`);
    });
});

/** A sum of nothing is a change by all of it. */
function withZeros({ names, rows }: Shown): Shown {
  return { names, rows: rows.map((row) => row.map((cell, i) => (cell === null && names[i] === 'a0' ? '0' : cell))) };
}
