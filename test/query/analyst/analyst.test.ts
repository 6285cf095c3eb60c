import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { Cell } from '../../../runtime/release/column-values.ts';
import { OpenWorld, type Seen } from '../redteam/world.ts';
import { CLINICAL, SHOP } from './queries.ts';
import { CLINIC, SALES } from './worlds.ts';

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
          const expected = (await open.plain(plain)).rows.map((row) => row.map(shown).join(' | '));
          const got = linesOf(seen);
          const isOrdered = sql.includes('ORDER BY') && !sql.includes('OVER (');
          assert.deepEqual(isOrdered ? got : got.toSorted(), isOrdered ? expected : expected.toSorted());
          assert.ok(got.length > 0);
        });
      }
    }
  });
}

function linesOf(seen: Seen & { kind: 'answer' }): string[] {
  return seen.rows.map((row) => row.map((cell, i) => typed(cell, seen.types[i] ?? '{}')).join(' | '));
}

/** A released cell as the engine would show the value. */
function typed(cell: Cell, type: string): string {
  const { kind, scale } = JSON.parse(type) as { kind: string; scale?: number };
  if (cell === null) return shown(null);
  if (kind === 'date32') return new Date(Number(cell) * 86_400_000).toISOString().slice(0, 10);
  if (kind === 'timestampMicros')
    return shown(new Date(Number(cell) / 1000).toISOString().replace('T', ' ').slice(0, 19));
  return shown(kind === 'decimal128' ? Number(cell) / 10 ** (scale ?? 0) : cell);
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  const text = (value as { toString(): string }).toString();
  if (/^-?\d+(\.\d+)?(e[-+]\d+)?$/.test(text)) return Number(Number(text).toPrecision(10)).toString();
  return text.replace(/ 00:00:00$/, '');
}
