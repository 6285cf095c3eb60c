import type { CatalogueTable, UnitColumns } from './catalogue.ts';
import { quoteName } from './print.ts';
import { type Place, refuse } from './refusal.ts';
import { type BaseColumn, distinctColumns, type Typed } from './typed.ts';
import { UNIT_HASH, UNIT_ONE_HOT } from './layout.ts';
import { printTyped } from './print.ts';
import { type Digits, digitsOf } from './types.ts';

/** One base table as it stands in a query. */
export interface Base {
  readonly relation: number;
  readonly table: CatalogueTable;
  /** LEFT JOIN: the condition under which it joins what stands before it; null for an inner relation. */
  readonly leftOn: readonly Typed[] | null;
  /** The condition that tells that a partner was found, where it is one of the scope's predicates. */
  readonly found?: Typed;
  readonly at: Place;
}

/** Rows of private tables (and public ones joined to them), before any release rule. */
export interface RowScope {
  readonly bases: readonly Base[];
  /** `column = column` of two relations. */
  readonly equalities: readonly Equality[];
  /** What WHERE and ON demand beyond the equalities; every one is a filter that leaves rows out. */
  readonly predicates: readonly Typed[];
  /** Conditions in SQL that must hold for anything of this scope to be shown; absent: none. */
  readonly guards?: readonly string[];
}

export interface Equality {
  readonly left: BaseColumn;
  readonly right: BaseColumn;
  readonly expression: Typed;
}

/** A privacy unit of a scope: where its hash is found, and under which domain it is the same thing elsewhere. */
export interface ScopeUnit {
  readonly domain: string;
  readonly hash: string;
  readonly oneHot: string;
  readonly relation: number;
  /** Tells rows of the unit apart, where the base table has such a column. */
  readonly tag?: string;
  /** Which side of a cut a measure is on, by its name; absent: the table has no such columns. */
  readonly sides?: ReadonlyMap<string, string>;
  /** Names of the two columns in the base table. */
  readonly columns: readonly [string, string];
}

export function alias(relation: number): string {
  return `r${relation}`;
}

export function reference(relation: number, column: string): string {
  return `${alias(relation)}.${quoteName(column)}`;
}

/** A column of one relation of FROM, at most as long as `digits`; its type says how long when the policy does not. */
export function baseColumn(base: BaseColumn, at: Place, digits: Digits | null = digitsOf(base.column.type)): Typed {
  const { relation, column } = base;
  return { kind: 'column', sql: reference(relation, column.name), base, type: column.type, digits, at };
}

export function mergeScopes(left: RowScope, right: RowScope): RowScope {
  return {
    bases: [...left.bases, ...right.bases],
    equalities: [...left.equalities, ...right.equalities],
    predicates: [...left.predicates, ...right.predicates],
    guards: [...(left.guards ?? []), ...(right.guards ?? [])],
  };
}

/**
 * `FROM … WHERE equalities [AND extra]`; `instead` stands in for one base table. Where `extra` demands that a partner was
 * found, the LEFT JOIN is printed as the inner join that it is then: the engine orders inner joins far better.
 */
export function printScope(
  scope: RowScope,
  extra: readonly string[] = [],
  joined: string | readonly string[] = '',
  instead: { readonly relation: number; readonly sql: string } | null = null,
): string {
  const demanded = scope.bases.filter(({ found }) => found !== undefined && extra.includes(printTyped(found)));
  const inner = [...scope.bases.filter((base) => base.leftOn === null), ...demanded];
  const left = scope.bases.filter((base) => base.leftOn !== null && !demanded.includes(base));
  const source = (base: Base): string => (base.relation === instead?.relation ? instead.sql : base.table.physical);
  const from = inner.map((base) => `${source(base)} AS ${alias(base.relation)}`).join(' CROSS JOIN ');
  const lefts = left.map((base) => {
    const on = (base.leftOn ?? []).map(printTyped).join(' AND ');
    return ` LEFT JOIN ${base.table.physical} AS ${alias(base.relation)} ON (${on})`;
  });
  // Ahead of the LEFT JOINs where it speaks of none of them, so that nothing is read when it is empty.
  const isAhead = (join: string): boolean => left.every((base) => !join.includes(`${alias(base.relation)}.`));
  const all = typeof joined === 'string' ? [joined] : joined;
  const joins = [...all.filter(isAhead), ...lefts, ...all.filter((join) => !isAhead(join))];
  const met = demanded.map(({ found }) => found && printTyped(found));
  const where = [
    ...scope.equalities.map((one) => printTyped(one.expression)),
    ...demanded.flatMap(({ leftOn }) => (leftOn ?? []).map(printTyped)),
    ...extra.filter((term) => !met.includes(term)),
  ];
  return `FROM ${from}${joins.join('')}${where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`}`;
}

/** Whether an expression speaks of this base table and of nothing else. */
export function isOnly(term: Typed, base: Base): boolean {
  const columns = distinctColumns(term);
  return columns.length > 0 && columns.every((column) => column.relation === base.relation);
}

export function privateBases(scope: RowScope): readonly Base[] {
  return scope.bases.filter((base) => !base.table.isPublic);
}

/** The rules for joins: connected, each private table once, and the join mode of each. */
export function checkJoins(scope: RowScope): void {
  checkOnce(scope.bases);
  checkLinks(scope);
  for (const base of scope.bases.filter(({ table }) => table.isDerived === true)) checkOneRow(scope, base);
}

/** A sub-query over public tables repeats no row: it is joined on the column of which each value has one row. */
function checkOneRow(scope: RowScope, base: Base): void {
  const isKey = (own: BaseColumn, other: BaseColumn): boolean =>
    own.relation === base.relation &&
    own.column.facts !== undefined &&
    other.relation !== base.relation &&
    own.column.type.kind === other.column.type.kind;
  const isOn = (a: BaseColumn, b: BaseColumn): boolean => isKey(a, b) || isKey(b, a);
  const isOnLeft = (base.leftOn ?? []).some((on) => {
    const [a, b] = on.kind === 'call' && on.name === '=' ? on.args : [];
    return a?.kind === 'column' && b?.kind === 'column' && a.base !== null && b.base !== null && isOn(a.base, b.base);
  });
  if (isOnLeft || (base.leftOn === null && scope.equalities.some(({ left, right }) => isOn(left, right)))) return;
  refuse(
    'join-with-released',
    'a sub-query over public tables is joined to private rows on the column by which it is grouped',
    base.at ?? { words: ['join'] },
    'link it by `column = column` with its one group key',
  );
}

export function checkOnce(all: readonly Base[]): void {
  const seen = new Set<string>();
  for (const base of all.filter(({ table }) => !table.isPublic)) {
    if (seen.has(base.table.physical)) {
      refuse(
        'self-join',
        'a private table can stand in a query once',
        base.at,
        'conditional aggregates, a cohort (IN, EXISTS) or values per unit in place of a self-join',
      );
    }
    seen.add(base.table.physical);
  }
}

/** The tables of `scope` are connected; the modes are looked at in `around`, of which it is a part. */
export function checkLinks(scope: RowScope, around: RowScope = scope): void {
  checkConnected(scope);
  const bases = privateBases(around);
  const datasets = new Set(bases.map((base) => base.table.dataset));
  for (const base of bases) {
    const name = base.table.names[0] ?? 'the table';
    const others = bases.filter((other) => other.table.dataset !== base.table.dataset);
    if (base.table.joins === 'forbidden' && others.length > 0) {
      // A query that made it of several tables says so of its own, whatever their policy says.
      const isMade = base.table.physical.startsWith('(');
      const what = isMade ? 'values per unit of several tables' : `\`${name}\``;
      refuse(
        'join-forbidden',
        `${what} cannot be joined with private tables of other datasets`,
        base.at,
        isMade ? 'make them of one table, or join the tables themselves' : null,
      );
    }
    if (base.table.joins === 'required' && datasets.size < 2) {
      refuse('join-required', `\`${name}\` can be used only joined with a private table of another dataset`, base.at);
    }
    if (base.table.joins === 'onlyOnUnit') {
      for (const other of others) {
        if (!sameUnit(around, base, other)) {
          refuse(
            'join-not-on-unit',
            `\`${name}\` can be joined only on its privacy unit`,
            other.at,
            unitRemedy(base, other),
          );
        }
      }
    }
  }
}

function unitRemedy(base: Base, other: Base): string | null {
  const [mine, theirs] = [base.table.units[0]?.keyColumns ?? [], other.table.units[0]?.keyColumns ?? []];
  if (mine.length === 0 || mine.length !== theirs.length) return null;
  return `join on ${mine.map((key, index) => `${base.table.names[0]}.${key} = ${other.table.names[0]}.${theirs[index]}`).join(' and ')}`;
}

function checkConnected(scope: RowScope): void {
  const inner = scope.bases.filter((base) => base.leftOn === null);
  const reached = new Set(inner.slice(0, 1).map((base) => base.relation));
  for (let grew = true; grew;) {
    grew = false;
    for (const { left, right } of scope.equalities) {
      const [a, b] = [reached.has(left.relation), reached.has(right.relation)];
      if (a !== b) {
        reached.add(a ? right.relation : left.relation);
        grew = true;
      }
    }
  }
  const lost = inner.find((base) => !reached.has(base.relation));
  if (lost !== undefined) {
    refuse(
      'join-not-linked',
      `\`${lost.table.names[0]}\` is not linked to the other tables`,
      lost.at,
      'join it with `column = column`',
    );
  }
}

/**
 * Which units are told apart. `each`: those of two datasets are two, and each has a minimum of its own. `joined`: whoever has
 * the same key in both is one, where the join equates the whole keys.
 */
export type Apart = 'each' | 'joined';

/** Whether some unit of two tables of two datasets is the same in every row, because the join equates its keys. */
function sameUnit(scope: RowScope, left: Base, right: Base): boolean {
  const { found, firstOf } = unitClasses(scope, 'joined');
  const of = (base: Base): readonly (number | undefined)[] =>
    found.flatMap((one, i) => (one.base === base ? [firstOf[i]] : []));
  return of(left).some((one) => of(right).includes(one));
}

/**
 * INVARIANT: one key is one value in both. Numbers with a point are left out, as 0.0 and -0.0 are equal and two units, and so
 * are keys of two types.
 */
function isExactKey(left: Base, right: Base, [a, b]: readonly [string, string]): boolean {
  const kindIn = (base: Base, name: string): string | undefined =>
    base.table.columns.find((column) => column.name === name)?.type.kind;
  const kind = kindIn(left, a);
  return kind !== undefined && kind !== 'double' && kind !== 'float' && kind === kindIn(right, b);
}

function equated(scope: RowScope, left: Base, i: number, right: Base, j: number, apart: Apart): boolean {
  const [a, b] = [left.table.units[i], right.table.units[j]];
  if (a === undefined || b === undefined) return false;
  const isOfTwo = a.domain !== b.domain;
  if (isOfTwo && (apart === 'each' || left.table.dataset === right.table.dataset)) return false;
  const classes = equivalence(scope);
  const same = (x: string, y: string): boolean => {
    const [one, two] = [classes.get(`${left.relation}.${x}`), classes.get(`${right.relation}.${y}`)];
    return one !== undefined && one === two;
  };
  if (a.keyColumns.length > 0 && a.keyColumns.length === b.keyColumns.length) {
    const pairs = a.keyColumns.map((key, index) => [key, b.keyColumns[index] ?? ''] as const);
    if (pairs.every((pair) => same(...pair) && (!isOfTwo || isExactKey(left, right, pair)))) return true;
  }
  if (isOfTwo) return false;
  // A table that reaches its unit through the other one, joined along that path, has the other one's unit.
  const reaches = (path: UnitPath, other: Base, isLeft: boolean): boolean => {
    const [step] = path;
    if (step === undefined) return false;
    const isThere = other.table.names.includes(step.table);
    return isThere && (isLeft ? same(step.from, step.to) : same(step.to, step.from));
  };
  return reaches(a.path ?? [], right, true) || reaches(b.path ?? [], left, false);
}

type UnitPath = readonly { readonly from: string; readonly table: string; readonly to: string }[];

function equivalence(scope: RowScope): Map<string, string> {
  const parent = new Map<string, string>();
  const find = (one: string): string => {
    const up = parent.get(one);
    return up === undefined || up === one ? one : find(up);
  };
  for (const { left, right } of scope.equalities) {
    const [a, b] = [`${left.relation}.${left.column.name}`, `${right.relation}.${right.column.name}`];
    if (!parent.has(a)) parent.set(a, a);
    if (!parent.has(b)) parent.set(b, b);
    parent.set(find(a), find(b));
  }
  return new Map([...parent.keys()].map((key) => [key, find(key)]));
}

interface UnitClasses {
  readonly found: readonly { readonly unit: UnitColumns; readonly base: Base }[];
  /** For each of them the first that it is proven equal to. */
  readonly firstOf: readonly number[];
}

function unitClasses(scope: RowScope, apart: Apart): UnitClasses {
  const found = privateBases(scope).flatMap((base) => base.table.units.map((unit, index) => ({ unit, base, index })));
  // One may be proven equal to another only by way of a third: the line of an order, the order, and who ordered.
  const firstOf = found.map((_, i) => i);
  for (const [j, b] of found.entries()) {
    for (const [i, a] of found.slice(0, j).entries()) {
      const [low, high] = [firstOf[i] ?? i, firstOf[j] ?? j].toSorted((x, y) => x - y);
      if (low === high || low === undefined || !equated(scope, a.base, a.index, b.base, b.index, apart)) continue;
      for (const [at, first] of firstOf.entries()) if (first === high) firstOf[at] = low;
    }
  }
  return { found, firstOf };
}

/** The units that every output row must rest on; units that a join proves equal are counted once. */
export function unitsOf(scope: RowScope, apart: Apart = 'each'): ScopeUnit[] {
  const { found, firstOf } = unitClasses(scope, apart);
  // INVARIANT: rows without a unit protect nobody; a private table without one would pass every threshold.
  if (found.length === 0) refuse('no-privacy-unit', 'the table has no privacy unit', null);
  return found
    .filter((_, i) => firstOf[i] === i)
    .map(({ unit, base }) => {
      const index = base.table.units.indexOf(unit);
      const columns = [unit.hash || UNIT_HASH(index), unit.oneHot || UNIT_ONE_HOT(index)] as const;
      const [hash, oneHot] = [reference(base.relation, columns[0]), reference(base.relation, columns[1])];
      const tag = unit.tag === undefined ? {} : { tag: reference(base.relation, unit.tag) };
      // A sub-query in the table's place makes rows of its own.
      const isBase = unit.sides !== undefined && !base.table.physical.startsWith('(');
      const sided = [...(unit.sides ?? [])].map(([name, side]) => [name, reference(base.relation, side)] as const);
      const sides = isBase ? { sides: new Map(sided) } : {};
      return { domain: unit.domain, hash, oneHot, ...tag, ...sides, relation: base.relation, columns };
    });
}
