import { findStoredTable } from '../../dataset/catalogue.ts';
import type { DatasetManifest } from '../../dataset/metadata.ts';
import type { UsagePolicy } from '../../policy/model.ts';

export interface Misfit {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** Where a policy speaks of tables and columns that the dataset does not have, or in ways that their types forbid. */
export function fitProblems(policy: UsagePolicy, manifest: DatasetManifest): readonly Misfit[] {
  return policy.tables.flatMap((table) => {
    const path = table.name === null ? [] : ['tables', table.name];
    const stored = findStoredTable(manifest, table);
    if (stored === undefined) {
      const names = manifest.tables.map(({ name }) => `\`${name}\``).join(', ');
      return [
        {
          path: table.name === null ? ['columns'] : path,
          message: `dataset \`${manifest.dataset}\` has the tables ${names}: say which, under \`tables\``,
        },
      ];
    }
    const missing = (column: string): string =>
      `column \`${column}\` is not in table \`${stored.name}\` of dataset \`${manifest.dataset}\``;
    const has = (column: string): boolean => stored.columns.some(({ name }) => name === column);
    const misfits: Misfit[] = table.columns
      .filter(({ name }) => !has(name))
      .map(({ name }) => ({ path: [...path, 'columns', name], message: missing(name) }));
    for (const unit of table.privacyUnits) {
      const [first] = unit.via;
      if (first !== undefined) {
        if (!has(first.from)) misfits.push({ path: [...path, 'privacyUnit'], message: missing(first.from) });
        continue;
      }
      for (const column of unit.columns)
        if (!has(column)) misfits.push({ path: [...path, 'privacyUnit'], message: missing(column) });
    }
    for (const column of table.columns) {
      const kind = stored.columns.find(({ name }) => name === column.name)?.type.kind;
      const isNumber =
        kind === 'integer' || kind === 'decimal' || kind === 'double' || kind === 'float' || kind === 'boolean';
      if (kind !== undefined && !isNumber && column.grants.some(({ bounds }) => bounds !== null)) {
        misfits.push({
          path: [...path, 'columns', column.name, 'bounds'],
          message: `column \`${column.name}\` holds ${kind}, which has no numeric bounds`,
        });
      }
    }
    return misfits;
  });
}
