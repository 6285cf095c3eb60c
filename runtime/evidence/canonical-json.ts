/** The JSON that may be signed or logged: RFC 8785's input, without undefined, bigint or non-finite numbers. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const MAX_DEPTH = 64;

/**
 * Canonical text of a JSON value (RFC 8785): one value, one byte sequence, so that signatures and digests are stable.
 * Throws a RangeError on anything that has no canonical form (NaN, lone surrogates, `undefined`, bigint, depth above 64).
 */
export function canonicalJson(value: Json): string {
  return write(value, 0);
}

/** UTF-8 bytes of the canonical text. */
export function canonicalBytes(value: Json): Uint8Array {
  return Buffer.from(write(value, 0), 'utf8');
}

function write(value: Json, depth: number): string {
  if (depth > MAX_DEPTH) throw new RangeError(`no canonical JSON: nested deeper than ${MAX_DEPTH}`);
  if (typeof value === 'string') return text(value);
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new RangeError(`no canonical JSON: ${value} is not a finite number`);
    return JSON.stringify(value); // ECMAScript number formatting is what RFC 8785 §3.2.2.3 prescribes
  }
  if (typeof value !== 'object') throw new RangeError(`no canonical JSON: a ${typeof value} is not a JSON value`);
  if (value === null) return 'null';
  if (isList(value)) return `[${value.map((item) => write(item, depth + 1)).join(',')}]`;
  // The default sort compares UTF-16 code units, as RFC 8785 §3.2.3 asks; localeCompare would not.
  const names = Object.keys(value).toSorted();
  const members = names.map((name) => `${text(name)}:${write(value[name] as Json, depth + 1)}`);
  return `{${members.join(',')}}`;
}

function text(value: string): string {
  if (!value.isWellFormed()) throw new RangeError('no canonical JSON: a string holds a lone surrogate');
  return JSON.stringify(value);
}

function isList(value: object): value is readonly Json[] {
  return Array.isArray(value);
}
