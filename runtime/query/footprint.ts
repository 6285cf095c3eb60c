/** What a query touches; goes into the decision and the evidence. */
export interface Footprint {
  readonly datasets: readonly string[];
  readonly columns: readonly ColumnUse[];
  readonly functions: readonly string[];
}

export interface ColumnUse {
  readonly dataset: string;
  readonly table: string;
  readonly column: string;
  /** Rights and aggregate functions that the query needed, e.g. `filter`, `group`, `sum`. */
  readonly uses: readonly string[];
}
