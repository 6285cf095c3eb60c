/** HAVING, ORDER BY, LIMIT and calculations of the consumer over a noisy table: post-processing, in the gateway. */
import { aggregateName, type Computed, keyName } from '../query/differential/answer.ts';
import type { DifferentialQuery } from '../query/differential/compile.ts';
import { compared, evaluate, type Value } from '../query/differential/evaluate.ts';
import type { OutputColumn } from '../release/candidate.ts';
import { batchFromRows, type Cell } from '../release/column-values.ts';
import type { ColumnBatch, ColumnType } from '../release/columns.ts';
import { type CellAccuracy, noisedCandidate, type NoisedNames, noisedOutputs } from '../release/noised-table.ts';
import type { NoisedRelease, NoisedRow } from '../release/release-noised.ts';

/** The columns of the answer, in the order of the select list. */
export function answerColumns(query: DifferentialQuery, names: NoisedNames): readonly OutputColumn[] {
  const natural = noisedOutputs(names);
  return placesOf(query, names).map((place) => {
    if ('computed' in place) {
      const { name, family } = place;
      return { name, type: COMPUTED[family], nullable: true, role: 'derived' };
    }
    const column = natural[place.natural];
    if (column === undefined) throw new Error('an output names a column that is not there');
    return column;
  });
}

/** The answer's one batch, and how good its noisy cells are. */
export function presentNoisy(
  query: DifferentialQuery,
  release: NoisedRelease,
  names: NoisedNames,
): { readonly batch: ColumnBatch; readonly accuracy: readonly CellAccuracy[] } {
  const rows = arranged(query, release.rows, names);
  const { candidate, accuracy } = noisedCandidate({ ...release, rows }, names, { microEpsilon: 0, delta: 0 });
  const [natural] = candidate.batches;
  if (natural === undefined) throw new Error('a noisy table has one batch');
  const places = placesOf(query, names);
  const columns = places.map((place) => {
    if ('natural' in place) return natural.columns[place.natural];
    const schema = [{ name: place.name, type: COMPUTED[place.family], nullable: true }];
    const cells = rows.map((row): readonly Cell[] => [
      typed(evaluate(place.computed, released(row, names)), place.family),
    ]);
    return batchFromRows(schema, cells).columns[0];
  });
  const shown = new Set(answerColumns(query, names).map(({ name }) => name));
  return {
    batch: { rowCount: natural.rowCount, columns: columns.filter((column) => column !== undefined) },
    accuracy: accuracy.filter(({ column }) => shown.has(column)),
  };
}

const COMPUTED: Readonly<Record<'number' | 'text' | 'boolean', ColumnType>> = {
  number: { kind: 'float64' },
  text: { kind: 'utf8' },
  boolean: { kind: 'bool' },
};

type Place = { readonly natural: number } | Computed;

/** Where each output stands in the natural table: keys first, then the columns of each aggregate. */
function placesOf(query: DifferentialQuery, names: NoisedNames): readonly Place[] {
  const widths = names.aggregates.map((one) => noisedOutputs({ keys: [], aggregates: [one] }).length);
  const startOf = (aggregate: number): number =>
    names.keys.length + widths.slice(0, aggregate).reduce((sum, width) => sum + width, 0);
  return query.outputs.flatMap((output): readonly Place[] => {
    if ('key' in output) return [{ natural: output.key }];
    if ('computed' in output) return [output];
    const start = startOf(output.aggregate);
    return Array.from({ length: widths[output.aggregate] ?? 0 }, (_, i) => ({ natural: start + i }));
  });
}

function arranged(query: DifferentialQuery, all: readonly NoisedRow[], names: NoisedNames): readonly NoisedRow[] {
  const { having, order, limit, offset } = query;
  const kept = having === null ? all : all.filter((row) => evaluate(having, released(row, names)) === true);
  if (order.length === 0) return limited(kept, limit, offset);
  const ranked = kept.map((row) => ({ row, by: order.map(({ by }) => evaluate(by, released(row, names))) }));
  const sorted = ranked.toSorted((a, b) => {
    for (const [i, { descending, nullsFirst }] of order.entries()) {
      const [x, y] = [a.by[i] ?? null, b.by[i] ?? null];
      if (x === y) continue;
      if (x === null || y === null) return (x === null) === nullsFirst ? -1 : 1;
      const sign = compared(x, y);
      if (sign !== 0) return descending ? -sign : sign;
    }
    return 0;
  });
  return limited(
    sorted.map(({ row }) => row),
    limit,
    offset,
  );
}

function limited<T>(rows: readonly T[], limit: number | null, offset: number): readonly T[] {
  return rows.slice(offset, limit === null ? rows.length : offset + limit);
}

/** Reads keys and noisy cells of one row by the names that the compiler gave them. */
function released(row: NoisedRow, names: NoisedNames): (name: string) => Value {
  return (name) => {
    const index = Number(name.slice(1));
    if (name === keyName(index)) return keyValue(row.key[index] ?? null, names.keys[index]?.type);
    if (name === aggregateName(index)) return row.aggregates[index]?.[0]?.value ?? null;
    throw new Error('an expression names a released column that is not there');
  };
}

function keyValue(cell: Cell, type: ColumnType | undefined): Value {
  if (typeof cell !== 'bigint') return cell;
  return type?.kind === 'decimal128' ? Number(cell) / 10 ** type.scale : Number(cell);
}

function typed(value: Value, family: 'number' | 'text' | 'boolean'): Cell {
  if (value === null) return null;
  if (family === 'number') return typeof value === 'boolean' ? Number(value) : typeof value === 'number' ? value : null;
  return family === 'text' ? String(value) : value === true;
}
