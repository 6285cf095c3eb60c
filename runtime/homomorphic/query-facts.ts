import type { QueryColumn } from './query.ts';

/** What a consumer has to know to encrypt a query that fits a dataset: public facts, nothing about values. */
export interface QueryFacts {
  /** Rows to encrypt for: at least as many as there are, rounded up so that nobody learns how many. */
  readonly rows: number;
  readonly columns: readonly QueryColumn[];
}

const MAX_COLUMNS = 256;
const MAX_NAME_LENGTH = 128;

/** The facts for people, one line. */
export function queryFactsInWords({ rows, columns }: QueryFacts): string {
  const each = columns.map(({ column, decimals, low, high }) => {
    const digits = decimals === 0 ? '' : `, ${decimals} decimals`;
    return `\`${column}\` (whole numbers from ${low} to ${high}${digits})`;
  });
  return `${rows} rows of ${each.join(', ')}`;
}

/** The facts as a runtime tells them; null when there are none or they make no sense: it is not trusted to be well-formed. */
export function queryFactsOf(
  told: { readonly rows: bigint; readonly columns: readonly QueryColumn[] } | null,
): QueryFacts | null {
  if (told === null || told.columns.length === 0 || told.columns.length > MAX_COLUMNS) return null;
  if (told.rows < 1n || told.rows > BigInt(Number.MAX_SAFE_INTEGER)) return null;
  const isWhole = told.columns.every(
    ({ column, decimals, low, high }) =>
      column !== '' && column.length <= MAX_NAME_LENGTH && decimals >= 0 && decimals <= 18 && low <= high,
  );
  if (!isWhole) return null;
  return { rows: Number(told.rows), columns: told.columns };
}
