/** Writes checked batches into Parquet files of record, by way of a staging table on disk, so that memory stays bounded. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import duckdb from '@duckdb/node-bindings';
import { DuckDBDataChunk, DuckDBInstance, type DuckDBAppender, type DuckDBConnection } from '@duckdb/node-api';
import { unreachable, type ColumnBatch, type ColumnType, type Schema } from '../release/columns.ts';
import { printType } from '../query/types.ts';
import { digestFile } from './digest.ts';
import { engineOptions, type EngineLimits } from './engine.ts';
import { transportSchema } from './ingest-events.ts';
import type { ColumnStatistics, StoredColumn, StoredTable, TableStatistics } from './metadata.ts';
import { recognise, type ColumnFindings, type ColumnSample } from './recognise.ts';
import { quoteName, quoteText } from './sql-text.ts';
import { fillVector, VECTOR_ROWS } from './vector-fill.ts';

const ROW_GROUP_ROWS = 122_880;
const SAMPLE_ROWS = 500;
const STAGE_FILE = '.stage.duckdb';

/** One writer per registration; begin, append and finish each table in turn, then close. */
export class TableWriter implements AsyncDisposable {
  readonly #folder: string;
  readonly #instance: DuckDBInstance;
  readonly #connection: DuckDBConnection;
  #open: OpenTable | null = null;
  #tables = 0;

  constructor(folder: string, instance: DuckDBInstance, connection: DuckDBConnection) {
    this.#folder = folder;
    this.#instance = instance;
    this.#connection = connection;
  }

  static async create(folder: string, limits: EngineLimits): Promise<TableWriter> {
    const instance = await DuckDBInstance.create(join(folder, STAGE_FILE), {
      ...engineOptions(limits),
      preserve_insertion_order: 'true',
    });
    const connection = await instance.connect();
    await connection.run("SET TimeZone='UTC'");
    return new TableWriter(folder, instance, connection);
  }

  async begin(name: string, columns: readonly StoredColumn[]): Promise<void> {
    const schema = transportSchema(columns);
    const definitions = schema.map(({ type }, i) => `c${i} ${stagingType(type)}`);
    await this.#connection.run(`CREATE TABLE stage (${definitions.join(', ')})`);
    const appender = await this.#connection.createAppender('stage');
    const types = schema.map((_, i) => appender.columnType(i));
    this.#open = { name, columns, schema, appender, chunk: DuckDBDataChunk.create(types), rows: 0 };
  }

  /** Appends a batch that passed `checkBatch` against the transport schema of the table's columns. */
  append(batch: ColumnBatch): void {
    const { appender, chunk, schema } = this.#table();
    for (let from = 0; from < batch.rowCount; from += VECTOR_ROWS) {
      const rows = Math.min(VECTOR_ROWS, batch.rowCount - from);
      duckdb.data_chunk_reset(chunk.chunk);
      duckdb.data_chunk_set_size(chunk.chunk, rows);
      schema.forEach(({ type }, i) => {
        const data = batch.columns[i];
        if (data !== undefined) fillVector(duckdb.data_chunk_get_vector(chunk.chunk, i), type, data, from, rows);
      });
      appender.appendDataChunk(chunk);
    }
    this.#table().rows += batch.rowCount;
  }

  /** Writes the file of record of the table begun last, digests and describes it. */
  async finish(): Promise<FinishedTable> {
    const { name, columns, appender, rows } = this.#table();
    appender.closeSync();
    this.#open = null;
    const file = `t${this.#tables++}.parquet`;
    const path = join(this.#folder, file);
    const select = columns.map(
      ({ name: column, type }, i) => `CAST(c${i} AS ${printType(type)}) AS ${quoteName(column)}`,
    );
    await this.#connection.run(
      `COPY (SELECT ${select.join(', ')} FROM stage) TO ${quoteText(path)}
        (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE ${ROW_GROUP_ROWS}, PARQUET_VERSION v2, USE_TMP_FILE false)`,
    );
    await this.#connection.run('DROP TABLE stage');
    const statistics = await this.#describe(name, path, columns, rows);
    const { digest, bytes } = await digestFile(path);
    const findings = recognise(await this.#samples(path, statistics, columns, rows));
    return {
      table: { name, file, columns, rowCount: rows, bytes, digest },
      statistics,
      findings: { table: name, columns: findings },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#connection.closeSync();
    this.#instance.closeSync();
    for (const left of [STAGE_FILE, `${STAGE_FILE}.wal`]) await rm(join(this.#folder, left), { force: true });
  }

  /** A few values of each column for recognition: the first rows, which is enough to tell a phone number from a name. */
  async #samples(
    path: string,
    statistics: TableStatistics,
    columns: readonly StoredColumn[],
    rows: number,
  ): Promise<ColumnSample[]> {
    const select = columns.map(({ name }) => `CAST(${quoteName(name)} AS VARCHAR)`).join(', ');
    const reader = await this.#connection.runAndReadAll(
      `SELECT ${select} FROM read_parquet(${quoteText(path)}) LIMIT ${SAMPLE_ROWS}`,
    );
    const values = reader.getColumns();
    return columns.map(({ name, type }, i): ColumnSample => {
      const { nulls = 0, distinct = 0 } = statistics.columns[i] ?? {};
      const texts = (values[i] ?? []).filter((value) => typeof value === 'string');
      // The estimate of distinct values is a few percent off.
      return { name, type, values: texts, isUnique: rows > 1 && nulls === 0 && distinct >= rows * 0.9 };
    });
  }

  #table(): OpenTable {
    if (this.#open === null) throw new Error('no table was begun');
    return this.#open;
  }

  async #describe(
    table: string,
    path: string,
    columns: readonly StoredColumn[],
    rows: number,
  ): Promise<TableStatistics> {
    const perColumn = columns.map(({ name }) => {
      const c = quoteName(name);
      return `count(${c}), approx_count_distinct(${c}), CAST(min(${c}) AS VARCHAR), CAST(max(${c}) AS VARCHAR)`;
    });
    const reader = await this.#connection.runAndReadAll(
      `SELECT count(*), ${perColumn.join(', ')} FROM read_parquet(${quoteText(path)})`,
    );
    const row = reader.getRows()[0] ?? [];
    if (Number(row[0]) !== rows) throw new Error('a file of record holds other rows than were written');
    const text = (value: unknown): string | null => (typeof value === 'string' ? value.slice(0, 100) : null);
    const described = columns.map(({ name }, i): ColumnStatistics => {
      const at = 1 + i * 4;
      return {
        column: name,
        nulls: rows - Number(row[at]),
        distinct: Number(row[at + 1]),
        min: text(row[at + 2]),
        max: text(row[at + 3]),
      };
    });
    return { table, columns: described };
  }
}

export interface FinishedTable {
  readonly table: StoredTable;
  /** For the provider only, as are the findings. */
  readonly statistics: TableStatistics;
  readonly findings: TableFindings;
}

/** What recognition thinks of a table's columns; advice that a person confirms. */
export interface TableFindings {
  readonly table: string;
  readonly columns: readonly ColumnFindings[];
}

interface OpenTable {
  readonly name: string;
  readonly columns: readonly StoredColumn[];
  readonly schema: Schema;
  readonly appender: DuckDBAppender;
  readonly chunk: DuckDBDataChunk;
  rows: number;
}

/** The engine type whose memory is the column type's; the file of record gets the stored type by an exact cast. */
function stagingType(type: ColumnType): string {
  switch (type.kind) {
    case 'bool':
      return 'BOOLEAN';
    case 'int32':
      return 'INTEGER';
    case 'int64':
      return 'BIGINT';
    case 'float64':
      return 'DOUBLE';
    case 'decimal128':
      return `DECIMAL(38,${type.scale})`;
    case 'utf8':
      return 'VARCHAR';
    case 'date32':
      return 'DATE';
    case 'timestampMicros':
      return 'TIMESTAMP';
    default:
      return unreachable(type);
  }
}
