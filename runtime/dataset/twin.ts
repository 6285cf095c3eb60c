/**
 * A synthetic stand-in for a dataset: same tables, columns and types, values drawn from nothing but what the policy
 * declares (bounds and listed values), and columns that somebody has noisy counts of from those. It reads no row, so
 * consumers can develop against it for free. Columns are drawn independently of each other.
 */
import type { TablePolicy } from '../policy/model.ts';
import type { SqlType } from '../query/types.ts';
import { columnFromCells, type Cell } from '../release/column-values.ts';
import { unreachable, type ColumnBatch, type Schema } from '../release/columns.ts';
import { storedTableOf } from './catalogue.ts';
import { transportSchema } from './ingest-events.ts';
import type { DatasetManifest, StoredColumn } from './metadata.ts';

export interface TwinTable {
  readonly name: string;
  readonly columns: readonly StoredColumn[];
  readonly schema: Schema;
  readonly batch: ColumnBatch;
}

export interface TwinOptions {
  /** rows of every table: chosen by the caller, never the real number */
  readonly rows: number;
  readonly seed: number;
  /** distinct privacy units to spread the rows over */
  readonly units: number;
  /** Columns that are drawn from noisy counts, by the name of their table; absent: none are. */
  readonly marginals?: ReadonlyMap<string, readonly TwinMarginal[]>;
}

/** How often values, or values of a bin, are drawn for a column; weights are at least 0, and one is above. */
export interface TwinMarginal {
  readonly column: string;
  readonly choices: readonly (Choice & { readonly weight: number })[];
}

/** A value, or the numbers from one end of a bin to the other: the upper one belongs to the last bin alone. */
type Choice = { readonly cell: Cell } | { readonly from: number; readonly to: number; readonly isLast: boolean };

export const DEFAULT_TWIN_OPTIONS: TwinOptions = { rows: 1000, seed: 1, units: 200 };

/** Twins of all tables that the policy names; only granted columns appear. Same arguments, same values. */
export function twinOf(
  manifest: DatasetManifest,
  policies: readonly TablePolicy[],
  options: TwinOptions = DEFAULT_TWIN_OPTIONS,
): readonly TwinTable[] {
  return policies.map((policy, tableIndex): TwinTable => {
    const stored = storedTableOf(manifest, policy);
    const columns = policy.columns.flatMap(({ name }) => stored.columns.filter((column) => column.name === name));
    const unitColumns = new Set(policy.privacyUnits.flatMap((unit) => (unit.via.length === 0 ? unit.columns : [])));
    const schema = transportSchema(columns);
    const data = columns.map((column, i) => {
      const random = generator(options.seed * 1_000_003 + tableIndex * 1009 + i);
      const marginal = options.marginals?.get(stored.name)?.find((one) => one.column === column.name);
      const draw =
        marginal === undefined
          ? drawer(column, policy, unitColumns.has(column.name) ? options.units : null, random)
          : weightedDrawer(column.type, marginal, random);
      const type = schema[i]?.type ?? { kind: 'utf8' as const };
      return columnFromCells(type, Array.from({ length: options.rows }, draw));
    });
    return { name: stored.name, columns, schema, batch: { rowCount: options.rows, columns: data } };
  });
}

type Random = () => number;

/** How to draw one value of a column from what is declared about it. */
function drawer(column: StoredColumn, policy: TablePolicy, units: number | null, random: Random): () => Cell {
  const grants = policy.columns.find(({ name }) => name === column.name)?.grants ?? [];
  const listed = grants.flatMap((grant) => (Array.isArray(grant.values) ? grant.values : []));
  if (listed.length > 0) {
    const literals = listed.map((literal) => (literal.kind === 'number' ? literal.text : String(literal.value)));
    return () => cellOf(column.type, literals[Math.floor(random() * literals.length)] ?? '');
  }
  const bounds = grants.find((grant) => grant.bounds !== null)?.bounds ?? null;
  if (units !== null) return () => numbered(column.type, Math.floor(random() * units));
  if (bounds !== null) return () => between(column.type, bounds.low, bounds.high, random());
  return () => numbered(column.type, Math.floor(random() * 10));
}

/** Draws as often as the weights say. */
function weightedDrawer(type: SqlType, { choices }: TwinMarginal, random: Random): () => Cell {
  let total = 0;
  const upTo = choices.map(({ weight }) => (total += weight));
  return () => {
    const point = random() * total;
    // The first choice that reaches beyond the point; one of weight 0 reaches nowhere.
    let [low, high] = [0, upTo.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((upTo[middle] ?? 0) > point) high = middle;
      else low = middle + 1;
    }
    const choice = choices[low];
    if (choice === undefined) return null;
    return 'cell' in choice ? choice.cell : within(type, choice, random());
  };
}

/** A value of a bin: whole numbers stay below the upper end, but in the last bin. */
function within(type: SqlType, { from, to, isLast }: Exclude<Choice, { cell: Cell }>, share: number): Cell {
  if (type.kind !== 'integer') return between(type, from, to, share);
  const least = Math.ceil(from);
  const most = Math.max(least, isLast ? Math.floor(to) : Math.ceil(to) - 1);
  const whole = Math.max(least, Math.min(most, Math.floor(least * (1 - share) + (most + 1) * share)));
  return between(type, whole, whole, 0);
}

/** A value of the type from a number: `value 3`, 3, day 3. */
function numbered(type: SqlType, n: number): Cell {
  switch (type.kind) {
    case 'boolean':
      return n % 2 === 1;
    case 'text':
      return `value ${n}`;
    case 'date':
      return 18_262 + n;
    case 'timestamp':
    case 'timestampWithZone':
      return BigInt(18_262 + n) * 86_400_000_000n;
    case 'integer':
      return type.bits === 64 || type.bits === 128 || (type.bits === 32 && !type.isSigned) ? BigInt(n) : n % 128;
    case 'decimal':
      return n < 10 ** (type.width - type.scale) ? BigInt(n) * 10n ** BigInt(type.scale) : 0n;
    case 'double':
    case 'float':
      return n;
    case 'interval':
      return null;
    default:
      return unreachable(type);
  }
}

/** A number between two ends, as near to it as the type comes: bounds may be declared beyond what the type can hold. */
function between(type: SqlType, low: number, high: number, share: number): Cell {
  // Not low + (high - low) * share: the difference of two very large bounds is no number.
  const value = low * (1 - share) + high * share;
  if (type.kind === 'decimal') {
    const most = 10n ** BigInt(type.width) - 1n;
    return wholeWithin(Math.round(value * 10 ** type.scale), -most, most);
  }
  if (type.kind === 'integer') {
    const whole = Math.min(Math.max(Math.round(value), Math.ceil(low)), Math.floor(high));
    // 128 bits are carried as a decimal of 38 digits.
    const most = type.bits === 128 ? 10n ** 38n - 2n : 2n ** BigInt(type.isSigned ? type.bits - 1 : type.bits) - 1n;
    const fitting = wholeWithin(whole, type.isSigned ? -most - 1n : 0n, most);
    return type.bits === 64 || type.bits === 128 || (type.bits === 32 && !type.isSigned) ? fitting : Number(fitting);
  }
  return type.kind === 'double' || type.kind === 'float' ? value : numbered(type, Math.floor(share * 10));
}

function wholeWithin(value: number, least: bigint, most: bigint): bigint {
  if (value <= Number(least)) return least;
  return value >= Number(most) ? most : BigInt(value);
}

/** A declared literal as a value of the column; null where it does not fit the type. */
function cellOf(type: SqlType, text: string): Cell {
  if (type.kind === 'text') return text;
  if (type.kind === 'boolean') return text === 'true';
  if (type.kind === 'date') return Math.floor(Date.parse(`${text}T00:00:00Z`) / 86_400_000) || null;
  const value = Number(text);
  return Number.isFinite(value) ? between(type, value, value, 0) : null;
}

/** Mulberry32: a small deterministic generator; nothing secret depends on it. */
function generator(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
