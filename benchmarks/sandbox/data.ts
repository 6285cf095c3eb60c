import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { ColumnBatch, ColumnSpec } from '../../runtime/sandbox/javascript/columns.ts';
import type { ColumnSource } from '../../runtime/sandbox/javascript/source.ts';

/** Rows of every unit; the row function may use all of them, so that the sum is the plain one. */
export const ROWS_PER_UNIT = 10;
export const COLUMNS: readonly ColumnSpec[] = ['x', 'y'].map((name) => ({ name, kind: 'float64', isNullable: false }));

/** Whole numbers from 0 to 100: their sums are exact whatever adds them. */
export interface Numbers {
  readonly x: Float64Array;
  readonly y: Float64Array;
  readonly source: ColumnSource;
}

const BATCH_ROWS = 65_536;

export function numbers(rows: number): Numbers {
  const x = new Float64Array(rows);
  const y = new Float64Array(rows);
  const unit = new Int32Array(rows);
  for (let i = 0; i < rows; i += 1) {
    x[i] = (i * 7919) % 101;
    y[i] = (i * 104_729) % 97;
    unit[i] = Math.floor(i / ROWS_PER_UNIT);
  }
  const batches = function* (): Generator<ColumnBatch> {
    for (let start = 0; start < rows; start += BATCH_ROWS) {
      const end = Math.min(rows, start + BATCH_ROWS);
      yield {
        rows: end - start,
        columns: [{ values: x.subarray(start, end) }, { values: y.subarray(start, end) }],
        unit: unit.subarray(start, end),
      };
    }
  };
  return {
    x,
    y,
    source: { columns: COLUMNS, dictionaries: new Map(), units: Math.ceil(rows / ROWS_PER_UNIT), batches },
  };
}

/** A dataset file as the runtime lays them out: what code reads, the keyed hash of the unit and the rank within it. */
export interface DatasetFile {
  readonly path: string;
  readonly database: string;
  /** The table's qualified name in a worker. */
  readonly table: string;
}

/** Makes a file that holds the rows of `numbers(rows)`, in the order of a layout: by rank. */
export async function datasetFile(folder: string, rows: number): Promise<DatasetFile> {
  const path = join(folder, 'd0.duckdb');
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  const unit = `i // ${ROWS_PER_UNIT}`;
  await connection.run(
    `CREATE TABLE t AS SELECT ((i * 7919) % 101)::DOUBLE AS x, ((i * 104729) % 97)::DOUBLE AS y, hash(${unit})::UBIGINT AS __gb_u0, (i % ${ROWS_PER_UNIT})::UINTEGER AS __gb_rank FROM range(${rows}) AS r(i) ORDER BY __gb_rank`,
  );
  await connection.run('CHECKPOINT');
  connection.closeSync();
  instance.closeSync();
  return { path, database: 'd0', table: '"d0"."t"' };
}
