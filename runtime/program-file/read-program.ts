import { LineCounter, parseDocument } from 'yaml';
import type { IterationPlan, JavaScriptProgram } from '../gen/messages.ts';

/** Largest program file, bytes of UTF-8; the source has its own limits. */
const MAX_BYTES = 64 * 1024;

/** A program as its file describes it; the source is read by whoever may read files. */
export type ProgramFile =
  | {
      readonly kind: 'program';
      readonly program: JavaScriptProgram;
      /** Path of the source, relative to the file; null when the file names none. */
      readonly sourceFile: string | null;
    }
  | { readonly kind: 'complaints'; readonly complaints: readonly string[] };

/**
 * Reads the description of sandboxed code in YAML or JSON, see docs/sandboxed-code.md. Unknown keys and wrong types are
 * complaints as `file:line:column path: message`; what the numbers mean is checked by the runtime.
 */
export function readProgram(text: string, file: string): ProgramFile {
  if (Buffer.byteLength(text) > MAX_BYTES) return complain(`${file}:1:1 the file is larger than ${MAX_BYTES} bytes`);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true, merge: false, schema: 'core' });
  const broken = [...document.errors, ...document.warnings];
  if (broken.length > 0) {
    return complain(
      ...broken.map((error) => {
        const { line, col } = lines.linePos(error.pos[0]);
        return `${file}:${line}:${col} ${error.message.split('\n')[0] ?? ''}`;
      }),
    );
  }
  const at = (path: Path): string => {
    const node = path.length === 0 ? document.contents : document.getIn(path, true);
    const offset = (node as { range?: readonly number[] | null } | undefined)?.range?.[0] ?? 0;
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const reader = new Reader(at);
  // Aliases are not expanded: a file of some bytes must not become a program of gigabytes.
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 0 });
  } catch {
    return complain(`${file}:1:1 aliases are not taken: write the value out`);
  }
  const read = reader.program(value);
  return reader.complaints.length > 0 ? complain(...reader.complaints) : { kind: 'program', ...read };
}

const complain = (...complaints: readonly string[]): ProgramFile => ({ kind: 'complaints', complaints });

type Path = readonly (string | number)[];
type Fields = Readonly<Record<string, unknown>>;

const METHODS = ['rowFunction', 'blocks', 'approved', 'post'] as const;
const ALGORITHMS = ['kMeans', 'linearRegression', 'logisticRegression'] as const;

class Reader {
  readonly complaints: string[] = [];
  readonly #at: (path: Path) => string;

  constructor(at: (path: Path) => string) {
    this.#at = at;
  }

  program(value: unknown): { readonly program: JavaScriptProgram; readonly sourceFile: string | null } {
    const fields = this.#fields(
      value,
      [],
      [
        'source',
        'method',
        'table',
        'columns',
        'outputs',
        'reducer',
        'groupBy',
        'libraries',
        'parameters',
        'blocks',
        'result',
        'maxRowsPerGroup',
        'timeoutMs',
        'iterate',
        'results',
        'epsilon',
        'codeDigest',
        'image',
      ],
    );
    const blocks = this.#fields(fields['blocks'], ['blocks'], ['count', 'timeoutMs', 'aggregate']);
    const groupBy = this.#fields(fields['groupBy'], ['groupBy'], ['column', 'keys']);
    const sourceFile = fields['source'] === undefined ? null : this.#text(fields['source'], ['source']);
    const method = fields['method'] === undefined ? 'rowFunction' : this.#one(fields['method'], ['method'], METHODS);
    const ownReducer = fields['reducer'] === undefined ? '' : this.#text(fields['reducer'], ['reducer']);
    const aggregate = blocks['aggregate'] === undefined ? '' : this.#text(blocks['aggregate'], ['blocks', 'aggregate']);
    const timeoutMs = blocks['timeoutMs'] ?? fields['timeoutMs'];
    return {
      sourceFile,
      program: {
        source: '',
        isTypeScript: sourceFile?.endsWith('.ts') ?? false,
        method,
        table: fields['table'] === undefined ? '' : this.#text(fields['table'], ['table']),
        columns: this.#texts(fields['columns'], ['columns']),
        outputs: this.#list(fields['outputs'], ['outputs']).map((each, i) => this.#output(each, ['outputs', i])),
        reducer: method === 'blocks' ? aggregate : ownReducer,
        blocks: this.#count(blocks['count'], ['blocks', 'count']),
        rounds: 0,
        codeDigest: fields['codeDigest'] === undefined ? '' : this.#text(fields['codeDigest'], ['codeDigest']),
        image: fields['image'] === undefined ? '' : this.#text(fields['image'], ['image']),
        parameters: this.#numbersByName(fields['parameters'], ['parameters']),
        inputJobIds: this.#texts(fields['results'], ['results']),
        libraries: this.#texts(fields['libraries'], ['libraries']),
        groupColumn: groupBy['column'] === undefined ? '' : this.#text(groupBy['column'], ['groupBy', 'column']),
        groupKeys: this.#list(groupBy['keys'], ['groupBy', 'keys']).map((key, i) =>
          this.#key(key, ['groupBy', 'keys', i]),
        ),
        result: this.#list(fields['result'], ['result']).map((each, i) => {
          const path = ['result', i];
          const column = this.#fields(each, path, ['name', 'kind', 'maxBytes']);
          return {
            name: this.#text(column['name'], [...path, 'name']),
            kind: this.#text(column['kind'], [...path, 'kind']),
            maxBytes: this.#count(column['maxBytes'], [...path, 'maxBytes']),
          };
        }),
        maxRowsPerGroup: this.#count(fields['maxRowsPerGroup'], ['maxRowsPerGroup']),
        timeoutMs: this.#count(timeoutMs, ['timeoutMs']),
        iterate: fields['iterate'] === undefined ? null : this.#iteration(fields['iterate']),
        // Rounded down: never more is spent than was written.
        microEpsilon:
          fields['epsilon'] === undefined
            ? 0n
            : BigInt(Math.floor(Math.min(1e9, Math.max(0, this.#number(fields['epsilon'], ['epsilon']))) * 1e6 + 1e-9)),
      },
    };
  }

  #output(value: unknown, path: Path): JavaScriptProgram['outputs'][number] {
    const output = this.#fields(value, path, ['name', 'range', 'step', 'default', 'bins']);
    const range = this.#numbers(output['range'], [...path, 'range']);
    if (range.length !== 2) this.#complain([...path, 'range'], 'needs two numbers, [low, high]');
    return {
      name: this.#text(output['name'], [...path, 'name']),
      low: range[0] ?? 0,
      high: range[1] ?? 0,
      step: output['step'] === undefined ? 0 : this.#number(output['step'], [...path, 'step']),
      defaultValue: output['default'] === undefined ? 0 : this.#number(output['default'], [...path, 'default']),
      hasDefault: output['default'] !== undefined,
      bins: this.#numbers(output['bins'], [...path, 'bins']),
    };
  }

  #iteration(value: unknown): IterationPlan {
    const path = ['iterate'];
    const plan = this.#fields(value, path, ['algorithm', 'rounds', 'centres', 'weights', 'clip', 'rate']);
    const optional = (name: string): number =>
      plan[name] === undefined ? 0 : this.#number(plan[name], [...path, name]);
    return {
      algorithm: this.#one(plan['algorithm'], [...path, 'algorithm'], ALGORITHMS),
      rounds: this.#count(plan['rounds'], [...path, 'rounds']),
      centres: this.#list(plan['centres'], [...path, 'centres']).map((each, i) => ({
        coordinates: this.#numbers(each, [...path, 'centres', i]),
      })),
      weights: this.#numbers(plan['weights'], [...path, 'weights']),
      clip: optional('clip'),
      rate: optional('rate'),
    };
  }

  #key(value: unknown, path: Path): JavaScriptProgram['groupKeys'][number] {
    if (typeof value === 'string') return { key: { kind: 'text', text: value } };
    if (typeof value === 'number') return { key: { kind: 'number', number: value } };
    if (typeof value === 'boolean') return { key: { kind: 'boolean', boolean: value } };
    this.#complain(path, 'must be a text, a number or a truth value');
    return { key: null };
  }

  #complain(path: Path, message: string): void {
    this.complaints.push(`${this.#at(path)} ${path.length === 0 ? '' : `${path.join('.')}: `}${message}`);
  }

  #fields(value: unknown, path: Path, known: readonly string[]): Fields {
    if (value === undefined && path.length > 0) return {};
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.#complain(path, 'must be a mapping');
      return {};
    }
    for (const key of Object.keys(value))
      if (!known.includes(key)) this.#complain([...path, key], `is not known; known are ${known.join(', ')}`);
    return value as Fields;
  }

  #list(value: unknown, path: Path): readonly unknown[] {
    if (value === undefined) return [];
    if (Array.isArray(value)) return value as unknown[];
    this.#complain(path, 'must be a list');
    return [];
  }

  #texts(value: unknown, path: Path): readonly string[] {
    return this.#list(value, path).map((each, i) => this.#text(each, [...path, i]));
  }

  #numbers(value: unknown, path: Path): readonly number[] {
    return this.#list(value, path).map((each, i) => this.#number(each, [...path, i]));
  }

  #numbersByName(value: unknown, path: Path): Readonly<Record<string, number>> {
    if (value === undefined) return {};
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.#complain(path, 'must be a mapping of numbers');
      return {};
    }
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, this.#number(each, [...path, name])]));
  }

  #text(value: unknown, path: Path): string {
    if (typeof value === 'string') return value;
    this.#complain(path, value === undefined ? 'is missing' : 'must be a text');
    return '';
  }

  #number(value: unknown, path: Path): number {
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    this.#complain(path, value === undefined ? 'is missing' : 'must be a finite number');
    return 0;
  }

  #count(value: unknown, path: Path): number {
    if (value === undefined) return 0;
    if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32) return value;
    this.#complain(path, 'must be a whole number');
    return 0;
  }

  #one<T extends string>(value: unknown, path: Path, allowed: readonly [T, ...T[]]): T {
    const found = allowed.find((each) => each === value);
    if (found !== undefined) return found;
    this.#complain(path, `must be one of ${allowed.join(', ')}`);
    return allowed[0];
  }
}
