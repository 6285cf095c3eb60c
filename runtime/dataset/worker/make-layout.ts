/** Makes one layout file from files of record; runs in the ingest worker. */
import { stat } from 'node:fs/promises';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import type { LayoutSpec } from '../../query/layout.ts';
import { DatasetError } from '../dataset-error.ts';
import { engineOptions, type EngineLimits } from '../engine.ts';
import { layoutStatements, type RecordTable } from '../layout-sql.ts';
import { printRowScope, rowScopeStatement } from '../row-scope.ts';
import { quoteName } from '../sql-text.ts';
import { firstLine } from './read-parquet.ts';

export interface LayoutRequest {
  readonly spec: LayoutSpec;
  readonly records: readonly RecordTable[];
  /** 32 bytes as hex: the secret of the unit hash */
  readonly hashKeyHex: string;
  readonly outFile: string;
  readonly limits: EngineLimits;
}

export interface LayoutResult {
  readonly tables: readonly { readonly name: string; readonly rowCount: number }[];
  readonly bytes: number;
}

/** Writes the layout file. Throws `DatasetError` for what the provider can mend. */
export async function makeLayout(request: LayoutRequest): Promise<LayoutResult> {
  if (!/^[0-9a-f]{64}$/.test(request.hashKeyHex)) throw new RangeError('the hash key is not 32 bytes of hex');
  const scopes = await printScopes(request);
  const instance = await DuckDBInstance.create(request.outFile, {
    ...engineOptions(request.limits),
    preserve_insertion_order: 'true',
  });
  const tables: { name: string; rowCount: number }[] = [];
  try {
    const connection = await instance.connect();
    await connection.run("SET TimeZone='UTC'");
    for (const [i, table] of request.spec.tables.entries()) {
      const { create, uniqueness } = layoutStatements(table, request.records, scopes[i] ?? null, request.hashKeyHex);
      for (const check of uniqueness) {
        if ((await connection.runAndReadAll(check.sql)).currentRowCount === 0) continue;
        throw new DatasetError(
          'invalid-layout',
          `table \`${table.name}\`: its path to the privacy unit is not unique, because \`${check.table}\`.\`${check.column}\` holds a value twice`,
        );
      }
      await run(connection, create, table.name);
      const count = await connection.runAndReadAll(`SELECT count(*) FROM ${quoteName(table.name)}`);
      tables.push({ name: table.name, rowCount: Number(count.getRows()[0]?.[0]) });
    }
    await connection.run('CHECKPOINT');
    connection.closeSync();
  } finally {
    instance.closeSync();
  }
  return { tables, bytes: (await stat(request.outFile)).size };
}

async function run(connection: DuckDBConnection, sql: string, table: string): Promise<void> {
  try {
    await connection.run(sql);
  } catch (cause) {
    throw new DatasetError('invalid-layout', `table \`${table}\` cannot be laid out: ${firstLine(cause)}`, { cause });
  }
}

/** Row scopes are parsed where there is no data, and checked there. */
async function printScopes({ spec, records }: LayoutRequest): Promise<(string | null)[]> {
  const instance = await DuckDBInstance.create(':memory:', {
    ...engineOptions({ threads: 1, memoryMiB: 128 }),
    enable_external_access: 'false',
  });
  try {
    const connection = await instance.connect();
    const scopes: (string | null)[] = [];
    for (const { name, rows } of spec.tables) {
      if (rows === null) {
        scopes.push(null);
        continue;
      }
      const answer = await connection.runAndReadAll('SELECT json_serialize_sql($1::VARCHAR)', [
        rowScopeStatement(rows),
      ]);
      const columns = records.find((record) => record.name === name)?.columns.map((column) => column.name) ?? [];
      scopes.push(printRowScope(String(answer.getRows()[0]?.[0]), columns));
    }
    connection.closeSync();
    return scopes;
  } finally {
    instance.closeSync();
  }
}
