import { WorkerFault } from '../../dataset/worker-link.ts';
import type { ColumnBatch as TableBatch, ColumnData as TableColumn } from '../../release/columns.ts';
import type { ColumnBatch, ColumnData } from '../../sandbox/javascript/columns.ts';
import { javascriptLimits } from '../../sandbox/javascript/limits.ts';
import type { ReadColumn, RowsRequest } from './row-request.ts';

/**
 * A checked batch of the engine as code reads it: columns in the order of the request, missing values in band, and numbers of
 * units from `first` on when rows say whose they are. Throws WorkerFault for a batch that is not what was asked for.
 */
export function decodeRows(
  batch: TableBatch,
  { columns, isNumbered }: Pick<RowsRequest, 'columns' | 'isNumbered'>,
  first: number,
): ColumnBatch {
  const rows = batch.rowCount;
  if (rows > javascriptLimits.batchRows) throw new WorkerFault('a batch has too many rows');
  const read = columns.map((column, i) => ({ values: valuesOf(batch.columns[i], column, rows) }));
  if (!isNumbered) return { rows, columns: read };
  const unit = batch.columns[columns.length];
  return {
    rows,
    columns: read,
    unit: unit === undefined ? numbersFrom(first, rows) : viewOf(Int32Array, unit.values, rows),
  };
}

function numbersFrom(first: number, count: number): Int32Array {
  const numbers = new Int32Array(count);
  for (let i = 0; i < count; i++) numbers[i] = first + i;
  return numbers;
}

/** The values as they travel on: a missing one is in band (NaN or −1), and a nullable integer is a double. */
function valuesOf(data: TableColumn | undefined, { kind, isNullable }: ReadColumn, rows: number): ColumnData['values'] {
  if (data === undefined) throw new WorkerFault('a batch lacks a column');
  const { validity } = data;
  switch (kind) {
    case 'float64':
      return withMissing(viewOf(Float64Array, data.values, rows), validity, Number.NaN);
    case 'int32': {
      const values = viewOf(Int32Array, data.values, rows);
      return isNullable ? withMissing(Float64Array.from(values), validity, Number.NaN) : values;
    }
    case 'dictionary':
      return withMissing(viewOf(Int32Array, data.values, rows), validity, -1);
    case 'boolean': {
      const values = new Int8Array(rows);
      for (let i = 0; i < rows; i++) values[i] = ((data.values[i >> 3] ?? 0) >> (i & 7)) & 1;
      return withMissing(values, validity, -1);
    }
  }
}

/** Puts the mark of a missing value into rows that have none; the bytes are ours once they came out of the channel. */
function withMissing<Values extends Float64Array | Int32Array | Int8Array>(
  values: Values,
  validity: Uint8Array | null,
  missing: number,
): Values {
  if (validity === null) return values;
  for (let byte = 0; byte * 8 < values.length; byte++) {
    const bits = validity[byte] ?? 0;
    if (bits === 255) continue;
    const end = Math.min(values.length, byte * 8 + 8);
    for (let i = byte * 8; i < end; i++) if (((bits >> (i & 7)) & 1) === 0) values[i] = missing;
  }
  return values;
}

type Numbers = typeof Float64Array<ArrayBufferLike> | typeof Int32Array<ArrayBufferLike>;

/** A column's bytes as numbers: where they lie when their address allows it, else a copy. */
function viewOf<Type extends Numbers>(type: Type, bytes: Uint8Array, rows: number): InstanceType<Type> {
  const size = rows * type.BYTES_PER_ELEMENT;
  if (bytes.byteLength < size) throw new WorkerFault('a column is shorter than its batch');
  const isAligned = bytes.byteOffset % type.BYTES_PER_ELEMENT === 0;
  const source = isAligned ? bytes : Uint8Array.from(bytes.subarray(0, size));
  return new type(source.buffer, source.byteOffset, rows) as InstanceType<Type>;
}
