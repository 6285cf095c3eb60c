/** What a provider hands in, and how its format is told from its first bytes. */
export type SourceFormat = 'parquet' | 'csv' | 'arrow-file' | 'arrow-stream' | 'duckdb';

export interface CsvOptions {
  /** one character; null means: told from the file */
  readonly delimiter: string | null;
  /** whether the first line holds the column names */
  readonly hasHeader: boolean;
  /** unquoted texts that stand for no value; the empty text always does */
  readonly nullTexts: readonly string[];
}

export const DEFAULT_CSV_OPTIONS: CsvOptions = { delimiter: null, hasHeader: true, nullTexts: [] };

export interface SourceFile {
  /** where the spooled bytes lie */
  readonly path: string;
  readonly bytes: number;
  /** what the provider calls the file; used in messages */
  readonly label: string;
  readonly format: SourceFormat;
  /** table to make; for a DuckDB file null means every table in it, under its own name */
  readonly table: string | null;
  /** table to read in a DuckDB file, when only one is wanted */
  readonly sourceTable: string | null;
  readonly csv: CsvOptions;
}

/** Bytes from the beginning of a file that `formatOf` needs. */
export const FORMAT_HEAD_BYTES = 16;

/** The format that the first bytes announce; anything unknown is taken for CSV and checked as such. */
export function formatOf(head: Uint8Array): SourceFormat {
  const text = Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString('latin1');
  if (text.startsWith('PAR1') || text.startsWith('PARE')) return 'parquet';
  if (text.startsWith('ARROW1')) return 'arrow-file';
  if (text.startsWith('\xff\xff\xff\xff')) return 'arrow-stream';
  if (text.slice(8, 12) === 'DUCK') return 'duckdb';
  return 'csv';
}

/** What other programs write, as its first bytes tell; none of these can begin a text. */
const PACKED_OR_FOREIGN: readonly (readonly [head: string, what: string])[] = [
  ['\x1f\x8b', 'packed with gzip; unpack it'],
  ['\x28\xb5\x2f\xfd', 'packed with zstd; unpack it'],
  ['\xfd7zXZ\0', 'packed with xz; unpack it'],
  ['7z\xbc\xaf\x27\x1c', 'a 7-Zip archive; unpack it'],
  ['PK\x03\x04', 'a ZIP archive or a spreadsheet (xlsx, ods); unpack it, or save the sheet as CSV in UTF-8'],
  ['\xd0\xcf\x11\xe0', 'an old spreadsheet (xls); save the sheet as CSV in UTF-8'],
  ['\xff\xfe', 'text in UTF-16; save it as UTF-8'],
  ['\xfe\xff', 'text in UTF-16; save it as UTF-8'],
  ['SQLite format 3\0', 'an SQLite database; write its tables as CSV or Parquet'],
];

/** What a file that is no CSV is, and what to do; null when its first bytes do not tell. */
export function foreignFormat(head: Uint8Array): string | null {
  const text = Buffer.from(head.buffer, head.byteOffset, head.byteLength).toString('latin1');
  return PACKED_OR_FOREIGN.find(([begin]) => text.startsWith(begin))?.[1] ?? null;
}

/** A table name made from a file name: letters, digits and `_` only. */
export function tableNameFrom(label: string): string {
  const stem = (label.split(/[\\/]/).at(-1) ?? '').replace(/\.[^.]*$/, '');
  const name = stem.replace(/[^\p{L}\p{N}_]+/gu, '_').replace(/^_+|_+$/g, '');
  return name === '' ? 'table' : /^\p{N}/u.test(name) ? `t_${name}` : name;
}
