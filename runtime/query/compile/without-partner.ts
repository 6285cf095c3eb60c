/**
 * What a LEFT JOIN shows of rows that found no partner: NULL in every column of the other side, whatever is calculated there.
 * `LEFT JOIN (SELECT patient, CASE WHEN count(*) > 2 THEN 'often' ELSE 'seldom' END AS visits …)` has no visits, not seldom
 * ones, for who has none, though such columns are calculated behind the join here, where CASE and coalesce make values of NULL.
 */
import type { CatalogueColumn, CatalogueTable } from '../catalogue.ts';
import type { Place } from '../refusal.ts';
import { constant } from '../resolve/align.ts';
import { buildCall } from '../resolve/call.ts';
import { buildCase } from '../resolve/expression.ts';
import { baseColumn } from '../rows.ts';
import { distinctColumns, type Typed } from '../typed.ts';
import { BOOLEAN } from '../types.ts';
import { isBlank, isNull } from './hidden-conditions.ts';
import type { Visible } from './sources.ts';
import { passed } from './unit-values.ts';

/** TRUE in every row, so NULL where there is none. It may be asked for wherever rows may be counted. */
const MET: CatalogueColumn = {
  name: '__gb_met',
  label: 'a partner',
  type: BOOLEAN,
  grants: [passed([])],
  isPresence: true,
};

/** Calls that are NULL where one of their arguments is. */
const STRICT: ReadonlySet<string> = new Set(
  '= <> < <= > >= + - * / // % cast try_cast not upper lower like'.split(' '),
);
/** Calls that are NULL where all of their arguments are. */
const KEPT: ReadonlySet<string> = new Set('and or coalesce ifnull'.split(' '));

/** Whether some column makes a value where all columns of a table are NULL. */
export function makesValues(visible: readonly Visible[], relation: number): boolean {
  return visible.some(({ columns }) => columns.some(({ expression }) => !isEmpty(expression, relation)));
}

/** The table with the column that tells whether a partner was found. */
export function telling(table: CatalogueTable): CatalogueTable {
  const physical = `(SELECT *, TRUE AS ${MET.name} FROM ${table.physical})`;
  return { ...table, physical, columns: [...table.columns, MET] };
}

/** The columns over such a table, NULL where there is no partner. */
export function emptyWithout(
  { relation, table }: { readonly relation: number; readonly table: CatalogueTable },
  visible: readonly Visible[],
  at: Place,
): readonly Visible[] {
  const met = baseColumn({ relation, table, column: MET }, at);
  return visible.map((one) => ({
    ...one,
    columns: one.columns.map((column) =>
      isEmpty(column.expression, relation)
        ? column
        : { ...column, role: 'derived' as const, expression: onlyWhere(met, column.expression, at) },
    ),
  }));
}

/** Whether it is NULL where all columns of the table are. */
function isEmpty(one: Typed, relation: number): boolean {
  const own = (part: Typed): boolean => isEmpty(part, relation);
  switch (one.kind) {
    case 'constant':
      return one.literal.kind === 'null';
    case 'column':
      return one.base === null || one.base.relation === relation;
    case 'call':
      return STRICT.has(one.name) ? one.args.some(own) : KEPT.has(one.name) && one.args.every(own);
    case 'case':
      return own(one.otherwise) && one.whens.every(({ when, value }) => own(when) || own(value));
    default:
      return one satisfies never;
  }
}

function onlyWhere(met: Typed, value: Typed, at: Place): Typed {
  const nothing = constant({ kind: 'null' }, at);
  if (value.kind !== 'case') return buildCase([{ when: met, value }], nothing, at);
  // One CASE, for none is offered inside another where values are added up.
  const whens = value.whens.map((one) => ({ ...one, when: buildCall('and', [met, one.when], 'rows', at) }));
  const isElse = value.otherwise.kind !== 'constant' || value.otherwise.literal.kind !== 'null';
  return buildCase([...whens, ...(isElse ? [{ when: met, value: value.otherwise }] : [])], nothing, at);
}

/**
 * What a sum adds of `CASE WHEN a partner is there THEN coalesce(x, 0) END`: x, which is missing without one. As a CASE it
 * would be held to how many found no partner, though nothing is told of them.
 */
export function addedOfPartner(value: Typed): Typed {
  const [branch, ...more] = value.kind === 'case' ? value.whens : [];
  if (value.kind !== 'case' || branch === undefined || more.length > 0 || !isBlank(value.otherwise)) return value;
  const { when, value: then } = branch;
  if (when.kind !== 'column' || when.base?.column.isPresence !== true) return value;
  const there = unfilled(then);
  if (there === then || !isEmpty(there, when.base.relation)) return value;
  return isNull(value.otherwise) ? there : then;
}

/**
 * `coalesce(CASE WHEN a partner is there THEN coalesce(x, 0) END, 0)`, which has come to `CASE WHEN there THEN coalesce(x, 0) ELSE 0
 * END`, is `coalesce(x, 0)`: x is missing without a partner. Any other value as it stands.
 */
function filledOfPartner(value: Typed): Typed {
  const [branch, ...more] = value.kind === 'case' ? value.whens : [];
  if (value.kind !== 'case' || branch === undefined || more.length > 0) return value;
  const { when, value: then } = branch;
  if (when.kind !== 'column' || when.base?.column.isPresence !== true) return value;
  const isSame = isBlank(value.otherwise) && !isNull(value.otherwise) && unfilled(then) !== then;
  return isSame && isEmpty(unfilled(then), when.base.relation) ? then : value;
}

function unfilled(value: Typed): Typed {
  if (value.kind !== 'call' || !FILLED.has(value.name) || !value.args.slice(1).every(isBlank)) return value;
  return value.args[0] === undefined ? value : unfilled(value.args[0]);
}

/**
 * `coalesce(CASE WHEN there THEN x END, 0) * 2` as the one CASE that it is, `CASE WHEN there THEN coalesce(x, 0) * 2 ELSE 0 END`:
 * none is offered inside of a calculation. Any other value as it stands.
 */
export function caseOutside(value: Typed): Typed {
  if (value.kind !== 'call' || !(CALCULATED.has(value.name) || FILLED.has(value.name))) return value;
  const args = value.args.map(caseOutside);
  const at = args.findIndex((one) => one.kind === 'case');
  const found = args[at];
  const others = args.filter((_, index) => index !== at);
  if (found === undefined && args.some((one, index) => one !== value.args[index]))
    return buildCall(value.name, args, 'rows', value.at);
  if (found?.kind !== 'case' || others.some((one) => distinctColumns(one).length > 0)) return value;
  if (FILLED.has(value.name) && (at > 0 || others.length > 1)) return value;
  const [limit] = others;
  const calculated = (one: Typed): Typed => {
    if (isNull(one)) return FILLED.has(value.name) && limit !== undefined ? limit : one;
    // Zero times a number, and by one, adds as little as zero.
    if (isBlank(one) && (value.name === '*' || (value.name === '/' && at === 0))) return one;
    return buildCall(value.name, args.toSpliced(at, 1, one), 'rows', value.at);
  };
  const whens = found.whens.map((one) => ({ ...one, value: calculated(one.value) }));
  return filledOfPartner(buildCase(whens, calculated(found.otherwise), value.at));
}

const CALCULATED: ReadonlySet<string> = new Set(['+', '-', '*', '/']);
const FILLED: ReadonlySet<string> = new Set(['coalesce', 'ifnull']);
