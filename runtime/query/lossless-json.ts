/** A number that JavaScript would have rounded, kept as the digits that were written. */
export interface RawNumber {
  readonly rawJSON: string;
}

interface ReviverContext {
  readonly source?: string;
}
type LosslessReviver = (key: string, value: unknown, context: ReviverContext) => unknown;
const json = JSON as unknown as {
  parse(text: string, reviver: LosslessReviver): unknown;
  rawJSON(text: string): RawNumber;
};

/**
 * Parses the JSON text of a syntax tree without rounding: integers beyond 2⁵³ and every non-integer stay as text.
 * Throws SyntaxError for what is not JSON; DuckDB writes `1e400` as a bare `Infinity`, which is refused that way.
 */
export function parseLossless(text: string): unknown {
  return json.parse(text, (_key, value, { source }) => {
    if (typeof value !== 'number' || source === undefined) return value;
    return Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? value : json.rawJSON(source);
  });
}

/** The digits of a number that came from `parseLossless`; null when the value is not a number. */
export function numberText(value: unknown): string | null {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? String(value) : null;
  if (typeof value !== 'object' || value === null || !('rawJSON' in value)) return null;
  return typeof value.rawJSON === 'string' && /^-?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(value.rawJSON)
    ? value.rawJSON
    : null;
}
