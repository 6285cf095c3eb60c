import assert from 'node:assert/strict';
import { it } from 'node:test';
import { OpenWorld } from './redteam/world.ts';
import { TPCH } from './redteam/worlds.ts';

it('what is calculated outside of a maximum has the type that it is cast to', async () => {
  const world = await OpenWorld.open(TPCH);
  try {
    const seen = await world.ask('SELECT max(o_total::DOUBLE), min(CAST(o_total AS FLOAT)), max(o_total) FROM orders');
    assert.ok(seen.kind === 'answer');
    const kinds = seen.types.map((type) => (JSON.parse(type) as { kind: string }).kind);
    assert.deepEqual(kinds, ['float64', 'float64', 'decimal128']);
  } finally {
    await world.close();
  }
});
