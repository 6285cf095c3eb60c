import { durationParts, NodeError } from './read-value.ts';
import { fullIri, NAMESPACES, shortTerm, type ValueKind } from './terms.ts';

type Plain = { readonly [key: string]: unknown };

/** Deepest nesting, and most members of one list, that an imported document may have. */
const MAX_DEPTH = 32;
const MAX_MEMBERS = 10_000;

/**
 * A node of an imported document. Everything in it has to be taken by name; what is left over is refused, so that a
 * term we do not know can never be dropped silently.
 */
export class NodeReader {
  readonly #members = new Map<string, unknown>();
  readonly path: string;
  readonly #depth: number;

  constructor(value: unknown, path: string, depth = 0) {
    this.path = path;
    this.#depth = depth;
    if (depth > MAX_DEPTH) throw new NodeError(path, `nested deeper than ${MAX_DEPTH}`);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new NodeError(path, 'not a node');
    for (const [key, inner] of Object.entries(value)) {
      const name = termOf(key, path);
      if (this.#members.has(name)) throw new NodeError(path, `\`${name}\` is said twice`);
      this.#members.set(name, inner);
    }
  }

  /** The values of a property, none when it is absent. */
  all(name: string): readonly unknown[] {
    const value = this.#members.get(name);
    this.#members.delete(name);
    if (value === undefined) return [];
    const values = Array.isArray(value) ? (value as unknown[]) : [value];
    if (values.length > MAX_MEMBERS) throw new NodeError(this.#at(name), `more than ${MAX_MEMBERS} values`);
    return values;
  }

  nodes(name: string): readonly NodeReader[] {
    return this.all(name).map((one, index) => new NodeReader(one, `${this.#at(name)}[${index}]`, this.#depth + 1));
  }

  node(name: string): NodeReader {
    const [first, ...others] = this.nodes(name);
    if (first === undefined || others.length > 0) throw new NodeError(this.#at(name), 'exactly one node is needed');
    return first;
  }

  /** Identifiers in short form, e.g. `odrl:count`. */
  ids(name: string): readonly string[] {
    return this.all(name).map((one) => idOf(one, this.#at(name)));
  }

  id(name: string): string {
    const [first, ...others] = this.ids(name);
    if (first === undefined || others.length > 0) throw new NodeError(this.#at(name), 'exactly one term is needed');
    return first;
  }

  optionalId(name: string): string | null {
    return this.#members.has(name) ? this.id(name) : null;
  }

  value<T>(name: string, kind: ValueKind): T {
    return readValues(this.all(name), kind, this.#at(name)) as T;
  }

  optional<T>(name: string, kind: ValueKind): T | null {
    return this.#members.has(name) ? this.value<T>(name, kind) : null;
  }

  texts(name: string): readonly string[] {
    return this.#members.has(name) ? this.value<readonly string[]>(name, 'texts') : [];
  }

  /** The node's own identifier; absent ones are the empty text. */
  get own(): string {
    const id = this.#members.get('@id');
    this.#members.delete('@id');
    if (id !== undefined && typeof id !== 'string') throw new NodeError(this.path, '`@id` is not a text');
    return id ?? '';
  }

  /** The node must be of this type, or say none. */
  type(expected: string): void {
    for (const one of this.all('@type'))
      if (typeof one !== 'string' || termOf(one, this.path) !== expected)
        throw new NodeError(this.path, `its type is \`${String(one)}\`, not \`${expected}\``);
  }

  /** Refuses whatever nobody asked for. */
  end(): void {
    const [left] = this.#members.keys();
    if (left !== undefined) throw new NodeError(this.path, `\`${left}\` is not a term of the profile here`);
  }

  #at(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`;
  }
}

export function readValues(values: readonly unknown[], kind: ValueKind, path: string): unknown {
  if (kind === 'texts' || kind === 'purposes' || kind === 'doubles') {
    if (values.length === 0) throw new NodeError(path, 'a value is missing');
    return values.map((one) =>
      kind === 'doubles'
        ? numberOf(one, path, 'double')
        : kind === 'purposes'
          ? purposeOf(one, path)
          : textOf(one, path),
    );
  }
  const [first, ...others] = values;
  if (first === undefined || others.length > 0) throw new NodeError(path, 'exactly one value is needed');
  switch (kind) {
    case 'text':
      return textOf(first, path);
    case 'integer':
    case 'double':
      return numberOf(first, path, kind);
    case 'boolean': {
      const said = literalOf(first, path, ['xsd:boolean']);
      if (said !== 'true' && said !== 'false') throw new NodeError(path, `\`${said}\` is neither true nor false`);
      return said === 'true';
    }
    case 'instant': {
      const said = literalOf(first, path, ['xsd:dateTime']);
      // Without a zone an instant means another moment in every place.
      const time = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,3})?(Z|[+-]\d{2}:\d{2})$/.test(said)
        ? Date.parse(said)
        : Number.NaN;
      if (Number.isNaN(time)) throw new NodeError(path, `\`${said}\` is not an instant with its zone`);
      return time;
    }
    case 'duration':
      return durationParts(literalOf(first, path, ['xsd:duration']), path);
  }
}

/** The text and datatype of a literal; the datatype must be one of those given (`''` is plain text). */
export function literalOf(value: unknown, path: string, types: readonly string[]): string {
  const { said, type } = anyLiteral(value, path);
  if (!types.includes(type)) throw new NodeError(path, `a value of type \`${type}\` does not fit here`);
  return said;
}

export function anyLiteral(value: unknown, path: string): { readonly said: string; readonly type: string } {
  if (typeof value === 'string') return { said: value, type: '' };
  if (typeof value === 'number')
    return { said: String(value), type: Number.isSafeInteger(value) ? 'xsd:integer' : 'xsd:double' };
  if (typeof value === 'boolean') return { said: String(value), type: 'xsd:boolean' };
  const node = value as Plain | null;
  if (typeof node !== 'object' || node === null || Array.isArray(node) || !('@value' in node))
    throw new NodeError(path, 'not a literal');
  const { '@value': said, '@type': type, ...rest } = node;
  const [left] = Object.keys(rest);
  if (left !== undefined) throw new NodeError(path, `\`${left}\` is not accepted beside a literal`);
  if (type !== undefined && typeof type !== 'string') throw new NodeError(path, 'a literal has one type');
  const plain = anyLiteral(typeof said === 'object' ? null : said, path);
  const named = type === undefined ? plain.type : termOf(type, path);
  return { said: plain.said, type: named === 'xsd:string' ? '' : named };
}

const textOf = (value: unknown, path: string): string => literalOf(value, path, ['']);

function purposeOf(value: unknown, path: string): string {
  if (typeof value === 'object' && value !== null && '@id' in value) {
    const id = idOf(value, path);
    if (/^dpv:[A-Za-z]+$/.test(id)) return id.slice('dpv:'.length);
    throw new NodeError(path, `\`${id}\` is not a purpose of the Data Privacy Vocabulary`);
  }
  return textOf(value, path);
}

function numberOf(value: unknown, path: string, kind: 'integer' | 'double'): number {
  const said = literalOf(
    value,
    path,
    kind === 'integer' ? ['xsd:integer'] : ['xsd:double', 'xsd:integer', 'xsd:decimal'],
  );
  const isForm = kind === 'integer' ? /^-?\d{1,16}$/ : /^-?\d+(\.\d+)?(e[+-]?\d{1,3})?$/i;
  const number = Number(said);
  if (!isForm.test(said) || !Number.isFinite(number) || (kind === 'integer' && !Number.isSafeInteger(number)))
    throw new NodeError(path, `\`${said}\` is not a number that fits here`);
  return number;
}

function idOf(value: unknown, path: string): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new NodeError(path, 'not a term');
  const { '@id': id, ...rest } = value as Plain;
  if (typeof id !== 'string' || Object.keys(rest).length > 0) throw new NodeError(path, 'not a term');
  return termOf(id, path);
}

/** A full IRI, or a prefixed one of the namespaces we know, in short form. Bare words are refused: they are relative IRIs. */
function termOf(word: string, path: string): string {
  if (word.startsWith('@')) return word;
  const short = shortTerm(word);
  if (short === word && Object.keys(NAMESPACES).some((prefix) => word.startsWith(`${prefix}:`)))
    return shortTerm(fullIri(word));
  if (!word.includes(':')) throw new NodeError(path, `\`${word}\` is a relative name: write the full IRI`);
  return short;
}
