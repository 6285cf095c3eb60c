import type { Cell } from '../../../runtime/release/column-values.ts';
import type { Seen } from './world.ts';

/** An answer's rows as the engine would show them, numbers with so many significant digits. */
export function linesOf(seen: Seen & { kind: 'answer' }, digits: number): string[] {
  return seen.rows.map((row) => row.map((cell, i) => shown(typed(cell, seen.types[i] ?? '{}'), digits)).join(' | '));
}

/** The engine's own rows in the same form. */
export function plainLinesOf(rows: readonly (readonly unknown[])[], digits: number): string[] {
  return rows.map((row) => row.map((value) => shown(value, digits)).join(' | '));
}

/** A released cell as the value that the engine would give. */
function typed(cell: Cell, type: string): unknown {
  const { kind, scale } = JSON.parse(type) as { kind: string; scale?: number };
  if (cell === null) return null;
  if (kind === 'date32') return new Date(Number(cell) * 86_400_000).toISOString().slice(0, 10);
  if (kind === 'timestampMicros') return new Date(Number(cell) / 1000).toISOString().replace('T', ' ').slice(0, 19);
  return kind === 'decimal128' ? Number(cell) / 10 ** (scale ?? 0) : cell;
}

function shown(value: unknown, digits: number): string {
  if (value === null || value === undefined) return 'NULL';
  const text = (value as { toString(): string }).toString();
  if (/^-?\d+(\.\d+)?(e[-+]\d+)?$/.test(text)) return Number(Number(text).toPrecision(digits)).toString();
  return text.replace(/ 00:00:00$/, '');
}
