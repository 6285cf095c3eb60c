import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { linesOf, plainLinesOf } from '../redteam/lines.ts';
import { OpenWorld } from '../redteam/world.ts';
import { CLINIC } from '../analyst/worlds.ts';

describe('functions that say a condition', async () => {
  const world = await OpenWorld.open({
    ...CLINIC,
    policy: CLINIC.policy.replace('nodes:    { rights: [filter,', 'nodes:    { rights: [group, filter,'),
  });
  after(() => world.close());

  for (const sql of [
    'SELECT avg(nullif(nodes, 1)), sum(nullif(nodes, 2)) FROM colon',
    'SELECT sum(abs(nodes - 3)), avg(abs(nodes - 3)) FROM colon',
    'SELECT sum(greatest(nodes, 2)), avg(greatest(nodes, 2)), avg(least(4, nodes)) FROM colon',
  ])
    it(`are answered as the engine answers them: ${sql}`, async () => {
      const seen = await world.ask(sql);
      assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
      if (seen.kind !== 'answer') return;
      assert.deepEqual(linesOf(seen, 9).toSorted(), plainLinesOf((await world.plain(sql)).rows, 9).toSorted());
    });

  it('need the right that the condition needs: `abs` of a difference and `nullif` of a column without `filter` are refused', async () => {
    for (const sql of ['SELECT sum(abs(albumin - 3)) FROM pbcseq', 'SELECT avg(nullif(albumin, 3.5)) FROM pbcseq']) {
      const seen = await world.ask(sql);
      assert.equal(seen.kind, 'denied', sql);
      assert.match(seen.kind === 'denied' ? seen.message : '', /`filter`/);
    }
  });

  it('tell nothing of a few: a value that few have is withheld, as with CASE', async () => {
    const seen = await world.ask('SELECT avg(nullif(nodes, 33)), sum(greatest(nodes, 32)) FROM colon');
    assert.equal(seen.kind, 'answer', seen.kind === 'denied' ? seen.message : '');
    if (seen.kind === 'answer') assert.deepEqual(linesOf(seen, 9), ['NULL | NULL']);
  });
});
