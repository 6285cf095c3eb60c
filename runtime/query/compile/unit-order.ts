/**
 * The order of a unit's own rows: `row_number() OVER (PARTITION BY patient ORDER BY day DESC)` in FROM, with the condition
 * `= 1` outside or in QUALIFY, or DISTINCT ON (patient): the latest record of each patient; with lag and lead, the record
 * before it.
 *
 * Argument. The window never looks beyond the rows of one unit, so what it adds to a row follows from that unit's rows, and
 * whoever comes or goes changes no row of anybody else. It is a column like the others from there on: whom a condition on it
 * leaves out is nobody or enough. Its rights are those that the columns share of which it is made, ordered by and
 * partitioned by; see unit-values.ts. What WHERE leaves out ahead of the window changes the order of the units that it
 * touches, so it is checked over all units as for values per unit.
 *
 * Under differential privacy the same holds, and nothing has to be checked: the rows of the table are those that the layout
 * keeps, each of the unit that it was of and at most as many of it, with a column more that follows from the unit's own rows.
 */
import type { ColumnGrant } from '../../policy/model.ts';
import type { CatalogueColumn, CatalogueTable } from '../catalogue.ts';
import { keptRowsOf } from '../differential/fan-out.ts';
import { formsOf, tagIn, UNIT_ROW, UNIT_ROWS } from '../enforce/lanes.ts';
import type { Rest } from '../enforce/block.ts';
import { FIXED_POINT, ROW_RANK } from '../layout.ts';
import { UNIT_TAGS } from '../enforce/buckets.ts';
import { PLACE_COLUMN } from '../enforce/sketches.ts';
import { printTyped, quoteName } from '../print.ts';
import { alias, type Base, baseColumn, printScope, reference, unitsOf } from '../rows.ts';
import { resolve, type Sight } from '../resolve/expression.ts';
import { type Select, type Syntax, type WindowSyntax, wordsOf } from '../syntax.ts';
import { distinctColumns, type Typed } from '../typed.ts';
import { BIGINT, TEXT } from '../types.ts';
import { constantValue } from '../resolve/arithmetic.ts';
import { constant } from '../resolve/align.ts';
import { buildCall } from '../resolve/call.ts';
import { refuse, type Place } from '../refusal.ts';
import { restsOf } from './hidden-conditions.ts';
import { guardsOf } from './per-unit.ts';
import { condition, itemName, rowSight } from './select.ts';
import { conjuncts, type From } from './sources.ts';
import type { Column, Relation, Scope, State } from './state.ts';
import { passed } from './unit-values.ts';
import { direction } from './print-select.ts';

/** Windows whose value is a number that depends on the order alone; ties are broken for row_number. */
const RANKS: ReadonlySet<string> = new Set(['row_number', 'rank', 'dense_rank']);
/** Windows that take a value from another row of the unit. */
const NEIGHBOURS: ReadonlySet<string> = new Set(['lag', 'lead', 'first_value']);

/** Whether a SELECT of rows asks for the order of the rows of a unit. */
export function asksForOrder(select: Select): boolean {
  return (
    select.distinctOn !== undefined ||
    select.qualify !== null ||
    select.items.some(({ expression }) => holdsWindow(expression))
  );
}

function holdsWindow(syntax: Syntax): boolean {
  if (syntax.kind === 'window') return true;
  if (syntax.kind === 'call') return syntax.args.some(holdsWindow);
  if (syntax.kind === 'cast') return holdsWindow(syntax.arg);
  if (syntax.kind !== 'case') return false;
  const parts = [...syntax.whens.flatMap(({ when, value }) => [when, value]), syntax.otherwise];
  return parts.some((part) => part !== null && holdsWindow(part));
}

/** Rows of one table with the order of those of each unit; null when the query is anything else. Throws Refusal. */
export function compileOrdered(
  state: State,
  select: Select,
  {
    scope,
    from,
    resolveRow,
  }: { readonly scope: Scope; readonly from: From; readonly resolveRow: (syntax: Syntax) => Typed },
): Relation | null {
  const [base, ...others] = from.scope.bases;
  const [unit, ...more] = base?.table.units ?? [];
  if (base === undefined || unit === undefined || others.length + more.length > 0) return null;
  if (unit.keyColumns.length === 0 || base.table.physical.startsWith('(')) return null;
  if ([select.having, select.limit, select.offset, select.orderAll].some((part) => part !== null)) return null;
  if (select.distinct && select.distinctOn === undefined) return null;
  if (select.orders.length > 0 && select.distinctOn === undefined) return null;
  const relation = state.nextRelation++;
  // A row of the table adds here what it adds there.
  const columns = base.table.columns.map((column): CatalogueColumn => ({
    ...column,
    valuesOf: { columns: [column.name], by: 'sum' },
  }));
  const windows: string[] = [];
  const rests: Rest[] = [];
  const ordered: { -readonly [Key in keyof CatalogueTable]: CatalogueTable[Key] } = { ...base.table, columns };
  const moved = (expression: Typed): Typed | null => {
    if (expression.kind !== 'column' || expression.base?.relation !== base.relation) return null;
    const { column } = expression.base;
    return { ...expression, sql: reference(relation, column.name), base: { relation, table: ordered, column } };
  };
  const visible = from.visible.map(({ names, columns: all }) => ({
    names,
    columns: all.flatMap((one): Column[] => {
      const expression = moved(one.expression);
      return expression === null ? [] : [{ ...one, expression }];
    }),
  }));
  const outside: From = { ...from, visible, scope: { ...from.scope, bases: [{ ...base, relation, table: ordered }] } };
  const add = (window: WindowSyntax, at: Place): Typed => {
    const { sql, type, value, made, isOfWholeUnit } = printWindow(window, {
      base,
      keyColumns: unit.keyColumns,
      resolveRow,
      at,
      // Keys that are nobody's are one unit together, and only its hash says so.
      unitHash: state.noise === undefined ? null : reference(base.relation, unit.hash),
    });
    for (const column of made.flatMap(distinctColumns)) state.rights.touch(column, 'per unit');
    rests.push(...made.flatMap((one) => restsOf(one, null)));
    const known = windows.indexOf(sql);
    const index = known === -1 ? windows.push(sql) - 1 : known;
    const column: CatalogueColumn = columns[base.table.columns.length + index] ?? {
      name: `${PLACE_COLUMN}${index}`,
      label: `${window.name}(…)`,
      type,
      grants: [grantOf(value, made, unit.keyColumns)],
      ...(window.name === 'row_number' && isOfWholeUnit ? { isPlaceInUnit: true as const } : {}),
    };
    columns[base.table.columns.length + index] = column;
    return baseColumn({ relation, table: ordered, column }, at);
  };
  const plain = rowSight(state, scope, outside, select.items, 'rows');
  const sight: Sight = {
    ...plain,
    window: add,
    column: (path, at) => {
      const item =
        path.length === 1
          ? select.items.find(({ alias: name }) => name.toLowerCase() === path[0]?.toLowerCase())
          : undefined;
      return item !== undefined && holdsWindow(item.expression)
        ? resolve(item.expression, sight)
        : plain.column(path, at);
    },
  };
  const result = select.items.map((item): Column => ({
    name: itemName(item, from),
    expression: resolve(item.expression, sight),
    role: 'derived',
  }));
  const conditions =
    select.qualify === null ? [] : conjuncts(select.qualify).map((one) => condition(resolve(one, sight)));
  if (select.distinctOn !== undefined) conditions.push(firstOf(select, add));
  if (windows.length === 0) return null;
  for (const predicate of from.scope.predicates) state.rights.condition(predicate);
  const keys = base.table.columns
    .filter(({ name }) => unit.keyColumns.includes(name))
    .map((column) => baseColumn({ relation: base.relation, table: base.table, column }, base.at));
  const kept = state.noise === undefined ? undefined : keptRowsOf(base.table, state.noise.keptRows);
  const guards = kept === undefined ? guardsOf(state, from.scope, keys, rests) : [];
  const [{ hash } = { hash: '' }] = unitsOf(from.scope);
  const own = [
    ...columnsIn(base, { isNoisy: kept !== undefined, isCompared: state.sketches !== null }).map((name) =>
      reference(base.relation, name),
    ),
    ...windows.map((sql, index) => `${sql} AS ${quoteName(`${PLACE_COLUMN}${index}`)}`),
  ];
  if (state.sketches !== null) {
    own.push(`CAST(1 AS BIGINT) AS ${quoteName(UNIT_ROWS)}`, `${alias(base.relation)}.rowid AS ${quoteName(UNIT_ROW)}`);
    if (formsOf(base.table, state.sketches.buckets).includes(undefined))
      own.push(`CAST(${tagIn({ unit: { domain: unit.domain, hash }, base })} AS HUGEINT) AS ${quoteName(UNIT_TAGS)}`);
  }
  const rows = from.scope.predicates.map(printTyped).toSorted();
  if (kept !== undefined) {
    // Behind noise a unit's order is that of the rows which count.
    rows.unshift(`${reference(base.relation, ROW_RANK)} < ${kept}`);
    ordered.rowsPerUnit = kept;
  }
  ordered.physical = `(SELECT ${own.join(', ')} ${printScope(from.scope, rows)})`;
  const bases: Base[] = [{ ...base, relation, table: ordered }];
  return { kind: 'rows', scope: { bases, equalities: [], predicates: conditions, guards }, columns: result };
}

/** What may be read of a table: granted columns, those of its units, where answers are compared its tags, and behind noise what bounds it. */
function columnsIn(
  { table }: Base,
  { isNoisy, isCompared }: { readonly isNoisy: boolean; readonly isCompared: boolean },
): readonly string[] {
  const bounded = table.columns.filter(({ grants }) => grants.some(({ bounds }) => bounds !== null));
  return [
    ...table.columns.map(({ name }) => name),
    ...table.units.flatMap(({ hash, oneHot, tag }) => [
      hash,
      oneHot,
      ...(tag === undefined || !isCompared ? [] : [tag]),
    ]),
    ...(isNoisy ? [ROW_RANK, ...bounded.map(({ name }) => FIXED_POINT(name))] : []),
  ];
}

/**
 * As a key it tells of all columns that it is made of. In conditions the columns that it is ordered by are what they are in a
 * condition, and the value is what it is as itself.
 */
function grantOf(value: Typed | null, made: readonly Typed[], unitKeys: readonly string[]): ColumnGrant {
  const asked = made.flatMap(distinctColumns).filter(({ column }) => !unitKeys.includes(column.name));
  const all = passed(asked);
  if (value === null || !all.rights.includes('filter')) return all;
  const own = passed(distinctColumns(value)).rights.filter((right) => right !== 'group');
  return { ...all, rights: [...new Set([...all.rights, ...own])] };
}

/** DISTINCT ON (a) … ORDER BY a, b: the first row by b of each a. */
function firstOf(select: Select, add: (window: WindowSyntax, at: Place) => Typed): Typed {
  const partitions = select.distinctOn ?? [];
  const by = new Set(partitions.map(wordsOf));
  const window: WindowSyntax = {
    name: 'row_number',
    args: [],
    partitions,
    orders: select.orders.filter(({ expression }) => !by.has(wordsOf(expression))),
    frame: null,
    filter: null,
    distinct: false,
    ignoresNulls: false,
    startOffset: null,
    endOffset: null,
    offset: null,
    fallback: null,
  };
  const rank = add(window, partitions[0]?.at ?? null);
  return buildCall('=', [rank, constant({ kind: 'integer', value: 1n }, rank.at)], 'rows', rank.at);
}

interface WindowNeeds {
  readonly base: Base;
  readonly keyColumns: readonly string[];
  readonly resolveRow: (syntax: Syntax) => Typed;
  readonly at: Place;
  /** By which a window over a whole unit is printed; null: by the key columns. */
  readonly unitHash: string | null;
}

function printWindow(
  window: WindowSyntax,
  { base, keyColumns, resolveRow, at, unitHash }: WindowNeeds,
): {
  /** Whether it looks at all rows of the unit, told by the unit's hash. */
  readonly isOfWholeUnit: boolean;
  readonly sql: string;
  readonly type: NonNullable<Typed['type']>;
  readonly value: Typed | null;
  readonly made: readonly Typed[];
} {
  const partitions = window.partitions.map(resolveRow);
  const keySql = new Set(keyColumns.map((name) => reference(base.relation, name)));
  const isOfUnit = [...keySql].every((sql) => partitions.some((one) => printTyped(one) === sql));
  const isPlain =
    window.filter === null &&
    !window.distinct &&
    !window.ignoresNulls &&
    window.startOffset === null &&
    window.endOffset === null;
  const isRank = RANKS.has(window.name);
  if (
    !isOfUnit ||
    !isPlain ||
    window.orders.length === 0 ||
    !(isRank || NEIGHBOURS.has(window.name)) ||
    window.fallback !== null
  )
    return refuse(
      'window-over-rows',
      'a window looks at private rows only within each privacy unit, by its order',
      at,
      `write row_number() OVER (PARTITION BY ${keyColumns.join(', ')} ORDER BY …), or aggregate in a sub-query first`,
    );
  const args = window.args.map(resolveRow);
  const offset = window.offset === null ? null : resolveRow(window.offset);
  const steps = offset === null ? 1 : offset.kind === 'constant' ? constantValue(offset.literal) : null;
  if (args.length !== (isRank ? 0 : 1) || steps === null || !Number.isSafeInteger(steps) || steps < 0 || steps > 1000)
    return refuse('wrong-arguments', `\`${window.name}\` takes other arguments`, at);
  const orders = window.orders.map((one) => ({ ...one, key: resolveRow(one.expression) }));
  const printed = orders.map((one) => `${printTyped(one.key)}${direction(one)}`);
  // Which of several rows of one place comes first must not depend on the order in which they are met.
  const tie = window.name === 'rank' || window.name === 'dense_rank' ? [] : [`${alias(base.relation)}.rowid`];
  const [value] = args;
  const inside = value === undefined ? '' : `${printTyped(value)}${offset === null ? '' : `, ${steps}`}`;
  const isOfWholeUnit = unitHash !== null && partitions.every((one) => keySql.has(printTyped(one)));
  const by = isOfWholeUnit ? unitHash : partitions.map(printTyped).join(', ');
  const over = `PARTITION BY ${by} ORDER BY ${[...printed, ...tie].join(', ')}`;
  return {
    sql: `${window.name}(${inside}) OVER (${over})`,
    type: value === undefined ? BIGINT : (value.type ?? TEXT),
    value: value ?? null,
    isOfWholeUnit,
    made: [...partitions, ...args, ...orders.map(({ key }) => key)],
  };
}
