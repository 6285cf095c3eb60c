/* oxlint-disable typescript/unbound-method -- builtins are captured here and bound with `Function.prototype.call` */
/**
 * The code that stands between consumer code and the bytes that leave an isolate. Each function below is turned into
 * text and compiled inside of the isolate, before consumer code runs, so it must not use any name of this module.
 *
 * Rules they keep: everything they use later is captured first; every property of a returned value is read once; they
 * write to typed arrays by index only (no method, no array literal that a setter on a prototype could see); and
 * nothing thrown gets out, because the host reads an error after its timer has stopped.
 */

/** Numbers: `out[0]` is the status and `out[1…k]` the values. Statuses: 1 ok, 2 wrong type, 3 wrong shape, 4 threw. */
function collectNumbers(names: readonly string[]): unknown {
  const k = names.length;
  const out = new Float64Array(k + 1);
  return function collect(factory: () => unknown, makeInput: () => unknown): Float64Array {
    try {
      const input = makeInput();
      const main = factory();
      if (typeof main !== 'function') {
        out[0] = 2;
        return out;
      }
      const result = (main as (input: unknown) => unknown)(input);
      if (typeof result === 'number' && k === 1) {
        out[1] = result;
        out[0] = 1;
      } else if (typeof result === 'object' && result !== null) {
        const length = (result as { length?: unknown }).length;
        out[0] = length === k || length === undefined ? 1 : 3;
        for (let i = 0; i < k; i++) {
          const value = (result as Record<PropertyKey, unknown>)[length === undefined ? (names[i] as string) : i];
          if (typeof value === 'number') out[i + 1] = value;
          else out[0] = 3;
        }
      } else {
        out[0] = 2;
      }
    } catch {
      out[0] = 4;
    }
    if (out[0] !== 1) for (let i = 1; i <= k; i++) out[i] = 0;
    return out;
  };
}

/**
 * A typed table: `u8 status, u32 rows`, then row by row and column by column `u8 isThere` and the value: f64, i32, u8, or for
 * text `u32 length` and the UTF-8 bytes; all little endian. The function returns one row or an array of rows.
 */
function collectTable(
  columns: readonly { readonly name: string; readonly kind: string; readonly maxBytes: number }[],
  maxRows: number,
  maxBytes: number,
): unknown {
  const out = new Uint8Array(maxBytes);
  const charCodeAt = Function.prototype.call.bind(String.prototype.charCodeAt) as (text: string, at: number) => number;
  const number = new Float64Array(1);
  const numberBytes = new Uint8Array(number.buffer);
  const integer = new Int32Array(1);
  const integerBytes = new Uint8Array(integer.buffer);
  const slice = Function.prototype.call.bind(Uint8Array.prototype.slice) as (
    bytes: Uint8Array,
    from: number,
    to: number,
  ) => Uint8Array;
  // `slice` asks the constructor for its species: an own one cannot be replaced through the prototype.
  Object.defineProperty(out, 'constructor', { value: undefined });
  let end = 0;
  let overflow = false;
  const put = (byte: number): void => {
    if (end >= maxBytes) overflow = true;
    else out[end++] = byte;
  };
  const putInteger = (value: number): void => {
    integer[0] = value;
    for (let i = 0; i < 4; i++) put(integerBytes[i] as number);
  };
  /** UTF-8 of a text; a lone surrogate becomes U+FFFD. Returns the number of bytes. */
  const putText = (text: string, limit: number): number => {
    const before = end;
    const { length } = text;
    if (length > limit) overflow = true;
    for (let i = 0; i < length && !overflow; i++) {
      let code = charCodeAt(text, i);
      if (code >= 0xd800 && code <= 0xdfff) {
        const next = i + 1 < length ? charCodeAt(text, i + 1) : 0;
        if (code < 0xdc00 && next >= 0xdc00 && next <= 0xdfff) {
          code = 0x10000 + ((code - 0xd800) << 10) + (next - 0xdc00);
          i++;
        } else code = 0xfffd;
      }
      if (code < 0x80) put(code);
      else if (code < 0x800) {
        put(0xc0 | (code >> 6));
        put(0x80 | (code & 63));
      } else if (code < 0x10000) {
        put(0xe0 | (code >> 12));
        put(0x80 | ((code >> 6) & 63));
        put(0x80 | (code & 63));
      } else {
        put(0xf0 | (code >> 18));
        put(0x80 | ((code >> 12) & 63));
        put(0x80 | ((code >> 6) & 63));
        put(0x80 | (code & 63));
      }
    }
    if (end - before > limit) overflow = true;
    return end - before;
  };
  const putCell = (kind: string, value: unknown, limit: number): boolean => {
    switch (kind) {
      case 'float64':
        number[0] = typeof value === 'number' ? value : 0;
        for (let i = 0; i < 8; i++) put(numberBytes[i] as number);
        return value === null || value === undefined || typeof value === 'number';
      case 'int32':
        putInteger(typeof value === 'number' ? value : 0);
        return value === null || value === undefined || (typeof value === 'number' && (value | 0) === value);
      case 'boolean':
        put(value === true ? 1 : 0);
        return value === null || value === undefined || typeof value === 'boolean';
      default: {
        const at = end;
        putInteger(0);
        if (typeof value !== 'string') return value === null || value === undefined;
        const size = putText(value, limit);
        integer[0] = size;
        if (at + 4 <= maxBytes) for (let i = 0; i < 4; i++) out[at + i] = integerBytes[i] as number;
        return true;
      }
    }
  };
  /** Row by row: `u8 validity` and the value of each cell. */
  const putRow = (row: unknown): boolean => {
    if (typeof row !== 'object' || row === null) return false;
    let isFine = true;
    for (let c = 0; c < columns.length; c++) {
      const column = columns[c] as { readonly name: string; readonly kind: string; readonly maxBytes: number };
      const value = (row as Record<string, unknown>)[column.name];
      put(value === null || value === undefined ? 0 : 1);
      if (!putCell(column.kind, value, column.maxBytes)) isFine = false;
    }
    return isFine;
  };
  return function collect(factory: () => unknown, makeInput: () => unknown): Uint8Array {
    let status = 4;
    end = 0;
    try {
      put(0);
      putInteger(0);
      const input = makeInput();
      const main = factory();
      status = 2;
      if (typeof main === 'function') {
        const result = (main as (input: unknown) => unknown)(input);
        if (typeof result === 'object' && result !== null) {
          const length = (result as { length?: unknown }).length;
          const rows = length === undefined ? 1 : length;
          status = 3;
          if (typeof rows === 'number' && rows >= 0 && rows <= maxRows && rows % 1 === 0) {
            let isFine = true;
            for (let i = 0; i < rows && isFine; i++) {
              isFine = putRow(length === undefined ? result : (result as Record<number, unknown>)[i]);
            }
            if (isFine && !overflow) {
              status = 1;
              integer[0] = rows;
              for (let i = 0; i < 4; i++) out[1 + i] = integerBytes[i] as number;
            }
          }
        }
      }
    } catch {
      status = 4;
    }
    out[0] = status;
    return slice(out, 0, status === 1 ? end : 1);
  };
}

/** JSON over released results: byte 0 is the status, then the UTF-8 text. */
function collectJson(maxBytes: number): unknown {
  const { parse, stringify } = JSON;
  const out = new Uint8Array(maxBytes + 1);
  const charCodeAt = Function.prototype.call.bind(String.prototype.charCodeAt) as (text: string, at: number) => number;
  const slice = Function.prototype.call.bind(Uint8Array.prototype.slice) as (
    bytes: Uint8Array,
    from: number,
    to: number,
  ) => Uint8Array;
  Object.defineProperty(out, 'constructor', { value: undefined });
  return function collect(factory: () => unknown, inputText: string): Uint8Array {
    let status = 4;
    let end = 1;
    try {
      const input = parse(inputText) as unknown;
      const main = factory();
      status = 2;
      if (typeof main === 'function') {
        const text: unknown = stringify((main as (input: unknown) => unknown)(input));
        if (typeof text === 'string') {
          const { length } = text;
          status = 3;
          if (length <= maxBytes) {
            // JSON text escapes lone surrogates, so every character outside of ASCII is written as an escape here.
            const hex = '0123456789abcdef';
            let i = 0;
            for (; i < length && end + 6 <= maxBytes + 1; i++) {
              const code = charCodeAt(text, i);
              if (code < 0x80) out[end++] = code;
              else {
                out[end++] = 0x5c;
                out[end++] = 0x75;
                for (let shift = 12; shift >= 0; shift -= 4) out[end++] = charCodeAt(hex, (code >> shift) & 15);
              }
            }
            if (i === length) status = 1;
          }
        }
      }
    } catch {
      status = 4;
    }
    out[0] = status;
    return slice(out, 0, status === 1 ? end : 1);
  };
}

/** A run on synthetic data for its author: values, console lines and the error's text, as one bounded JSON text. */
function collectDebug(maxCharacters: number): unknown {
  const { stringify } = JSON;
  const lines: string[] = [];
  let left = maxCharacters;
  const show = (value: unknown): string => {
    try {
      if (typeof value === 'string') return value;
      if (value instanceof Error) return `${value.name}: ${value.message}`;
      return typeof value === 'object' && value !== null ? (stringify(value) ?? 'undefined') : String(value);
    } catch {
      return '(cannot be shown)';
    }
  };
  const write = (level: string, values: readonly unknown[]): void => {
    const line = `${level}${values.map(show).join(' ')}`.slice(0, left);
    left -= line.length + 1;
    if (left > 0) lines.push(line);
  };
  const log = (...values: unknown[]): void => write('', values);
  const warn = (...values: unknown[]): void => write('warning: ', values);
  const fail = (...values: unknown[]): void => write('error: ', values);
  Object.defineProperty(globalThis, 'console', {
    value: { log, info: log, debug: log, warn, error: fail },
    configurable: true,
  });
  return function collect(factory: () => unknown, makeInput: () => unknown): string {
    let result: string | undefined;
    let error: string | undefined;
    try {
      const input = makeInput();
      const main = factory();
      if (typeof main !== 'function') error = 'the program does not give a function';
      else result = show((main as (input: unknown) => unknown)(input)).slice(0, maxCharacters);
    } catch (thrown) {
      error = show(thrown).slice(0, maxCharacters);
    }
    try {
      return stringify({ console: lines, result, error });
    } catch {
      return '{}';
    }
  };
}

/** Views the columns of one transferred buffer by offset. Called by trusted code; consumer code sees only its result. */
function columnViews(
  places: readonly { readonly name: string; readonly kind: string; readonly labels?: readonly string[] }[],
): unknown {
  const { create } = Object;
  const kinds = { float64: Float64Array, int32: Int32Array, dictionary: Int32Array, boolean: Int8Array };
  return function makeInput(buffer: ArrayBuffer, rows: number, offsets: readonly number[]): unknown {
    const columns = create(null) as Record<string, unknown>;
    const labels = create(null) as Record<string, unknown>;
    for (let i = 0; i < places.length; i++) {
      const place = places[i] as {
        readonly name: string;
        readonly kind: keyof typeof kinds;
        readonly labels?: readonly string[];
      };
      columns[place.name] = new kinds[place.kind](buffer, offsets[i] as number, rows);
      if (place.labels !== undefined) labels[place.name] = place.labels;
    }
    return { rows, columns, labels };
  };
}

export const collectNumbersText = strictText(collectNumbers);
export const collectTableText = strictText(collectTable);
export const collectJsonText = strictText(collectJson);
export const collectDebugText = strictText(collectDebug);
export const columnViewsText = strictText(columnViews);

function strictText(code: (...values: never[]) => unknown): string {
  return `(function(){'use strict';return (${code.toString()})})()`;
}
