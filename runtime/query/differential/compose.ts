/**
 * Questions over several noisy answers: UNION of arms, grouping sets, DISTINCT, windows, joins of aggregates, nested
 * aggregates.
 *
 * Argument. The query is cut where private rows become values. Each such aggregation is a release of its own: exact sums
 * over rows bounded per unit, noise in the gateway, a share of the job's budget (shareBudget). Releases compose by adding
 * their losses, whatever rows they are about, so the job costs what its parts cost together and never more than one job's
 * budget. All else sees the noisy tables alone: post-processing, free whatever the consumer wrote. An aggregation that is
 * named twice (WITH) is released once and read twice.
 *
 * Grouping sets are releases of their own as well: a total summed up from noisy cells would carry the noise of all of them,
 * and where keys are private the cells below the threshold would be missing from it.
 */
import type { DifferentialPrivacyRelease } from '../../policy/model.ts';
import type { DpAggregate } from '../../release/mechanisms/aggregate.ts';
import type { QueryContext, SqlType } from '../catalogue.ts';
import { enforced } from '../compile.ts';
import { checkBroughtAtAll } from '../compile/brought-tables.ts';
import { groupingCall, groupingSets } from '../compile/grouping-sets.ts';
import { finish } from '../compile/print-select.ts';
import { viaAlias } from '../compile/released.ts';
import { releasedWindow } from '../compile/released-calls.ts';
import { compileAny, condition, hasAggregate, isAggregateCall, itemName } from '../compile/select.ts';
import { releasedOnly, subqueryOverReleased } from '../compile/select.ts';
import {
  NO_TABLES,
  type NoisePart,
  type NoiseStep,
  type NoisyOrigin,
  type ReleasedRelation,
  type State,
} from '../compile/state.ts';
import { keyName } from '../enforce/block.ts';
import type { EnforcedQuery } from '../enforced.ts';
import type { Footprint } from '../footprint.ts';
import { printable } from '../parse/literal.ts';
import { printTyped } from '../print.ts';
import { Refusal, refuse } from '../refusal.ts';
import { resolve, type Sight } from '../resolve/expression.ts';
import { unitsOf } from '../rows.ts';
import type { Query, Syntax } from '../syntax.ts';
import { MAX_ITEMS } from '../text.ts';
import type { Typed } from '../typed.ts';
import { BIGINT, DOUBLE, printType, TEXT } from '../types.ts';
import { aggregateOf } from './aggregates.ts';
import { aggregateName, withoutPlaces } from './answer.ts';
import { Measures } from './measures.ts';
import { boundRows, footprintOf, keysOf, noisyBlock, type NoisyBlock, noisyState } from './noisy-block.ts';
import { noisyTable, ROW_NUMBER } from './noisy-table.ts';
import { perUnitRows } from './per-unit.ts';

/** Several noisy answers and what is computed of them by the engine, in a worker that holds no private row of theirs. */
export interface ComposedQuery {
  readonly kind: 'composed';
  readonly blocks: readonly NoisyBlock[];
  /** Reads `noisyTable(0)`, `noisyTable(1)`, …, which the gateway fills, and public tables; certificates are row numbers. */
  readonly post: EnforcedQuery;
  /** By output: the noisy answers that it shows as they are; null when it is computed or a key. */
  readonly origins: readonly (NoisyOrigin | null)[];
  readonly footprint: Footprint;
}

/** Most aggregations of private rows in one question: each takes its share of the budget. */
const MAX_BLOCKS = 16;

/** Throws Refusal. */
export function compileComposed(
  query: Query,
  context: QueryContext,
  release: DifferentialPrivacyRelease,
): ComposedQuery {
  const blocks: NoisyBlock[] = [];
  const known = new Map<unknown, ReleasedRelation>();
  const noise: NoiseStep = {
    uses: 0,
    aggregate: (part) => {
      const perUnit = part.isDerived ? perUnitRows(state, release, part) : null;
      if (perUnit !== null) return perUnit;
      noise.uses += 1;
      const found = known.get(part.written) ?? compilePart({ state, release, blocks }, part);
      known.set(part.written, found);
      return found;
    },
  };
  const state: State = { ...noisyState(context), noise };
  const relation = releasedOnly(compileAny(state, query, NO_TABLES), null);
  checkBroughtAtAll(state);
  if (blocks.length === 0)
    refuse('differential-shape', 'differential privacy works on a private table', { words: ['from'] });
  // What sub-queries in expressions bring in needs no certificate: it is noisy too.
  state.borrowed.length = 0;
  const isOrdered = query.orders.length > 0 || query.orderAll !== null || query.limit !== null || query.offset !== null;
  return {
    kind: 'composed',
    blocks,
    post: enforced(state, relation, query, release.maxRows, isOrdered),
    origins: relation.columns.map(({ noisy }) => noisy ?? null),
    footprint: footprintOf(state),
  };
}

interface Needs {
  readonly state: State;
  readonly release: DifferentialPrivacyRelease;
  readonly blocks: NoisyBlock[];
}

/** One aggregation over private rows, as values over noisy tables. */
function compilePart({ state, release, blocks }: Needs, part: NoisePart): ReleasedRelation {
  const { select, from, resolveRow } = part;
  const { rowsPerUnit, unitHash } = boundRows(state, from.scope, release);
  const groups = keysOf(state, select, resolveRow);
  const keys = [
    ...new Map(groups.map((expression) => [printTyped(expression), { expression, type: typeOf(expression) }])),
  ].map(([, key]) => key);
  const sets = groupingSets(select, groups, keys);
  const measures = new Measures();
  const aggregates: { name: string; aggregate: DpAggregate }[] = [];
  const alias = `n${state.nextRelation++}`;
  const sight = sightOver(
    { ...part, state, alias, keys, sets },
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
        ...{ scope: from.scope, measures, unitHash, rowsPerUnit, aggregates },
        keys: named.map(({ expression }, index) => ({ name: `k${index}`, expression })),
      }),
    );
  }
  if (unitsOf(from.scope).length !== 1) throw new Error('rows of several units were bounded as those of one');
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
  return finish({
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
}

const domainOf = (block: number): string => `noisy ${block}`;

/** The block that a certificate column of `post` tells the row of. */
export const blockOf = (domain: string): number => Number(domain.slice('noisy '.length));

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
  add: (call: Syntax & { kind: 'call' }) => number,
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
  const column = (name: string, type: SqlType, at: Typed['at']): Typed => ({
    kind: 'column',
    sql: `${alias}.${name}`,
    base: null,
    type,
    digits: null,
    at,
  });
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
      return refuse(
        'column-not-grouped',
        `\`${printable(path.join('.'))}\` is neither a group key nor aggregated`,
        at,
        'add it to GROUP BY if the policy grants `group`, or aggregate it',
      );
    },
    special: (syntax) => {
      if (syntax.name === 'grouping') return groupingCall(sets, alias, syntax.args, syntax.at, printed);
      if (!isAggregateCall(syntax)) return null;
      const text = JSON.stringify(withoutPlaces(syntax));
      const index = known.get(text) ?? add(syntax);
      known.set(text, index);
      const kind = aggregates[index]?.aggregate.kind;
      return column(aggregateName(index), kind === 'count' || kind === 'countDistinct' ? BIGINT : DOUBLE, syntax.at);
    },
    window: (window, at) => releasedWindow(window, sight, at),
    subquery: (syntax) => subqueryOverReleased(state, scope, syntax),
  };
  return sight;
}

function typeOf(expression: Typed): SqlType {
  return expression.type ?? refuse('type-mismatch', 'a group key has no type', expression.at);
}
