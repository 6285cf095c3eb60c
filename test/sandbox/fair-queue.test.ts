import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { FairQueue } from '../../runtime/sandbox/fair-queue.ts';

interface Item {
  readonly party: string;
  readonly id: number;
}

test('a party is never more than one turn ahead of another that waits', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 40 }), (parties) => {
      const queue = new FairQueue<Item>();
      for (const [id, party] of parties.entries()) queue.add({ party, id });
      const served = new Map<string, number>();
      const left = new Map<string, number>();
      for (const party of parties) left.set(party, (left.get(party) ?? 0) + 1);
      while (queue.size > 0) {
        const next = queue.inTurn(() => 0)[0]!;
        assert.ok(queue.remove(next, { wasServed: true }));
        served.set(next.party, (served.get(next.party) ?? 0) + 1);
        left.set(next.party, left.get(next.party)! - 1);
        const waiting = [...left].filter(([, count]) => count > 0).map(([party]) => served.get(party) ?? 0);
        for (const count of waiting) assert.ok(served.get(next.party)! - count <= 1);
      }
    }),
  );
});

test('within a party the order is kept, and whoever holds less goes first', () => {
  const queue = new FairQueue<Item>();
  for (const [id, party] of ['a', 'a', 'b'].entries()) queue.add({ party, id });
  const held = new Map([['a', 2]]);
  assert.deepEqual(
    queue.inTurn((party) => held.get(party) ?? 0).map(({ id }) => id),
    [2, 0, 1],
  );
});

test('an item can leave the line once', () => {
  const queue = new FairQueue<Item>();
  const item = { party: 'a', id: 1 };
  queue.add(item);
  assert.equal(queue.remove(item), true);
  assert.equal(queue.remove(item), false);
  assert.equal(queue.size, 0);
});
