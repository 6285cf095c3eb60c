import { type Place, refuse } from '../refusal.ts';
import type { CaseWhen, Syntax } from '../syntax.ts';
import { countIf, noList, slice, tupleIn, unordered, withinGroup } from './calls.ts';
import { printable, readLiteral, readType } from './literal.ts';
import { listLookedIn, listUnnested } from './list-in.ts';
import { names } from './names.ts';
import { checkShape, deeper, type Json, list, malformed, object, placeIn, type Reading, text } from './node.ts';
import { readStatement } from './read.ts';
import * as shapes from './shapes.ts';
import { readWindow } from './window.ts';

/** One expression of the parser's tree, allow-listed by shapes.ts. */
export function readExpression(value: unknown, reading: Reading): Syntax {
  return deeper(reading, () => {
    const node = object(value);
    const kind = String(node['class']);
    const shape = Object.hasOwn(shapes.EXPRESSIONS, kind) ? shapes.EXPRESSIONS[kind] : undefined;
    const at = placeOfExpression(node, kind);
    const type = String(node['type']);
    if (shape === undefined) refuse('sql-not-allowed', `the expression ${printable(kind)} is not offered`, at);
    if (kind === 'OPERATOR' && ['ARRAY_EXTRACT', 'STRUCT_EXTRACT'].includes(String(node['type'])))
      refuse(
        'sql-not-allowed',
        'parts of lists and structs are not offered',
        at,
        'a part of a text is `text[from:to]`',
      );
    const odd = kind === 'OPERATOR' && Object.hasOwn(ODD_OPERATORS, type) ? ODD_OPERATORS[type] : undefined;
    if (odd !== undefined) refuse('sql-not-allowed', `${odd.what} not offered`, at ?? { words: odd.words }, odd.remedy);
    checkShape(node, shape, kind.toLowerCase());
    const read = (one: unknown): Syntax => readExpression(one, reading);
    const call = (name: string, ...args: Syntax[]): Syntax => ({
      kind: 'call',
      name,
      args,
      distinct: false,
      filter: null,
      at,
    });
    switch (kind) {
      case 'CONSTANT':
        return { kind: 'constant', literal: readLiteral(node['value'], at), at };
      case 'PARAMETER':
        return { kind: 'parameter', name: text(node['identifier']), at };
      case 'COLUMN_REF':
        return { kind: 'column', path: names(node['column_names']), at };
      case 'STAR':
        if (node['columns'] === true) refuse('sql-not-allowed', 'COLUMNS(…) is not offered', at);
        return readStar(node, reading, at);
      case 'FUNCTION': {
        const counted = countIf(node, read, at);
        if (counted !== null) return counted;
        const name = text(node['function_name']).toLowerCase();
        noList(name, at);
        const filter = optional(node['filter'], reading);
        const distinct = node['distinct'] === true;
        const args = list(node['children']).map(read);
        const ordered = withinGroup({ name, args, orders: object(node['order_bys']), at }, reading);
        if (ordered !== null) return { kind: 'call', name, distinct, filter, at, ...ordered };
        const plain = unordered(node, args);
        const looked = distinct || filter !== null ? null : listLookedIn(name, plain);
        if (looked !== null) return call('in', ...looked);
        return { kind: 'call', name, args: plain, distinct, filter, at };
      }
      case 'COMPARISON':
        return call(COMPARISONS[type] ?? malformed(), read(node['left']), read(node['right']));
      case 'CONJUNCTION':
        return call(type === 'CONJUNCTION_AND' ? 'and' : 'or', ...list(node['children']).map(read));
      case 'BETWEEN': {
        const [input, lower, upper] = [read(node['input']), read(node['lower']), read(node['upper'])];
        return call('and', call('>=', input, lower), call('<=', input, upper));
      }
      case 'OPERATOR': {
        if (type === 'ARRAY_SLICE') return call('substring', ...slice(list(node['children']).map(read)));
        const tuples = tupleIn(type, list(node['children']).map(read), call);
        if (tuples !== null) return tuples;
        const args = list(node['children']).map(read);
        const [only] = args;
        // As the parser writes NOT of an IN with brackets: one question has one statement.
        if (type === 'OPERATOR_NOT' && only?.kind === 'call' && only.name === 'in') return call('not in', ...only.args);
        return call(OPERATORS[type] ?? malformed(), ...args);
      }
      case 'CASE':
        return {
          kind: 'case',
          whens: list(node['case_checks']).map((one) => readWhen(one, reading)),
          otherwise: read(node['else_expr']),
          at,
        };
      case 'CAST':
        return {
          kind: 'cast',
          arg: read(node['child']),
          type: readType(node['cast_type'], at),
          isTry: node['try_cast'] === true,
          at,
        };
      case 'SUBQUERY': {
        const test = SUBQUERIES[String(node['subquery_type'])] ?? malformed();
        const arg = optional(node['child'], reading);
        const query = readStatement(node['subquery'], reading);
        const listed = test === 'in' && arg !== null ? listUnnested(query) : null;
        if (arg !== null && listed !== null) return call('in', arg, ...listed);
        return { kind: 'subquery', test, arg, query, at };
      }
      case 'WINDOW':
        return { kind: 'window', window: readWindow(node, reading), at };
      default:
        return malformed();
    }
  });
}

function readStar(node: Json, reading: Reading, at: Place): Syntax {
  const exclude = names(node['exclude_list']);
  const replace = list(node['replace_list']).map((one) => {
    const pair = object(one);
    checkShape(pair, shapes.REPLACEMENT, 'REPLACE');
    return { name: text(pair['key']), expression: readExpression(pair['value'], reading) };
  });
  return {
    kind: 'star',
    relation: text(node['relation_name']),
    ...(exclude.length > 0 ? { exclude } : {}),
    ...(replace.length > 0 ? { replace } : {}),
    at,
  };
}

function readWhen(value: unknown, reading: Reading): CaseWhen {
  const node = object(value);
  checkShape(node, shapes.CASE_CHECK, 'CASE');
  return { when: readExpression(node['when_expr'], reading), value: readExpression(node['then_expr'], reading) };
}

/** The parser's own place; where it has none, that of the first operand or the word that the expression is written with. */
function placeOfExpression(node: Json, kind: string): Place {
  const own = placeIn(node);
  if (own !== null) return own;
  if (kind === 'FUNCTION') return { words: [String(node['function_name']).toLowerCase()] };
  if (kind === 'COLLATE') return { words: ['collate'] };
  const [first] = Array.isArray(node['children']) ? (node['children'] as unknown[]) : [];
  return typeof first === 'object' && first !== null ? placeIn(first as Json) : null;
}

/** An expression that may be absent. */
export function optional(value: unknown, reading: Reading): Syntax | null {
  return value === null ? null : readExpression(value, reading);
}

const ODD_OPERATORS: Readonly<Record<string, { what: string; words: readonly string[]; remedy: string }>> = {
  OPERATOR_TRY: { what: 'TRY(…) is', words: ['try'], remedy: 'leave it out: what would fail is NULL here' },
};

const COMPARISONS: Readonly<Record<string, string>> = {
  COMPARE_EQUAL: '=',
  COMPARE_NOTEQUAL: '<>',
  COMPARE_LESSTHAN: '<',
  COMPARE_GREATERTHAN: '>',
  COMPARE_LESSTHANOREQUALTO: '<=',
  COMPARE_GREATERTHANOREQUALTO: '>=',
  COMPARE_DISTINCT_FROM: 'is distinct from',
  COMPARE_NOT_DISTINCT_FROM: 'is not distinct from',
};

const OPERATORS: Readonly<Record<string, string>> = {
  OPERATOR_NOT: 'not',
  OPERATOR_IS_NULL: 'is null',
  OPERATOR_IS_NOT_NULL: 'is not null',
  COMPARE_IN: 'in',
  COMPARE_NOT_IN: 'not in',
  OPERATOR_COALESCE: 'coalesce',
  GROUPING_FUNCTION: 'grouping',
  ARRAY_CONSTRUCTOR: 'list_value',
};

const SUBQUERIES: Readonly<Record<string, 'scalar' | 'in' | 'exists' | 'not exists'>> = {
  SCALAR: 'scalar',
  ANY: 'in',
  EXISTS: 'exists',
  NOT_EXISTS: 'not exists',
};
