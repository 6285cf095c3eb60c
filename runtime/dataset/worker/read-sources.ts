/**
 * Reads a provider's files into column batches. Parsers of outside bytes are attack surface: outside of tests this runs
 * in the jailed ingest worker, which can read the files, write nothing, and only hand out batches that are checked again.
 */
import { stat } from 'node:fs/promises';
import { DuckDBInstance, type DuckDBConnection, type DuckDBType } from '@duckdb/node-api';
import type { ColumnBuilder } from '../bridge-buffer.ts';
import { BatchBuilder, columnBuilder } from '../bridge.ts';
import { columnTypeOf, storedFormOf, type StoredForm } from '../column-types.ts';
import { DatasetError } from '../dataset-error.ts';
import { engineOptions } from '../engine.ts';
import type { IngestEvent, IngestRequest, SourceReader } from '../ingest-events.ts';
import { BATCH_LIMITS, DATASET_LIMITS } from '../limits.ts';
import { checkNames, printable } from '../names.ts';
import { tableNameFrom, type SourceFile } from '../source.ts';
import { firstLine, quoteName } from '../sql-text.ts';
import { readArrow } from './read-arrow.ts';
import { csvRelation } from './read-csv.ts';
import { duckdbRelations, parquetRelation } from './read-parquet.ts';
import { unsupportedType, type SourceRelation } from './source-relation.ts';

/** Reads all sources in order. Throws `DatasetError` for the provider, naming file, place and reason. */
export async function* readSources(request: IngestRequest): AsyncGenerator<IngestEvent, void, void> {
  for (const source of request.sources) await checkSize(source);
  const instance = await DuckDBInstance.create(':memory:', {
    ...engineOptions(request.limits),
    preserve_insertion_order: 'true',
  });
  try {
    const connection = await instance.connect();
    // Times without a zone are read the same on every machine.
    await connection.run("SET TimeZone='UTC'");
    for (const [i, source] of request.sources.entries()) {
      const table = source.table ?? tableNameFrom(source.label);
      if (source.format === 'arrow-file' || source.format === 'arrow-stream') yield* readArrow(source, table);
      else
        for (const relation of await relationsOf(connection, source, table, i))
          yield* readRelation(connection, relation);
    }
    connection.closeSync();
  } finally {
    instance.closeSync();
  }
}

/** Reading in this very process: for tests, never for files of a stranger. */
export const inProcessReader: SourceReader = { read: readSources };

async function checkSize({ path, label }: SourceFile): Promise<void> {
  const { size } = await stat(path);
  if (size === 0) throw new DatasetError('invalid-file', `${label}: the file is empty`);
  if (size > DATASET_LIMITS.maxBytes) {
    throw new DatasetError('too-large', `${label}: ${size} bytes, at most ${DATASET_LIMITS.maxBytes} are allowed`);
  }
}

async function relationsOf(
  connection: DuckDBConnection,
  source: SourceFile,
  table: string,
  index: number,
): Promise<SourceRelation[]> {
  if (source.format === 'csv') return [await csvRelation(connection, source, table)];
  if (source.format === 'parquet') return [await parquetRelation(connection, source, table)];
  return duckdbRelations(connection, source, `source${index}`);
}

async function* readRelation(
  connection: DuckDBConnection,
  relation: SourceRelation,
): AsyncGenerator<IngestEvent, void, void> {
  const { label, table: name } = relation;
  checkNames(relation.columns, 'column', label);
  const unreadable = (cause: unknown): DatasetError =>
    new DatasetError('invalid-file', `${label}: table \`${printable(name)}\` cannot be read: ${whyUnread(cause)}`, {
      cause,
    });
  const types = await connection.runAndReadAll(`SELECT * FROM (${relation.query}) LIMIT 0`).then(
    (reader) => reader.columnTypes(),
    (cause: unknown) => Promise.reject(unreadable(cause)),
  );
  const forms = storedForms(relation, types);
  const columns = relation.columns.map((column, i) => ({
    name: column,
    type: forms[i]?.type ?? { kind: 'text' as const },
  }));
  yield { kind: 'table', name, label, columns };

  const select = relation.columns.map((column, i) => `${forms[i]?.expression(quoteName(column)) ?? ''} AS c${i}`);
  let rows = 0;
  try {
    const result = await connection.stream(`SELECT ${select.join(', ')} FROM (${relation.query})`);
    const builders = columns.map(({ type }, i): ColumnBuilder => {
      const target = columnTypeOf(type);
      const builder = target === null ? null : columnBuilder(result.columnType(i), target);
      if (builder === null) throw new TypeError(`type ${String(result.columnType(i))} cannot be carried`);
      return builder;
    });
    const batch = new BatchBuilder(builders);
    for (;;) {
      const chunk = await result.fetchChunk();
      const isLast = chunk === null || chunk.rowCount === 0;
      if (!isLast) batch.append(chunk);
      if (
        batch.rowCount > 0 &&
        (isLast || batch.rowCount >= BATCH_LIMITS.rows || batch.byteLength >= BATCH_LIMITS.bytes)
      ) {
        rows += batch.rowCount;
        yield { kind: 'batch', batch: batch.view() };
        batch.reset();
      }
      if (isLast) break;
    }
  } catch (cause) {
    throw cause instanceof DatasetError ? cause : unreadable(cause);
  }
  if (relation.expectedRows !== null && relation.expectedRows !== rows) {
    throw new DatasetError('invalid-file', `${label}: announces ${relation.expectedRows} rows and holds ${rows}`);
  }
  yield { kind: 'end', rows };
}

function storedForms(relation: SourceRelation, types: readonly DuckDBType[]): readonly StoredForm[] {
  const { label, columns } = relation;
  if (types.length !== columns.length) {
    throw new DatasetError(
      'invalid-file',
      `${label}: the file names ${columns.length} columns and holds ${types.length}`,
    );
  }
  return types.map((type, i) => {
    const form = storedFormOf(type);
    if (form !== null) return form;
    throw unsupportedType(label, columns[i] ?? '', String(type));
  });
}

/** The engine's words; not those about its own memory, which help nobody. */
function whyUnread(cause: unknown): string {
  const why = firstLine(cause);
  return why.startsWith('Out of Memory')
    ? 'one of its row groups unpacks to more memory than a registration has; write it with smaller row groups, or leave out its longest texts'
    : why;
}
