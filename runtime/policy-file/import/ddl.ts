import { MAX_STATEMENTS, refuseImport } from './imported.ts';

/** A piece of DDL text of whatever dialect; enough to find the policies in it. */
export interface DdlToken {
  readonly kind: 'word' | 'name' | 'text' | 'number' | 'mark';
  /** Words in lower case; quoted names and texts without their quotes. */
  readonly text: string;
  /** As written: names keep their case. */
  readonly written: string;
  /** 1-based line. */
  readonly line: number;
}

/** Most tokens of one source. */
const MAX_TOKENS = 100_000;

const PATTERN =
  /(?<space>\s+|--[^\n]*|#[^\n]*|\/\*[\s\S]*?\*\/)|(?<triple>"""[\s\S]*?"""|'''[\s\S]*?'''|\$\$[\s\S]*?\$\$)|(?<open>\/\*[\s\S]*|"""[\s\S]*|'''[\s\S]*|\$\$[\s\S]*)|(?<text>'(?:[^'\\]|''|\\[\s\S])*')|(?<name>"(?:[^"\\]|""|\\[\s\S])*"|`[^`]*`)|(?<word>[\p{L}_][\p{L}\p{N}_$]*)|(?<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)|(?<mark>=>|->|[^\s])/gu;

/** The statements of a source: lists of tokens between semicolons. */
export function statementsOf(source: string): readonly (readonly DdlToken[])[] {
  const statements: DdlToken[][] = [[]];
  let line = 1;
  let count = 0;
  for (const match of source.matchAll(PATTERN)) {
    const { space, triple, open, text, name, word, number, mark } = match.groups ?? {};
    const at = line;
    line += match[0].split('\n').length - 1;
    if (space !== undefined) continue;
    if (++count > MAX_TOKENS) refuseImport(`the source has more than ${MAX_TOKENS} words`);
    if (mark === ';') {
      if (statements.push([]) > MAX_STATEMENTS) refuseImport(`the source has more than ${MAX_STATEMENTS} statements`);
      continue;
    }
    // Taken whole: a scan to the end for each of many would take a time that grows with their square.
    if (open !== undefined) refuseImport(`line ${at}: a comment or a text is not closed`);
    if (mark === "'" || mark === '"' || mark === '`') refuseImport(`line ${at}: a quote is not closed`);
    const into = statements.at(-1);
    const push = (kind: DdlToken['kind'], own: string, said = own): void =>
      void into?.push({ kind, text: own, written: said, line: at });
    if (triple !== undefined) push('text', inside(triple));
    else if (text !== undefined) push('text', unescaped(text.slice(1, -1).replaceAll("''", "'")));
    else if (name !== undefined) push('name', name.slice(1, -1).replaceAll('""', '"'));
    else if (word !== undefined) push('word', word.toLowerCase(), word);
    else if (number !== undefined) push('number', number);
    else push('mark', mark ?? '');
  }
  return statements.filter((one) => one.length > 0);
}

const inside = (quoted: string): string => (quoted.startsWith('$$') ? quoted.slice(2, -2) : quoted.slice(3, -3));

const unescaped = (text: string): string =>
  text.replaceAll(/\\([\s\S])/g, (_, one: string) => (one === 'n' ? '\n' : one === 't' ? '\t' : one));

/** Reads a statement word by word. */
export class DdlReader {
  readonly #tokens: readonly DdlToken[];
  #at = 0;

  constructor(tokens: readonly DdlToken[]) {
    this.#tokens = tokens;
  }

  get line(): number {
    return (this.#tokens[this.#at] ?? this.#tokens.at(-1))?.line ?? 1;
  }

  get isDone(): boolean {
    return this.#at >= this.#tokens.length;
  }

  peek(ahead = 0): DdlToken | undefined {
    return this.#tokens[this.#at + ahead];
  }

  next(): DdlToken | undefined {
    return this.#tokens[this.#at++];
  }

  /** Takes these words and marks when they come next, in this order; else nothing. */
  take(...words: readonly string[]): boolean {
    const isNext = words.every((word, i) => {
      const token = this.peek(i);
      return (token?.kind === 'word' || token?.kind === 'mark') && token.text === word;
    });
    if (isNext) this.#at += words.length;
    return isNext;
  }

  demand(...words: readonly string[]): void {
    if (!this.take(...words))
      refuseImport(
        `line ${this.line}: expected \`${words.join(' ')}\`${this.isDone ? '' : `, not \`${this.peek()?.text ?? ''}\``}`,
      );
  }

  /** A name of parts, `a.b.c`; a backtick name may hold the dots itself. */
  path(): readonly string[] {
    const parts = [this.name()];
    while (this.take('.')) parts.push(this.name());
    return parts.flatMap((part) => part.split('.'));
  }

  name(): string {
    const token = this.next();
    if (token === undefined || (token.kind !== 'word' && token.kind !== 'name'))
      return refuseImport(`line ${this.line}: expected a name`);
    return token.written;
  }

  /** Names in parentheses. */
  names(): readonly string[] {
    this.demand('(');
    const found = [this.name()];
    while (this.take(',')) found.push(this.name());
    this.demand(')');
    return found;
  }

  whole(): number {
    const token = this.next();
    const value = token?.kind === 'number' ? Number(token.text) : Number.NaN;
    return Number.isSafeInteger(value) ? value : refuseImport(`line ${this.line}: expected a whole number`);
  }

  /** What is left, without reading it. */
  rest(): readonly DdlToken[] {
    return this.#tokens.slice(this.#at);
  }
}
