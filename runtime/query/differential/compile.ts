import type { DifferentialPrivacyRelease } from '../../policy/model.ts';
import { type Denied, denied, reason } from '../../policy/reason.ts';
import type { QueryContext } from '../catalogue.ts';
import { checkBroughtAtAll } from '../compile/brought-tables.ts';
import { compileAny, condition, expandStars, rowSight, withTables } from '../compile/select.ts';
import { addConditions, conjuncts, type From, readFrom } from '../compile/sources.ts';
import { NO_TABLES, type Relation, type Scope, type State } from '../compile/state.ts';
import type { Footprint } from '../footprint.ts';
import { readQuery } from '../parse/read.ts';
import { Refusal, refuse } from '../refusal.ts';
import { reasonOf } from '../repair/place.ts';
import { resolve } from '../resolve/expression.ts';
import type { RowScope } from '../rows.ts';
import type { Query, Select, Syntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { withCohortsOfOthers } from '../compile/cohort-of-others.ts';
import { withLookups } from '../compile/correlated.ts';
import { withUnitValues } from '../compile/left-rows.ts';
import { withDeterminedKeys } from '../compile/determined.ts';
import { allOutside } from '../compile/quantile-outside.ts';
import { aggregateOf } from './aggregates.ts';
import { type Answer, compileAnswer } from './answer.ts';
import { compileComposed, type ComposedQuery } from './compose.ts';
import { type Marginal, marginalOf } from './marginal.ts';
import { Measures } from './measures.ts';
import { footprintOf } from '../compile/new-state.ts';
import { boundRows, keysOf, noisyBlock, type NoisyBlock, noisyState } from './noisy-block.ts';

/** A differentially private question: one aggregation, and what is computed of its noisy cells in the gateway. */
export interface DifferentialQuery extends NoisyBlock, Answer {
  readonly kind: 'permitted';
  readonly footprint: Footprint;
  /** The one column whose values it counts; null: it says something else. */
  readonly marginal: Marginal | null;
}

/**
 * Compiles a query for the mode `differentialPrivacy`: aggregates of bounded columns over one private table, or several
 * joined so that a unit's rows stay bounded, grouped by declared or private keys. What is computed of one aggregation is
 * computed in the gateway where that is simple arithmetic, else, as with several aggregations, by the engine (compose.ts).
 */
export function compileDifferential(
  ast: unknown,
  sqlText: string,
  context: QueryContext,
): DifferentialQuery | ComposedQuery | Denied {
  const { release } = context;
  if (release.mode !== 'differentialPrivacy') throw new Error('not a differentially private release');
  try {
    return compile(ast, context, release);
  } catch (error) {
    if (error instanceof Refusal) return denied(reasonOf(error, context.clause, sqlText));
    if (error instanceof RangeError) return denied(reason('query-too-deep', 'the query is nested too deep'));
    throw error;
  }
}

function compile(
  ast: unknown,
  context: QueryContext,
  release: DifferentialPrivacyRelease,
): DifferentialQuery | ComposedQuery {
  const query = readQuery(ast);
  try {
    return compileOne(query, context, release);
  } catch (error) {
    if (!(error instanceof Refusal) || !SHAPES.includes(error.code)) throw error;
    return compileComposed(query, context, release);
  }
}

/** Refusals that speak of the form of the question alone. */
const SHAPES: readonly string[] = ['differential-shape', 'rows-not-released'];

function compileOne(asWritten: Query, context: QueryContext, release: DifferentialPrivacyRelease): DifferentialQuery {
  const state = noisyState(context);
  const query =
    asWritten.kind === 'select' ? asJoins(asWritten, context, withTables(state, asWritten, NO_TABLES)) : asWritten;
  if (
    query.kind !== 'select' ||
    query.qualify !== null ||
    query.distinct ||
    query.distinctOn ||
    query.groupSets.length > 1
  )
    return refuse('differential-shape', 'more than one plain aggregation');
  const { from, scope, resolveRow } = rowsOf(state, query);
  const { rowsPerUnit, unitHash } = boundRows(state, scope, release);
  const written = { ...query, items: expandStars(query.items, from) };
  const asked = allOutside(withDeterminedKeys(written, scope, resolveRow), resolveRow);
  const { items } = asked;
  const groups = keysOf(state, asked, resolveRow);
  const measures = new Measures();
  const answer = compileAnswer(asked, {
    from,
    items,
    groups,
    parameters: context.parameters,
    resolveRow,
    aggregateOf: (call) => aggregateOf(call, { resolveRow, rights: state.rights, measures, unitHash }),
  });
  if (state.setup.length + state.gates.length + state.borrowed.length > 0)
    refuse('differential-shape', 'with differential privacy a sub-query in an expression reads public tables only');

  checkBroughtAtAll(state);
  const names = groups.map((_, index) => answer.outputs.find((one) => 'key' in one && one.key === index)?.name);
  const block = noisyBlock(state, release, {
    scope,
    measures,
    unitHash,
    rowsPerUnit,
    aggregates: answer.aggregates,
    keys: groups.map((expression, index) => ({ name: names[index] ?? `key${index}`, expression })),
  });
  const marginal = marginalOf(asked, { context, scope, groups, answer, resolveRow });
  return { kind: 'permitted', ...block, footprint: footprintOf(state), marginal, ...answer };
}

/** What looks into other tables for each row, as the joins that it is. */
function asJoins(written: Select, { tables }: QueryContext, scope: Scope): Select {
  return withLookups(withUnitValues(withCohortsOfOthers(written, tables, scope, 'brought'), tables, scope, 'noisy'));
}

/** The private rows that the query is about, before anything is aggregated. */
function rowsOf(
  state: State,
  query: Select,
): { readonly from: From; readonly scope: RowScope; readonly resolveRow: (syntax: Syntax) => Typed } {
  const tables = withTables(state, query, NO_TABLES);
  const from = readFrom(query.from, {
    state,
    scope: tables,
    compile: (inner, within): Relation => {
      const relation = compileAny(state, inner, within, true);
      if (relation.kind === 'rows') return relation;
      return refuse(
        'differential-shape',
        'with differential privacy a sub-query in FROM picks columns and rows, and does not aggregate',
        { words: ['from'] },
        'aggregate in the outermost query',
      );
    },
    resolveIn: (inner, syntax, over) => resolve(syntax, rowSight(state, tables, inner, [], over)),
  });
  const sight = rowSight(state, tables, from, query.items, 'rows');
  const resolveRow = (syntax: Syntax): Typed => resolve(syntax, sight);
  const where = query.where === null ? [] : conjuncts(query.where).map((one) => condition(resolveRow(one)));
  return { from, scope: addConditions(from.scope, where), resolveRow };
}
