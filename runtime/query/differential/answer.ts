import type { DpAggregate } from '../../release/mechanisms/aggregate.ts';
import { itemName } from '../compile/select.ts';
import type { From } from '../compile/sources.ts';
import { Refusal, refuse } from '../refusal.ts';
import { constantValue } from '../resolve/arithmetic.ts';
import { resolve, type Sight } from '../resolve/expression.ts';
import { printTyped } from '../print.ts';
import { type Select, type SelectItem, type Syntax, wordsOf } from '../syntax.ts';
import { releasedColumn, type Typed } from '../typed.ts';
import { BIGINT, DOUBLE, familyOf } from '../types.ts';
import { type Call, isOnlyHere } from './aggregates.ts';
import { checkEvaluable } from './evaluate.ts';
import { hasAggregate, isAggregateCall } from '../compile/aggregate-calls.ts';

/** A place of the select list: a key, an aggregate with all its columns, or something computed from both. */
export type Output =
  | { readonly name: string; readonly key: number }
  | { readonly name: string; readonly aggregate: number }
  | Computed;

export interface Computed {
  readonly name: string;
  readonly computed: Typed;
  readonly family: 'number' | 'text' | 'boolean';
}

/** What is done with the noisy table before it leaves: post-processing, whatever the consumer wrote. */
export interface Answer {
  readonly outputs: readonly Output[];
  readonly aggregates: readonly { readonly name: string; readonly aggregate: DpAggregate }[];
  readonly having: Typed | null;
  readonly order: readonly { readonly by: Typed; readonly descending: boolean; readonly nullsFirst: boolean }[];
  readonly limit: number | null;
  readonly offset: number;
}

export interface AnswerNeeds {
  readonly from: From;
  readonly items: readonly SelectItem[];
  readonly groups: readonly Typed[];
  readonly parameters: Sight['parameters'];
  readonly resolveRow: (syntax: Syntax) => Typed;
  readonly aggregateOf: (call: Call) => DpAggregate;
}

/** Names of released columns in expressions: key `k0`, aggregate `a0`. */
export const keyName = (index: number): string => `k${index}`;
export const aggregateName = (index: number): string => `a${index}`;

/** Compiles the select list, HAVING, ORDER BY and LIMIT over noisy cells. Throws Refusal. */
export function compileAnswer(query: Select, needs: AnswerNeeds): Answer {
  const { from, items, groups, resolveRow } = needs;
  const printed = groups.map(printTyped);
  const aggregates: { name: string; aggregate: DpAggregate }[] = [];
  const known = new Map<string, number>();

  const keyOf = (syntax: Syntax): number => {
    if (syntax.kind === 'constant' || syntax.kind === 'star' || holdsAggregate(syntax)) return -1;
    try {
      return printed.indexOf(printTyped(resolveRow(syntax)));
    } catch (error) {
      if (error instanceof Refusal) return -1;
      throw error;
    }
  };
  const aggregateIndex = (call: Call, name: string): number => {
    const text = wordsOf(call);
    const found = known.get(text);
    if (found !== undefined) return found;
    aggregates.push({ name, aggregate: needs.aggregateOf(call) });
    known.set(text, aggregates.length - 1);
    return aggregates.length - 1;
  };
  const pending = new Set<string>();
  const sight: Sight = {
    over: 'released',
    parameters: needs.parameters,
    intercept: (syntax) => {
      const key = keyOf(syntax);
      if (key >= 0) return releasedColumn(keyName(key), typeOf(groups[key]), syntax.at);
      const call = aggregateCall(syntax);
      if (call === null) return null;
      const index = aggregateIndex(call, `aggregate${aggregates.length}`);
      const kind = aggregates[index]?.aggregate.kind;
      if (kind === 'histogram')
        return refuse('differential-shape', 'a histogram cannot be computed with', syntax.at, 'select it as it is');
      return releasedColumn(
        aggregateName(index),
        kind === 'count' || kind === 'countDistinct' ? BIGINT : DOUBLE,
        syntax.at,
      );
    },
    column: (path, at) => {
      const [name = ''] = path;
      const lower = name.toLowerCase();
      const item = path.length === 1 ? items.find(({ alias }) => alias.toLowerCase() === lower) : undefined;
      if (item === undefined || pending.has(lower)) return notReleased(path.join('.'), at);
      pending.add(lower);
      try {
        return resolve(item.expression, sight);
      } finally {
        pending.delete(lower);
      }
    },
    special: (syntax) =>
      aggregateCall(syntax) !== null || syntax.name === 'grouping'
        ? refuse('aggregate-misplaced', `\`${syntax.name}\` cannot stand here`, syntax.at)
        : null,
    window: (_window, at) =>
      refuse('differential-shape', 'windows are not offered with differential privacy', at, 'apply it to the result'),
    subquery: ({ at }) =>
      refuse('differential-shape', 'a sub-query over results is not offered with differential privacy', at),
  };
  const computed = (syntax: Syntax): Typed => {
    const typed = resolve(syntax, sight);
    checkEvaluable(typed);
    return typed;
  };

  const outputs = items.map((item): Output => {
    const name = itemName(item, from);
    const { expression } = item;
    const key = keyOf(expression);
    if (key >= 0) return { name, key };
    const call = aggregateCall(expression);
    if (call !== null) {
      const index = aggregateIndex(call, name);
      const own = aggregates[index];
      if (own?.name === name) return { name, aggregate: index };
      // The same aggregate under a second name: the same noisy cell.
      aggregates.push({ name, aggregate: own?.aggregate ?? needs.aggregateOf(call) });
      return { name, aggregate: aggregates.length - 1 };
    }
    if (!holdsAggregate(expression) && expression.kind !== 'constant' && groups.length === 0)
      return notReleased(name, expression.at);
    const typed = computed(expression);
    return { name, computed: typed, family: outputFamily(typed) };
  });
  const having = query.having === null ? null : computed(query.having);
  if (having?.type && familyOf(having.type) !== 'boolean')
    refuse('type-mismatch', 'HAVING needs a condition', having.at);
  const order = orderOf(query, items, outputs, computed);
  if (aggregates.length === 0) refuse('rows-not-released', 'the query has no aggregate', null, 'use count, sum or avg');
  return {
    outputs,
    aggregates,
    having,
    order,
    limit: wholeOf(query.limit, 'LIMIT'),
    offset: wholeOf(query.offset, 'OFFSET') ?? 0,
  };

  function orderOf(
    { orders, orderAll }: Select,
    list: readonly SelectItem[],
    places: readonly Output[],
    compute: (syntax: Syntax) => Typed,
  ): Answer['order'] {
    const byPlace = (index: number, at: Typed['at']): Typed => {
      const place = places[index];
      const item = list[index];
      if (place === undefined || item === undefined)
        return refuse('differential-shape', 'ORDER BY names something that is not in the result', at);
      if ('computed' in place) return place.computed;
      if ('key' in place) return releasedColumn(keyName(place.key), typeOf(groups[place.key]), at);
      return compute(item.expression);
    };
    const all = orderAll === null ? [] : list.map((_, index) => ({ ...orderAll, index }));
    const named = orders.map((one) => {
      const { expression } = one;
      const ordinal = expression.kind === 'constant' ? (constantValue(expression.literal) ?? 0) - 1 : null;
      const alias = expression.kind === 'column' && expression.path.length === 1 ? expression.path[0] : undefined;
      const index = ordinal ?? places.findIndex(({ name }) => name.toLowerCase() === alias?.toLowerCase());
      return { ...one, index };
    });
    return [...named, ...all].map(({ expression, descending, nulls, index }) => {
      const isPlace = index >= 0 || expression.kind === 'constant';
      return {
        by: isPlace ? byPlace(index, expression.at) : orderKey(expression, compute),
        descending,
        nullsFirst: nulls === 'first',
      };
    });
  }

  /** Keys order as they are, dates too; everything else is computed. */
  function orderKey(syntax: Syntax, compute: (one: Syntax) => Typed): Typed {
    const key = keyOf(syntax);
    return key >= 0 ? releasedColumn(keyName(key), typeOf(groups[key]), syntax.at) : compute(syntax);
  }
}

function outputFamily(typed: Typed): 'number' | 'text' | 'boolean' {
  const family = typed.type === null ? 'number' : familyOf(typed.type);
  if (family === 'text' || family === 'boolean') return family;
  return 'number';
}

function typeOf(group: Typed | undefined): Typed['type'] & object {
  return group?.type ?? refuse('type-mismatch', 'a group key has no type', group?.at ?? null);
}

function notReleased(name: string, at: Typed['at']): never {
  return refuse(
    'rows-not-released',
    `\`${name}\` is neither a group key nor an aggregate`,
    at,
    'group by it, or aggregate it',
  );
}

function aggregateCall(syntax: Syntax): Call | null {
  return syntax.kind === 'call' && (isAggregateCall(syntax) || isOnlyHere(syntax.name)) ? syntax : null;
}

/** Whether an aggregate of this mode stands anywhere in an expression. */
export function holdsAggregate(syntax: Syntax): boolean {
  if (aggregateCall(syntax) !== null || hasAggregate(syntax)) return true;
  switch (syntax.kind) {
    case 'call':
      return syntax.args.some(holdsAggregate);
    case 'case':
      return (
        syntax.whens.some(({ when, value }) => holdsAggregate(when) || holdsAggregate(value)) ||
        (syntax.otherwise !== null && holdsAggregate(syntax.otherwise))
      );
    case 'cast':
      return holdsAggregate(syntax.arg);
    case 'constant':
    case 'parameter':
    case 'column':
    case 'star':
    case 'window':
    case 'subquery':
      return false;
    default:
      return syntax satisfies never;
  }
}

function wholeOf(syntax: Syntax | null, what: string): number | null {
  if (syntax === null) return null;
  const value = syntax.kind === 'constant' ? constantValue(syntax.literal) : null;
  if (value === null || !Number.isSafeInteger(value) || value < 0)
    return refuse('wrong-arguments', `${what} needs a whole number`, syntax.at);
  return value;
}
