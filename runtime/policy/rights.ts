import type { ColumnGrant, ColumnPolicy } from './model.ts';

/** The grants on a column that hold for this party; empty means the column cannot be used. */
export function grantsFor(column: ColumnPolicy, party: string, groups: readonly string[]): readonly ColumnGrant[] {
  return column.grants.filter(
    ({ consumers }) =>
      consumers === null ||
      consumers.some(
        (one) => one === party || (one.startsWith('group:') && groups.includes(one.slice('group:'.length))),
      ),
  );
}
