/** A Parquet file, and tables of a DuckDB file, as relations. */
import type { DuckDBConnection } from '@duckdb/node-api';
import { DatasetError } from '../dataset-error.ts';
import { firstLine, quoteName, quoteText } from '../sql-text.ts';
import type { SourceFile } from '../source.ts';
import type { SourceRelation } from './source-relation.ts';

/** The relation of a Parquet file; the footer is compared with what is read later. */
export async function parquetRelation(
  connection: DuckDBConnection,
  source: SourceFile,
  table: string,
): Promise<SourceRelation> {
  const path = quoteText(source.path);
  try {
    const meta = await connection.runAndReadAll(`SELECT num_rows FROM parquet_file_metadata(${path})`);
    const rows = Number(meta.getRows()[0]?.[0]);
    // Top-level fields are the children of the root; the engine would rename duplicates among them.
    const schema = await connection.runAndReadAll(
      `SELECT name, coalesce(num_children, 0) FROM parquet_schema(${path})`,
    );
    return {
      table,
      label: source.label,
      query: `SELECT * FROM read_parquet(${path}, hive_partitioning=false, binary_as_string=false)`,
      columns: topLevelNames(
        schema.getRows().map(([name, children]) => ({ name: String(name), children: Number(children) })),
      ),
      expectedRows: rows,
    };
  } catch (cause) {
    const why = firstLine(cause);
    const advice = why.includes('encrypted') ? 'it is encrypted; decrypt it first' : why;
    throw new DatasetError('invalid-file', `${source.label}: not a readable parquet file: ${advice}`, { cause });
  }
}

function topLevelNames(fields: readonly { readonly name: string; readonly children: number }[]): string[] {
  const names: string[] = [];
  const skip = (index: number): number => {
    let next = index + 1;
    for (let child = 0; child < (fields[index]?.children ?? 0); child++) next = skip(next);
    return next;
  };
  for (let i = 1; i < fields.length; i = skip(i)) names.push(fields[i]?.name ?? '');
  return names;
}

/** The relations of a DuckDB file: its base tables, or the one asked for. Views are not followed: their text is foreign. */
export async function duckdbRelations(
  connection: DuckDBConnection,
  source: SourceFile,
  alias: string,
): Promise<SourceRelation[]> {
  let tables: { schema: string; name: string }[];
  try {
    await connection.run(`ATTACH ${quoteText(source.path)} AS ${quoteName(alias)} (READ_ONLY)`);
    const found = await connection.runAndReadAll(
      `SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ${quoteText(alias)} AND NOT internal ORDER BY 1, 2`,
    );
    tables = found.getRows().map(([schema, name]) => ({ schema: String(schema), name: String(name) }));
  } catch (cause) {
    throw new DatasetError('invalid-file', `${source.label}: not a readable duckdb file: ${firstLine(cause)}`, {
      cause,
    });
  }
  const wanted = source.sourceTable === null ? tables : tables.filter(({ name }) => name === source.sourceTable);
  if (wanted.length === 0) {
    const there = tables.map(({ name }) => `\`${name}\``).join(', ');
    const what = source.sourceTable === null ? 'no table' : `no table \`${source.sourceTable}\``;
    throw new DatasetError(
      'invalid-file',
      `${source.label}: ${what} in this duckdb file${there === '' ? '' : `; it has ${there}`}`,
    );
  }
  const relations: SourceRelation[] = [];
  for (const { schema, name } of wanted) {
    const from = `${quoteName(alias)}.${quoteName(schema)}.${quoteName(name)}`;
    const described = await connection.runAndReadAll(
      `SELECT column_name FROM duckdb_columns() WHERE database_name = ${quoteText(alias)} AND schema_name = ${quoteText(schema)}
        AND table_name = ${quoteText(name)} ORDER BY column_index`,
    );
    relations.push({
      table: wanted.length === 1 && source.table !== null ? source.table : name,
      label: source.label,
      query: `SELECT * FROM ${from}`,
      columns: described.getRows().map(([column]) => String(column)),
      expectedRows: null,
    });
  }
  return relations;
}
