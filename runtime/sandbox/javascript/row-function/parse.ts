/* oxlint-disable typescript/switch-exhaustiveness-check -- default deny: every node type that is not named is refused */
import * as acorn from 'acorn';
import { RefusedSource, placeOf } from '../complaint.ts';
import { javascriptLimits } from '../limits.ts';
import type { ColumnKind } from '../columns.ts';
import { binaryOperators, mathConstants, mathFunctions, numberTests, unaryOperators } from './program.ts';
import type { RowProgram, RowStep, RowValue } from './program.ts';

/** The names a row function may use, and those of its outputs for `return { name: … }`. */
export interface RowNames {
  readonly columns: readonly { readonly name: string; readonly kind: ColumnKind }[];
  readonly parameters: readonly string[];
  readonly outputs: readonly string[];
}

/**
 * Parses a row function, `(row) => number` or `(row, constants) => [numbers]`, into a program of the closed language.
 * Anything outside of the language throws RefusedSource (acorn's own SyntaxError for text that is not JavaScript).
 * Call it where no data is: parsers are attack surface.
 */
export function parseRowFunction(source: string, names: RowNames): RowProgram {
  const refuse = (node: { readonly start: number }, message: string): never => {
    throw new RefusedSource({ ...placeOf(source, node.start), message });
  };
  const script = acorn.parse(source, { ecmaVersion: 2024, sourceType: 'module' });
  const found = functionOf(script);
  if (found === undefined) return refuse(script, 'a row function is one function `(row) => …` and nothing else');
  if (found.async === true) return refuse(found, 'a row function cannot be async');
  if (found.generator === true) return refuse(found, 'a row function cannot be a generator');
  const [row, constants] = found.params;
  if (row === undefined || found.params.length > 2) return refuse(found, 'a row function takes one parameter, the row');
  if (row.type !== 'Identifier' || (constants !== undefined && constants.type !== 'Identifier')) {
    return refuse(row, 'the parameters of a row function are plain names');
  }
  const parser = new RowParser(names, refuse, row.name, constants?.name);
  return parser.program(found);
}

type RowFunctionNode =
  | acorn.ArrowFunctionExpression
  | acorn.FunctionDeclaration
  | acorn.FunctionExpression
  | acorn.AnonymousFunctionDeclaration;

function functionOf(script: acorn.Program): RowFunctionNode | undefined {
  const [only, second] = script.body;
  if (only === undefined || second !== undefined) return undefined;
  const node =
    only.type === 'ExpressionStatement'
      ? only.expression
      : only.type === 'ExportDefaultDeclaration'
        ? only.declaration
        : only;
  switch (node.type) {
    case 'ArrowFunctionExpression':
    case 'FunctionExpression':
    case 'FunctionDeclaration':
      return node;
    default:
      return undefined;
  }
}

type Refuse = (node: { readonly start: number }, message: string) => never;
interface Local {
  readonly index: number;
  readonly isConstant: boolean;
}

const valueNames: ReadonlyMap<string, RowValue> = new Map<string, RowValue>([
  ['undefined', { kind: 'missing' }],
  ['NaN', { kind: 'notANumber' }],
  ['Infinity', { kind: 'infinity' }],
]);
const reservedNames = new Set(['Math', 'Number', ...valueNames.keys()]);
const assignments: ReadonlyMap<string, '+' | '-' | '*' | '/' | undefined> = new Map([
  ['=', undefined],
  ['+=', '+'],
  ['-=', '-'],
  ['*=', '*'],
  ['/=', '/'],
]);
const equalities = new Set(['==', '===', '!=', '!==']);

class RowParser {
  readonly #names: RowNames;
  readonly #kinds: ReadonlyMap<string, ColumnKind>;
  readonly #refuse: Refuse;
  readonly #row: string;
  readonly #constants: string | undefined;
  /** Real block scopes, and each name declared once in the whole function: else shadowing would throw for some rows only. */
  readonly #scopes: Map<string, Local>[] = [];
  readonly #declared = new Set<string>();
  #nodes = 0;
  #locals = 0;

  constructor(names: RowNames, refuse: Refuse, row: string, constants: string | undefined) {
    this.#names = names;
    this.#kinds = new Map(names.columns.map((column) => [column.name, column.kind]));
    this.#refuse = refuse;
    this.#row = row;
    this.#constants = constants;
  }

  program(found: RowFunctionNode): RowProgram {
    for (const name of [this.#row, this.#constants]) {
      if (name === undefined) continue;
      if (reservedNames.has(name) || this.#declared.has(name))
        this.#refuse(found, `the parameter cannot be named \`${name}\``);
      this.#declared.add(name);
    }
    const body = found.body;
    const steps = body.type === 'BlockStatement' ? this.#block(body.body, 0) : this.#returned(body, 0);
    return { steps, locals: this.#locals };
  }

  #count(node: acorn.AnyNode, depth: number): void {
    this.#nodes += 1;
    if (this.#nodes > javascriptLimits.rowFunctionNodes) {
      this.#refuse(node, `the row function is larger than ${javascriptLimits.rowFunctionNodes} nodes`);
    }
    if (depth > javascriptLimits.rowFunctionDepth) this.#refuse(node, 'the row function is nested too deeply');
  }

  #block(statements: readonly acorn.AnyNode[], depth: number): readonly RowStep[] {
    this.#scopes.push(new Map());
    const steps = statements.flatMap((statement) => this.#statement(statement, depth));
    this.#scopes.pop();
    return steps;
  }

  #statement(node: acorn.AnyNode, depth: number): readonly RowStep[] {
    this.#count(node, depth);
    switch (node.type) {
      case 'EmptyStatement':
        return [];
      case 'BlockStatement':
        return this.#block(node.body, depth + 1);
      case 'ReturnStatement':
        return node.argument
          ? this.#returned(node.argument, depth + 1)
          : [{ kind: 'return', values: this.#allMissing() }];
      case 'IfStatement':
        return [
          {
            kind: 'if',
            test: this.#value(node.test, depth + 1),
            yes: this.#block([node.consequent], depth + 1),
            no: node.alternate ? this.#block([node.alternate], depth + 1) : [],
          },
        ];
      case 'VariableDeclaration':
        if (node.kind !== 'const' && node.kind !== 'let')
          return this.#refuse(node, 'use `const` or `let` instead of `var`');
        return node.declarations.map((each) => this.#declaration(each, node.kind === 'const', depth + 1));
      case 'ExpressionStatement':
        if (typeof node.directive === 'string') return [];
        if (node.expression.type === 'AssignmentExpression') return [this.#assignment(node.expression, depth + 1)];
        return this.#refuse(node, 'a statement that computes nothing');
      default:
        return this.#refuse(node, `${wordFor(node.type)} cannot be used in a row function`);
    }
  }

  #declaration(node: acorn.VariableDeclarator, isConstant: boolean, depth: number): RowStep {
    this.#count(node, depth);
    if (node.id.type !== 'Identifier') return this.#refuse(node.id, 'a pattern cannot be declared in a row function');
    const name = node.id.name;
    if (!node.init) return this.#refuse(node, `\`${name}\` needs a value where it is declared`);
    if (reservedNames.has(name)) return this.#refuse(node.id, `\`${name}\` cannot be declared`);
    if (this.#declared.has(name))
      return this.#refuse(node.id, `\`${name}\` is declared twice; each name once per function`);
    const value = this.#value(node.init, depth + 1);
    const index = this.#locals;
    this.#locals += 1;
    this.#declared.add(name);
    this.#scopes.at(-1)?.set(name, { index, isConstant });
    return { kind: 'set', index, value };
  }

  #assignment(node: acorn.AssignmentExpression, depth: number): RowStep {
    this.#count(node, depth);
    if (node.left.type !== 'Identifier')
      return this.#refuse(node.left, 'only a name declared with `let` can be assigned');
    const local = this.#find(node.left.name);
    if (local === undefined || local.isConstant) {
      return this.#refuse(node.left, `\`${node.left.name}\` is not a name declared with \`let\``);
    }
    if (!assignments.has(node.operator)) return this.#refuse(node, `the operator \`${node.operator}\` cannot be used`);
    const operator = assignments.get(node.operator);
    const right = this.#value(node.right, depth + 1);
    const left: RowValue = { kind: 'local', index: local.index };
    return {
      kind: 'set',
      index: local.index,
      value: operator === undefined ? right : { kind: 'binary', operator, left, right },
    };
  }

  #find(name: string): Local | undefined {
    for (const scope of this.#scopes) {
      const local = scope.get(name);
      if (local !== undefined) return local;
    }
    return undefined;
  }

  #allMissing(): readonly RowValue[] {
    return this.#names.outputs.map(() => ({ kind: 'missing' }));
  }

  /** What a function returns: one number, an array of all outputs, an object of all outputs, or a choice between those. */
  #returned(node: acorn.AnyNode, depth: number): readonly RowStep[] {
    this.#count(node, depth);
    const { outputs } = this.#names;
    if (node.type === 'ConditionalExpression' && outputs.length > 1) {
      const test = this.#value(node.test, depth + 1);
      const yes = this.#returned(node.consequent, depth + 1);
      return [{ kind: 'if', test, yes, no: this.#returned(node.alternate, depth + 1) }];
    }
    if (node.type === 'ArrayExpression') {
      if (node.elements.length !== outputs.length)
        return this.#refuse(node, `returns ${node.elements.length} values, declared are ${outputs.length}`);
      const values = node.elements.map((each) => {
        if (each === null || each.type === 'SpreadElement')
          return this.#refuse(node, 'a hole or a spread cannot be returned');
        return this.#outputValue(each, depth + 1);
      });
      return [{ kind: 'return', values }];
    }
    if (node.type === 'ObjectExpression') return [{ kind: 'return', values: this.#returnedObject(node, depth) }];
    if (isMissing(node)) return [{ kind: 'return', values: this.#allMissing() }];
    if (outputs.length !== 1)
      return this.#refuse(node, `return an array or an object of the ${outputs.length} declared outputs`);
    return [{ kind: 'return', values: [this.#value(node, depth + 1)] }];
  }

  #returnedObject(node: acorn.ObjectExpression, depth: number): readonly RowValue[] {
    const values = new Map<string, RowValue>();
    for (const property of node.properties) {
      if (property.type === 'SpreadElement' || property.kind !== 'init' || property.method || property.computed) {
        return this.#refuse(property, 'only plain `name: value` can be returned');
      }
      const { key } = property;
      const name = key.type === 'Identifier' ? key.name : key.type === 'Literal' ? String(key.value) : '';
      if (!this.#names.outputs.includes(name)) return this.#refuse(property, `\`${name}\` is not a declared output`);
      if (values.has(name)) return this.#refuse(property, `\`${name}\` is returned twice`);
      values.set(name, this.#outputValue(property.value, depth + 1));
    }
    return this.#names.outputs.map(
      (name) => values.get(name) ?? this.#refuse(node, `the declared output \`${name}\` is not returned`),
    );
  }

  #outputValue(node: acorn.AnyNode, depth: number): RowValue {
    return isMissing(node) ? { kind: 'missing' } : this.#value(node, depth);
  }

  #value(node: acorn.AnyNode, depth: number): RowValue {
    this.#count(node, depth);
    const deeper = (each: acorn.AnyNode): RowValue => this.#value(each, depth + 1);
    switch (node.type) {
      case 'ParenthesizedExpression':
        return deeper(node.expression);
      case 'Literal':
        if (typeof node.value === 'number' && Number.isFinite(node.value)) return { kind: 'number', value: node.value };
        if (typeof node.value === 'boolean') return { kind: 'boolean', value: node.value };
        // A text could be doubled until it throws or fills the memory, for chosen rows only.
        return this.#refuse(node, 'only numbers and booleans; a text can only be compared with a text column');
      case 'Identifier':
        return this.#name(node);
      case 'MemberExpression':
        return this.#member(node);
      case 'UnaryExpression': {
        const operator = unaryOperators.find((each) => each === node.operator);
        if (operator === undefined) return this.#refuse(node, `the operator \`${node.operator}\` cannot be used`);
        return { kind: 'unary', operator, operand: deeper(node.argument) };
      }
      case 'BinaryExpression':
      case 'LogicalExpression': {
        const comparison = this.#comparison(node, depth);
        if (comparison !== undefined) return comparison;
        const operator = binaryOperators.find((each) => each === node.operator);
        if (operator === undefined) return this.#refuse(node, `the operator \`${node.operator}\` cannot be used`);
        return { kind: 'binary', operator, left: deeper(node.left), right: deeper(node.right) };
      }
      case 'ConditionalExpression':
        return {
          kind: 'choice',
          test: deeper(node.test),
          yes: this.#branch(node.consequent, depth),
          no: this.#branch(node.alternate, depth),
        };
      case 'CallExpression':
        return this.#call(node, depth);
      default:
        return this.#refuse(node, `${wordFor(node.type)} cannot be used in a row function`);
    }
  }

  #branch(node: acorn.AnyNode, depth: number): RowValue {
    return isMissing(node) ? { kind: 'missing' } : this.#value(node, depth + 1);
  }

  #name(node: acorn.Identifier): RowValue {
    const value = valueNames.get(node.name);
    if (value !== undefined) return value;
    const local = this.#find(node.name);
    if (local !== undefined) return { kind: 'local', index: local.index };
    if (node.name === this.#row)
      return this.#refuse(node, `use a column of \`${node.name}\`, as in \`${node.name}.column\``);
    return this.#refuse(node, `\`${node.name}\` is not known here`);
  }

  #member(node: acorn.MemberExpression): RowValue {
    const { object, property } = node;
    if (node.computed || node.optional || property.type !== 'Identifier' || object.type !== 'Identifier') {
      return this.#refuse(node, 'only `row.column` and `Math` can be accessed');
    }
    if (object.name === this.#row) {
      const kind = this.#kinds.get(property.name);
      if (kind === undefined)
        return this.#refuse(property, `column \`${property.name}\` is not declared for this computation`);
      if (kind === 'dictionary') {
        return this.#refuse(
          node,
          `text column \`${property.name}\` can only be compared with a text, as in \`=== 'text'\``,
        );
      }
      return { kind: 'column', name: property.name };
    }
    if (object.name === this.#constants) {
      if (this.#names.parameters.includes(property.name)) return { kind: 'parameter', name: property.name };
      return this.#refuse(property, `constant \`${property.name}\` is not declared`);
    }
    if (object.name === 'Math') {
      const name = mathConstants.find((each) => each === property.name);
      if (name !== undefined) return { kind: 'constant', name };
      return this.#refuse(node, `\`Math.${property.name}\` is not a constant that can be used`);
    }
    return this.#refuse(node, `\`${object.name}\` has nothing that can be accessed`);
  }

  #call(node: acorn.CallExpression, depth: number): RowValue {
    const { callee } = node;
    const isPlain = callee.type === 'MemberExpression' && !callee.computed && !callee.optional && !node.optional;
    if (!isPlain || callee.object.type !== 'Identifier' || callee.property.type !== 'Identifier') {
      return this.#refuse(node, 'only functions of `Math` can be called');
    }
    const values = (): readonly RowValue[] =>
      node.arguments.map((each) =>
        each.type === 'SpreadElement' ? this.#refuse(each, 'a spread cannot be used') : this.#value(each, depth + 1),
      );
    const called = `${callee.object.name}.${callee.property.name}`;
    const test = numberTests.find((each) => `Number.${each}` === called);
    if (test !== undefined) {
      const [only, second] = values();
      if (only === undefined || second !== undefined) return this.#refuse(node, `\`${called}\` takes one value`);
      return { kind: 'test', name: test, operand: only };
    }
    const name = callee.object.name === 'Math' ? mathFunctions.find((each) => `Math.${each}` === called) : undefined;
    if (name === undefined) return this.#refuse(node, `\`${called}\` cannot be called in a row function`);
    return { kind: 'call', name, arguments: values() };
  }

  /** `row.text === 'constant'`, and `null` or `undefined` on one side of an equality: a missing value. */
  #comparison(node: acorn.BinaryExpression | acorn.LogicalExpression, depth: number): RowValue | undefined {
    if (!equalities.has(node.operator)) return undefined;
    const isNegated = node.operator.startsWith('!');
    for (const [one, other] of [
      [node.left, node.right],
      [node.right, node.left],
    ] as const) {
      const column = this.#textColumn(one);
      if (column !== undefined) {
        if (isMissing(other)) return { kind: 'textIs', column, text: null, isNegated };
        if (other.type === 'Literal' && typeof other.value === 'string')
          return { kind: 'textIs', column, text: other.value, isNegated };
        return undefined;
      }
      if (isNull(other) && one.type !== 'PrivateIdentifier') {
        const left = this.#value(one, depth + 1);
        return { kind: 'binary', operator: isNegated ? '!==' : '===', left, right: { kind: 'missing' } };
      }
    }
    return undefined;
  }

  #textColumn(node: acorn.AnyNode): string | undefined {
    if (node.type !== 'MemberExpression' || node.computed || node.optional) return undefined;
    if (node.object.type !== 'Identifier' || node.object.name !== this.#row || node.property.type !== 'Identifier')
      return undefined;
    return this.#kinds.get(node.property.name) === 'dictionary' ? node.property.name : undefined;
  }
}

function isNull(node: acorn.AnyNode): boolean {
  return node.type === 'Literal' && node.value === null && node.raw === 'null';
}

function isMissing(node: acorn.AnyNode): boolean {
  return isNull(node) || (node.type === 'Identifier' && node.name === 'undefined');
}

function wordFor(type: string): string {
  return `\`${type.replaceAll(/([a-z])([A-Z])/g, '$1 $2').toLowerCase()}\``;
}
