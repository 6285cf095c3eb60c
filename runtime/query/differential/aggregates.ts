import type { AggregateFunction } from '../../policy/model.ts';
import type { DpAggregate } from '../../release/mechanisms/aggregate.ts';
import type { Bins } from '../../release/mechanisms/histogram.ts';
import { BY_GROUP } from '../instead.ts';
import { refuse } from '../refusal.ts';
import { constantValue } from '../resolve/arithmetic.ts';
import { constant } from '../resolve/align.ts';
import { buildCall } from '../resolve/call.ts';
import { buildCase } from '../resolve/expression.ts';
import { has, type Rights } from '../rights.ts';
import type { Syntax } from '../syntax.ts';
import { type BaseColumn, distinctColumns, type Typed } from '../typed.ts';
import { familyOf } from '../types.ts';
import { PAIR_RIGHTS } from '../pair-rights.ts';
import { printTyped } from '../print.ts';
import { boundsOf, MAX_BITS, MAX_MOMENT_BITS } from './fixed-point.ts';
import { withCase } from '../compile/measure-as-case.ts';
import type { Measures } from './measures.ts';

export type Call = Syntax & { readonly kind: 'call' };

/** Aggregates of this mode alone, beside those that every mode knows. */
const ONLY_HERE: readonly string[] = ['histogram', 'approx_quantile', 'approx_count_distinct'];
export const isOnlyHere = (name: string): boolean => ONLY_HERE.includes(name);

/** Bins of a column that has bounds and no declared bins: public too, since they follow from the bounds alone. */
const DEFAULT_BINS = 64;

export interface AggregateNeeds {
  readonly resolveRow: (syntax: Syntax) => Typed;
  readonly rights: Rights;
  readonly measures: Measures;
  /** Printed reference of the unit's hash. */
  readonly unitHash: string;
}

/** The mechanism that answers one aggregate call, its measures named in `needs.measures`. Throws Refusal. */
export function aggregateOf(written: Call, needs: AggregateNeeds): DpAggregate {
  const { rights, measures, resolveRow } = needs;
  const call = withCase(written, resolveRow);
  rights.note(call.name === 'count_star' ? 'count' : call.name);
  const filter = filterOf(call, needs);
  if (call.name === 'count_star')
    return { kind: 'count', measure: filter === null ? null : measures.counted(null, filter) };
  const args = call.args.map(resolveRow).map((arg) => chosen(arg, call.name));
  const [first, second] = args;
  if (first === undefined) return refuse('wrong-arguments', `\`${call.name}\` needs an argument`, call.at);
  if (call.distinct || call.name === 'approx_count_distinct') return distinctOf(call, first, filter, needs);
  const bounded = (wanted: AggregateFunction, bits: number): ReturnType<Measures['bounded']> => {
    checkMeasure(first, wanted, rights);
    return measures.bounded(first, filter, bits);
  };
  switch (call.name) {
    case 'count':
      return countOf(first, filter, needs);
    case 'sum':
      return { kind: 'sum', measure: bounded('sum', MAX_BITS) };
    case 'avg':
    case 'mean':
      return { kind: 'avg', measure: bounded('avg', MAX_BITS) };
    case 'variance':
    case 'var_samp':
    case 'var_pop':
      return {
        kind: 'variance',
        measure: bounded('variance', MAX_MOMENT_BITS),
        of: call.name === 'var_pop' ? 'population' : 'sample',
      };
    case 'stddev':
    case 'stddev_samp':
    case 'stddev_pop':
      return {
        kind: 'stddev',
        measure: bounded('stddev', MAX_MOMENT_BITS),
        of: call.name === 'stddev_pop' ? 'population' : 'sample',
      };
    case 'median':
    case 'quantile_cont':
    case 'quantile_disc':
    case 'approx_quantile': {
      const base = plainColumn(first);
      rights.measure(first, 'quantile');
      const q = call.name === 'median' ? 0.5 : fractionOf(call);
      return { kind: 'quantile', q, bins: binsOf(first, base, filter, measures), range: rangeOf(base, first) };
    }
    case 'histogram': {
      const base = plainColumn(first);
      rights.measure(first, 'histogram');
      return { kind: 'histogram', bins: binsOf(first, base, filter, measures) };
    }
    case 'corr':
    case 'regr_r2':
    case 'regr_slope':
    case 'regr_intercept':
    case 'covar_pop':
    case 'covar_samp': {
      if (second === undefined || args.length > 2)
        return refuse('wrong-arguments', `\`${call.name}\` needs two columns`, call.at);
      for (const one of [first, second])
        for (const wanted of PAIR_RIGHTS[call.name] ?? []) checkMeasure(one, wanted, rights);
      // regr_slope(y, x): the dependent variable comes first.
      const pair = {
        x: measures.bounded(second, filter, MAX_MOMENT_BITS),
        y: measures.bounded(first, filter, MAX_MOMENT_BITS),
      };
      if (call.name === 'covar_pop' || call.name === 'covar_samp')
        return { kind: 'covariance', of: call.name === 'covar_pop' ? 'population' : 'sample', ...pair };
      const kinds = {
        corr: 'correlation',
        regr_r2: 'determination',
        regr_slope: 'regressionSlope',
        regr_intercept: 'intercept',
      } as const;
      return { kind: kinds[call.name], ...pair };
    }
    default:
      return refuse(
        'aggregate-not-allowed',
        `\`${call.name}\` is not offered with differential privacy`,
        call.at,
        INSTEAD[call.name] ??
          'use count, sum, avg, variance, stddev, median, quantile_cont, histogram, corr, covar_pop or regr_slope',
      );
  }
}

/** `(c)::INT`, and c in a sum, is CASE WHEN c THEN 1 WHEN NOT c THEN 0 END: a condition on rows, and a number with bounds. */
function chosen(arg: Typed, name: string): Typed {
  const isAdded = name === 'sum' && arg.type?.kind === 'boolean' && arg.kind !== 'constant';
  const [when] = isAdded ? [arg] : arg.kind === 'call' && CASTS.has(arg.name) ? arg.args : [];
  const isFlag = when?.type != null && familyOf(when.type) === 'boolean';
  if (!isFlag || arg.type === null || (!isAdded && familyOf(arg.type) !== 'number')) return arg;
  const number = (value: bigint): Typed => constant({ kind: 'integer', value }, arg.at);
  const no = { when: buildCall('not', [when], 'rows', arg.at), value: number(0n) };
  return buildCase([{ when, value: number(1n) }, no], constant({ kind: 'null' }, arg.at), arg.at);
}

const CASTS: ReadonlySet<string> = new Set(['cast', 'try_cast']);

const EXTREME = 'the value of one row cannot be told; quantile_cont(x, 0.99) or (x, 0.01) comes near';
const INSTEAD: Readonly<Record<string, string>> = {
  min: EXTREME,
  max: EXTREME,
  mode: 'count by the column, and ORDER BY the count DESC LIMIT 1',
  list: BY_GROUP,
  string_agg: BY_GROUP,
};

function filterOf(call: Call, { resolveRow, rights }: AggregateNeeds): string | null {
  if (call.filter === null) return null;
  const filter = resolveRow(call.filter);
  if (filter.type !== null && familyOf(filter.type) !== 'boolean')
    refuse('type-mismatch', 'FILTER needs a condition', call.at);
  rights.condition(filter);
  return printTyped(filter);
}

function distinctOf(call: Call, arg: Typed, filter: string | null, needs: AggregateNeeds): DpAggregate {
  if (call.name !== 'count' && call.name !== 'approx_count_distinct')
    return refuse('aggregate-not-allowed', `DISTINCT in \`${call.name}\` is not offered`, call.at);
  const base = plainColumn(arg);
  needs.rights.require(base, 'countDistinct', call.at, 'to count distinct values');
  const isUnit =
    !base.table.isPublic &&
    base.table.units.some(({ keyColumns }) => keyColumns.length === 1 && keyColumns[0] === base.column.name);
  if (!isUnit) return { kind: 'countDistinct', column: needs.measures.told(arg, filter, []) };
  if (filter === null) return { kind: 'countDistinct', column: null };
  return { kind: 'countDistinct', column: needs.measures.units(needs.unitHash, filter), isOfUnits: true };
}

/** count(x), and count(CASE WHEN c THEN x END): rows in which it has a value. */
function countOf(arg: Typed, filter: string | null, { rights, measures }: AggregateNeeds): DpAggregate {
  if (arg.kind === 'constant' && arg.literal.kind !== 'null')
    return { kind: 'count', measure: filter === null ? null : measures.counted(null, filter) };
  for (const value of valuesOf(arg, rights)) {
    for (const base of distinctColumns(value)) {
      const isKey = has(base, 'group') || has(base, 'filter') || has(base, 'countDistinct');
      if (base.table.isPublic || (isKey && value.kind === 'column')) rights.touch(base, 'count');
      else if (isKey) rights.condition(value);
      else rights.measure(value, 'count');
    }
  }
  // A bounded column is counted where its fixed-point form has a value, so that averages share the count.
  const isBounded =
    arg.kind === 'column' && arg.base !== null && arg.base.column.grants.some(({ bounds }) => bounds !== null);
  const measure = isBounded ? measures.bounded(arg, filter, MAX_BITS).name : measures.counted(arg, filter);
  return { kind: 'count', measure };
}

/** The measure's columns must be granted for the function; conditions of CASE are conditions on rows. */
export function checkMeasure(arg: Typed, wanted: AggregateFunction, rights: Rights): void {
  if (arg.type !== null && familyOf(arg.type) !== 'number')
    refuse(
      'type-mismatch',
      'a number is needed in the aggregate',
      arg.at,
      arg.type.kind === 'boolean' ? 'CAST(condition AS INTEGER), or count(*) FILTER (WHERE condition)' : null,
    );
  for (const value of valuesOf(arg, rights)) rights.measure(value, wanted);
}

/** The values of a CASE, its conditions checked; anything else is its own value. */
function valuesOf(arg: Typed, rights: Rights): readonly Typed[] {
  if (arg.kind !== 'case') return [arg];
  for (const { when } of arg.whens) rights.condition(when);
  return [...arg.whens.map(({ value }) => value), arg.otherwise].flatMap((value) => valuesOf(value, rights));
}

function plainColumn(arg: Typed): BaseColumn {
  if (arg.kind === 'column' && arg.base !== null) return arg.base;
  return refuse(
    'measure-not-allowed',
    'with differential privacy this aggregate works on a column',
    arg.at,
    'aggregate a column as it is',
  );
}

function rangeOf(base: BaseColumn, arg: Typed): { readonly low: number; readonly high: number } {
  const { low, high } = boundsOf(base, arg.at);
  const edges = declaredBins(base) ?? [];
  return { low: Math.min(low, ...edges), high: Math.max(high, ...edges) };
}

function declaredBins(base: BaseColumn): readonly number[] | null {
  return base.column.grants.find(({ bins }) => bins !== null)?.bins ?? null;
}

/** Declared bins, else equal ones over the declared bounds. */
function binsOf(arg: Typed, base: BaseColumn, filter: string | null, measures: Measures): Bins {
  if (arg.type === null || familyOf(arg.type) !== 'number')
    return refuse('type-mismatch', 'bins need a column of numbers', arg.at);
  const edges = declaredBins(base) ?? equalBins(base, arg);
  return { column: measures.told(arg, filter, edges), edges };
}

function equalBins(base: BaseColumn, arg: Typed): readonly number[] {
  const { low, high } = boundsOf(base, arg.at);
  const width = high - low;
  const isWhole = base.column.type.kind === 'integer';
  const bins = isWhole ? Math.min(DEFAULT_BINS, Math.floor(width) + 1) : DEFAULT_BINS;
  const edges = Array.from({ length: bins - 1 }, (_, i) => {
    const edge = low + ((i + 1) * (isWhole ? width + 1 : width)) / bins;
    return isWhole ? Math.ceil(edge) : edge;
  });
  const ascending = edges.filter((edge, i) => edge > low && (i === 0 || edge > (edges[i - 1] ?? edge)));
  if (ascending.length > 0) return ascending;
  return refuse(
    'bins-missing',
    `\`${base.column.name}\` has no declared bins, and its bounds hold a single value`,
    arg.at,
    'ask the provider to declare `bins`',
  );
}

function fractionOf(call: Call): number {
  const syntax = call.args[1];
  const value = syntax?.kind === 'constant' ? constantValue(syntax.literal) : null;
  if (value === null || !(value >= 0 && value <= 1))
    return refuse('wrong-arguments', `\`${call.name}\` needs a constant between 0 and 1`, call.at);
  return value;
}
