import { javascriptLimits } from './limits.ts';

/**
 * How the columns of a computation travel: one buffer per batch (or block) with every column at an 8-byte boundary, in
 * the order of the declaration, so that the worker hands the whole buffer to the isolate and views it by offset.
 *
 * Missing values travel in band: NaN in a float64 column, −1 in a dictionary or boolean column. A nullable int32 column
 * travels as float64. int64 becomes float64 before it comes here: mixing BigInt and number throws in JavaScript.
 */
export type ColumnKind = 'float64' | 'int32' | 'boolean' | 'dictionary';

/** One column that a computation may read. */
export interface ColumnSpec {
  readonly name: string;
  readonly kind: ColumnKind;
  readonly isNullable: boolean;
}

/** Values of one column in a batch, with `validity[i] === 0` where row i has none. */
export interface ColumnData {
  readonly values: Float64Array | Int32Array | Int8Array | Uint8Array | BigInt64Array;
  readonly validity?: Uint8Array | undefined;
}

/** Rows of a dataset as columns in the declared order; `unit` numbers the privacy unit of each row from 0. */
export interface ColumnBatch {
  readonly rows: number;
  readonly columns: readonly ColumnData[];
  readonly unit?: Int32Array | undefined;
}

/** Where a column starts in the buffer, in bytes, and how its elements are stored. */
export interface ColumnPlace {
  readonly kind: ColumnKind;
  readonly offset: number;
}

const widths: Readonly<Record<ColumnKind, number>> = { float64: 8, int32: 4, dictionary: 4, boolean: 1 };

/** Returns how a column is stored on its way: a nullable int32 column has no room for "missing" and becomes float64. */
export function wireKind(column: ColumnSpec): ColumnKind {
  return column.kind === 'int32' && column.isNullable ? 'float64' : column.kind;
}

/** Returns the places of the columns for that many rows and the size of the buffer, in bytes. */
export function layoutOf(
  kinds: readonly ColumnKind[],
  rows: number,
): { readonly places: readonly ColumnPlace[]; readonly bytes: number } {
  let offset = 0;
  const places = kinds.map((kind) => {
    const place = { kind, offset };
    offset += Math.ceil((rows * widths[kind]) / 8) * 8;
    return place;
  });
  return { places, bytes: offset };
}

/** Rows of one batch: all of them, or those that `pick` numbers, in that order. */
export interface BatchPart {
  readonly batch: ColumnBatch;
  readonly pick?: Int32Array | undefined;
}

/** Lays one batch out in one buffer; with `withUnit` the unit numbers follow the last column. */
export function encodeBatch(
  specs: readonly ColumnSpec[],
  batch: ColumnBatch,
  withUnit = false,
): Uint8Array<ArrayBuffer> {
  return encodeParts(specs, [{ batch }], withUnit);
}

/**
 * Returns a function that lays batches out one after the other as `encodeParts` does, in pieces: a column that is stored as it
 * travels is handed on where it lies, the others share one buffer that is used again. Pieces are good until the next call.
 */
export function batchPieces(
  specs: readonly ColumnSpec[],
  withUnit: boolean,
): (batches: readonly ColumnBatch[]) => readonly Uint8Array[] {
  const kinds = wireKinds(specs, withUnit);
  let spare = new ArrayBuffer(0);
  return (batches) => {
    const rows = batches.reduce((sum, batch) => sum + batch.rows, 0);
    const { places, bytes } = layoutOf(kinds, rows);
    if (bytes > javascriptLimits.batchBytes) throw new RangeError(`a batch of ${bytes} bytes is over the limit`);
    const pieces: Uint8Array[] = [];
    places.forEach((place, index) => {
      const width = widths[place.kind];
      let first = 0;
      for (const batch of batches) {
        const data = dataOf(specs, batch, index);
        const size = batch.rows * width;
        if (isAsStored(place.kind, data)) {
          pieces.push(new Uint8Array(data.values.buffer, data.values.byteOffset, size));
        } else {
          if (spare.byteLength < bytes) spare = new ArrayBuffer(bytes);
          const filled = viewOf(spare, place, rows).subarray(first, first + batch.rows);
          fillColumn(filled, place.kind, data, undefined);
          pieces.push(new Uint8Array(spare, place.offset + first * width, size));
        }
        first += batch.rows;
      }
      const padding = (8 - ((rows * width) % 8)) % 8;
      if (padding > 0) pieces.push(ZEROS.subarray(0, padding));
    });
    return pieces;
  };
}

/** Bytes that a batch of that many rows takes on its way. */
export function bytesOfRows(specs: readonly ColumnSpec[], rows: number, withUnit: boolean): number {
  return layoutOf(wireKinds(specs, withUnit), rows).bytes;
}

const ZEROS = new Uint8Array(8);

function isAsStored(kind: ColumnKind, { values, validity }: ColumnData): boolean {
  if (validity !== undefined) return false;
  switch (kind) {
    case 'float64':
      return values instanceof Float64Array;
    case 'int32':
    case 'dictionary':
      return values instanceof Int32Array;
    case 'boolean':
      return values instanceof Int8Array;
  }
}

/** Column `index` of a batch, or its units after the last one; throws RangeError when it is not there for every row. */
function dataOf(specs: readonly ColumnSpec[], batch: ColumnBatch, index: number): ColumnData {
  const data = index < specs.length ? batch.columns[index] : batch.unit && { values: batch.unit };
  if (data === undefined || data.values.length < batch.rows)
    throw new RangeError('a batch lacks a column or a part of it');
  return data;
}

/** Lays rows of several batches out one after the other. Throws RangeError for data that do not fit: a fault of ours. */
export function encodeParts(
  specs: readonly ColumnSpec[],
  parts: readonly BatchPart[],
  withUnit = false,
): Uint8Array<ArrayBuffer> {
  const rows = parts.reduce((sum, part) => sum + (part.pick?.length ?? part.batch.rows), 0);
  const writer = columnWriter(specs, rows, { withUnit });
  for (const part of parts) writer.add(part);
  return writer.finish();
}

/** A buffer of columns for a known number of rows, filled part by part. */
export interface ColumnWriter {
  readonly bytes: number;
  /** Appends rows. Throws RangeError when the batch lacks a column or there is no room for all of them. */
  add(part: BatchPart): void;
  /** Returns the buffer; throws RangeError when rows are missing. */
  finish(): Uint8Array<ArrayBuffer>;
}

/** Makes a writer for exactly `rows` rows; a dry one only knows its size. Throws RangeError for more bytes than a batch may have. */
export function columnWriter(
  specs: readonly ColumnSpec[],
  rows: number,
  options: { readonly withUnit?: boolean; readonly isDry?: boolean } = {},
): ColumnWriter {
  const { places, bytes } = layoutOf(wireKinds(specs, options.withUnit === true), rows);
  if (options.isDry !== true && bytes > javascriptLimits.batchBytes)
    throw new RangeError(`a batch of ${bytes} bytes is over the limit`);
  const buffer = new ArrayBuffer(options.isDry === true ? 0 : bytes);
  const views = options.isDry === true ? [] : places.map((place) => viewOf(buffer, place, rows));
  let at = 0;
  return {
    bytes,
    add: ({ batch, pick }) => {
      const count = pick?.length ?? batch.rows;
      if (at + count > rows) throw new RangeError('more rows than there is room for');
      places.forEach((place, index) => {
        const data = dataOf(specs, batch, index);
        const target = views[index];
        if (target === undefined) throw new RangeError('a dry writer takes no rows');
        fillColumn(target.subarray(at, at + count), place.kind, data, pick);
      });
      at += count;
    },
    finish: () => {
      if (at !== rows) throw new RangeError('rows are missing');
      return new Uint8Array(buffer);
    },
  };
}

/** Returns the stored kinds of the declared columns, with the unit numbers last when they travel too. */
export function wireKinds(specs: readonly ColumnSpec[], withUnit: boolean): readonly ColumnKind[] {
  const kinds = specs.map(wireKind);
  return withUnit ? [...kinds, 'int32'] : kinds;
}

function fillColumn(
  target: Float64Array | Int32Array | Int8Array,
  kind: ColumnKind,
  data: ColumnData,
  pick: Int32Array | undefined,
): void {
  const { values, validity } = data;
  const rows = target.length;
  if (values instanceof BigInt64Array) {
    for (let i = 0; i < rows; i++) target[i] = Number(values[pick === undefined ? i : (pick[i] ?? 0)]);
  } else if (pick === undefined) {
    target.set(values.subarray(0, rows));
  } else {
    for (let i = 0; i < rows; i++) target[i] = values[pick[i] ?? 0] ?? 0;
  }
  if (validity === undefined) return;
  const missing = kind === 'float64' ? Number.NaN : -1;
  for (let i = 0; i < rows; i++) if (validity[pick === undefined ? i : (pick[i] ?? 0)] === 0) target[i] = missing;
}

function viewOf(buffer: ArrayBuffer, place: ColumnPlace, rows: number): Float64Array | Int32Array | Int8Array {
  switch (place.kind) {
    case 'float64':
      return new Float64Array(buffer, place.offset, rows);
    case 'int32':
    case 'dictionary':
      return new Int32Array(buffer, place.offset, rows);
    case 'boolean':
      return new Int8Array(buffer, place.offset, rows);
  }
}
