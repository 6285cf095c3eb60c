/**
 * `accounts JOIN (SELECT region, sum(staff) AS staff FROM branches GROUP BY region) r USING (region)`: an aggregate of public
 * tables beside private rows, as a public table of one row for each value of the column by which it is grouped.
 *
 * Argument. It is made of public tables alone, so who asks could bring the same labels by CASE over their columns. Joined on
 * that column, which is one of a public table as it stands, each row finds at most one partner: nothing is repeated, so
 * nobody is counted with a weight of their own, and whom it leaves out is counted as with every public table. Its other
 * columns are chosen by who asks: they are group keys and conditions, and never added up over private rows.
 */
import type { CatalogueTable, ColumnFacts } from '../catalogue.ts';
import { baseColumn } from '../rows.ts';
import { refuse, type Place } from '../refusal.ts';
import type { From, SourceNeeds } from './sources.ts';
import type { ReleasedRelation } from './state.ts';

const ONE_ROW: ColumnFacts = { isComplete: false, low: null, high: null, mostRepeats: 1 };

/** The table; null where it is not known to have one row for each value of a public column. */
export function derivedTable(relation: ReleasedRelation, name: string): CatalogueTable | null {
  if (relation.oneRowFor === undefined || relation.domains.length > 0) return null;
  return {
    dataset: '',
    names: [name],
    physical: `(${relation.select})`,
    isPublic: true,
    isDerived: true,
    columns: relation.columns.map(({ name: label, type }, index) => ({
      name: `o${index}`,
      label,
      type,
      grants: [],
      ...(index === relation.oneRowFor ? { facts: ONE_ROW } : {}),
    })),
    units: [],
    joins: 'allowed',
    rowCount: BigInt(Number.MAX_SAFE_INTEGER),
  };
}

export function fromDerived(
  table: CatalogueTable,
  { name, renamed, at }: { readonly name: string; readonly renamed: readonly string[]; readonly at: Place },
  needs: SourceNeeds,
): From {
  if (renamed.length > table.columns.length) refuse('wrong-arguments', 'more column names than columns', at);
  const relation = needs.state.nextRelation++;
  const columns = table.columns.map((column, index) => ({
    name: renamed[index] ?? column.label ?? column.name,
    role: 'key' as const,
    expression: baseColumn({ relation, table, column }, at),
  }));
  return {
    visible: [{ names: [name], columns }],
    scope: { bases: [{ relation, table, leftOn: null, at }], equalities: [], predicates: [] },
    released: [],
    merged: [],
  };
}
