/**
 * Makes one layout file from files of record. Those are files that this runtime wrote itself and whose digests were
 * checked, so this runs outside of the jail.
 */
import { rm, stat } from 'node:fs/promises';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import type { Cuboid, LayoutSpec } from '../query/layout.ts';
import { learnColumns, type LearntColumn } from './column-facts.ts';
import { makeCuboids } from './cuboids.ts';
import { DatasetError } from './dataset-error.ts';
import { asDiskFault } from './disk-fault.ts';
import { engineOptions, type EngineLimits } from './engine.ts';
import { layoutStatements, type RecordTable } from './layout-sql.ts';
import { firstLine, quoteName } from './sql-text.ts';

export interface LayoutRequest {
  readonly spec: LayoutSpec;
  /** printed row scopes, one per table of the spec; null for all rows */
  readonly scopes: readonly (string | null)[];
  readonly records: readonly RecordTable[];
  /** 32 bytes as hex: the secret of the unit hash */
  readonly hashKeyHex: string;
  readonly outFile: string;
  readonly limits: EngineLimits;
}

export interface LaidOutTable {
  readonly name: string;
  readonly rowCount: number;
  /** By column; see `ColumnFacts`. */
  readonly columns: Readonly<Record<string, LearntColumn>>;
  /** Absent: it has none. */
  readonly cuboids?: readonly Cuboid[];
}

export interface LayoutResult {
  readonly tables: readonly LaidOutTable[];
  readonly bytes: number;
}

/** Writes the layout file. Throws `DatasetError` for what the provider can mend. */
export async function makeLayout(request: LayoutRequest): Promise<LayoutResult> {
  if (!/^[0-9a-f]{64}$/.test(request.hashKeyHex)) throw new RangeError('the hash key is not 32 bytes of hex');
  // Sorting a table larger than memory needs room; what is spilled lies beside the layout that holds the same rows.
  const spill = `${request.outFile}.spill`;
  const { max_temp_directory_size: _, ...options } = engineOptions(request.limits);
  const instance = await DuckDBInstance.create(request.outFile, {
    ...options,
    temp_directory: spill,
    preserve_insertion_order: 'true',
  }).catch((cause: unknown) => Promise.reject(asDiskFault(cause) as Error));
  const tables: LaidOutTable[] = [];
  try {
    const connection = await instance.connect();
    await connection.run("SET TimeZone='UTC'");
    for (const [i, table] of request.spec.tables.entries()) {
      const { create, uniqueness } = layoutStatements(
        table,
        request.records,
        request.scopes[i] ?? null,
        request.hashKeyHex,
      );
      for (const check of uniqueness) {
        if ((await connection.runAndReadAll(check.sql)).currentRowCount === 0) continue;
        throw new DatasetError(
          'invalid-layout',
          `table \`${table.name}\`: its path to the privacy unit is not unique, because \`${check.table}\`.\`${check.column}\` holds a value twice`,
        );
      }
      await run(connection, create, table.name);
      const count = await connection.runAndReadAll(`SELECT count(*) FROM ${quoteName(table.name)}`);
      const keys = table.units.flatMap((unit) =>
        unit.via.length === 0 && unit.columns.length === 1 ? unit.columns : [],
      );
      const columns = await learnColumns(connection, quoteName(table.name), table.columns, {
        isPublic: table.units.length === 0,
        keys,
      });
      const rowCount = Number(count.getRows()[0]?.[0]);
      const cuboids = await makeCuboids(connection, table, { columns, rowCount });
      tables.push({ name: table.name, rowCount, columns, ...(cuboids.length === 0 ? {} : { cuboids }) });
    }
    await connection.run('CHECKPOINT');
    connection.closeSync();
  } catch (cause) {
    throw asDiskFault(cause);
  } finally {
    instance.closeSync();
    await rm(spill, { recursive: true, force: true });
  }
  return { tables, bytes: (await stat(request.outFile)).size };
}

async function run(connection: DuckDBConnection, sql: string, table: string): Promise<void> {
  try {
    await connection.run(sql);
  } catch (cause) {
    const fault = asDiskFault(cause);
    if (fault !== cause) throw fault;
    throw new DatasetError('invalid-layout', `table \`${table}\` cannot be laid out: ${firstLine(cause)}`, { cause });
  }
}
