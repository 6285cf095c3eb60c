/** Arrow IPC files and streams as column batches. The library trusts the file's numbers, so every buffer is checked here. */
import { readFile, stat } from 'node:fs/promises';
import { zstdDecompressSync } from 'node:zlib';
import {
  CompressionType,
  compressionRegistry,
  RecordBatchReader,
  type Data,
  type RecordBatch,
  type DataType,
  type Schema,
} from 'apache-arrow';
import { checkBatch, type ColumnBatch } from '../../release/columns.ts';
import { DatasetError } from '../dataset-error.ts';
import { parseStoredType, transportSchema, type IngestEvent } from '../ingest-events.ts';
import { DATASET_LIMITS } from '../limits.ts';
import type { StoredColumn } from '../metadata.ts';
import { checkNames } from '../names.ts';
import type { SourceFile } from '../source.ts';
import { arrowColumn, type ArrowColumn } from './arrow-column.ts';
import { checkFileFrame, checkStreamFrame } from './arrow-framing.ts';
import { firstLine } from '../sql-text.ts';
import { unsupportedType } from './source-relation.ts';

/** Rows per batch; a multiple of 8, so that bitmaps are cut at bytes. */
const SLICE_ROWS = 16_384;

compressionRegistry.set(CompressionType.ZSTD, {
  decode: (data) => new Uint8Array(zstdDecompressSync(data, { maxOutputLength: DATASET_LIMITS.maxArrowBytes })),
});

/** Reads one Arrow file or stream. Throws `DatasetError` naming the record batch that is damaged. */
export async function* readArrow(source: SourceFile, table: string): AsyncGenerator<IngestEvent, void, void> {
  const { label } = source;
  const { size } = await stat(source.path);
  if (size > DATASET_LIMITS.maxArrowBytes) {
    throw new DatasetError(
      'too-large',
      `${label}: ${size} bytes, at most ${DATASET_LIMITS.maxArrowBytes} are allowed for Arrow; convert the file to Parquet`,
    );
  }
  const damaged = (where: string, cause: unknown): DatasetError =>
    cause instanceof DatasetError
      ? cause
      : new DatasetError('invalid-file', `${label}: ${where}: ${reasonOf(cause)}`, { cause });
  let batches: Iterator<RecordBatch>;
  let converters: readonly ArrowColumn[];
  let columns: readonly StoredColumn[];
  try {
    const bytes = await readFile(source.path);
    if (source.format === 'arrow-stream' && !hasEndMark(bytes))
      throw new RangeError('the stream has no end mark; it was cut');
    if (source.format === 'arrow-stream') checkStreamFrame(bytes);
    else checkFileFrame(bytes);
    const reader = RecordBatchReader.from(bytes);
    reader.open();
    const schema = reader.schema as Schema | undefined;
    if (schema === undefined) throw new RangeError('it has no schema');
    const names = schema.fields.map(({ name }) => name);
    checkNames(names, 'column', label);
    converters = schema.fields.map((field): ArrowColumn => {
      const converter = arrowColumn(field.type as DataType);
      if (converter === null) throw unsupportedType(label, field.name, String(field.type));
      return converter;
    });
    columns = names.map((name, i): StoredColumn => ({ name, type: converters[i]?.type ?? { kind: 'text' } }));
    // A damaged file can name types that do not exist: those must not reach the gateway.
    if (columns.some(({ type }) => parseStoredType(type) === null))
      throw new RangeError('a column has a type that does not exist');
    batches = reader[Symbol.iterator]();
  } catch (cause) {
    throw damaged('not a readable arrow file', cause);
  }
  const transport = transportSchema(columns);
  yield { kind: 'table', name: table, label, columns };
  let rows = 0;
  for (let index = 1; ; index++) {
    const where = `record batch ${index}`;
    try {
      const next = batches.next();
      if (next.done === true) break;
      const { numRows, data } = next.value;
      for (let from = 0; from < numRows; from += SLICE_ROWS) {
        const to = Math.min(from + SLICE_ROWS, numRows);
        const batch: ColumnBatch = {
          rowCount: to - from,
          columns: converters.map((converter, i) => {
            const child = data.children[i] as Data | undefined;
            if (child === undefined || child.length !== numRows)
              throw new RangeError(`column ${i + 1} has another length`);
            if (child.offset !== 0) throw new RangeError(`column ${i + 1} begins at an offset`);
            return converter.slice(child, from, to);
          }),
        };
        const check = checkBatch(transport, batch);
        if (check.kind === 'bad') throw new RangeError(check.problem);
        rows += batch.rowCount;
        yield { kind: 'batch', batch };
      }
    } catch (cause) {
      throw damaged(where, cause);
    }
  }
  yield { kind: 'end', rows };
}

/** A stream ends with a message of length zero, with or without the continuation mark. Without it rows may be missing. */
function hasEndMark(bytes: Uint8Array): boolean {
  return bytes.length >= 8 && bytes.subarray(-4).every((byte) => byte === 0);
}

function reasonOf(cause: unknown): string {
  const line = firstLine(cause);
  // The library takes the file's numbers for positions and its tables for whole; what it says of that helps nobody.
  if (cause instanceof TypeError || line.startsWith('Offset is outside the bounds')) return 'its metadata is damaged';
  return line.includes('codec not found')
    ? 'it is compressed with lz4; write it with zstd or without compression'
    : line;
}
