import type { Registered } from '../../dataset/ingest.ts';
import { publicRows } from '../../metering/public-figures.ts';
import type { TablePolicy, UsagePolicy } from '../../policy/model.ts';
import type { DatasetBody, KeyFigures } from '../records.ts';

/** Figures of a registration; only what is coarse is kept beside the dataset. */
export function keyFiguresOf({
  manifest,
  statistics,
}: Pick<Registered, 'manifest' | 'statistics'>): readonly KeyFigures[] {
  return manifest.tables.map(({ name, rowCount }) => ({
    table: name,
    rows: publicRows(rowCount, null),
    values: Object.fromEntries(
      (statistics.find(({ table }) => table === name)?.columns ?? []).map(({ column, distinct }) => [
        column,
        publicRows(Math.round(distinct), null),
      ]),
    ),
  }));
}

/**
 * About how many privacy units a dataset holds under a policy, as everybody may know it: the largest figure of its
 * tables, since the tables of a dataset mostly tell of the same units. 0 when nothing is known, or nobody is protected.
 */
export function unitsOf(body: DatasetBody | undefined, policy: UsagePolicy): number {
  if (body?.encrypted !== undefined) return publicRows(body.encrypted.units, null);
  const figures = body?.keyFigures ?? [];
  return policy.tables
    .filter(({ isPublic }) => !isPublic)
    .reduce((most, table) => Math.max(most, unitsOfTable(figures, table)), 0);
}

function unitsOfTable(figures: readonly KeyFigures[], { name, privacyUnits }: TablePolicy): number {
  return privacyUnits.reduce((most, { columns, via }) => {
    const place = via.at(-1)?.table ?? name;
    const found =
      figures.find(({ table }) => table === place) ?? (place === null && figures.length === 1 ? figures[0] : undefined);
    if (found === undefined) return most;
    // The row is the unit; of several columns there are at least as many units as values of the richest.
    const units = columns.length === 0 ? found.rows : Math.max(...columns.map((one) => found.values[one] ?? 0));
    return Math.max(most, units);
  }, 0);
}
