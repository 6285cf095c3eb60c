import { DatasetError } from '../dataset-error.ts';
import { printable } from '../names.ts';

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

/** The refusal of a column type, with what to do about it. */
export function unsupportedType(label: string, column: string, type: string): DatasetError {
  return new DatasetError(
    'unsupported-type',
    `${label}: column \`${printable(column)}\` has the type ${printable(type)}; flatten nested columns, and turn times, intervals and binary into text or numbers first`,
  );
}
