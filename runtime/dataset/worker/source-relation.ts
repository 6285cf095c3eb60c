/** One table to be made: how to select its rows, and what is known beforehand. */
export interface SourceRelation {
  readonly table: string;
  /** What the provider calls the file. */
  readonly label: string;
  /** A SELECT that yields the source columns, in order. */
  readonly query: string;
  /** Source column names exactly as the file has them (the engine would rename duplicates). */
  readonly columns: readonly string[];
  /** Rows that the file says it has; null when it does not say. */
  readonly expectedRows: number | null;
}
