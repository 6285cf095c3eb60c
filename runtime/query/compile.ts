import { createHash } from 'node:crypto';
import { denied, type Denied, reason } from '../policy/reason.ts';
import type { QueryContext } from './catalogue.ts';
import { compileAny, releasedOnly } from './compile/select.ts';
import { NO_TABLES, type ReleasedRelation, type State } from './compile/state.ts';
import type { EnforcedQuery } from './enforced.ts';
import type { Footprint } from './footprint.ts';
import { readQuery } from './parse/read.ts';
import { Refusal, refuse, toReason } from './refusal.ts';
import { Rights } from './rights.ts';
import { placeOf } from './text.ts';
import { printType } from './types.ts';

export interface Permitted {
  readonly kind: 'permitted';
  readonly enforced: EnforcedQuery;
  readonly footprint: Footprint;
}

/**
 * A consumer's query, as the parser's tree, under the policy: either SQL of our own that yields only what the release
 * terms allow, or the reasons why not. Reads no row, and nothing in it depends on rows.
 */
export function compileQuery(ast: unknown, sqlText: string, context: QueryContext): Permitted | Denied {
  try {
    const permitted = compile(ast, context);
    const plain = withoutFacts(context);
    // INVARIANT: the digest that evidence names says nothing about rows: what the runtime knows of them stays out of it.
    const { canonical } = plain === context ? permitted.enforced : compile(ast, plain).enforced;
    return { ...permitted, enforced: { ...permitted.enforced, canonical } };
  } catch (error) {
    if (error instanceof Refusal) return denied(toReason(error, context.clause, (at) => placeOf(sqlText, at)));
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
    const columns = table.columns.map(({ name, type, grants }) => ({ name, type, grants }));
    return { ...table, columns, rowCount: 0n };
  });
  return { ...context, tables };
}

function compile(ast: unknown, context: QueryContext): Permitted {
  const { release } = context;
  if (release.mode !== 'aggregate')
    refuse('mode-not-available', `SQL is not available in the mode \`${release.mode}\``);
  const query = readQuery(ast);
  const rights = new Rights();
  const state: State = {
    context,
    terms: release,
    rights,
    setup: [],
    gates: [],
    withheld: [],
    words: [],
    reads: new Set(),
    borrowed: [],
    nextRelation: 0,
    nextBlock: 0,
  };
  const relation = releasedOnly(compileAny(state, query, NO_TABLES), null);
  // A dataset is touched when FROM names a table of it, even if no column is used: `select count(*) from visits`.
  const read = context.tables.filter(({ physical }) => state.reads.has(physical)).map(({ dataset }) => dataset);
  const footprint = rights.footprint();
  const isOrdered = query.orders.length > 0 || query.orderAll !== null || query.limit !== null || query.offset !== null;
  return {
    kind: 'permitted',
    enforced: enforced(state, relation, release.maxRows, isOrdered),
    footprint: { ...footprint, datasets: [...new Set([...read, ...footprint.datasets])].toSorted() },
  };
}

function enforced(state: State, relation: ReleasedRelation, maxRows: number, isOrdered: boolean): EnforcedQuery {
  const names = distinctNames(relation.columns.map(({ name }) => name));
  const outputs = relation.columns.map(({ type, role }, index) => ({ name: names[index] ?? '', type, role }));
  // What a sub-query brings into the answer is certified with it; one that yields no row brings nothing.
  const domains = [...new Set([...relation.domains, ...state.borrowed.map(({ domain }) => domain)])];
  const certificates = domains.map((unit, index) => ({ name: `c${index}`, meaning: 'units' as const, unit }));
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
  const order = isOrdered ? '' : ` ORDER BY ${outputs.map((_, index) => index + 1).join(', ')}`;
  const result = `SELECT ${columns.join(', ')} FROM (${relation.select})${order} LIMIT ${maxRows + 1}`;
  const canonical = [...state.setup, result].join(';\n');
  return {
    setup: state.setup,
    ...(state.gates.length === 0 ? {} : { gates: state.gates }),
    reads: [...state.reads].toSorted(),
    result,
    outputs,
    certificates,
    summary: summary(state),
    inWords: [...new Set(state.words)],
    canonical,
  };
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

/** SHA-256 of the canonical text, in hex: equal for re-spellings of the same question. */
export function canonicalDigest(enforcedQuery: EnforcedQuery): string {
  return createHash('sha256').update(enforcedQuery.canonical).digest('hex');
}
