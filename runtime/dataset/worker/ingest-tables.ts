/**
 * Turns a provider's files into Parquet files of record. Runs in the ingest worker, whose only writable folder is
 * `outFolder`; it also runs in-process for tests. Parsers of outside bytes are attack surface: nothing here may be
 * called on a provider's file in the gateway.
 */
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { storedFormOf } from '../column-types.ts';
import { DatasetError } from '../dataset-error.ts';
import { digestFile } from '../digest.ts';
import { engineOptions, type EngineLimits } from '../engine.ts';
import { DATASET_LIMITS } from '../limits.ts';
import type { ColumnStatistics, StoredTable, TableStatistics } from '../metadata.ts';
import { checkNames, printable } from '../names.ts';
import { tableNameFrom, type SourceFile } from '../source.ts';
import { quoteName, quoteText } from '../sql-text.ts';
import { arrowRelation } from './read-arrow.ts';
import { csvRelation } from './read-csv.ts';
import { duckdbRelations, firstLine, parquetRelation } from './read-parquet.ts';
import type { SourceRelation } from './source-relation.ts';

export interface IngestRequest {
  readonly sources: readonly SourceFile[];
  /** empty folder that receives the files of record */
  readonly outFolder: string;
  readonly limits: EngineLimits;
}

export interface IngestResult {
  readonly tables: readonly StoredTable[];
  /** For the provider only. */
  readonly statistics: readonly TableStatistics[];
}

export type IngestStep = 'reading' | 'writing' | 'digesting' | 'describing';
export interface IngestProgress {
  readonly step: IngestStep;
  readonly table: string;
  /** tables finished, and tables in all */
  readonly done: number;
  readonly total: number;
}

const ROW_GROUP_ROWS = 122_880;

/** Ingests all sources. Throws `DatasetError` for the provider, naming file, place and reason. */
export async function ingestTables(
  request: IngestRequest,
  onProgress: (progress: IngestProgress) => void = () => undefined,
): Promise<IngestResult> {
  for (const source of request.sources) await checkSize(source);
  const instance = await DuckDBInstance.create(':memory:', {
    ...engineOptions(request.limits),
    preserve_insertion_order: 'true',
  });
  try {
    const connection = await instance.connect();
    // Times without a zone are read the same on every machine.
    await connection.run("SET TimeZone='UTC'");
    const relations: SourceRelation[] = [];
    for (const [i, source] of request.sources.entries()) {
      onProgress({ step: 'reading', table: source.table ?? source.label, done: 0, total: request.sources.length });
      relations.push(...(await relationsOf(connection, source, i)));
    }
    checkNames(
      relations.map(({ table }) => table),
      'table',
      request.sources.map(({ label }) => label).join(', '),
    );
    const tables: StoredTable[] = [];
    const statistics: TableStatistics[] = [];
    for (const [i, relation] of relations.entries()) {
      const progress = (step: IngestStep): void =>
        onProgress({ step, table: relation.table, done: i, total: relations.length });
      const { table, stats } = await storeTable(connection, relation, request.outFolder, `t${i}.parquet`, progress);
      tables.push(table);
      statistics.push(stats);
    }
    connection.closeSync();
    return { tables, statistics };
  } finally {
    instance.closeSync();
  }
}

async function checkSize({ path, label }: SourceFile): Promise<void> {
  const { size } = await stat(path);
  if (size === 0) throw new DatasetError('invalid-file', `${label}: the file is empty`);
  if (size > DATASET_LIMITS.maxBytes)
    throw new DatasetError('too-large', `${label}: ${size} bytes, at most ${DATASET_LIMITS.maxBytes} are allowed`);
}

async function relationsOf(connection: DuckDBConnection, source: SourceFile, index: number): Promise<SourceRelation[]> {
  const table = source.table ?? tableNameFrom(source.label);
  switch (source.format) {
    case 'csv':
      return [await csvRelation(connection, source, table)];
    case 'parquet':
      return [await parquetRelation(connection, source, table)];
    case 'arrow-file':
    case 'arrow-stream':
      return [await arrowRelation(connection, source, table, `__arrow${index}`)];
    case 'duckdb':
      return duckdbRelations(connection, source, `source${index}`);
  }
}

async function storeTable(
  connection: DuckDBConnection,
  relation: SourceRelation,
  outFolder: string,
  file: string,
  progress: (step: IngestStep) => void,
): Promise<{ table: StoredTable; stats: TableStatistics }> {
  const { label, table: name } = relation;
  checkNames(relation.columns, 'column', label);
  const path = join(outFolder, file);
  const columns = await storedColumns(connection, relation);
  const select = columns.map(({ name: column, expression }) => `${expression} AS ${quoteName(column)}`).join(', ');
  progress('writing');
  try {
    await connection.run(
      `COPY (SELECT ${select} FROM (${relation.query})) TO ${quoteText(path)}
        (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE ${ROW_GROUP_ROWS}, PARQUET_VERSION v2, USE_TMP_FILE false)`,
    );
  } catch (cause) {
    throw new DatasetError(
      'invalid-file',
      `${label}: table \`${printable(name)}\` cannot be read: ${firstLine(cause)}`,
      { cause },
    );
  }
  progress('describing');
  const { rowCount, stats } = await describe(
    connection,
    path,
    name,
    columns.map((column) => column.name),
  );
  if (relation.expectedRows !== null && relation.expectedRows !== rowCount) {
    throw new DatasetError('invalid-file', `${label}: announces ${relation.expectedRows} rows and holds ${rowCount}`);
  }
  if (rowCount > DATASET_LIMITS.maxRows)
    throw new DatasetError('too-large', `${label}: ${rowCount} rows, at most ${DATASET_LIMITS.maxRows} are allowed`);
  progress('digesting');
  const { digest, bytes } = await digestFile(path);
  const stored = columns.map(({ name: column, type }) => ({ name: column, type }));
  return { table: { name, file, columns: stored, rowCount, bytes, digest }, stats };
}

async function storedColumns(connection: DuckDBConnection, relation: SourceRelation) {
  const types = await (async () => {
    try {
      return (await connection.runAndReadAll(`SELECT * FROM (${relation.query}) LIMIT 0`)).columnTypes();
    } catch (cause) {
      throw new DatasetError('invalid-file', `${relation.label}: cannot be read: ${firstLine(cause)}`, { cause });
    }
  })();
  if (types.length !== relation.columns.length) {
    throw new DatasetError(
      'invalid-file',
      `${relation.label}: the file names ${relation.columns.length} columns and holds ${types.length}`,
    );
  }
  return relation.columns.map((name, i) => {
    const type = types[i];
    const form = type === undefined ? null : storedFormOf(type);
    if (form === null) {
      throw new DatasetError(
        'unsupported-type',
        `${relation.label}: column \`${printable(name)}\` has the type ${printable(String(type))}; flatten nested columns, and turn times, intervals and binary into text or numbers first`,
      );
    }
    return { name, type: form.type, expression: form.expression(quoteName(name)) };
  });
}

async function describe(
  connection: DuckDBConnection,
  path: string,
  table: string,
  columns: readonly string[],
): Promise<{ rowCount: number; stats: TableStatistics }> {
  const perColumn = columns.map((name) => {
    const c = quoteName(name);
    return `count(${c}), approx_count_distinct(${c}), CAST(min(${c}) AS VARCHAR), CAST(max(${c}) AS VARCHAR)`;
  });
  const reader = await connection.runAndReadAll(
    `SELECT count(*), ${perColumn.join(', ')} FROM read_parquet(${quoteText(path)})`,
  );
  const row = reader.getRows()[0] ?? [];
  const rowCount = Number(row[0]);
  const text = (value: unknown): string | null => (typeof value === 'string' ? value.slice(0, 100) : null);
  const stats = columns.map((column, i): ColumnStatistics => {
    const at = 1 + i * 4;
    return {
      column,
      nulls: rowCount - Number(row[at]),
      distinct: Number(row[at + 1]),
      min: text(row[at + 2]),
      max: text(row[at + 3]),
    };
  });
  return { rowCount, stats: { table, columns: stats } };
}
