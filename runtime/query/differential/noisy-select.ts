/** One aggregation over private rows within a larger question: blocks to be released, and a SELECT over their noisy tables. */
import type { DifferentialPrivacyRelease } from '../../policy/model.ts';
import type { DpAggregate } from '../../release/mechanisms/aggregate.ts';
import { printType, type SqlType, TEXT } from '../types.ts';
import { groupingCall, groupingSets } from '../compile/grouping-sets.ts';
import { finish } from '../compile/print-select.ts';
import { allOutside } from '../compile/quantile-outside.ts';
import { refuseUngrouped, viaAlias } from '../compile/released.ts';
import { releasedWindow } from '../compile/released-calls.ts';
import { condition, itemName } from '../compile/select.ts';
import type { NoisePart, NoisyOrigin, ReleasedRelation, State } from '../compile/state.ts';
import { keyName } from '../enforce/block.ts';
import { printTyped } from '../print.ts';
import { Refusal, refuse } from '../refusal.ts';
import { resolve, type Sight } from '../resolve/expression.ts';
import { type Syntax, wordsOf } from '../syntax.ts';
import { MAX_ITEMS } from '../text.ts';
import { releasedColumn, type Typed } from '../typed.ts';
import { aggregateOf, type Call } from './aggregates.ts';
import { aggregateName } from './answer.ts';
import { Measures } from './measures.ts';
import { boundRows, keysOf, noisyBlock, type NoisyBlock } from './noisy-block.ts';
import { cellType, noisyTable, ROW_NUMBER } from './noisy-table.ts';
import { hasAggregate, isAggregateCall } from '../compile/aggregate-calls.ts';
import { subqueryOverReleased } from '../compile/sub-query.ts';

/** Most aggregations of private rows in one question: each takes its share of the budget. */
const MAX_BLOCKS = 16;

interface Needs {
  readonly state: State;
  readonly release: DifferentialPrivacyRelease;
  readonly blocks: NoisyBlock[];
}

/** Adds the releases that it needs to `blocks`. Throws Refusal. */
export function compileNoisy({ state, release, blocks }: Needs, part: NoisePart): ReleasedRelation {
  const { from, resolveRow } = part;
  const select = allOutside(part.select, resolveRow);
  const { rowsPerUnit, unitHash } = boundRows(state, from.scope, release);
  const groups = keysOf(state, select, resolveRow);
  const keys = [
    ...new Map(groups.map((expression) => [printTyped(expression), { expression, type: typeOf(expression) }])),
  ].map(([, key]) => key);
  for (const { expression, type } of keys)
    if (type.kind === 'timestampWithZone')
      refuse(
        'differential-shape',
        'a group key with a time zone cannot be computed with after the noise',
        expression.at,
        'group by its date: `CAST(… AS DATE)`',
      );
  const sets = groupingSets(select, groups, keys);
  const measures = new Measures();
  const aggregates: { name: string; aggregate: DpAggregate }[] = [];
  const alias = `n${state.nextRelation++}`;
  const sight = sightOver(
    { ...part, select, state, alias, keys, sets },
    (call) => {
      const aggregate = aggregateOf(call, { resolveRow, rights: state.rights, measures, unitHash });
      if (aggregate.kind === 'histogram')
        refuse(
          'differential-shape',
          'a histogram makes several columns and stands in a query of its own',
          call.at,
          'count by CASE, or ask for the histogram alone',
        );
      return aggregates.push({ name: `${call.name} ${aggregates.length + 1}`, aggregate }) - 1;
    },
    aggregates,
  );
  const outputs = select.items.map((item) => {
    const typed = resolve(item.expression, sight);
    const isOwn = typed.kind === 'column' && typed.sql.startsWith(`${alias}.`);
    const cell = isOwn && typed.sql.startsWith(`${alias}.a`) ? Number(typed.sql.slice(alias.length + 2)) : null;
    return {
      name: itemName(item, from),
      sql: printTyped(typed),
      type: typed.type ?? TEXT,
      ...(typed.kind === 'constant' && typed.type === null ? { isUntyped: true } : {}),
      role: !isOwn ? ('derived' as const) : cell === null ? ('key' as const) : ('cell' as const),
      cell,
    };
  });
  const having = select.having === null ? [] : [printTyped(condition(resolve(select.having, sight)))];
  // Aggregates that only these clauses name must be among the queries before the block is closed.
  for (const order of select.orders) if (order.expression.kind !== 'constant') resolve(order.expression, sight);
  for (const on of select.distinctOn ?? []) if (on.kind !== 'constant') resolve(on, sight);
  if (select.qualify !== null) resolve(select.qualify, sight);
  if (aggregates.length + keys.length > MAX_ITEMS) refuse('query-too-large', `more than ${MAX_ITEMS} keys and cells`);
  // Keys alone are a release too: which of them appear is told by a noisy count of rows.
  if (aggregates.length === 0) aggregates.push({ name: 'rows', aggregate: { kind: 'count', measure: null } });
  // Sub-queries in the select list have put their own blocks before this one.
  const first = blocks.length;
  const positions = keys.map((_, index) => index);
  const asked = [...new Map((sets ?? [positions]).map((set) => [set.join(), set]))].map(([, set]) => set);
  for (const set of asked) {
    if (blocks.length === MAX_BLOCKS)
      refuse(
        'query-too-large',
        `it aggregates private rows in more than ${MAX_BLOCKS} places, which would each get too little of the budget`,
        null,
        'ask in several queries',
      );
    const named = set.flatMap((index) => keys.slice(index, index + 1));
    blocks.push(
      noisyBlock(state, release, {
        scope: from.scope,
        measures,
        unitHash,
        rowsPerUnit,
        aggregates,
        keys: named.map(({ expression }, index) => ({ name: `k${index}`, expression })),
      }),
    );
  }
  const domains = asked.map((_, index) => domainOf(first + index));
  const noisy = (cell: number): NoisyOrigin => Object.fromEntries(domains.map((domain) => [domain, cell]));
  const arms = (sets ?? [positions]).map((set, number) => {
    const own = asked.findIndex((one) => one.join() === set.join());
    const columns = [
      ...keys.map(({ type }, index) => {
        const place = set.indexOf(index);
        return `${place === -1 ? `CAST(NULL AS ${printType(type)})` : keyName(place)} AS ${keyName(index)}`;
      }),
      ...aggregates.map((_, index) => aggregateName(index)),
      ...domains.map((_, index) => `${index === own ? ROW_NUMBER : noRow(state)} AS r${index}`),
      `CAST(${number} AS BIGINT) AS gs`,
    ];
    return `SELECT ${columns.join(', ')} FROM ${noisyTable(first + own)}`;
  });
  const counted = aggregates.length;
  const relation = finish({
    select,
    items: select.items,
    outputs: outputs.map(({ cell, ...output }) => ({ ...output, ...(cell === null ? {} : { noisy: noisy(cell) }) })),
    certificates: domains.map((domain, index) => ({ domain, sql: `${alias}.r${index}` })),
    sight,
    from: ` FROM (${arms.join(' UNION ALL ')}) AS ${alias}`,
    where: having,
    groups: [],
    having: [],
  });
  // INVARIANT: what is read of a noisy table was among the queries of its block.
  if (aggregates.length !== counted) throw new Error('an aggregate was asked for after its block was closed');
  return relation;
}

const domainOf = (block: number): string => `noisy ${block}`;

/** The block that a certificate column of `post` tells the row of; `noisy 0 #7` is `noisy 0` on another side of a join. */
export const blockOf = (domain: string): number => Number.parseInt(domain.slice('noisy '.length), 10);

/** What stands in a row that no row of the block is behind: what every other step puts where a certificate is missing. */
const noRow = ({ terms }: State): string => `CAST(${terms.minUnits} AS BIGINT)`;

type SightNeeds = NoisePart & {
  readonly state: State;
  readonly alias: string;
  readonly keys: readonly { readonly expression: Typed; readonly type: SqlType }[];
  readonly sets: readonly (readonly number[])[] | null;
};

/** Sees group keys, noisy aggregates, windows over them, and names of the select list. */
function sightOver(
  { state, scope, select, keys, alias, resolveRow, sets }: SightNeeds,
  add: (call: Call) => number,
  aggregates: readonly { readonly aggregate: DpAggregate }[],
): Sight {
  const pending = new Set<string>();
  const known = new Map<string, number>();
  const printed = (syntax: Syntax): number => {
    try {
      const own = printTyped(resolveRow(syntax));
      return keys.findIndex(({ expression }) => printTyped(expression) === own);
    } catch (error) {
      if (error instanceof Refusal) return -1;
      throw error;
    }
  };
  const column = (name: string, type: SqlType, at: Typed['at']): Typed => releasedColumn(`${alias}.${name}`, type, at);
  const sight: Sight = {
    over: 'released',
    parameters: state.context.parameters,
    intercept: (syntax) => {
      if (syntax.kind === 'subquery' || syntax.kind === 'window' || syntax.kind === 'constant' || hasAggregate(syntax))
        return null;
      const index = printed(syntax);
      const key = keys[index];
      return key === undefined ? null : column(keyName(index), key.type, syntax.at);
    },
    column: (path, at) => {
      const item = viaAlias(select.items, path, pending, sight);
      if (item !== null) return item;
      resolveRow({ kind: 'column', path, at });
      return refuseUngrouped(path, at);
    },
    special: (syntax) => {
      if (syntax.name === 'grouping') return groupingCall(sets, alias, syntax.args, syntax.at, printed);
      if (!isAggregateCall(syntax)) return null;
      const text = wordsOf(syntax);
      const index = known.get(text) ?? add(syntax);
      known.set(text, index);
      const own = aggregates[index];
      if (own === undefined) throw new Error('an aggregate was counted and not kept');
      return column(aggregateName(index), cellType(own.aggregate), syntax.at);
    },
    window: (window, at) => releasedWindow(window, sight, at),
    subquery: (syntax) => subqueryOverReleased(state, scope, syntax, sight),
  };
  return sight;
}

function typeOf(expression: Typed): SqlType {
  return expression.type ?? refuse('type-mismatch', 'a group key has no type', expression.at);
}
