/** A CSV file as a relation with checked types. */
import type { DuckDBConnection } from '@duckdb/node-api';
import { DatasetError } from '../dataset-error.ts';
import { quoteName, quoteText } from '../sql-text.ts';
import type { SourceFile } from '../source.ts';
import { scanCsv } from './csv-scan.ts';
import type { SourceRelation } from './source-relation.ts';

/**
 * Types a column can get, most special first, each with the test that all its values must pass. A value passes only
 * when the type keeps everything that its text says: `007` stays text, and so does an integer beyond 64 bits.
 */
const CSV_TYPES: readonly { readonly engineType: string; readonly fits: (column: string) => string }[] = [
  { engineType: 'BOOLEAN', fits: (c) => `lower(${c}) IN ('true', 'false')` },
  { engineType: 'BIGINT', fits: (c) => `CAST(TRY_CAST(${c} AS BIGINT) AS VARCHAR) = ${c}` },
  {
    engineType: 'DOUBLE',
    fits: (c) =>
      `(TRY_CAST(${c} AS DOUBLE) IS NOT NULL AND length(${c}) <= 25 AND regexp_full_match(${c}, '[+-]?(0|[1-9][0-9]{0,15}|(0|[1-9][0-9]*)?\\.[0-9]+|[1-9][0-9]*\\.)([eE][+-]?[0-9]+)?|[+-]?(NaN|nan|inf|Inf|Infinity|infinity)'))`,
  },
  { engineType: 'DATE', fits: (c) => `CAST(TRY_CAST(${c} AS DATE) AS VARCHAR) = ${c}` },
  {
    engineType: 'TIMESTAMP',
    fits: (c) =>
      `(TRY_CAST(${c} AS TIMESTAMP) IS NOT NULL AND regexp_full_match(${c}, '[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{1,6})?)?'))`,
  },
  {
    engineType: 'TIMESTAMP WITH TIME ZONE',
    fits: (c) =>
      `(TRY_CAST(${c} AS TIMESTAMP WITH TIME ZONE) IS NOT NULL AND regexp_full_match(${c}, '[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}(:?[0-9]{2})?)'))`,
  },
];

/** The relation of a CSV file; the types are those that all values of a column fit. */
export async function csvRelation(
  connection: DuckDBConnection,
  source: SourceFile,
  table: string,
): Promise<SourceRelation> {
  const shape = await scanCsv(source.path, source.label, source.csv);
  const names = shape.columns;
  // The engine's reader is told everything and detects nothing but the line ends, which were found to be of one kind. Columns go by position: names are checked later.
  const columns = names.map((_, i) => `'c${i}': 'VARCHAR'`).join(', ');
  const nullTexts = ['', ...source.csv.nullTexts].map(quoteText).join(', ');
  const reader = `read_csv(${quoteText(source.path)}, auto_detect=false, columns={${columns}}, header=${source.csv.hasHeader},
    delim=${quoteText(shape.delimiter)}, quote='"', escape='"', comment='', nullstr=[${nullTexts}], allow_quoted_nulls=false,
    strict_mode=true, null_padding=false, ignore_errors=false, max_line_size=2097152)`;
  const types = await typesOf(connection, reader, names.length);
  return {
    table,
    label: source.label,
    query: `SELECT ${names.map((name, i) => `CAST(c${i} AS ${types[i] ?? 'VARCHAR'}) AS ${quoteName(name)}`).join(', ')} FROM ${reader}`,
    columns: names,
    expectedRows: shape.rows,
  };
}

async function typesOf(connection: DuckDBConnection, reader: string, columns: number): Promise<readonly string[]> {
  const tests = Array.from({ length: columns }, (_, i) =>
    CSV_TYPES.map(
      ({ fits }) => `bool_and(CASE WHEN c${i} IS NULL THEN NULL ELSE coalesce(${fits(`c${i}`)}, false) END)`,
    ).join(', '),
  );
  let row: readonly unknown[];
  try {
    row = (await connection.runAndReadAll(`SELECT ${tests.join(', ')} FROM ${reader}`)).getRows()[0] ?? [];
  } catch (cause) {
    throw new DatasetError('invalid-file', `the csv reader and the check before it disagree on this file`, { cause });
  }
  return Array.from({ length: columns }, (_, i) => {
    // bool_and over no values is null: a column without any value stays text.
    const fitting = CSV_TYPES.find((_type, j) => row[i * CSV_TYPES.length + j] === true);
    return fitting?.engineType ?? 'VARCHAR';
  });
}
