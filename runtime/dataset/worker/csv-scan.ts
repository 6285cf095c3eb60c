/**
 * Reads a CSV file byte by byte by the letter of RFC 4180 before the engine does, so that no line is dropped, merged or
 * padded silently: every record must have as many fields as the first one. Names come from here, not from the engine,
 * which would rename duplicates.
 */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { at, DatasetError } from '../dataset-error.ts';
import { DATASET_LIMITS } from '../limits.ts';
import { type CsvOptions, foreignFormat, FORMAT_HEAD_BYTES } from '../source.ts';

const QUOTE = 0x22;
const LF = 0x0a;
const CR = 0x0d;
const DELIMITERS = [',', ';', '\t', '|'] as const;

export interface CsvShape {
  readonly delimiter: string;
  readonly columns: readonly string[];
  /** records after the header */
  readonly rows: number;
}

/** The file's shape. Throws `DatasetError` with `file:line` for everything that is not a regular CSV file in UTF-8. */
export async function scanCsv(path: string, label: string, options: CsvOptions): Promise<CsvShape> {
  const first = await readFirstRecord(path, label);
  const delimiter = options.delimiter ?? likeliestDelimiter(first);
  if (!/^[^"\r\n\0]$/.test(delimiter) || delimiter.charCodeAt(0) > 127) {
    throw new DatasetError(
      'invalid-file',
      `${label}: the delimiter has to be one ASCII character other than a quote or a line end`,
    );
  }
  const fields = splitRecord(first, delimiter);
  // Names are looked at later; so many tests of columns would keep the engine busy until then.
  if (fields.length > DATASET_LIMITS.maxColumns)
    throw new DatasetError(
      'too-large',
      `${label}: ${fields.length} columns, at most ${DATASET_LIMITS.maxColumns} are allowed`,
    );
  const records = await scanRecords(path, label, delimiter.charCodeAt(0), fields.length);
  const columns = options.hasHeader ? fields : fields.map((_, i) => `column${i + 1}`);
  return { delimiter, columns, rows: options.hasHeader ? records - 1 : records };
}

/** The text of the first record, without byte order mark and line end. */
async function readFirstRecord(path: string, label: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(DATASET_LIMITS.maxCsvLineBytes);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    if (bytesRead === 0) throw new DatasetError('invalid-file', `${label}: the file is empty`);
    const data = buffer.subarray(0, bytesRead);
    const foreign = foreignFormat(data.subarray(0, FORMAT_HEAD_BYTES));
    if (foreign !== null) throw new DatasetError('invalid-file', `${label}: this is no CSV file: it is ${foreign}`);
    let isQuoted = false;
    let end = 0;
    for (; end < data.length; end++) {
      const byte = data[end];
      if (byte === QUOTE) isQuoted = !isQuoted;
      else if (!isQuoted && (byte === LF || byte === CR)) break;
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(data.subarray(0, end));
  } catch (cause) {
    if (cause instanceof DatasetError) throw cause;
    throw new DatasetError('invalid-file', `${at(label, 1)}: not valid UTF-8; convert the file`, { cause });
  } finally {
    await file.close();
  }
}

function likeliestDelimiter(record: string): string {
  const unquoted = record.replace(/"(?:[^"]|"")*"/g, '');
  const counts = DELIMITERS.map((delimiter) => ({ delimiter, count: unquoted.split(delimiter).length }));
  return counts.reduce((best, next) => (next.count > best.count ? next : best)).delimiter;
}

function splitRecord(record: string, delimiter: string): string[] {
  const fields: string[] = [];
  let field = '';
  let isQuoted = false;
  for (let i = 0; i < record.length; i++) {
    const c = record.charAt(i);
    if (isQuoted && c === '"' && record.charAt(i + 1) === '"') {
      field += '"';
      i++;
    } else if (c === '"') isQuoted = !isQuoted;
    else if (c === delimiter && !isQuoted) {
      fields.push(field);
      field = '';
    } else field += c;
  }
  return [...fields, field];
}

type LineEnd = '\n' | '\r\n' | '\r';
type State = 'fieldStart' | 'unquoted' | 'quoted' | 'afterQuote';

async function scanRecords(path: string, label: string, delimiter: number, fieldCount: number): Promise<number> {
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  let state: State = 'fieldStart';
  let line = 1;
  let recordLine = 1;
  let recordBytes = 0;
  let fields = 1;
  let records = 0;
  let blankLine: number | null = null;
  let newline: LineEnd | null = null;
  let isAfterCr = false;
  const broken = (where: number, why: string): DatasetError =>
    new DatasetError('invalid-file', `${at(label, where)}: ${why}`);

  const endRecord = (kind: LineEnd): void => {
    newline ??= kind;
    if (newline !== kind)
      throw broken(recordLine, 'this line ends in another way than the lines before it; use one kind of line end');
    const isBlank = recordBytes === 0;
    if (isBlank && fieldCount > 1) blankLine ??= recordLine;
    else countRecord();
    line++;
    recordLine = line;
    recordBytes = 0;
    fields = 1;
    state = 'fieldStart';
  };
  const countRecord = (): void => {
    if (blankLine !== null) throw broken(blankLine, `an empty line among the records, which have ${fieldCount} fields`);
    if (fields !== fieldCount) throw broken(recordLine, `${fields} fields, and the first line has ${fieldCount}`);
    records++;
  };

  let isFirstChunk = true;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    const data = chunk as Buffer;
    const chunkLine = line;
    let i = isFirstChunk && data[0] === 0xef && data[1] === 0xbb && data[2] === 0xbf ? 3 : 0;
    isFirstChunk = false;
    for (; i < data.length; i++) {
      const byte = data[i] ?? 0;
      if (isAfterCr) {
        isAfterCr = false;
        if (byte === LF) {
          endRecord('\r\n');
          continue;
        }
        endRecord('\r');
      }
      if (state === 'quoted') {
        if (byte === QUOTE) state = 'afterQuote';
        else if (byte === LF) line++;
        else if (byte === 0) throw broken(line, 'a NUL byte; this is not a text file');
      } else if (byte === LF) {
        endRecord('\n');
        continue;
      } else if (byte === CR) {
        isAfterCr = true;
        continue;
      } else if (byte === delimiter) {
        fields++;
        state = 'fieldStart';
      } else if (byte === QUOTE) {
        if (state === 'unquoted')
          throw broken(line, 'a quote inside an unquoted field; quote the whole field and double the quote');
        state = 'quoted';
      } else if (state === 'afterQuote') {
        throw broken(line, 'text after a closing quote; double the quotes inside a quoted field');
      } else if (byte === 0) {
        throw broken(line, 'a NUL byte; this is not a text file');
      } else state = 'unquoted';
      recordBytes++;
      if (recordBytes > DATASET_LIMITS.maxCsvLineBytes) {
        const hint = state === 'quoted' ? '; a quote that opens there is probably not closed' : '';
        throw broken(recordLine, `a record of more than ${DATASET_LIMITS.maxCsvLineBytes} bytes${hint}`);
      }
    }
    try {
      utf8.decode(data, { stream: true });
    } catch (cause) {
      throw new DatasetError(
        'invalid-file',
        `${at(label, lineOfBadText(data, chunkLine))}: not valid UTF-8; convert the file`,
        { cause },
      );
    }
  }
  if (isAfterCr) endRecord('\r');
  if (state === 'quoted') throw broken(recordLine, 'a quote is opened here and never closed');
  if (recordBytes > 0) countRecord();
  try {
    utf8.decode();
  } catch (cause) {
    throw new DatasetError('invalid-file', `${at(label, line)}: the file ends within a character`, { cause });
  }
  return records;
}

/** Line of the first invalid sequence in a chunk, for the message only. */
function lineOfBadText(data: Buffer, firstLine: number): number {
  let line = firstLine;
  for (let from = 0; ; line++) {
    const end = data.indexOf(LF, from);
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(data.subarray(from, end === -1 ? data.length : end));
    } catch {
      // The first line may begin inside a character that the chunk before it opened.
      if (from > 0 || firstLine === 1) return line;
    }
    if (end === -1) return line;
    from = end + 1;
  }
}
