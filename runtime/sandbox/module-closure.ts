/** The import closure of a worker's entry, type-stripped once at staging so that the worker starts on plain JavaScript. */
import { access, readFile } from 'node:fs/promises';
import { isBuiltin, stripTypeScriptTypes } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { parse, type Node } from 'acorn';
import { keptText } from './kept-text.ts';

export interface ClosureModule {
  /** path below the worker's `/app`, always `.mjs` */
  readonly guestPath: string;
  readonly text: string;
}

export interface ModuleClosure {
  readonly entryGuestPath: string;
  readonly modules: readonly ClosureModule[];
}

const maxModules = 500;

/**
 * Follows the relative imports of `entry` (a path relative to `root`) and returns every module as plain JavaScript.
 * Throws for an import of a package that is not in `packages`, and for one that leaves the root.
 */
export async function moduleClosure(
  root: string,
  entry: string,
  packages: ReadonlySet<string>,
): Promise<ModuleClosure> {
  const modules = new Map<string, ClosureModule>();
  const queue = [await existingSource(join(root, entry))];
  const entryGuestPath = guestPathOf(root, queue[0]!);
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    const guestPath = guestPathOf(root, path);
    if (modules.has(guestPath)) continue;
    if (modules.size >= maxModules) throw new Error(`the imports of ${entry} reach more than ${maxModules} modules`);
    const plain = plainModule(path, await readFile(path, 'utf8'));
    let { text } = plain;
    // Rewrite from the end, so that earlier positions stay true.
    for (const { specifier, start, end } of plain.specifiers.toReversed()) {
      if (specifier.startsWith('.')) {
        const target = await existingSource(join(dirname(path), specifier));
        guestPathOf(root, target); // inside the root, or throws
        queue.push(target);
        text = text.slice(0, start) + JSON.stringify(specifier.replace(/\.(ts|js|mjs)$/, '.mjs')) + text.slice(end);
      } else if (!isBuiltin(specifier) && !packages.has(packageNameOf(specifier))) {
        throw new Error(`${path} imports package \`${specifier}\`, which the image does not list`);
      }
    }
    modules.set(guestPath, { guestPath, text });
  }
  return { entryGuestPath, modules: [...modules.values()] };
}

interface PlainModule {
  readonly source: string;
  readonly text: string;
  readonly specifiers: readonly Specifier[];
}

/** Images share modules and are read more than once: each text is read by a parser once. */
const plainModules = new Map<string, PlainModule>();

function plainModule(path: string, source: string): PlainModule {
  const known = plainModules.get(path);
  if (known?.source === source) return known;
  const isTyped = path.endsWith('.ts');
  const made = keptText(isTyped ? 'plain-module-of-typed/1' : 'plain-module/1', [source], () => {
    const text = isTyped ? stripTypes(source) : source;
    return JSON.stringify({ text, specifiers: specifiersOf(text, path) });
  });
  const found = { source, ...(JSON.parse(made) as Omit<PlainModule, 'source'>) };
  plainModules.set(path, found);
  return found;
}

/** Node 24 warns once that its own type stripping is experimental as a function (as a loader it is stable). */
function stripTypes(source: string): string {
  const original = Object.getOwnPropertyDescriptor(process, 'emitWarning');
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(source, { mode: 'strip' });
  } finally {
    if (original !== undefined) Object.defineProperty(process, 'emitWarning', original);
  }
}

/** Workers are named `.ts` in the source tree and `.js` in a published package. */
async function existingSource(path: string): Promise<string> {
  for (const candidate of [path, path.replace(/\.ts$/, '.js'), path.replace(/\.js$/, '.ts')]) {
    if (
      await access(candidate).then(
        () => true,
        () => false,
      )
    )
      return candidate;
  }
  throw new Error(`worker module ${path} does not exist`);
}

function guestPathOf(root: string, path: string): string {
  const inside = relative(root, path);
  if (inside.startsWith('..')) throw new Error(`worker module ${path} lies outside ${root}`);
  return inside.replace(/\.(ts|js|mjs)$/, '.mjs');
}

function packageNameOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

interface Specifier {
  readonly specifier: string;
  readonly start: number;
  readonly end: number;
}

interface Statement {
  readonly type: string;
  readonly source?: { readonly value?: unknown; readonly start: number; readonly end: number } | null;
}

interface Program extends Node {
  readonly body: readonly Statement[];
}

function specifiersOf(text: string, path: string): Specifier[] {
  let program: Node;
  try {
    program = parse(text, { ecmaVersion: 'latest', sourceType: 'module' });
  } catch (cause) {
    throw new Error(`${path}: ${(cause as Error).message}`, { cause });
  }
  const found: Specifier[] = [];
  const take = ({ type, source }: Statement): void => {
    if (/^(Import|Export)(Declaration|NamedDeclaration|AllDeclaration|Expression)$/.test(type) && source) {
      if (typeof source.value === 'string')
        found.push({ specifier: source.value, start: source.start, end: source.end });
    }
  };
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(visit);
    if (typeof value !== 'object' || value === null) return;
    if (typeof (value as Statement).type === 'string') take(value as Statement);
    Object.values(value).forEach(visit);
  };
  // Only `import()` can stand below the top.
  if (/\bimport\s*\(/.test(text)) visit(program);
  else (program as Program).body.forEach(take);
  return found.toSorted((a, b) => a.start - b.start);
}
