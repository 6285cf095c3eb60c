import type { CatalogueTable } from '../catalogue.ts';
import { printable } from '../parse/literal.ts';
import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import { buildCall, NO_CLOCK } from '../resolve/call.ts';
import { alias, type Base, baseColumn, type Equality, mergeScopes, type RowScope } from '../rows.ts';
import type { Query, Source, Syntax } from '../syntax.ts';
import { releasedColumn, type Typed } from '../typed.ts';
import { refuseBeside } from './beside-rows.ts';
import { readSeries, readValues } from './lists.ts';
import { unpivot } from './unpivot.ts';
import { derivedTable, fromDerived } from './derived-table.ts';
import type { Certificate, Column, Relation, Scope, State } from './state.ts';
import { type Digits, digitsOf } from '../types.ts';
import { readJoin } from './joins.ts';

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

export const EMPTY: RowScope = { bases: [], equalities: [], predicates: [] };

export interface SourceNeeds {
  readonly state: State;
  readonly scope: Scope;
  readonly compile: (query: Query, scope: Scope) => Relation;
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
      return fromQuery(
        source.query,
        needs.scope,
        { name: source.alias, renamed: source.columns, at: source.at },
        needs,
      );
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
    const named = { name: source.alias || source.name, renamed: common.table.columns, at: source.at };
    return fromQuery(common.table.query, common.scope, named, needs);
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

interface Naming {
  readonly name: string;
  readonly renamed: readonly string[];
  readonly at: Place;
}

function fromQuery(query: Query, scope: Scope, naming: Naming, needs: SourceNeeds): From {
  const before = restsOn(needs.state);
  const relation = needs.compile(query, scope);
  const isOfPublic = before === restsOn(needs.state);
  const table = relation.kind === 'released' && isOfPublic ? derivedTable(relation, naming.name) : null;
  return table === null ? fromRelation(relation, naming, needs) : fromDerived(table, naming, needs);
}

/** What grows with everything that is not public: released answers, lists of constants and tables of the consumer. */
function restsOn({ nextBlock, borrowed, brought, listed, noise }: State): string {
  return [nextBlock, borrowed.length, brought, listed, noise?.uses].join();
}

function fromRelation(relation: Relation, { name, renamed, at }: Naming, needs: SourceNeeds): From {
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
      'write `column IN (SELECT your_column FROM your_table)` in WHERE, or join it: `LEFT JOIN your_table ON column = your_column`',
    );
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
  if (first.isBesideRows === true) refuseBeside(printable(path.join('.')), at);
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
