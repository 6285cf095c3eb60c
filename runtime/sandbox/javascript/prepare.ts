/* oxlint-disable typescript/switch-exhaustiveness-check -- only statements can hold a `return`; every other node type has none */
import { stripTypeScriptTypes } from 'node:module';
import * as acorn from 'acorn';
import { RefusedSource, complaintOfParser, placeOf } from './complaint.ts';
import type { Complaint } from './complaint.ts';
import { javascriptLimits } from './limits.ts';
import { parseRowFunction } from './row-function/parse.ts';
import type { RowNames } from './row-function/parse.ts';
import type { RowProgram } from './row-function/program.ts';

export type Language = 'javascript' | 'typescript';

/** What a data-free worker is asked to do with a consumer's text. */
export interface PrepareRequest {
  readonly language: Language;
  readonly source: string;
  /** names for a row function; absent for any other program */
  readonly rowNames?: RowNames | undefined;
}

export type Prepared =
  | { readonly kind: 'rowFunction'; readonly program: RowProgram }
  | { readonly kind: 'program'; readonly factory: string }
  | { readonly kind: 'refused'; readonly reasons: readonly Complaint[] };

/**
 * Turns a consumer's text into what a worker with data may get: a row program, or the text of a factory that gives the
 * consumer's main function. Runs in a jailed worker that holds no data, because parsers are attack surface; so its
 * complaints may be shown to the consumer as they are. Type stripping needs WebAssembly and so a tier with a JIT.
 */
export function prepareSource(request: PrepareRequest): Prepared {
  const limit = request.rowNames === undefined ? javascriptLimits.sourceBytes : javascriptLimits.rowFunctionBytes;
  if (Buffer.byteLength(request.source) > limit) {
    return { kind: 'refused', reasons: [{ line: 1, column: 1, message: `the source is longer than ${limit} bytes` }] };
  }
  try {
    const javascript = request.language === 'typescript' ? stripped(request.source) : request.source;
    if (request.rowNames === undefined) return { kind: 'program', factory: factoryText(javascript) };
    return { kind: 'rowFunction', program: parseRowFunction(javascript, request.rowNames) };
  } catch (error) {
    const complaint = complaintOfParser(error);
    if (complaint === undefined) throw error;
    return { kind: 'refused', reasons: [complaint] };
  }
}

/** Types become blanks, so lines and columns stay those of the consumer's text. */
function stripped(source: string): string {
  try {
    return stripTypeScriptTypes(source);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const line = /^(?:[^\n]*):(\d+)\n/.exec(error.stack ?? '')?.[1];
    const message = error.message.split('\n')[0] ?? 'syntax error';
    throw new RefusedSource({
      line: line === undefined ? 1 : Number(line),
      column: 1,
      message: `TypeScript: ${message}`,
    });
  }
}

/**
 * A program may be: statements whose last one is an expression or a function (that is the main function), a module with
 * `export default`, or the body of a main function with `return` at its top level, which reads `input`.
 *
 * The result `(function(){…})` runs nothing when it is evaluated: all of the consumer's code, its top level too, runs later
 * inside of the collector's try. It is parsed again as the script that V8 will see and must be exactly one function
 * expression, so that a text which acorn and V8 might read differently cannot leave the wrapper.
 */
export function factoryText(source: string): string {
  const text = source.startsWith('#!') ? `//${source.slice(2)}` : source;
  const options = { ecmaVersion: 2024, sourceType: 'module', allowReturnOutsideFunction: true } as const;
  const script = acorn.parse(text, options);
  refuseModuleSyntax(script, text);
  const body = script.body.some(returnsAtTop) ? `return function(input){${text}\n}` : mainReturned(script, text);
  const factory = `(function(){"use strict";${body}\n})`;
  const parsed = acorn.parse(factory, { ecmaVersion: 2024, sourceType: 'script' });
  const [only, second] = parsed.body;
  if (only?.type !== 'ExpressionStatement' || only.expression.type !== 'FunctionExpression' || second !== undefined) {
    throw new RefusedSource({ line: 1, column: 1, message: 'the program cannot be read as a script' });
  }
  return factory;
}

function refuseModuleSyntax(script: acorn.Program, text: string): void {
  for (const node of script.body) {
    const isImport = node.type === 'ImportDeclaration';
    if (isImport || node.type === 'ExportNamedDeclaration' || node.type === 'ExportAllDeclaration') {
      const message = isImport
        ? 'nothing can be imported; name the image library in the job instead'
        : 'only `export default` can be exported';
      throw new RefusedSource({ ...placeOf(text, node.start), message });
    }
  }
}

/** Is there a `return` outside of any function? */
function returnsAtTop(node: acorn.AnyNode): boolean {
  switch (node.type) {
    case 'ReturnStatement':
      return true;
    case 'BlockStatement':
      return node.body.some(returnsAtTop);
    case 'IfStatement':
      return returnsAtTop(node.consequent) || (node.alternate ? returnsAtTop(node.alternate) : false);
    case 'ForStatement':
    case 'ForInStatement':
    case 'ForOfStatement':
    case 'WhileStatement':
    case 'DoWhileStatement':
    case 'LabeledStatement':
      return returnsAtTop(node.body);
    case 'TryStatement':
      return (
        returnsAtTop(node.block) ||
        [node.handler?.body, node.finalizer].some((part) => part != null && returnsAtTop(part))
      );
    case 'SwitchStatement':
      return node.cases.some((each) => each.consequent.some(returnsAtTop));
    default:
      return false;
  }
}

function mainReturned(script: acorn.Program, text: string): string {
  const exported = script.body.find((node) => node.type === 'ExportDefaultDeclaration');
  if (exported !== undefined) {
    const { declaration } = exported;
    const before = text.slice(0, exported.start);
    const after = text.slice(exported.end);
    const value = text.slice(declaration.start, declaration.end);
    const isNamed =
      (declaration.type === 'FunctionDeclaration' || declaration.type === 'ClassDeclaration') && declaration.id;
    if (isNamed) return `${before}${value}${after}\n;return ${declaration.id?.name ?? ''};`;
    return `${before}const $main=(${value}\n);${after}\n;return $main;`;
  }
  const last = script.body.findLast((node) => node.type !== 'EmptyStatement');
  if (last?.type === 'FunctionDeclaration' && last.id) return `${text}\n;return ${last.id.name};`;
  if (last?.type === 'ExpressionStatement') {
    const value = text.slice(last.expression.start, last.expression.end);
    return `${text.slice(0, last.start)}return (${value}\n);${text.slice(last.end)}`;
  }
  const message = 'a program ends with its main function, `(input) => …`, or exports it with `export default`';
  throw new RefusedSource({ line: 1, column: 1, message });
}
