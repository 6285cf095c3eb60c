import type { AggregateFunction, ColumnRight, TablePolicy } from '../../policy/model.ts';
import { grantsFor } from '../../policy/rights.ts';

/** A column as a repair may use it: from the policy alone, for one consumer. */
export interface KnownColumn {
  readonly table: string;
  readonly name: string;
  readonly rights: ReadonlySet<ColumnRight>;
  readonly functions: ReadonlySet<AggregateFunction>;
  /** The table protects nobody: its columns may be used for anything. */
  readonly isPublic: boolean;
}

/** The columns that a consumer may use at all. `dataset` names the only table of a dataset that did not name it. */
export function knownColumns(
  dataset: string,
  tables: readonly TablePolicy[],
  asker: { readonly party: string; readonly groups: readonly string[] },
): readonly KnownColumn[] {
  return tables.flatMap((table) =>
    table.columns.flatMap((column): readonly KnownColumn[] => {
      const grants = grantsFor(column, asker.party, asker.groups);
      if (grants.length === 0) return [];
      return [
        {
          table: table.name ?? dataset.split('/').at(-1) ?? dataset,
          name: column.name,
          rights: new Set(grants.flatMap(({ rights }) => rights)),
          functions: new Set(
            grants.flatMap(({ rights, functions }) => (rights.includes('aggregate') ? functions : [])),
          ),
          isPublic: table.isPublic,
        },
      ];
    }),
  );
}
