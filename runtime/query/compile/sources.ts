import type { CatalogueTable } from '../catalogue.ts';
import { printable } from '../parse/literal.ts';
import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import { buildCall, NO_CLOCK } from '../resolve/call.ts';
import { alias, type Base, baseColumn, type Equality, mergeScopes, type RowScope } from '../rows.ts';
import type { Source, Syntax } from '../syntax.ts';
import { releasedColumn, type Typed } from '../typed.ts';
import { joinUnitValues } from './left-values.ts';
import { readSeries, readValues } from './lists.ts';
import { joinList } from './lookup-list.ts';
import { checkNoneGiven } from './public-joins.ts';
import { hasPartner, isPickedBy } from './semi-join.ts';
import { unpivot } from './unpivot.ts';
import type { Certificate, Column, Relation, Scope, State } from './state.ts';
import { type Digits, digitsOf } from '../types.ts';

/** A name that FROM gave, and the columns under it. */
export interface Visible {
  readonly names: readonly string[];
  readonly columns: readonly Column[];
}

/** What FROM says, before it is known whether private rows are among it. */
export interface From {
  readonly visible: readonly Visible[];
  readonly scope: RowScope;
  readonly released: readonly ReleasedSource[];
  /** Columns named by USING: the left one stands for both. */
  readonly merged: readonly string[];
}

export interface ReleasedSource {
  readonly from: string;
  /** LEFT JOIN: its condition; null when inner (conditions are then in WHERE). */
  readonly leftOn: readonly Typed[] | null;
  readonly certificates: readonly Certificate[];
}

const EMPTY: RowScope = { bases: [], equalities: [], predicates: [] };

export interface SourceNeeds {
  readonly state: State;
  readonly scope: Scope;
  readonly compile: (query: import('../syntax.ts').Query, scope: Scope) => Relation;
  readonly resolveIn: (from: From, syntax: Syntax, over: 'rows' | 'released') => Typed;
}

export function readFrom(source: Source, needs: SourceNeeds): From {
  switch (source.kind) {
    case 'none':
      return { visible: [], scope: EMPTY, released: [], merged: [] };
    case 'table':
      return readTable(source, needs);
    case 'values':
      return readValues(source, needs);
    case 'derived': {
      const relation = needs.compile(source.query, needs.scope);
      return fromRelation(relation, source.alias, source.columns, needs, source.at);
    }
    case 'series':
      return readSeries(source, needs);
    case 'unpivot':
      return unpivot(readFrom(source.source, needs), source, needs);
    case 'join':
      return readJoin(source, needs);
    default:
      return source satisfies never;
  }
}

function readTable(source: Source & { kind: 'table' }, needs: SourceNeeds): From {
  const common = source.schema === '' ? needs.scope.tables.get(source.name.toLowerCase()) : undefined;
  if (common !== undefined) {
    const relation = needs.compile(common.table.query, common.scope);
    return fromRelation(relation, source.alias || source.name, common.table.columns, needs, source.at);
  }
  const table = findTable(needs.state, source);
  needs.state.reads.add(table.physical);
  if (table.brought === true) needs.state.brought += 1;
  const relation = needs.state.nextRelation++;
  const names = source.alias === '' ? table.names : [source.alias];
  const columns = table.columns.map((column) => ({
    name: column.name,
    role: 'key' as const,
    expression: baseColumn({ relation, table, column }, source.at, boundedDigits(column)),
  }));
  const base: Base = { relation, table, leftOn: null, at: source.at };
  return { visible: [{ names, columns }], scope: { ...EMPTY, bases: [base] }, released: [], merged: [] };
}

function boundedDigits(column: CatalogueTable['columns'][number]): Digits | null {
  const bounds = column.grants.flatMap((grant) => (grant.bounds === null ? [] : [grant.bounds]));
  const own = digitsOf(column.type);
  if (bounds.length === 0 || own === null) return own;
  const largest = Math.max(...bounds.flatMap(({ low, high }) => [Math.abs(low), Math.abs(high)]));
  return { whole: Math.min(own.whole, Math.max(1, Math.ceil(Math.log10(largest + 1)))), scale: own.scale };
}

function findTable(state: State, source: Source & { kind: 'table' }): CatalogueTable {
  // `catalog.schema.table`; `main` says nothing in either place.
  const schemas = [source.catalog, source.schema].filter((part) => part !== '' && part.toLowerCase() !== 'main');
  const wanted = [...schemas, source.name].join('.').toLowerCase();
  const found = state.context.tables.filter(({ names, dataset }) =>
    [...names, `${dataset}.${names[0] ?? ''}`].some((name) => isCalled(name, wanted)),
  );
  const [table] = found;
  if (table === undefined) {
    refuse(
      'table-unknown',
      `there is no table \`${printable(wanted)}\` under this agreement`,
      source.at,
      `tables: ${state.context.tables.map((one) => one.names[0]).join(', ')}`,
    );
  }
  if (found.length > 1) {
    refuse(
      'table-ambiguous',
      `\`${printable(wanted)}\` names several tables`,
      source.at,
      `use ${found.map((one) => one.names.at(-1)).join(' or ')}`,
    );
  }
  return table;
}

/** `"hospital/records".visits` is `hospital.records.visits` too. */
function isCalled(name: string, wanted: string): boolean {
  const known = name.toLowerCase();
  return known === wanted || known.replaceAll('/', '.') === wanted;
}

function fromRelation(
  relation: Relation,
  name: string,
  renamed: readonly string[],
  needs: SourceNeeds,
  at: Place,
): From {
  if (renamed.length > relation.columns.length) refuse('wrong-arguments', 'more column names than columns', at);
  const named = (index: number, own: string): string => renamed[index] ?? own;
  if (relation.kind === 'rows') {
    const columns = relation.columns.map((column, index) => ({ ...column, name: named(index, column.name) }));
    return { visible: [{ names: [name], columns }], scope: relation.scope, released: [], merged: [] };
  }
  const number = needs.state.nextRelation++;
  const columns = relation.columns.map((column, index) => ({
    name: named(index, column.name),
    role: column.role,
    ...(column.noisy === undefined ? {} : { noisy: column.noisy }),
    expression: releasedColumn(`${alias(number)}.o${index}`, column.type, at),
  }));
  const certificates = relation.domains.map((domain, index) => ({ domain, sql: `${alias(number)}.c${index}` }));
  const released = { from: `(${relation.select}) AS ${alias(number)}`, leftOn: null, certificates };
  return { visible: [{ names: [name], columns }], scope: EMPTY, released: [released], merged: [] };
}

function readJoin(source: Source & { kind: 'join' }, needs: SourceNeeds): From {
  const left = readFrom(source.left, needs);
  const before = { noisy: needs.state.noise?.uses ?? 0, brought: needs.state.brought };
  const right = apartFrom(left, readFrom(source.right, needs), needs.state);
  const using = source.isNatural === true ? sharedNames(left, right, source.at) : source.using;
  const both: From = {
    visible: [...left.visible, ...right.visible],
    scope: mergeScopes(left.scope, right.scope),
    released: [...left.released, ...right.released],
    merged: [...left.merged, ...right.merged, ...using.map((name) => name.toLowerCase())],
  };
  const isTest = source.type === 'semi' || source.type === 'anti';
  const hasPrivate = both.scope.bases.some((base) => !base.table.isPublic);
  if (hasPrivate && !isTest && !isListed(right)) checkNoneGiven(both.scope);
  if (hasPrivate && both.scope.predicates.some(isPickedBy))
    refuse(
      'join-with-released',
      'a public table that a table of yours or a noisy answer narrowed cannot be joined to private rows',
      source.at ?? { words: ['join'] },
      'join the table itself, or join the released result',
    );
  const over = hasPrivate ? 'rows' : 'released';
  const conditions = [
    ...using.map((name) =>
      buildCall('=', [lookup(left, [name], source.at), lookup(right, [name], source.at)], over, source.at),
    ),
    ...(source.condition === null ? [] : conjuncts(source.condition).map((one) => needs.resolveIn(both, one, over))),
  ];
  if (isTest) {
    const at = source.at ?? { words: [source.type] };
    if (hasPrivate) checkPicks(needs.state, before, at);
    const found = hasPartner(needs.state, right, conditions, { at, isJoin: true });
    const test = source.type === 'semi' ? found : buildCall('not', [found], over, source.at);
    return { ...left, scope: addConditions(left.scope, [test]) };
  }
  if (hasPrivate && isListed(right)) {
    const isLeft = source.type === 'left';
    const asCase =
      isLeft || source.type === 'inner' ? joinList({ left, right, both }, conditions, { isLeft, at: source.at }) : null;
    if (asCase !== null) return asCase;
    checkNoneGiven(both.scope);
  }
  if (source.type === 'left') {
    return (
      joinUnitValues(needs.state, { left, right, both }, conditions, source.at) ??
      readLeftJoin(left, right, both, conditions, hasPrivate, source.at)
    );
  }
  if (source.type === 'right' || source.type === 'full') {
    if (hasPrivate)
      refuse('outer-join-private', 'an outer join to private rows is not offered', source.at, 'use an inner join');
    return readOuterJoin({ left, right, both, conditions }, { ...source, using });
  }
  return { ...both, scope: addConditions(both.scope, conditions) };
}

/** Whether a source is one list of constants. */
const isListed = ({ scope: { bases } }: From): boolean => bases.length === 1 && bases[0]?.table.listed !== undefined;

/**
 * One noisy answer on both sides: rows of it are told apart by the side that they come from, or the intervals of one row
 * would be shown beside another.
 */
function apartFrom(left: From, right: From, state: State): From {
  if (state.noise === undefined) return right;
  const domains = left.released.flatMap(({ certificates }) => certificates.map(({ domain }) => domain));
  const shared = right.released
    .flatMap(({ certificates }) => certificates.map(({ domain }) => domain))
    .filter((domain) => domains.includes(domain));
  if (shared.length === 0) return right;
  const side = state.nextRelation++;
  const renamed = (domain: string): string => (shared.includes(domain) ? `${domain} #${side}` : domain);
  return {
    ...right,
    visible: right.visible.map((one) => ({
      ...one,
      columns: one.columns.map((column) =>
        column.noisy === undefined
          ? column
          : {
              ...column,
              noisy: Object.fromEntries(Object.entries(column.noisy).map(([domain, cell]) => [renamed(domain), cell])),
            },
      ),
    })),
    released: right.released.map((one) => ({
      ...one,
      certificates: one.certificates.map(({ domain, sql }) => ({ domain: renamed(domain), sql })),
    })),
  };
}

/** NATURAL: the names that both sides have. */
function sharedNames(left: From, right: From, at: Place): readonly string[] {
  const names = (from: From): string[] => from.visible.flatMap(({ columns }) => columns.map(({ name }) => name));
  const theirs = new Set(names(right).map((name) => name.toLowerCase()));
  const shared = [...new Map(names(left).map((name) => [name.toLowerCase(), name]))].filter(([name]) =>
    theirs.has(name),
  );
  if (shared.length === 0)
    refuse('wrong-arguments', 'NATURAL JOIN: the two sides have no column of one name', at, 'write JOIN … ON a = b');
  return shared.map(([, name]) => name);
}

/** What picks private rows can be neither noisy nor of the consumer's own tables. */
export function checkPicks(
  state: State,
  before: { readonly noisy: number; readonly brought: number },
  at: Place,
): void {
  // The exact part runs before there is any noisy answer, and what picks rows of it would have to be counted as theirs.
  if ((state.noise?.uses ?? 0) > before.noisy)
    refuse(
      'differential-shape',
      'a noisy answer cannot pick or value private rows',
      at,
      'ask in two queries: put the first answer into the second one as a constant',
    );
  // It would be a condition that none of the rules for joins with such a table sees.
  if (state.brought > before.brought)
    refuse(
      'consumer-table-misplaced',
      'a table of yours cannot stand in a sub-query about rows',
      at,
      'join it: `JOIN your_table ON column = your_column`',
    );
}

/** LEFT JOIN adds columns and leaves nothing out; to a private table it would count who is missing there. */
function readLeftJoin(
  left: From,
  right: From,
  both: From,
  conditions: readonly Typed[],
  hasPrivate: boolean,
  at: Place,
): From {
  const [base, ...otherBases] = right.scope.bases;
  const [released, ...otherReleased] = right.released;
  const isOne = (base === undefined) !== (released === undefined) && otherBases.length + otherReleased.length === 0;
  const isPlain = right.scope.predicates.length === 0 && base?.leftOn == null && released?.leftOn == null;
  if (!isOne || !isPlain || base?.table.isPublic === false || (hasPrivate && base === undefined)) {
    refuse(
      'outer-join-private',
      'LEFT JOIN is offered to one public table at a time, and to values per unit',
      at,
      'use an inner join, or LEFT JOIN (SELECT unit, count(*) … GROUP BY unit) on the unit',
    );
  }
  if (base !== undefined) {
    return { ...both, scope: { ...both.scope, bases: [...left.scope.bases, { ...base, leftOn: conditions }] } };
  }
  const joined = released === undefined ? [] : [{ ...released, leftOn: conditions }];
  return { ...both, released: [...left.released, ...joined] };
}

/** RIGHT and FULL JOIN of two sources that hold nothing private: printed as one source. */
function readOuterJoin(
  parts: { readonly left: From; readonly right: From; readonly both: From; readonly conditions: readonly Typed[] },
  source: Source & { kind: 'join' },
): From {
  const { left, right, both, conditions } = parts;
  const sides = [left, right].map((side) => {
    const [only, ...others] = asReleased(side);
    const isOne = only !== undefined && others.length === 0 && only.leftOn === null;
    if (!isOne || side.scope.equalities.length + side.scope.predicates.length > 0)
      refuse(
        'outer-join-private',
        'RIGHT and FULL JOIN are offered between two plain sources',
        source.at,
        'use LEFT JOIN',
      );
    return only;
  });
  const from = sides.map((side) => side?.from).join(` ${source.type.toUpperCase()} JOIN `);
  const joined: ReleasedSource = {
    from: `${from} ON (${printConditions(conditions)})`,
    leftOn: null,
    certificates: sides.flatMap((side) => side?.certificates ?? []),
  };
  // A column of USING is the one of whichever side has a row.
  const columns = source.using.map((name) => {
    const args = [lookup(left, [name], source.at), lookup(right, [name], source.at)];
    return { name, role: 'derived' as const, expression: buildCall('coalesce', args, 'released', source.at) };
  });
  const visible = columns.length === 0 ? both.visible : [{ names: [], columns }, ...both.visible];
  return { ...both, visible, scope: EMPTY, released: [joined] };
}

/** The sources of a FROM in which nothing is private: inner ones first, then what LEFT JOIN adds to them. */
export function asReleased(from: From): readonly ReleasedSource[] {
  const bases = from.scope.bases.map((base): ReleasedSource => ({
    from: `${base.table.physical} AS ${alias(base.relation)}`,
    leftOn: base.leftOn,
    certificates: [],
  }));
  const all = [...bases, ...from.released];
  return [...all.filter((one) => one.leftOn === null), ...all.filter((one) => one.leftOn !== null)];
}

/** Sorts conditions into equalities that link two relations, and filters. */
export function addConditions(scope: RowScope, conditions: readonly Typed[]): RowScope {
  const equalities: Equality[] = [];
  const predicates: Typed[] = [];
  for (const condition of conditions.flatMap((one) => factored(scope, one))) {
    const link = asEquality(scope, condition);
    if (link === null) predicates.push(condition);
    else equalities.push(link);
  }
  return mergeScopes(scope, { bases: [], equalities, predicates });
}

/** `(a = b AND x) OR (a = b AND y)` is `a = b AND (x OR y)`: a link that every branch demands is a link of the whole. */
function factored(scope: RowScope, condition: Typed): readonly Typed[] {
  if (condition.kind !== 'call' || condition.name !== 'or') return [condition];
  const branches = condition.args.map(termsOf);
  const [first = []] = branches;
  const links = first.filter((term) => {
    const printed = printTyped(term);
    return (
      asEquality(scope, term) !== null && branches.every((terms) => terms.some((one) => printTyped(one) === printed))
    );
  });
  if (links.length === 0) return [condition];
  const shared = new Set(links.map(printTyped));
  const rests = branches.map((terms) => terms.filter((term) => !shared.has(printTyped(term))));
  if (rests.some((terms) => terms.length === 0)) return links;
  const at = condition.at;
  return [
    ...links,
    buildCall(
      'or',
      rests.map((terms) => buildCall('and', terms, 'rows', at)),
      'rows',
      at,
    ),
  ];
}

function termsOf(condition: Typed): readonly Typed[] {
  return condition.kind === 'call' && condition.name === 'and' ? condition.args.flatMap(termsOf) : [condition];
}

function asEquality(scope: RowScope, condition: Typed): Equality | null {
  if (condition.kind !== 'call' || condition.name !== '=') return null;
  const [left, right] = condition.args;
  if (left?.kind !== 'column' || right?.kind !== 'column' || left.base === null || right.base === null) return null;
  if (left.base.relation === right.base.relation) return null;
  const isLeftJoined = [left.base.relation, right.base.relation].some(
    (relation) => scope.bases.find((base) => base.relation === relation)?.leftOn !== null,
  );
  return isLeftJoined ? null : { left: left.base, right: right.base, expression: condition };
}

/** The parts of an AND; a join condition is found in them. */
export function conjuncts(syntax: Syntax): readonly Syntax[] {
  return syntax.kind === 'call' && syntax.name === 'and' && syntax.filter === null
    ? syntax.args.flatMap(conjuncts)
    : [syntax];
}

/** Finds a column by its name as written: `column`, `table.column` or `schema.table.column`. */
export function lookup(from: From, path: readonly string[], at: Place): Typed {
  return tryLookup(from, path, at)?.expression ?? unknownColumn(from, path, at);
}

export function tryLookup(from: From, path: readonly string[], at: Place): Visible['columns'][number] | null {
  const parts = path.map((part) => part.toLowerCase());
  const [name = ''] = parts.slice(-1);
  const qualifier = parts.slice(0, -1).join('.');
  const holders =
    qualifier === ''
      ? from.visible
      : from.visible.filter((one) => one.names.some((known) => isCalled(known, qualifier)));
  const found = holders.flatMap((one) => one.columns.filter((column) => column.name.toLowerCase() === name));
  const [first] = found;
  if (first === undefined) return null;
  if (found.length > 1 && !(qualifier === '' && from.merged.includes(name))) {
    refuse(
      'column-ambiguous',
      `\`${printable(path.join('.'))}\` names several columns`,
      at,
      'put the table name before it',
    );
  }
  return { ...first, expression: { ...first.expression, at } };
}

export function unknownColumn(from: From, path: readonly string[], at: Place): never {
  // The parser reads these as columns; a question that changes with the clock could not be answered from the record.
  if (path.length === 1 && CLOCKS.includes(path[0]?.toLowerCase() ?? ''))
    refuse('function-not-allowed', `\`${printable(path.join('.'))}\` is not offered`, at, NO_CLOCK);
  const known = from.visible.flatMap((one) => one.columns.map((column) => column.name));
  return refuse(
    'column-unknown',
    `there is no column \`${printable(path.join('.'))}\` here that the policy grants`,
    at,
    `columns: ${[...new Set(known)].slice(0, 40).join(', ')}`,
  );
}

const CLOCKS: readonly string[] = ['current_timestamp', 'current_time', 'localtimestamp', 'localtime'];

export function printConditions(conditions: readonly Typed[]): string {
  return conditions.length === 0 ? 'TRUE' : conditions.map(printTyped).join(' AND ');
}
