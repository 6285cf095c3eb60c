/**
 * Arrow IPC files and streams as column batches. The library trusts the numbers of a file, so it sees nothing but
 * schemas that were checked; messages, buffers and dictionaries are read here.
 */
import { readFile, stat } from 'node:fs/promises';
import { Message, type DataType, type Schema } from 'apache-arrow';
import { Footer } from 'apache-arrow/ipc/metadata/file';
import { checkBatch, type ColumnBatch } from '../../release/columns.ts';
import { DatasetError } from '../dataset-error.ts';
import { parseStoredType, transportSchema, type IngestEvent } from '../ingest-events.ts';
import { DATASET_LIMITS } from '../limits.ts';
import type { StoredColumn } from '../metadata.ts';
import { checkNames } from '../names.ts';
import type { SourceFile } from '../source.ts';
import { firstLine } from '../sql-text.ts';
import { batchColumns } from './arrow-body.ts';
import { arrowColumn, dictionaryWords, type ArrowColumn, type Words } from './arrow-column.ts';
import { fileMessages, streamMessages, type Framed, type FramedMessage } from './arrow-framing.ts';
import type { Header } from './arrow-metadata.ts';
import { unsupportedType } from './source-relation.ts';

/** Rows per batch; a multiple of 8, so that bitmaps are cut at bytes. */
const SLICE_ROWS = 16_384;
/** Bytes of texts in one batch, unless few rows hold more. */
const SLICE_BYTES = 16 << 20;
const FEW_ROWS = 8;

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
  let messages: readonly FramedMessage[];
  let converters: readonly ArrowColumn[];
  let columns: readonly StoredColumn[];
  try {
    const bytes = await readFile(source.path);
    const framed = source.format === 'arrow-stream' ? streamMessages(bytes) : fileMessages(bytes);
    messages = framed.messages;
    [columns, converters] = describe(framed, label);
  } catch (cause) {
    throw damaged('not a readable arrow file', cause);
  }
  const transport = transportSchema(columns);
  yield { kind: 'table', name: table, label, columns };
  const dictionaries = new Dictionaries(converters, source.format === 'arrow-stream');
  let rows = 0;
  let index = 0;
  for (const message of inOrderOfUse(messages, source.format === 'arrow-stream')) {
    const { header, body, at } = message;
    if (header.kind === 'batch') index += 1;
    const where = header.kind === 'batch' ? `record batch ${index}` : `the dictionary at byte ${at}`;
    try {
      if (header.kind === 'dictionary') dictionaries.take(header, body);
      if (header.kind !== 'batch') continue;
      const hasOffsets = converters.map((converter) => converter.hasOffsets);
      const data = batchColumns(header.batch, body, hasOffsets);
      for (let from = 0, to = 0; from < header.batch.rows; from = to) {
        to = sliceEnd(header.batch.rows, from, (until) =>
          data.reduce((sum, column, i) => {
            const converter = converters[i];
            return sum + (converter?.textBytes(column, from, until, dictionaries.of(converter)) ?? 0);
          }, 0),
        );
        const batch: ColumnBatch = {
          rowCount: to - from,
          columns: data.map((column, i) => {
            const converter = converters[i];
            if (converter === undefined) throw new RangeError('a column that is not described');
            return converter.slice(column, from, to, dictionaries.of(converter));
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

/** Where the slice that begins at a row ends, so that its texts are no longer than a slice may be. */
function sliceEnd(rows: number, from: number, textBytes: (until: number) => number): number {
  for (let length = SLICE_ROWS; ; length /= 2) {
    const to = Math.min(from + length, rows);
    if (length <= FEW_ROWS || textBytes(to) <= SLICE_BYTES) return to;
  }
}

/** The columns of a file or stream, and what turns them into ours. */
function describe(framed: Framed, label: string): [readonly StoredColumn[], readonly ArrowColumn[]] {
  const schema = schemaOf(framed);
  const names = schema.fields.map(({ name }) => name);
  checkNames(names, 'column', label);
  const converters = schema.fields.map((field): ArrowColumn => {
    const converter = arrowColumn(field.type as DataType);
    if (converter === null) throw unsupportedType(label, field.name, String(field.type));
    return converter;
  });
  const columns = names.map((name, i): StoredColumn => ({ name, type: converters[i]?.type ?? { kind: 'text' } }));
  // A damaged file can name types that do not exist: those must not reach the gateway.
  if (columns.some(({ type }) => parseStoredType(type) === null))
    throw new RangeError('a column has a type that does not exist');
  return [columns, converters];
}

/** The library decodes what was checked before. */
function schemaOf({ messages, footer }: Framed): Schema {
  if (footer !== null) return Footer.decode(footer).schema;
  return Message.decode(messages[0]?.metadata ?? new Uint8Array(0)).header() as unknown as Schema;
}

/** In a file a dictionary may stand behind the batches that point into it; in a stream each one holds from its place on. */
function inOrderOfUse(messages: readonly FramedMessage[], isStream: boolean): readonly FramedMessage[] {
  if (isStream) return messages;
  const isDictionary = ({ header }: FramedMessage): boolean => header.kind === 'dictionary';
  return [...messages.filter(isDictionary), ...messages.filter((message) => !isDictionary(message))];
}

/** The texts of dictionaries by their numbers, as far as they were read. */
class Dictionaries {
  readonly #words = new Map<number, Words>();
  readonly #columns: readonly ArrowColumn[];
  readonly #canReplace: boolean;

  /** `canReplace`: a later dictionary may take the place of an earlier one, which only streams allow. */
  constructor(columns: readonly ArrowColumn[], canReplace: boolean) {
    this.#columns = columns;
    this.#canReplace = canReplace;
  }

  take({ id, isDelta, batch }: Header & { readonly kind: 'dictionary' }, body: Uint8Array): void {
    const width = this.#columns.find(({ dictionary }) => dictionary?.id === id)?.dictionary?.width;
    if (width === undefined) throw new RangeError('no column has it');
    const [data] = batchColumns(batch, body, [true]);
    const words = data === undefined ? [] : dictionaryWords(data, width);
    const before = this.#words.get(id);
    if (isDelta && before === undefined) throw new RangeError('it adds to a dictionary that is not there');
    if (!isDelta && before !== undefined && !this.#canReplace) throw new RangeError('it stands there twice');
    this.#words.set(id, isDelta ? [...(before ?? []), ...words] : words);
  }

  of({ dictionary }: ArrowColumn): Words | undefined {
    return dictionary === null ? undefined : this.#words.get(dictionary.id);
  }
}

function reasonOf(cause: unknown): string {
  // The library takes the file's tables for whole; what it says of that helps nobody.
  return cause instanceof TypeError ? 'its metadata is damaged' : firstLine(cause);
}
