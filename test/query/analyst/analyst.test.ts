import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { linesOf, plainLinesOf } from '../redteam/lines.ts';
import { OpenWorld } from '../redteam/world.ts';
import { CLINICAL, SHOP } from './queries.ts';
import { CLINIC, SALES } from './worlds.ts';

const DIGITS = 10;

/** Names that only the catalogue knows, as the engine calls the table. */
const ENGINE_NAMES: readonly (readonly [string, string])[] = [
  ['clinical.colon', 'colon'],
  ['shop.main.sales', 'sales'],
];

for (const [world, groups] of [
  [CLINIC, CLINICAL],
  [SALES, SHOP],
] as const) {
  describe(`an analyst of ${world.name}`, async () => {
    const open = await OpenWorld.open(world);
    after(() => open.close());
    for (const [group, queries] of Object.entries(groups)) {
      for (const sql of queries) {
        it(`gets what the engine says (${group}): ${sql}`, async () => {
          const seen = await open.ask(sql);
          assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
          if (seen.kind !== 'answer') return;
          const plain = ENGINE_NAMES.reduce((text, [ours, theirs]) => text.replaceAll(ours, theirs), sql);
          const expected = plainLinesOf((await open.plain(plain)).rows, DIGITS);
          const got = linesOf(seen, DIGITS);
          const isOrdered = sql.includes('ORDER BY') && !sql.includes('OVER (');
          assert.deepEqual(isOrdered ? got : got.toSorted(), isOrdered ? expected : expected.toSorted());
          assert.ok(got.length > 0);
        });
      }
    }
  });
}
