import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { type Configuration, environmentName, type Setting, type SettingKey, SETTINGS } from './settings.ts';

/** Largest configuration file accepted, bytes of UTF-8. */
export const MAX_CONFIGURATION_BYTES = 64 * 1024;
const MAX_COMPLAINTS = 50;

/** Where values come from, each source stronger than the one before it: file, environment, flags. */
export interface Sources {
  readonly file?: { readonly name: string; readonly text: string };
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** By setting; what was typed. */
  readonly flags: { readonly [K in SettingKey]?: unknown };
}

/** One value and who said so: `default`, `$GLOVEBOX_LISTEN`, `--listen` or `file:line:column`. */
export interface Settled {
  readonly name: string;
  readonly value: unknown;
  readonly origin: string;
}

export type ReadConfiguration =
  | {
      readonly kind: 'configuration';
      readonly configuration: Configuration;
      readonly settled: readonly Settled[];
      /** Variables that look like settings and are none. Not a complaint: Kubernetes makes such names from services. */
      readonly unknownVariables: readonly string[];
    }
  /** Each says where and what is allowed. */
  | { readonly kind: 'complaints'; readonly complaints: readonly string[] };

/** Variables of ours that are no settings of `serve`. */
const OTHER_VARIABLES = [
  'GLOVEBOX_CONFIG',
  'GLOVEBOX_CREDENTIAL',
  'GLOVEBOX_HOME',
  'GLOVEBOX_NO_INSTALL',
  'GLOVEBOX_PACKAGES_ONLY',
];

const KEYS = Object.keys(SETTINGS) as readonly SettingKey[];

/** Settles every setting; nothing is guessed, and one wrong value is a complaint even where a stronger source speaks. */
export function readConfiguration({ file, environment, flags }: Sources): ReadConfiguration {
  const complaints: string[] = [];
  const inFile = file === undefined ? new Map<string, Placed>() : readFile(file.text, file.name, complaints);
  const values: Partial<Record<SettingKey, unknown>> = {};
  const settled = KEYS.map((key): Settled => {
    const one = SETTINGS[key] as Setting;
    const variable = environmentName(one.name);
    const said = environment[variable];
    const placed = inFile.get(one.name);
    const candidates = [
      ...(placed === undefined ? [] : [{ raw: placed.raw, origin: placed.place }]),
      // An empty variable counts as none, as everywhere in Unix.
      ...(said === undefined || said === '' ? [] : [{ raw: said, origin: `$${variable}` }]),
      ...(flags[key] === undefined ? [] : [{ raw: flags[key], origin: one.flag ?? one.name }]),
    ];
    let answer: Settled = { name: one.name, value: one.standard, origin: 'default' };
    for (const { raw, origin } of candidates) {
      const value = one.kind.read(raw);
      if (value === null) complaints.push(`${origin} ${one.name}: ${shown(raw)} is not ${one.kind.allowed}`);
      else answer = { name: one.name, value, origin };
    }
    values[key] = answer.value;
    return answer;
  });
  if (complaints.length > 0) return { kind: 'complaints', complaints: complaints.slice(0, MAX_COMPLAINTS) };
  const known = new Set([...KEYS.map((key) => environmentName(SETTINGS[key].name)), ...OTHER_VARIABLES]);
  return {
    kind: 'configuration',
    configuration: values as Configuration,
    settled,
    unknownVariables: Object.keys(environment)
      .filter((name) => name.startsWith('GLOVEBOX_') && !name.startsWith('GLOVEBOX_TEST_') && !known.has(name))
      .toSorted(),
  };
}

interface Placed {
  readonly raw: unknown;
  /** `file:line:column`. */
  readonly place: string;
}

/** The file's values by setting name; whatever is no setting is a complaint. */
function readFile(text: string, name: string, complaints: string[]): ReadonlyMap<string, Placed> {
  const found = new Map<string, Placed>();
  if (Buffer.byteLength(text) > MAX_CONFIGURATION_BYTES) {
    complaints.push(`${name}:1:1 the file is larger than ${MAX_CONFIGURATION_BYTES} bytes`);
    return found;
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, strict: true, uniqueKeys: true, merge: false });
  const placeOf = (at: number): string => {
    const { line, col } = lines.linePos(at);
    return `${name}:${line}:${col}`;
  };
  for (const error of [...document.errors, ...document.warnings])
    complaints.push(`${placeOf(error.pos[0])} ${error.message.split('\n')[0] ?? ''}`);
  if (complaints.length > 0 || document.contents === null) return found;
  const walk = (node: Node | null, path: string): void => {
    const place = placeOf(node?.range?.[0] ?? 0);
    const isSetting = NAMES.has(path);
    if (isMap(node) && !isSetting) {
      for (const { key, value } of node.items) {
        const word = isScalar(key) ? String(key.value) : '?';
        const below = path === '' ? word : `${path}.${word}`;
        const at = placeOf((key as Node).range?.[0] ?? 0);
        if (NAMES.has(below) || SECTIONS.has(below)) walk(value as Node | null, below);
        else complaints.push(`${at} there is no setting \`${below}\`${nearest(below)}`);
      }
    } else if (isSetting) {
      found.set(path, { raw: plain(node), place });
    } else {
      complaints.push(`${place} ${path === '' ? 'the file' : `\`${path}\``} is not a group of settings (name: value)`);
    }
  };
  walk(document.contents, '');
  return found;
}

const NAMES: ReadonlySet<string> = new Set(KEYS.map((key) => SETTINGS[key].name));
const SECTIONS: ReadonlySet<string> = new Set(
  [...NAMES].filter((name) => name.includes('.')).map((name) => name.split('.')[0] ?? ''),
);

/** Only what values.ts can read: scalars and lists of them. Aliases, maps and tags are nothing. */
function plain(node: Node | null): unknown {
  if (isScalar(node)) return node.value;
  return isSeq(node) ? node.items.map((item) => (isScalar(item) ? item.value : undefined)) : undefined;
}

/** The setting that was probably meant: the same letters, or the same last word. */
function nearest(name: string): string {
  const letters = (text: string): string => text.toLowerCase().replaceAll(/[^a-z]/g, '');
  const last = (text: string): string => letters(text.split('.').at(-1) ?? '');
  const meant =
    [...NAMES].find((one) => letters(one) === letters(name)) ?? [...NAMES].find((one) => last(one) === last(name));
  return meant === undefined ? '' : `; did you mean \`${meant}\`?`;
}

/** A value as a complaint quotes it. */
function shown(raw: unknown): string {
  const text = typeof raw === 'string' ? raw : JSON.stringify(raw);
  return text === undefined ? 'this' : `\`${text.length > 80 ? `${text.slice(0, 80)}…` : text}\``;
}
