import type { QueryColumn } from './query.ts';

/** What a consumer has to know to encrypt a query that fits a dataset: public facts, nothing about values. */
export interface QueryFacts {
  /** Rows to encrypt for: at least as many as there are, rounded up so that nobody learns how many. */
  readonly rows: number;
  readonly columns: readonly QueryColumn[];
}

/** The facts as one line of JSON that a refusal can carry to any client. */
export function queryFactsText({ rows, columns }: QueryFacts): string {
  return JSON.stringify({
    rows,
    columns: columns.map(({ column, decimals, low, high }) => ({ column, decimals, low: `${low}`, high: `${high}` })),
  });
}

/** Finds the facts in a text; null when there are none. The runtime is not trusted to be well-formed. */
export function parseQueryFacts(text: string): QueryFacts | null {
  const from = text.indexOf('{"rows":');
  if (from < 0) return null;
  let value: unknown;
  try {
    value = JSON.parse(text.slice(from));
  } catch {
    return null;
  }
  const { rows, columns } = value as { readonly rows: unknown; readonly columns: unknown };
  if (typeof rows !== 'number' || !Number.isSafeInteger(rows) || rows < 1 || !Array.isArray(columns)) return null;
  const found: QueryColumn[] = [];
  for (const one of columns as unknown[]) {
    const { column, decimals, low, high } = (one ?? {}) as Record<string, unknown>;
    const isWhole = (bound: unknown): bound is string => typeof bound === 'string' && /^-?\d{1,19}$/.test(bound);
    if (typeof column !== 'string' || typeof decimals !== 'number' || !isWhole(low) || !isWhole(high)) return null;
    if (!Number.isInteger(decimals) || decimals < 0 || decimals > 18) return null;
    found.push({ column, decimals, low: BigInt(low), high: BigInt(high) });
  }
  return found.length === 0 ? null : { rows, columns: found };
}
