/**
 * The metadata of Arrow IPC messages, read without trust: only what lies in the bytes and fits together is handed on.
 * The library would follow counts of two thousand million fields, and takes a batch for empty when its length says so.
 *
 * Source: Arrow's Message.fbs, Schema.fbs and File.fbs.
 */
import { type Kind, readTable, type Shape, type Value } from './flatbuffer.ts';

const number = (bytes: 1 | 2 | 4 | 8, otherwise = 0): Kind => ({ kind: 'number', bytes, otherwise });
const text: Kind = { kind: 'text' };
const table = (of: () => Shape): Kind => ({ kind: 'table', of });
const tables = (of: () => Shape): Kind => ({ kind: 'tables', of });

/** Structs of numbers that fill eight bytes each, or four of eight. */
const structs = (...widths: readonly (4 | 8)[]): Kind => ({
  kind: 'structs',
  bytes: 8 * widths.length,
  numbers: widths.map((bytes, i) => ({ at: 8 * i, bytes })),
});

const KEY_VALUE: Shape = [{ kind: 'note' }, { kind: 'note' }];
const INT: Shape = [number(4), number(1)];
const UNIT: Shape = [number(2)];
const EMPTY: Shape = [];
/** Type parameters by the number of the type in the union `Type`; those without any are `EMPTY`. */
const TYPES: Readonly<Record<number, Shape>> = {
  2: INT,
  3: UNIT,
  7: [number(4), number(4), number(4, 128)],
  8: [number(2, 1)],
  9: [number(2, 1), number(4, 32)],
  10: [number(2), text],
  11: UNIT,
  14: [number(2), { kind: 'structs', bytes: 4, numbers: [] }],
  15: [number(4)],
  16: [number(4)],
  17: [number(1)],
  18: [number(2, 1)],
};
/** 1 to 26: the last one is `LargeListView`. */
const LAST_TYPE = 26;
const DICTIONARY_ENCODING: Shape = [number(8), table(() => INT), number(1), number(2)];
const FIELD: Shape = [
  text,
  number(1),
  number(1),
  { kind: 'choice', of: (tag) => (tag > 0 && tag <= LAST_TYPE ? (TYPES[tag] ?? EMPTY) : undefined) },
  table(() => DICTIONARY_ENCODING),
  tables(() => FIELD),
  tables(() => KEY_VALUE),
];
const SCHEMA: Shape = [number(2), tables(() => FIELD), tables(() => KEY_VALUE)];
const RECORD_BATCH: Shape = [number(8), structs(8, 8), structs(8, 8), table(() => [number(1), number(1)]), structs(8)];
const DICTIONARY_BATCH: Shape = [number(8), table(() => RECORD_BATCH), number(1)];
const HEADERS: Readonly<Record<number, Shape>> = { 1: SCHEMA, 2: DICTIONARY_BATCH, 3: RECORD_BATCH };
const MESSAGE: Shape = [
  number(2),
  number(1),
  { kind: 'choice', of: (tag) => HEADERS[tag] },
  number(8),
  tables(() => KEY_VALUE),
];
const BLOCKS: Kind = structs(8, 4, 8);
const FOOTER: Shape = [number(2), table(() => SCHEMA), BLOCKS, BLOCKS, tables(() => KEY_VALUE)];

/** A column's rows and missing values in a record batch; the count is -1 where the writer did not count. */
export interface FieldNode {
  readonly length: number;
  readonly nullCount: number;
}

/** Where a buffer lies in the body of its message. */
export interface BufferPlace {
  readonly offset: number;
  readonly length: number;
}

export interface BatchHeader {
  readonly rows: number;
  readonly nodes: readonly FieldNode[];
  readonly buffers: readonly BufferPlace[];
  /** How each buffer is compressed; null: not at all. */
  readonly codec: 'lz4' | 'zstd' | null;
}

export type Header =
  | { readonly kind: 'schema'; readonly schema: string }
  | { readonly kind: 'dictionary'; readonly id: number; readonly isDelta: boolean; readonly batch: BatchHeader }
  | { readonly kind: 'batch'; readonly batch: BatchHeader };

export interface Metadata {
  readonly header: Header;
  readonly bodyLength: number;
}

/** Arrow's `V4`: the first version whose buffers are laid out as today, of December 2017. */
const FIRST_VERSION = 3;
const LAST_VERSION = 4;

/** The metadata of a message. Throws `RangeError` when it is damaged or of no kind that a table has. */
export function readMetadata(bytes: Uint8Array): Metadata {
  const [version, kind, header, bodyLength] = readTable(bytes, MESSAGE);
  if (!Array.isArray(header)) throw new RangeError('a message of no known kind');
  if (Number(version) < FIRST_VERSION || Number(version) > LAST_VERSION)
    throw new RangeError(`version ${Number(version) + 1} of the format; 4 and 5 are read`);
  return { header: headerOf(Number(kind), header as readonly Value[]), bodyLength: Number(bodyLength) };
}

function headerOf(kind: number, values: readonly Value[]): Header {
  if (kind === 1) return { kind: 'schema', schema: schemaText(values) };
  if (kind === 3) return { kind: 'batch', batch: batchOf(values) };
  const [id, data, isDelta] = values;
  if (!Array.isArray(data)) throw new RangeError('a dictionary without its values');
  return { kind: 'dictionary', id: Number(id), isDelta: isDelta !== 0, batch: batchOf(data as readonly Value[]) };
}

/** What two descriptions of the same columns have in common: everything but notes on them. */
function schemaText([endianness, fields]: readonly Value[]): string {
  if (endianness !== 0) throw new RangeError('its numbers are big-endian; write it on a little-endian machine');
  const plain = (field: Value): Value => {
    const [name, isNullable, kind, type, dictionary, children] = field as readonly Value[];
    if (type === null) throw new RangeError('a column has a type that does not exist');
    return [name, isNullable, kind, type, dictionary, ((children ?? []) as readonly Value[]).map(plain)] as Value;
  };
  return JSON.stringify(((fields ?? []) as readonly Value[]).map(plain));
}

function batchOf([rows, nodes, buffers, compression]: readonly Value[]): BatchHeader {
  const pairs = (value: Value | undefined): readonly (readonly number[])[] =>
    (value ?? []) as readonly (readonly number[])[];
  return {
    rows: Number(rows),
    nodes: pairs(nodes).map(([length = 0, nullCount = 0]) => ({ length, nullCount })),
    buffers: pairs(buffers).map(([offset = 0, length = 0]) => ({ offset, length })),
    codec: Array.isArray(compression) ? codecOf((compression as readonly Value[])[0] ?? 0) : null,
  };
}

function codecOf(code: Value): 'lz4' | 'zstd' {
  if (code === 0) return 'lz4';
  if (code === 1) return 'zstd';
  throw new RangeError('it is compressed in a way that is not known');
}

export interface Footer {
  readonly schema: string;
  /** Where the messages begin, as the footer lists them. */
  readonly dictionaries: readonly number[];
  readonly batches: readonly number[];
}

/** The footer of a file. Throws `RangeError` when it is damaged. */
export function readFooter(bytes: Uint8Array): Footer {
  const [, schema, dictionaries, batches] = readTable(bytes, FOOTER);
  if (!Array.isArray(schema)) throw new RangeError('a footer without a schema');
  const offsets = (blocks: Value | undefined): readonly number[] =>
    ((blocks ?? []) as readonly (readonly number[])[]).map(([offset = 0]) => offset);
  return {
    schema: schemaText(schema as readonly Value[]),
    dictionaries: offsets(dictionaries),
    batches: offsets(batches),
  };
}
