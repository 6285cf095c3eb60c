/**
 * Links the modules of a worker into one CommonJS file. Where node starts without its own snapshot (jail.ts),
 * the loader of ES modules and a dozen files cost a worker more of its start than its own code.
 *
 * Small on purpose: it knows the forms that the workers use and throws for any other, so a worker is linked right or not at all.
 * Imported names are read once, when the importing module starts, so modules that import each other in a circle are refused.
 */
import { dirname, posix } from 'node:path';
import { parse, type Node } from 'acorn';
import type { ClosureModule } from './module-closure.ts';

interface Statement extends Node {
  readonly source?: { readonly value: string } | null;
  readonly specifiers?: readonly Specifier[];
  readonly declaration?: Declaration | null;
}

interface Specifier extends Node {
  readonly local: Name;
  readonly imported?: Name;
  readonly exported?: Name;
}

interface Name extends Node {
  readonly name?: string;
}

interface Declaration extends Node {
  readonly id?: Name | null;
  readonly declarations?: readonly { readonly id: Name }[];
}

/** Returns the text of one CommonJS file that does what the entry module does. Throws for a form that it does not know. */
export function linkModules(modules: readonly ClosureModule[], entryGuestPath: string): string {
  const texts = new Map(modules.map(({ guestPath, text }) => [guestPath, text]));
  const order: string[] = [];
  const linked = new Map<string, string>();
  const open = new Set<string>();
  const visit = (path: string): void => {
    if (linked.has(path)) return;
    const text = texts.get(path);
    if (text === undefined) throw new Error(`module ${path} is not in the closure`);
    if (open.has(path)) throw new Error(`module ${path} imports itself in a circle`);
    open.add(path);
    const { body, imports } = linkModule(text, path);
    for (const each of imports) visit(each);
    open.delete(path);
    linked.set(path, body);
    order.push(path);
  };
  visit(entryGuestPath);
  // In the order in which ES modules run: what a module imports before the module itself, each once.
  const parts = order.map(
    (path) => `$m[${JSON.stringify(path)}]={};(function($e){${linked.get(path)}\n})($m[${JSON.stringify(path)}]);`,
  );
  const text = `'use strict';const $m=Object.create(null);\n${parts.join('\n')}\n`;
  parse(text, { ecmaVersion: 'latest', sourceType: 'commonjs' }); // what is left over of a module's own forms throws here
  return text;
}

function linkModule(text: string, path: string): { readonly body: string; readonly imports: readonly string[] } {
  const program = parse(text, { ecmaVersion: 'latest', sourceType: 'module' });
  const imports: string[] = [];
  const edits: { readonly start: number; readonly end: number; readonly text: string }[] = [];
  const exported = new Map<string, string>();
  const loaded = (specifier: string): string => {
    if (!specifier.startsWith('.')) return `require(${JSON.stringify(specifier)})`;
    const target = posix.join(dirname(path), specifier);
    imports.push(target);
    return `$m[${JSON.stringify(target)}]`;
  };
  for (const statement of program.body as readonly Statement[]) {
    const { start, end } = statement;
    switch (statement.type) {
      case 'ImportDeclaration': {
        const { value } = statement.source ?? {};
        if (value === undefined) throw new Error(`${path}: an import from nowhere`);
        const from = loaded(value);
        const isOurs = value.startsWith('.');
        edits.push({ start, end, text: importText(statement.specifiers ?? [], from, isOurs) });
        break;
      }
      case 'ExportNamedDeclaration': {
        const { declaration, specifiers = [], source } = statement;
        if (declaration !== null && declaration !== undefined) {
          for (const name of namesOf(declaration, path)) exported.set(name, name);
          edits.push({ start, end: declaration.start, text: '' });
          break;
        }
        const from = source === null || source === undefined ? undefined : loaded(source.value);
        for (const { local, exported: as } of specifiers) {
          exported.set(nameOf(as, path), from === undefined ? nameOf(local, path) : `${from}.${nameOf(local, path)}`);
        }
        edits.push({ start, end, text: '' });
        break;
      }
      case 'ExportDefaultDeclaration':
      case 'ExportAllDeclaration':
        throw new Error(`${path}: a worker has no \`${text.slice(start, start + 20)}\``);
      default:
    }
  }
  for (const { start, end, property } of metaPropertiesOf(program)) {
    if (property !== 'dirname') throw new Error(`${path}: a worker does not use import.meta.${property ?? ''}`);
    edits.push({ start, end, text: '__dirname' });
  }
  let body = text;
  for (const edit of edits.toSorted((one, other) => other.start - one.start))
    body = body.slice(0, edit.start) + edit.text + body.slice(edit.end);
  const getters = [...exported].map(([name, value]) => `${name}:{enumerable:true,get:()=>${value}}`);
  return { body: `Object.defineProperties($e,{${getters.join(',')}});${body}`, imports };
}

function importText(specifiers: readonly Specifier[], from: string, isOurs: boolean): string {
  const names: string[] = [];
  const whole: string[] = [];
  for (const { type, local, imported } of specifiers) {
    if (type === 'ImportSpecifier') names.push(`${imported?.name}:${local.name}`);
    // A CommonJS package is its own default export.
    else if (type === 'ImportNamespaceSpecifier' || !isOurs) whole.push(`const ${local.name}=${from};`);
    else throw new Error('a worker has no default exports');
  }
  if (specifiers.length === 0) return `${from};`;
  return whole.join('') + (names.length === 0 ? '' : `const {${names.join(',')}}=${from};`);
}

function namesOf({ id, declarations }: Declaration, path: string): readonly string[] {
  return declarations === undefined ? [nameOf(id, path)] : declarations.map((each) => nameOf(each.id, path));
}

function nameOf(name: Name | null | undefined, path: string): string {
  if (name?.name === undefined || name.name === 'default') throw new Error(`${path}: an export without a plain name`);
  return name.name;
}

/** Every `import.meta.NAME`, with the place of the whole expression; `import()` is refused. */
function metaPropertiesOf(program: Node): readonly { start: number; end: number; property: string | undefined }[] {
  const found: { start: number; end: number; property: string | undefined }[] = [];
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(visit);
    if (typeof value !== 'object' || value === null) return;
    const node = value as Node & { readonly object?: Node; readonly property?: Name; readonly computed?: boolean };
    if (node.type === 'ImportExpression') throw new Error('a worker loads nothing later');
    if (node.type === 'MemberExpression' && node.object?.type === 'MetaProperty') {
      found.push({
        start: node.start,
        end: node.end,
        property: node.computed === true ? undefined : node.property?.name,
      });
      return;
    }
    Object.values(value).forEach(visit);
  };
  visit(program);
  return found;
}
