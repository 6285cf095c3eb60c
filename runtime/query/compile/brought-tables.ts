import type { SqlType } from '../types.ts';
import { type Place, refuse } from '../refusal.ts';
import { type Base, type Equality, privateBases, type RowScope } from '../rows.ts';
import { shown } from '../rights.ts';
import type { BaseColumn, Typed } from '../typed.ts';
import type { State } from './state.ts';
import { areLinked } from './public-joins.ts';

/**
 * A table that a consumer brought beside private rows.
 *
 * Everything in it is chosen by whom we defend against, so it may do no more than a long CASE over a column: give each
 * value of the column a label, which serves as group key and condition. Argument: the table is joined by equality with one
 * private table, on a column of its own in which no value stands twice, and nothing else is joined to it. So each private row
 * finds at most one partner: no row is repeated, and every column of the table is a function of the row's own values. Such
 * a function in a group key or a condition is held to what every key and condition is held to (minimum on both sides,
 * comparison of cells). That the inner join finds no partner is one more such condition, counted by `countingUnmatched`.
 * Values of the table are never added up (`Rights.measure`): a weight of its own for each unit would tell them apart.
 */
export function checkBrought(state: State, scope: RowScope): void {
  const brought = scope.bases.filter((base) => base.table.brought === true);
  const owners = privateBases(scope);
  if (brought.length === 0 || owners.length === 0) return;
  checkAllowed(state, owners, brought[0]?.at ?? null);
  for (const base of brought) checkOne(scope, base);
  // Otherwise the table would say which rows of one private table belong to which of another.
  if (!areLinked(scope, owners)) {
    refuse(
      'consumer-table-link',
      'beside a table of yours the private tables must be joined with each other',
      brought[0]?.at ?? null,
      'add `column = column` between the private tables',
    );
  }
}

function checkOne(scope: RowScope, base: Base): void {
  const links = linksOf(scope, base);
  const [first] = links;
  if (first === undefined) {
    return refuse(
      'consumer-table-link',
      'a table of yours is joined by `column = column` with a private table',
      base.at,
      'name a column that grants `join`',
    );
  }
  for (const { mine, other } of links) {
    if (other.table.isPublic || other.table.physical.startsWith('(') || other.relation !== first.other.relation) {
      refuse(
        'consumer-table-link',
        `\`${shown(mine)}\` of a table of yours can be joined with columns of one private table only`,
        base.at,
        'bring what you need in one table',
      );
    }
    if (!areSame(mine.column.type, other.column.type)) {
      refuse(
        'consumer-table-type',
        `\`${shown(mine)}\` and \`${shown(other)}\` have types that could be equal in more ways than one`,
        base.at,
        'upload the column in the type of the other: integers with integers, else the very same type; not floating-point',
      );
    }
    checkUnit(scope, other, base.at);
  }
  if (!links.some(({ mine }) => mine.column.facts?.mostRepeats !== undefined && mine.column.facts.mostRepeats <= 1)) {
    refuse(
      'consumer-table-repeats',
      `values stand in \`${shown(first.mine)}\` of your table more than once: the join would count rows several times`,
      base.at,
      'upload a table with one row for each value',
    );
  }
}

/**
 * Every provider of the query has to allow it; nothing is the default. And all that the consumer is told exactly must be
 * compared with all else: a table moves the border of a group by one unit at will, so an answer beside it and an answer
 * that nobody remembers would subtract.
 */
function checkAllowed({ context }: State, owners: readonly Pick<Base, 'table'>[], at: Place): void {
  const denying = owners.find(({ table }) => table.consumerTables === undefined);
  if (denying !== undefined) {
    refuse(
      'consumer-table-not-allowed',
      `tables of yours cannot be used together with \`${denying.table.names[0] ?? ''}\``,
      at,
      'the policy would have to say `consumerTables: true`',
    );
  }
  if (context.release.mode === 'aggregate' && owners.some(({ table }) => table.isUnguarded === true)) {
    refuse(
      'consumer-table-unguarded',
      'tables of yours are joined only where all answers are compared with each other',
      at,
      'every `aggregate` rule of the policy would have to say `differencing: guard`; or use a rule of mode `differentialPrivacy`',
    );
  }
}

/** On the privacy unit a table picks single units at will: that takes the provider's word for it. */
function checkUnit(scope: RowScope, other: BaseColumn, at: Place): void {
  if (!isOfUnit(scope, other) || privateBases(scope).every(({ table }) => table.consumerTables === 'unit')) return;
  refuse(
    'consumer-table-on-unit',
    `\`${shown(other)}\` leads to the privacy unit: tables of yours cannot be joined on it`,
    at,
    'join on a column that many units share; the policy would have to say `consumerTables: onUnit`',
  );
}

/** Whether a column is part of a privacy unit's key, lies on the path to it, or is equated with one that does. */
function isOfUnit(scope: RowScope, column: BaseColumn): boolean {
  const bases = privateBases(scope);
  const steps = bases.flatMap(({ table }) => table.units.flatMap(({ path }) => path ?? []));
  const names = ({ relation, column: { name } }: BaseColumn): boolean =>
    bases.some(
      ({ relation: own, table }) =>
        own === relation &&
        (table.units.some(
          ({ keyColumns, path }) => keyColumns.includes(name) || (path ?? []).some(({ from }) => from === name),
        ) ||
          steps.some((step) => step.to === name && table.names.includes(step.table))),
    );
  const key = (one: BaseColumn): string => `${one.relation}.${one.column.name}`;
  const seen = new Map([[key(column), column]]);
  for (const one of seen.values()) {
    if (names(one)) return true;
    for (const { left, right } of scope.equalities) {
      if (key(left) === key(one)) seen.set(key(right), right);
      if (key(right) === key(one)) seen.set(key(left), left);
    }
  }
  return false;
}

interface Link {
  readonly mine: BaseColumn;
  readonly other: BaseColumn;
}

/** All equalities that speak of the table; an ON of a LEFT JOIN that is not `its column = column` is refused. */
function linksOf(scope: RowScope, base: Base): readonly Link[] {
  const inner = scope.equalities.flatMap((one) => linkOf(base, one));
  const outer = scope.bases.flatMap(({ leftOn, relation }) =>
    (leftOn ?? []).flatMap((on) => {
      const found = equated(on).flatMap((one) => linkOf(base, one));
      if (relation === base.relation && found.length === 0) {
        refuse(
          'consumer-table-link',
          'a LEFT JOIN to a table of yours takes `column = its column` conditions only',
          on.at,
        );
      }
      return found;
    }),
  );
  return [...inner, ...outer];
}

function linkOf({ relation }: Base, { left, right }: Pick<Equality, 'left' | 'right'>): readonly Link[] {
  if (left.relation === relation && right.relation !== relation) return [{ mine: left, other: right }];
  if (right.relation === relation && left.relation !== relation) return [{ mine: right, other: left }];
  return [];
}

function equated(on: Typed): readonly Pick<Equality, 'left' | 'right'>[] {
  if (on.kind !== 'call' || on.name !== '=') return [];
  const [left, right] = on.args;
  if (left?.kind !== 'column' || right?.kind !== 'column' || left.base === null || right.base === null) return [];
  return [{ left: left.base, right: right.base }];
}

/**
 * Types under which a value equals at most one of several distinct ones. A cast on the way to the comparison could make
 * several equal: `'1'`, `'01'` and 1, or 2^53 and 2^53 + 1 as floating-point numbers.
 */
function areSame(mine: SqlType, other: SqlType): boolean {
  if (mine.kind === 'float' || mine.kind === 'double' || mine.kind === 'interval') return false;
  if (mine.kind === 'integer' && other.kind === 'integer')
    return (mine.bits < 128 && other.bits < 128) || (mine.bits === other.bits && mine.isSigned === other.isSigned);
  if (mine.kind === 'decimal' && other.kind === 'decimal')
    return mine.width === other.width && mine.scale === other.scale;
  return mine.kind === other.kind;
}

/** Wherever in the query they stand: a table of the consumer's and private tables that do not allow it do not meet. */
export function checkBroughtAtAll(state: State): void {
  if (state.brought === 0) return;
  const owners = state.context.tables.filter(({ isPublic, physical }) => !isPublic && state.reads.has(physical));
  checkAllowed(
    state,
    owners.map((table) => ({ table })),
    null,
  );
}
