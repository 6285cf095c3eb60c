import { printTyped, quoteName } from '../print.ts';
import { alias, type Base, isOnly, printScope, privateBases } from '../rows.ts';
import type { Typed } from '../typed.ts';
import { constantValue } from '../resolve/arithmetic.ts';
import { printType } from '../types.ts';
import { type Block, conditionsOf, keyName, splitPredicates } from './block.ts';
import { factorsOf, preparedSides } from './factors.ts';
import { create, table } from './parts.ts';
import { hasManyGroups } from './sizes.ts';

/**
 * Very many groups behind a condition on a small public table (`shops.kind <> 'kiosk'`) or on the large table itself: the
 * rows that it takes and those that it leaves out are grouped in one pass over both, by the group and by the half. To ask of
 * each row of a large table whether its partner is wanted, and to pick the rows out, costs more than to add all of them up;
 * and what was left out needs no second pass with the same join.
 *
 * The keys are whole numbers of which the layout knows the ends, so a group and its half have one number, its place: the
 * engine uses it as a place in an array (see dataset/group-bits.ts).
 */
export interface Halves {
  /** Makes a copy of the public table with a column that tells which half its rows belong to; absent: the rows tell. */
  readonly beside?: string;
  /** A row's place. */
  readonly place: string;
  /** What else WHERE demands of a row of a group: it is met by the rows of both halves. */
  readonly rest: readonly Typed[];
  /** FROM and WHERE of both halves, with what else is joined to them. */
  readonly from: (joined: string) => string;
  /** The place in one half, and the keys, with columns of the table of both. */
  readonly half: (which: 'taken' | 'left', columns: readonly string[]) => string;
  /** What WHERE leaves out, without the keys. */
  readonly left: (columns: readonly string[]) => string;
}

/** The table of both halves. */
export const HALVES = 'b';
/** The copy of the public table, and its column that is added to a place. */
const BESIDE = 'o';
const AWAY = quoteName('__gb_away');

/** The engine lays out as many places, less two that it needs itself. */
const MOST_PLACES = 2 ** 16 - 2;
/** Of fewer rows it does not lay out so many. */
const LEAST_ROWS = 2n ** 20n;
/** A larger public table is not copied. */
const MOST_BESIDE = 65_536n;
/** Where conditions are likely to take fewer rows, picking those out first costs less. */
const LEAST_SHARE = 1 / 2;

interface Key {
  readonly sql: string;
  readonly type: string;
  readonly low: number;
  readonly values: number;
}

/** The public table that decides, and the conditions that speak of nothing else. */
interface Split {
  readonly base: Base;
  readonly terms: readonly Typed[];
}

/** Null where it does not apply, or another way is likely to cost less. */
export function halvesOf(block: Block): Halves | null {
  if (block.keys.length === 0 || !hasManyGroups(block)) return null;
  // Whatever else is looked at in the rows would be looked at in those of the other half for nothing.
  if (conditionsOf(block).length > 0 || (factorsOf(block).length > 0 && preparedSides(block) === null)) return null;
  if (!privateBases(block.scope).some(({ table: { rowCount } }) => rowCount >= LEAST_ROWS)) return null;
  const keys = block.keys.flatMap(({ expression }) => keyOf(block, expression) ?? []);
  const places = keys.reduce((product, { values }) => product * values, 1);
  if (keys.length < block.keys.length || 2 * places > MOST_PLACES) return null;
  const [split, ...more] = block.scope.bases.flatMap((base) => splitBy(block, base) ?? []);
  if (split !== undefined) return more.length > 0 ? null : halves(block, split, keys);
  const [own, ...others] = privateBases(block.scope);
  const within = own === undefined || others.length > 0 ? null : splitWithin(block, own);
  return within === null ? null : halves(block, within, keys);
}

/** Conditions on the large table itself that are likely to take most of its rows. */
function splitWithin(block: Block, base: Base): Split | null {
  if (base.leftOn !== null || base.table.physical.startsWith('(')) return null;
  const terms = splitPredicates(block).others.filter((term) => isOnly(term, base));
  const share = terms.reduce((product, term) => product * shareOf(term), 1);
  return terms.length > 0 && share >= LEAST_SHARE ? { base, terms } : null;
}

/** A whole number that is there in every row, between ends that the layout knows. */
function keyOf(block: Block, expression: Typed): Key | null {
  if (expression.kind !== 'column' || expression.base === null) return null;
  const { base, sql, type } = expression;
  const { facts } = base.column;
  if (type.kind !== 'integer' || !type.isSigned || type.bits === 128 || facts?.isComplete !== true) return null;
  // What a LEFT JOIN leaves empty is complete in its table only.
  const isThere = block.scope.bases.some((one) => one.relation === base.relation && isInner(block, one));
  const { low, high } = facts;
  if (!isThere || low === null || high === null || !Number.isSafeInteger(low) || !Number.isSafeInteger(high))
    return null;
  return { sql: type.bits < 32 ? `CAST(${sql} AS INTEGER)` : sql, type: printType(type), low, values: high - low + 1 };
}

/** Whether each row of the scope has a row of the table. */
function isInner({ scope }: Block, { leftOn, found }: Base): boolean {
  return leftOn === null || (found !== undefined && scope.predicates.some((term) => isSame(term, found)));
}

const isSame = (one: Typed, other: Typed): boolean => printTyped(one) === printTyped(other);

function splitBy(block: Block, base: Base): Split | null {
  const { isPublic, brought, given, physical, rowCount } = base.table;
  if (!isPublic || brought === true || given === true || physical.startsWith('(')) return null;
  if (rowCount === 0n || rowCount > MOST_BESIDE) return null;
  const { found } = base;
  const { others } = splitPredicates(block);
  const terms = others.filter((term) => isOnly(term, base) && (found === undefined || !isSame(term, found)));
  const share = terms.reduce((product, term) => product * shareOf(term), 1);
  return isInner(block, base) && terms.length > 0 && share >= LEAST_SHARE ? { base, terms } : null;
}

/** The share of a table's rows that a condition is likely to take; 0: nothing is known. */
function shareOf(term: Typed): number {
  if (term.kind === 'column') return 1 / 2;
  if (term.kind !== 'call') return 0;
  const [of, ...constants] = term.args;
  if (term.name === 'or') return Math.max(...term.args.map(shareOf));
  if (term.name === 'and') return term.args.reduce((product, one) => product * shareOf(one), 1);
  if (term.name === 'is not null') return 1;
  const columns = term.args.filter(({ kind }) => kind === 'column');
  const values = of?.kind === 'column' || constants.length === 1 ? distinctValuesOf(columns) : null;
  if (values === null || columns.length + constantsOf(term.args) !== term.args.length) return 0;
  if (term.name.startsWith('<') && term.name !== '<>') return shareBelow(term.args);
  if (term.name.startsWith('>')) return shareBelow(term.args.toReversed());
  const picked = Math.min(1, (term.args.length - 1) / values);
  if (term.name === '=' || term.name === 'in') return picked;
  return term.name === '<>' || term.name === 'not in' ? 1 - picked : 0;
}

/** The share of the range of a column that `column < constant` or `constant < column` takes. */
function shareBelow([left, right]: readonly Typed[]): number {
  const column = left?.kind === 'column' ? left : right;
  const limit = column === left ? right : left;
  const { low, high } = (column?.kind === 'column' && column.base?.column.facts) || { low: null, high: null };
  const at = limit?.kind === 'constant' ? constantValue(limit.literal) : null;
  if (low === null || high === null || at === null || low === high) return 0;
  const below = Math.min(1, Math.max(0, (at - low) / (high - low)));
  return column === left ? below : 1 - below;
}

const constantsOf = (args: readonly Typed[]): number => args.filter(({ kind }) => kind === 'constant').length;

function distinctValuesOf([column, ...more]: readonly Typed[]): number | null {
  if (column?.kind !== 'column' || more.length > 0) return null;
  const values = column.base?.column.distinctValues ?? 0;
  return values > 0 ? values : null;
}

function halves(block: Block, { base, terms }: Split, keys: readonly Key[]): Halves {
  const { ofKeys, others } = splitPredicates(block);
  const name = alias(base.relation);
  const places = keys.reduce((product, { values }) => product * values, 1);
  const isTaken = terms.map(printTyped).join(' AND ');
  const isCopied = base.table.isPublic;
  const away = `CAST(CASE WHEN ${isTaken} THEN 0 ELSE ${places} END AS INTEGER)`;
  const columns = base.table.columns.map((column) => `${name}.${quoteName(column.name)}`);
  const rest = others.filter((term) => !terms.includes(term));
  const number = keys.reduce((sum, { sql, low, values }) => {
    const digit = `(${sql} - (${low}))`;
    return sum === '' ? digit : `(${sum} * ${values} + ${digit})`;
  }, '');
  const rows = (which: 'taken' | 'left'): string =>
    which === 'taken'
      ? `SELECT * FROM ${table(block, HALVES)} WHERE place < ${places}`
      : `SELECT * REPLACE (place - ${places} AS place) FROM ${table(block, HALVES)} WHERE place >= ${places}`;
  return {
    ...(isCopied
      ? {
          beside: create(
            block,
            BESIDE,
            `SELECT ${[...columns, `${away} AS ${AWAY}`].join(', ')} FROM ${base.table.physical} AS ${name}`,
          ),
        }
      : {}),
    place: `(${number} + ${isCopied ? `${name}.${AWAY}` : away})`,
    rest,
    from: (joined) =>
      printScope(
        block.scope,
        [...ofKeys, ...rest].map(printTyped),
        joined,
        isCopied ? { relation: base.relation, sql: table(block, BESIDE) } : null,
      ),
    half: (which, wanted) => {
      const decoded = keys.map(({ type, low, values }, i) => {
        const stride = keys.slice(i + 1).reduce((product, key) => product * key.values, 1);
        return `CAST(place // ${stride} % ${values} + (${low}) AS ${type}) AS ${keyName(i)}`;
      });
      return `SELECT ${[...decoded, 'place', ...wanted].join(', ')} FROM (${rows(which)})`;
    },
    left: (wanted) => `SELECT ${['place', ...wanted].join(', ')} FROM (${rows('left')})`,
  };
}
