import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { linesOf, plainLinesOf } from '../redteam/lines.ts';
import { OpenWorld } from '../redteam/world.ts';
import { BANK_ASKS, CITY_ASKS, FACTORY_ASKS, HOSPITAL_ASKS } from './questions.ts';
import { BANK, CITY, FACTORY, HOSPITAL } from './worlds.ts';

const DIGITS = 9;

for (const [world, questions] of [
  [HOSPITAL, HOSPITAL_ASKS],
  [BANK, BANK_ASKS],
  [FACTORY, FACTORY_ASKS],
  [CITY, CITY_ASKS],
] as const) {
  describe(`an analyst of a ${world.name} asks as analysts do`, async () => {
    const open = await OpenWorld.open(world);
    after(() => open.close());
    for (const sql of questions) {
      it(`and gets what the engine says: ${sql}`, async () => {
        const seen = await open.ask(sql);
        assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? `${seen.code}: ${seen.message}` : '');
        if (seen.kind !== 'answer') return;
        const expected = plainLinesOf((await open.plain(sql)).rows, DIGITS);
        const got = linesOf(seen, DIGITS);
        assert.deepEqual(got.toSorted(), expected.toSorted());
        assert.ok(got.length > 0);
      });
    }
  });
}
