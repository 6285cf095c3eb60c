import { type Document, isScalar, Lexer, LineCounter, parseDocument, visit } from 'yaml';

/** Deepest nesting of a document that is read. */
export const MAX_DEPTH = 64;
/** Most tokens (names, values, brackets, spaces between them). */
export const MAX_TOKENS = 100_000;

export interface Trouble {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

export type ReadYaml =
  | { readonly kind: 'read'; readonly source: Document; readonly lines: LineCounter; readonly value: unknown }
  | { readonly kind: 'troubles'; readonly troubles: readonly Trouble[] };

/**
 * Reads YAML 1.2 (core schema) or JSON from somebody who may mean harm, in time that grows with its length. The parser
 * recurses once for each level and compares each key with every other: depth is bounded before it sees the text, and keys
 * are compared here, as the texts that they become (so that `1` and `"1"` are one key, as they are in the value).
 */
export function readYaml(text: string): ReadYaml {
  const lines = new LineCounter();
  const tooMuch = problemOfSize(text);
  if (tooMuch !== null) return { kind: 'troubles', troubles: [tooMuch] };
  const source = parseDocument(text, {
    lineCounter: lines,
    strict: true,
    uniqueKeys: false,
    merge: false,
    schema: 'core',
    // Each excerpt of the text costs its line: thousands of complaints about one long line would take seconds.
    prettyErrors: false,
  });
  const placed = (offset: number, message: string): Trouble => {
    const { line, col } = lines.linePos(offset);
    return {
      line,
      column: col,
      message: message.slice(0, MAX_MESSAGE).split('\n')[0] ?? '',
    };
  };
  const troubles = [...source.errors, ...source.warnings]
    .slice(0, MAX_TROUBLES)
    .map(({ pos, message }) => placed(pos[0], message));
  if (troubles.length === 0) troubles.push(...keyTroubles(source, placed), ...textTroubles(source, placed));
  if (troubles.length > 0) return { kind: 'troubles', troubles };
  try {
    return { kind: 'read', source, lines, value: source.toJS({ maxAliasCount: 0 }) };
  } catch {
    return {
      kind: 'troubles',
      troubles: [{ line: 1, column: 1, message: 'aliases (`*name`) are not accepted: write the value out' }],
    };
  }
}

/** An escape can say half a character, which has no UTF-8: it could be neither signed nor compared with a value of a table. */
function textTroubles(source: Document, placed: (offset: number, message: string) => Trouble): readonly Trouble[] {
  const troubles: Trouble[] = [];
  visit(source, {
    Scalar: (_, { value, range }) => {
      if (typeof value !== 'string' || value.isWellFormed()) return undefined;
      troubles.push(
        placed(range?.[0] ?? 0, 'a text holds half a character (`\\ud800` to `\\udfff`): write the whole one'),
      );
      return troubles.length >= MAX_TROUBLES ? visit.BREAK : undefined;
    },
  });
  return troubles;
}

function keyTroubles(source: Document, placed: (offset: number, message: string) => Trouble): readonly Trouble[] {
  const troubles: Trouble[] = [];
  visit(source, {
    Map: (_, map) => {
      const seen = new Set<string>();
      for (const { key } of map.items) {
        const start = (key as { readonly range?: readonly number[] | null } | null)?.range?.[0] ?? 0;
        if (!isScalar(key)) {
          troubles.push(placed(start, 'a key is a plain name'));
          continue;
        }
        const name = String(key.value);
        // Objects of JavaScript lose a key of this name, and with it what somebody meant by it.
        if (name === '__proto__') troubles.push(placed(start, 'a key cannot be named `__proto__`'));
        if (seen.has(name)) troubles.push(placed(start, `Map keys must be unique: \`${name.slice(0, 100)}\` is twice`));
        seen.add(name);
      }
      return troubles.length >= MAX_TROUBLES ? visit.BREAK : undefined;
    },
  });
  return troubles;
}

const MAX_TROUBLES = 50;
/** The parser quotes what it cannot read, whole. */
const MAX_MESSAGE = 300;

/** What is too deep or too long for the parser; null when nothing is. Reads tokens only, without a tree. */
function problemOfSize(text: string): Trouble | null {
  let [tokens, brackets, marks, line] = [0, 0, 0, 1];
  for (const token of new Lexer().lex(text)) {
    tokens += 1;
    if (token === '[' || token === '{') brackets += 1;
    else if (token === ']' || token === '}') brackets -= 1;
    // `- - - x` and `? ? ? x` nest within one line.
    else if (token === '-' || token === '?') marks += 1;
    else if (token.includes('\n')) {
      line += token.split('\n').length - 1;
      marks = 0;
    }
    const message =
      brackets + marks > MAX_DEPTH
        ? `nested deeper than ${MAX_DEPTH} levels`
        : tokens > MAX_TOKENS
          ? `longer than ${MAX_TOKENS} names and values`
          : null;
    if (message !== null) return { line, column: 1, message };
  }
  return indentation(text);
}

/** Each level of a block is indented by one more space at least. */
function indentation(text: string): Trouble | null {
  let line = 0;
  for (const [indent = ''] of text.matchAll(/^ */gm)) {
    line += 1;
    if (indent.length > 8 * MAX_DEPTH)
      return { line, column: 1, message: `indented by more than ${8 * MAX_DEPTH} spaces` };
  }
  return null;
}
