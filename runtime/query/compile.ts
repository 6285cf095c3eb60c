import { shapeFor } from '../release/sketch.ts';
import { denied, type Denied, reason } from '../policy/reason.ts';
import type { QueryContext } from './catalogue.ts';
import { checkBroughtAtAll } from './compile/brought-tables.ts';
import { compileAny, releasedOnly } from './compile/select.ts';
import { NO_TABLES, type ReleasedRelation, type State } from './compile/state.ts';
import { CREATE_HIDE } from './enforce/sketches.ts';
import type { EnforcedQuery, GuardPlan } from './enforced.ts';
import type { Footprint } from './footprint.ts';
import { printable } from './parse/literal.ts';
import { readQuery } from './parse/read.ts';
import { Refusal, refuse } from './refusal.ts';
import { reasonOf } from './repair/place.ts';
import { placeOfItem, type Query } from './syntax.ts';
import { statementsToPlan } from './check-plan.ts';
import { MAX_PLANNED_STATEMENTS, MAX_STATEMENT_BYTES, MAX_STATEMENTS } from './text.ts';
import { footprintOf, newState } from './compile/new-state.ts';
import { printType } from './types.ts';

export interface Permitted {
  readonly kind: 'permitted';
  readonly enforced: EnforcedQuery;
  readonly footprint: Footprint;
  /** Whether cells have to be compared with each other unless rows are known; what is told of it goes by this. */
  readonly isCompared: boolean;
}

/**
 * A consumer's query, as the parser's tree, under the policy: either SQL of our own that yields only what the release
 * terms allow, or the reasons why not. Reads no row, and nothing in it depends on rows.
 */
export function compileQuery(ast: unknown, sqlText: string, context: QueryContext): Permitted | Denied {
  try {
    const query = readQuery(ast);
    const plain = withoutFacts(context);
    const { permitted, shownBlocks } = compile(query, plain, null);
    const buckets = bucketsFor(context, shownBlocks);
    // INVARIANT: what is told before a job says nothing about rows: its digest, whether it is refused for its length and what
    // is enforced in words are those of somebody who knows the schema and the policy alone. With what the runtime knows of
    // rows there is less to enforce, and that would tell whether a single value is missing.
    const compared = (): Permitted => (buckets === null ? permitted : compile(query, plain, buckets).permitted);
    const fits = buckets === null || isShort(permitted.enforced);
    const unaided = fits && plain !== context ? compared : always(compared());
    const { enforced: run } = plain === context ? unaided() : withFacts(query, context, unaided);
    const { canonical, inWords } = permitted.enforced;
    return { ...permitted, isCompared: buckets !== null && shownBlocks > 0, enforced: { ...run, canonical, inWords } };
  } catch (error) {
    if (error instanceof Refusal) return denied(reasonOf(error, context.clause, sqlText));
    // A tree that is deeper than the stack or otherwise impossible is the sender's fault; nothing was computed.
    if (error instanceof RangeError) return denied(reason('query-too-deep', 'the query is nested too deep'));
    throw error;
  }
}

/** The context of somebody who knows the schema and the policy alone. */
function withoutFacts(context: QueryContext): QueryContext {
  if (context.tables.every((table) => table.isPublic)) return context;
  const tables = context.tables.map((table) => {
    if (table.isPublic) return table;
    const { cuboids: _, ...known } = table;
    const columns = table.columns.map(({ name, type, grants }) => ({ name, type, grants }));
    return { ...known, columns, rowCount: 0n };
  });
  return { ...context, tables };
}

const always =
  <T>(value: T): (() => T) =>
  () =>
    value;

/**
 * Whether statements leave so much room that comparing their cells cannot fill it: two to three times as much, in a join of
 * several tables some ten times. Then they need not be written out to know that they fit.
 */
function isShort(query: EnforcedQuery): boolean {
  return lengthOf(query) <= MAX_STATEMENT_BYTES / MOST_ADDED && query.setup.length <= MAX_STATEMENTS / 4;
}

const MOST_ADDED = 24;

const lengthOf = (query: EnforcedQuery): number =>
  statementsToPlan(query).reduce((sum, { sql }) => sum + sql.length, 0);

/** With what is known of rows, unless that is refused where the same query without it is not. */
function withFacts(query: Query, context: QueryContext, unaided: () => Permitted): Permitted {
  const { release } = context;
  try {
    // Where the policy does not ask for comparisons, what is known may show that there is nothing to compare.
    const isAsked = release.mode === 'aggregate' && release.differencingGuard;
    const alone = isAsked ? null : compile(query, context, null);
    const buckets = bucketsFor(context, alone?.shownBlocks ?? 0);
    return alone !== null && buckets === null ? alone.permitted : compile(query, context, buckets).permitted;
  } catch (error) {
    if (error instanceof Refusal) return unaided();
    throw error;
  }
}

/**
 * What the differencing guard needs: where the policy asks for it, and wherever several aggregates stand in one query, because
 * their cells subtract like those of several queries. null: nothing is compared.
 */
function bucketsFor({ release, largestMinUnits }: QueryContext, shownBlocks: number): number | null {
  if (release.mode !== 'aggregate' || (!release.differencingGuard && shownBlocks < 2)) return null;
  const { buckets } = shapeFor(Math.max(release.minUnits, largestMinUnits ?? 0));
  // A minimum that no sketch can watch: the rule that demands it is refused later, and nothing else promises it.
  return buckets < release.minUnits ? null : buckets;
}

function compile(
  query: Query,
  context: QueryContext,
  buckets: number | null,
): { readonly permitted: Permitted; readonly shownBlocks: number } {
  const { release } = context;
  if (release.mode !== 'aggregate')
    refuse('mode-not-available', `SQL is not available in the mode \`${release.mode}\``);
  const state = newState(context, release, buckets);
  const relation = releasedOnly(compileAny(state, query, NO_TABLES), null);
  checkBroughtAtAll(state);
  const isOrdered = query.orders.length > 0 || query.orderAll !== null || query.limit !== null || query.offset !== null;
  const permitted: Permitted = {
    kind: 'permitted',
    enforced: enforced(state, relation, query, release.maxRows, isOrdered),
    footprint: footprintOf(state),
    isCompared: buckets !== null && state.shownBlocks > 0,
  };
  return { permitted, shownBlocks: state.shownBlocks };
}

/** The SELECT that yields the answer and its certificates, with all that was set up for it. Throws Refusal. */
export function enforced(
  state: State,
  relation: ReleasedRelation,
  query: Query,
  maxRows: number,
  isOrdered: boolean,
): EnforcedQuery {
  if (state.setup.length > MAX_STATEMENTS)
    refuse(
      'query-too-large',
      `it aggregates private rows in more places than can be run at once: ${state.setup.length} steps, at most ${MAX_STATEMENTS}`,
      null,
      'ask in several queries',
    );
  const names = distinctNames(relation.columns.map(({ name }) => name));
  const outputs = relation.columns.map(({ type, role }, index) => {
    const name = names[index] ?? '';
    if (type.kind === 'interval')
      refuse(
        'type-mismatch',
        `the column \`${printable(name)}\` is a span of time, which no result can hold`,
        placeOfItem(query, index),
        "take a number: date_diff('day', a, b)",
      );
    return { name, type, role };
  });
  // What a sub-query brings into the answer is certified with it; one that yields no row brings nothing.
  const domains = [...new Set([...relation.domains, ...state.borrowed.map(({ domain }) => domain)])];
  // Whoever asks may call an output so too.
  const own = distinctNames([...names, ...domains.map((_, index) => `c${index}`)]).slice(names.length);
  const certificates = domains.map((unit, index) => ({ name: own[index] ?? '', meaning: 'units' as const, unit }));
  const least = domains.map((domain, index) => {
    const own = relation.domains.indexOf(domain);
    const borrowed = [...new Set(state.borrowed.filter((one) => one.domain === domain).map(({ sql }) => sql))];
    const parts = [...(own === -1 ? [] : [`c${own}`]), ...borrowed];
    const weakest = parts.length === 1 ? (parts[0] ?? '') : `least(${parts.join(', ')})`;
    return borrowed.length === 0
      ? `${weakest} AS c${index}`
      : `coalesce(${weakest}, ${state.terms.minUnits}) AS c${index}`;
  });
  const columns = [
    ...outputs.map(({ type }, index) => `TRY_CAST(o${index} AS ${printType(type)}) AS o${index}`),
    ...least,
  ];
  // The engine's order would tell how rows are stored. One row more than allowed, so that the gate sees that there was more.
  // Of public tables nothing is to be hidden, and they may be larger than what the engine can sort.
  const isPublic = relation.domains.length + state.borrowed.length + state.nextBlock === 0;
  const order = isOrdered || isPublic ? '' : ` ORDER BY ${outputs.map((_, index) => index + 1).join(', ')}`;
  const result = `SELECT ${columns.join(', ')} FROM (${relation.select})${order} LIMIT ${maxRows + 1}`;
  const canonical = [...state.setup, result].join(';\n');
  const made: EnforcedQuery = {
    setup: state.setup,
    ...(state.gates.length === 0 ? {} : { gates: state.gates }),
    reads: [...state.reads].toSorted(),
    ...guardOf(state),
    result,
    outputs,
    certificates,
    summary: summary(state),
    inWords: [...new Set(state.words)],
    canonical,
  };
  checkSize(made);
  return made;
}

/** What is printed can be much longer than what was asked. */
function checkSize(query: EnforcedQuery): void {
  // A CUBE compares the cells of each of its groupings, with a few statements for each.
  const steps = statementsToPlan(query).length;
  if (steps > MAX_PLANNED_STATEMENTS)
    refuse(
      'query-too-large',
      `comparing its cells takes ${steps} steps, at most ${MAX_PLANNED_STATEMENTS} can be run at once`,
      null,
      'ask for fewer subtotals, or in several queries',
    );
  // Quotes and letters beyond ASCII take two bytes and more, so a short text needs no counting.
  if (lengthOf(query) <= MAX_STATEMENT_BYTES / 6) return;
  const statements = statementsToPlan(query).map(({ sql }) => sql);
  if (Buffer.byteLength(JSON.stringify(statements)) <= MAX_STATEMENT_BYTES) return;
  refuse(
    'query-too-large',
    'what it would be run as is longer than can be checked at once',
    null,
    'ask for fewer columns, or in several queries',
  );
}

function guardOf({ sketches }: State): { readonly guard?: GuardPlan } {
  if (sketches === null || sketches.blocks.length === 0) return {};
  const { buckets, blocks } = sketches;
  const guard: GuardPlan = {
    buckets,
    setup: blocks.flatMap(({ setup }) => setup),
    sketches: blocks.flatMap((block) => block.sketches),
    apply: [CREATE_HIDE, ...blocks.flatMap(({ apply }) => apply)],
    blocks: blocks.map(({ guarded }) => guarded),
  };
  return { guard };
}

/** A result has no two columns of one name: the second `n` is `n_1`, as DuckDB does it in a sub-query. */
function distinctNames(names: readonly string[]): string[] {
  const taken = new Set(names);
  const seen = new Set<string>();
  return names.map((name) => {
    let free = name;
    for (let i = 1; seen.has(name) && taken.has(free); i++) free = `${name}_${i}`;
    taken.add(free);
    seen.add(name);
    return free;
  });
}

/** NULL when nothing was withheld or too little to say. */
function summary(state: State): string {
  if (state.withheld.length === 0) return 'SELECT CAST(NULL AS BIGINT) AS withheldCells';
  const counts = state.withheld.map((_, i) => `w${i}.dropped + w${i}.nulled`);
  const from = state.withheld.map((select, i) => `(${select}) AS w${i}`);
  return `SELECT nullif(CAST(${counts.join(' + ')} AS BIGINT), 0) AS withheldCells FROM ${from.join(' CROSS JOIN ')}`;
}
