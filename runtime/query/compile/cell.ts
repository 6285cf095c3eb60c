import type { AggregateFunction } from '../../policy/model.ts';
import { BIGINT, BOOLEAN, DOUBLE, familyOf, HUGEINT, isFloating, type SqlType } from '../types.ts';
import type { Added, Cell, CellBranch, Condition, Factor, Rest } from '../enforce/block.ts';
import { INSTEAD } from '../instead.ts';
import {
  around,
  branchesOf,
  cellBranch,
  chosenRows,
  conditionsFor,
  countedIn,
  factorsOf,
  filledIn,
  isBlank,
  isNull,
  isThere,
  nonZero,
  measuredIn,
  optional,
  countedRows,
  heldInAny,
  presence,
  summedIn,
  restsOf,
  together,
} from './hidden-conditions.ts';
import { AGGREGATES, COMPARISONS } from '../functions.ts';
import { PAIR_RIGHTS } from '../pair-rights.ts';
import { addedIn, countOf, flagged } from './added.ts';
import { withCase } from './measure-as-case.ts';
import { checkScale } from './scale.ts';
import { type Known, NOTHING_KNOWN } from './known.ts';
import { printable } from '../parse/literal.ts';
import { printTyped } from '../print.ts';
import { refuse } from '../refusal.ts';
import { buildCall } from '../resolve/call.ts';
import { constant } from '../resolve/align.ts';
import { buildCase } from '../resolve/expression.ts';
import { has, type Rights, shown } from '../rights.ts';
import type { Syntax } from '../syntax.ts';
import { type BaseColumn, distinctColumns, type Typed } from '../typed.ts';
import { extremumCell, quantileCell } from './ordered-cell.ts';
import { pairCell } from './pair-cell.ts';
import { rangeOfWide } from './wide-values.ts';
import { addedOfPartner, caseOutside } from './without-partner.ts';

export type Call = Syntax & { kind: 'call' };

/** One aggregate over private rows, with the conditions that it hides in FILTER, CASE, NULLs and zero products. */
export function buildCell(
  rights: Rights,
  written: Call,
  resolveRow: (syntax: Syntax) => Typed,
  known: Known = NOTHING_KNOWN,
): Cell {
  const syntax = withCase(written, resolveRow);
  const { name, at } = syntax;
  const wanted = Object.hasOwn(AGGREGATES, name) ? AGGREGATES[name] : undefined;
  if (wanted === undefined)
    refuse(
      'aggregate-not-allowed',
      `the aggregate \`${printable(name)}\` over private rows is not offered`,
      at,
      Object.hasOwn(INSTEAD, name) ? (INSTEAD[name] ?? null) : 'use count, sum or avg',
    );
  rights.note(name === 'count_star' ? 'count' : name);
  const filter = syntax.filter === null ? null : resolveRow(syntax.filter);
  if (filter !== null) {
    if (filter.type !== null && familyOf(filter.type) !== 'boolean')
      refuse('type-mismatch', 'FILTER needs a condition', at);
    rights.condition(filter);
  }
  const chosen = filter === null ? [] : [filter];
  const suffix = filter === null ? '' : ` FILTER (WHERE ${printTyped(filter)})`;
  if (name === 'count_star')
    return {
      ...cell(`count(*)${suffix}`, BIGINT, conditionsFor(chosen, null), '1', around(chosen)),
      added: countOf(around(chosen)),
    };
  const args = syntax.args.map(resolveRow);
  if (wanted === 'quantile') return quantileCell(rights, name, args, chosen, { syntax, known });
  if (Object.hasOwn(PAIR_RIGHTS, name)) return pairCell(rights, name, args, chosen, suffix, { syntax, known });
  const [arg] = args;
  if (arg === undefined || args.length !== 1) refuse('wrong-arguments', `\`${name}\` takes one value`, at);
  if (name === 'approx_count_distinct') return distinctCell(rights, arg, chosen, suffix, known);
  if (syntax.distinct && name !== 'count')
    refuse(
      'aggregate-not-allowed',
      `\`${name}(DISTINCT …)\` is not offered`,
      at,
      'count(DISTINCT …) is, where granted',
    );
  if (wanted === 'any') return anyCell(rights, name, arg, chosen, known);
  if (wanted === 'extremum') return extremumCell(rights, name, arg, chosen);
  return name === 'count'
    ? countCell(rights, arg, syntax, chosen, suffix, known)
    : measureCell(rights, name, wanted as AggregateFunction, arg, chosen, suffix, known);
}

/**
 * bool_or and bool_and tell whether anybody is on one side of a condition: so both sides must be nobody or enough. Nobody
 * on the side of the condition reads as withheld, like a count of nobody.
 */
function anyCell(rights: Rights, name: string, arg: Typed, chosen: readonly Typed[], known: Known): Cell {
  if (arg.type === null || familyOf(arg.type) !== 'boolean')
    refuse('type-mismatch', `\`${name}\` needs a condition`, arg.at, `write ${name}(column = value)`);
  rights.condition(arg);
  const within = around(chosen);
  const sql = printTyped(arg);
  const conditions = [...conditionsFor(chosen, null), ...sidesOf(arg, within, known)];
  const suffix = within === null ? '' : ` FILTER (WHERE ${within})`;
  return cell(`${name}(${sql})${suffix}`, BOOLEAN, conditions, null, null);
}

/** The rows where a condition holds; where it can be unknown, those where it fails are a side of their own. */
function sidesOf(arg: Typed, within: string | null, known: Known): Condition[] {
  const inside = within === null ? '' : `${within} AND `;
  const holds = chosenRows(`${inside}${printTyped(arg)}`, within);
  return isNeverNull(arg, known) ? [holds] : [holds, chosenRows(`${inside}(${printTyped(arg)} IS NOT FALSE)`, within)];
}

/** Comparisons of values that are always there. */
function isNeverNull(arg: Typed, known: Known): boolean {
  if (arg.kind === 'constant') return arg.literal.kind !== 'null';
  if (arg.kind === 'column') return known.isComplete(arg);
  if (arg.kind !== 'call') return false;
  if (arg.name === 'is null' || arg.name === 'is not null') return true;
  const isTotal = [...COMPARISONS, 'and', 'or', 'not', 'in', 'not in'].includes(arg.name);
  return isTotal && arg.args.every((part) => isNeverNull(part, known));
}

/** `flag::INT`, `(age > 60)::INT` and the sum of a flag count those of whom it is true, so they are held to what FILTER is; else null. */
function flagIn(arg: Typed, name: string): Typed | null {
  if (name === 'sum' && arg.type?.kind === 'boolean' && arg.kind !== 'constant') return arg;
  const [inner] = arg.kind === 'call' && (arg.name === 'cast' || arg.name === 'try_cast') ? arg.args : [];
  return inner?.type?.kind === 'boolean' && inner.kind !== 'constant' ? inner : null;
}

function zeroOrOne(flag: Typed, known: Known): Typed {
  const number = (value: bigint): Typed => constant({ kind: 'integer', value }, flag.at);
  const yes = { when: flag, value: number(1n) };
  if (isNeverNull(flag, known)) return buildCase([yes], number(0n), flag.at);
  const no = { when: buildCall('not', [flag], 'rows', flag.at), value: number(0n) };
  return buildCase([yes, no], constant({ kind: 'null' }, flag.at), flag.at);
}

function countCell(
  rights: Rights,
  arg: Typed,
  syntax: Call,
  chosen: readonly Typed[],
  suffix: string,
  known: Known,
): Cell {
  if (syntax.distinct) return distinctCell(rights, arg, chosen, suffix, known);
  const sql = `count(${printTyped(arg)})${suffix}`;
  if (arg.kind === 'constant') {
    return cell(sql, BIGINT, conditionsFor(chosen, null), '1', around(chosen));
  }
  if (arg.kind === 'case') {
    // count(CASE WHEN c THEN 1 END): the branches with a value are what is counted, so a 0 counts as well.
    const branches = branchesOf(rights, arg, around(chosen), (value) => isNull(value));
    const rests = branches.flatMap(({ sql, value }) => restsOf(value, sql));
    const conditions = branches.flatMap(({ sql, value }) => {
      if (value.kind !== 'constant') countable(rights, value);
      return [chosenRows(sql, around(chosen)), ...optional(countedRows(presence(value, sql, true, known)))];
    });
    const weight = `(CASE WHEN ${printTyped(arg)} IS NULL THEN 0 ELSE 1 END)`;
    const [only] = branches;
    const isOne = branches.length === 1 && only?.value.kind === 'constant';
    return {
      ...cell(sql, BIGINT, [...conditionsFor(chosen, null), ...conditions], weight, around(chosen)),
      rests,
      measured: measuredIn(
        branches.map(({ sql: within, value }) => ({ value, within })),
        known,
      ),
      branches: branches.map((one) => cellBranch(one, known)),
      ...(isOne ? { added: countOf(only.sql) } : {}),
    };
  }
  countable(rights, arg);
  const present = countedRows(presence(arg, around(chosen), true, known));
  const own = cell(
    sql,
    BIGINT,
    [...conditionsFor(chosen, present), ...together(arg, around(chosen), known)],
    '1',
    [...chosen.map(printTyped), `${printTyped(arg)} IS NOT NULL`].join(' AND '),
  );
  const measured = measuredIn([{ value: arg, within: around(chosen) }], known);
  const added = countOf(present?.sql ?? around(chosen));
  return { ...own, rests: restsOf(arg, around(chosen)), measured, added };
}

/**
 * count(DISTINCT …) of a column, or of one column in the branches of a CASE, whose conditions are held to what FILTER is.
 * An expression could leave single values out (`nullif(id, 7)`, `least(id, 7)`), so it takes columns that may be keys.
 */
function distinctCell(rights: Rights, arg: Typed, chosen: readonly Typed[], suffix: string, known: Known): Cell {
  const within = around(chosen);
  const conditions = conditionsFor(chosen, null);
  let rests: Rest[] = [];
  let branches: CellBranch[] | undefined;
  const counted = (value: Typed, around: string | null): void => {
    const columns = distinctColumns(value);
    if (columns.length === 0) refuse('wrong-arguments', 'count(DISTINCT …) needs a column', arg.at);
    for (const base of columns) rights.granted(base, 'countDistinct', arg.at, 'in count(DISTINCT …)');
    if (value.kind !== 'column') rights.key(value);
    // What stands in the place of missing values is one value more, and hides that few have any.
    const filled = filledIn(value, around, known);
    conditions.push(...optional(presence(value, around, value.kind !== 'column', known)), ...filled);
    const sql = printTyped(value);
    rests.push({ there: `${sql} IS NOT NULL`, within: around, value: sql, unit: known.unitOf(value) });
  };
  if (arg.kind === 'case') {
    const found = branchesOf(rights, arg, within, isNull);
    for (const { sql, value } of found) {
      conditions.push(chosenRows(sql, within));
      counted(value, sql);
    }
    branches = found.map((one) => cellBranch(one, known));
    rests = [heldInAny(rests, arg.at)];
  } else counted(arg, within);
  return {
    ...cell(`count(DISTINCT ${printTyped(arg)})${suffix}`, BIGINT, conditions, null, null),
    rests,
    ...(branches === undefined ? {} : { branches }),
  };
}

/** Counting the rows that have a value: with the function `count`, or where the value could be filtered or grouped. */
function countable(rights: Rights, arg: Typed): void {
  if (arg.kind === 'case') refuse('measure-not-allowed', 'CASE inside CASE is not offered in an aggregate', arg.at);
  for (const base of distinctColumns(arg)) {
    // Which rows have a value is the consumer's choice; said as a condition, it is held to what conditions are.
    if (base.table.brought === true || base.table.isDerived === true) {
      refuse(
        base.table.brought === true ? 'consumer-table-measure' : 'measure-not-allowed',
        `\`${shown(base)}\` of a ${base.table.brought === true ? 'table of yours' : 'sub-query over public tables'} cannot be counted over private rows`,
        arg.at,
        'count(*) FILTER (WHERE column IS NOT NULL)',
      );
    }
    const isGranted = base.table.isPublic || has(base, 'group') || has(base, 'filter') || has(base, 'countDistinct');
    if (isGranted && arg.kind === 'column') rights.touch(base, 'count');
    else if (isGranted) rights.condition(arg);
    else rights.measure(arg, 'count');
  }
}

/** What makes a number of a value that is none. */
function numberInstead(name: string, kind: string | undefined): string | null {
  if (kind === 'interval') return `${name}(epoch(b - a)) / 60 is in minutes`;
  return kind === 'boolean' ? `${name}(CAST(condition AS INTEGER)), or count(*) FILTER (WHERE condition)` : null;
}

function measureCell(
  rights: Rights,
  name: string,
  wanted: AggregateFunction,
  given: Typed,
  chosen: readonly Typed[],
  suffix: string,
  known: Known,
): Cell {
  const flag = flagIn(given, name);
  const outside = flag === null ? caseOutside(given) : zeroOrOne(flag, known);
  const arg = name === 'sum' ? addedOfPartner(outside) : outside;
  if (arg.type === null || familyOf(arg.type) !== 'number')
    refuse('type-mismatch', `\`${name}\` needs a number`, arg.at, numberInstead(name, arg.type?.kind));
  const conditions = conditionsFor(chosen, null);
  const factors: Factor[] = [];
  const rests: Rest[] = [];
  const adds: BaseColumn[] = [];
  const parts: { readonly value: Typed; readonly within: string | null }[] = [];
  let cases: CellBranch[] | undefined;
  let added: Added | null = null;
  const check = (value: Typed, within: string | null): void => {
    rights.measure(value, wanted);
    adds.push(...distinctColumns(value));
    parts.push({ value, within });
    checkScale(value);
    conditions.push(
      ...nonZero(value, within, known),
      ...optional(presence(value, within, false, known)),
      ...filledIn(value, within, known),
      ...countedIn(value, within),
      ...together(value, within, known),
    );
    rests.push(...restsOf(value, within));
    const there = [...(within === null ? [] : [within]), ...(known.isComplete(value) ? [] : [isThere(value)])];
    factors.push(
      ...factorsOf(value).map((one) => ({ ...one, within: there.length === 0 ? null : there.join(' AND ') })),
    );
  };
  if (flag !== null) {
    rights.condition(flag);
    const [holds, ...unknown] = sidesOf(flag, around(chosen), known);
    conditions.push(...optional(holds ?? null), ...unknown);
    if (holds !== undefined && unknown.length === 0) added = flagged(name, holds.sql, around(chosen));
  } else if (arg.kind === 'case') {
    // Adding 0 changes no sum, but a mean and every other moment.
    const branches = branchesOf(rights, arg, around(chosen), name === 'sum' ? isBlank : isNull);
    const [only] = arg.whens;
    cases = branches.map((one) => cellBranch(one, known));
    for (const { sql, value } of branches) {
      // What one condition leaves out is looked at as its other side; as a condition of its own it says nothing more.
      const isOther = branches.length === 2 && arg.whens.length === 1 && value === arg.otherwise;
      if (!isOther || value.kind !== 'constant' || only === undefined) conditions.push(chosenRows(sql, around(chosen)));
      check(value, sql);
    }
    if (conditions.length === chosen.length) refuse('measure-not-allowed', 'the CASE adds nothing', arg.at);
  } else {
    check(arg, around(chosen));
  }
  added ??= addedIn(name, arg, parts, { filter: around(chosen), known });
  const isPlain = arg.kind === 'column' && known.isComplete(arg);
  const isOpen = !isPlain && (isFloating(arg.type) || rangeOfWide(arg) !== null);
  const value = isOpen ? `(CASE WHEN ${isThere(arg)} THEN ${printTyped(arg)} END)` : printTyped(arg);
  const [sql, type] = printMeasure(name, value, { type: arg.type, suffix, isComplete: isPlain });
  const weight =
    name === 'sum' || name === 'avg' || name === 'mean' ? `abs(CAST(coalesce(${value}, 0) AS DOUBLE))` : null;
  const centred = weight === null ? [real(value)] : [];
  return {
    ...cell(sql, type, conditions, weight, around(chosen)),
    factors,
    centred,
    rests,
    addends: adds.map(({ relation }) => relation),
    adds,
    measured: measuredIn(parts, known),
    summed: weight === null ? [] : summedIn(parts),
    ...(added === null ? {} : { added }),
    ...(cases === undefined ? {} : { branches: cases }),
  };
}

/** The relations of which a value takes columns. */
export function relationsOf(value: Typed): number[] {
  return distinctColumns(value).map(({ relation }) => relation);
}

/** Sums of DOUBLE go through compensated summation, whose result does not depend on the order of threads in practice. */
function printMeasure(
  name: string,
  value: string,
  { type, suffix, isComplete }: { readonly type: SqlType; readonly suffix: string; readonly isComplete: boolean },
): readonly [string, SqlType] {
  const isFloat = isFloating(type);
  // Rows are counted anyway, so this costs nothing.
  const count = `count(${isComplete ? '*' : value})${suffix}`;
  // The sums of such integers are exact as doubles, so this is avg to the last bit, at two thirds of its cost.
  const isShort = isComplete && type.kind === 'integer' && type.bits <= 32;
  switch (name) {
    case 'sum':
      if (isFloat) return [`fsum(${value})${suffix}`, DOUBLE];
      return [
        `sum(${value})${suffix}`,
        type.kind === 'decimal' ? { kind: 'decimal', width: 38, scale: type.scale } : HUGEINT,
      ];
    case 'avg':
    case 'mean':
      // With a sum of the same values beside it, the compensated summation is done once.
      if (isFloat) return [`(fsum(${value})${suffix} / ${count})`, DOUBLE];
      return [isShort ? `(sum(${value})${suffix} / ${count})` : `avg(${value})${suffix}`, DOUBLE];
    default:
      return [`${name}${real(value)}${suffix}`, DOUBLE];
  }
}

/** Large finite values could make a moment overflow, which DuckDB answers with an error: NULL instead. */
export function real(value: string): string {
  const double = `CAST(${value} AS DOUBLE)`;
  return `(CASE WHEN abs(${double}) < 1e100 THEN ${double} END)`;
}

export function cell(
  sql: string,
  type: SqlType,
  conditions: readonly Condition[],
  weight: string | null,
  weighed: string | null,
): Cell {
  return { sql, type, conditions, weight, weighed };
}
