import type { Block, BlockKey, Cell } from '../enforce/block.ts';
import { cellName, keyName } from '../enforce/block.ts';
import { hasOverlaps, sketchedBeside, sketchesOf } from '../enforce/sketches.ts';
import { table } from '../enforce/parts.ts';
import { statementsOf, withheld } from '../enforce/statements.ts';
import { printTyped } from '../print.ts';
import { Refusal, refuse } from '../refusal.ts';
import { resolve, type Sight } from '../resolve/expression.ts';
import { checkJoins, unitsOf } from '../rows.ts';
import type { Select, Syntax } from '../syntax.ts';
import { releasedColumn, type Typed } from '../typed.ts';
import { TEXT } from '../types.ts';
import { MAX_ITEMS } from '../text.ts';
import { checkBrought } from './brought-tables.ts';
import { buildCell } from './cell.ts';
import { compileSets, groupingCall, groupingSets } from './grouping-sets.ts';
import { type Known, knownOf } from './known.ts';
import { emitKeys } from './public-keys.ts';
import { countingUnmatched } from './public-joins.ts';
import { groupKeys, refuseUngrouped, viaAlias } from './released.ts';
import { finish } from './print-select.ts';
import { withOutside } from './quantile-outside.ts';
import { releasedWindow } from './released-calls.ts';
import { condition, itemName } from './select.ts';
import type { From } from './sources.ts';
import type { ReleasedRelation, Scope, State } from './state.ts';
import { hasAggregate, isAggregateCall } from './aggregate-calls.ts';
import { isCohort, subqueryOverReleased } from './sub-query.ts';

/**
 * SELECT … GROUP BY over private rows: the one place where rows become values. Everything that the consumer's HAVING,
 * output, ORDER BY and LIMIT see afterwards are keys and cells that passed the release terms.
 */
export function compileAggregate(
  state: State,
  select: Select,
  scope: Scope,
  from: From,
  resolveRow: (syntax: Syntax) => Typed,
): ReleasedRelation {
  checkJoins(from.scope);
  checkBrought(state, from.scope);
  for (const { left, right, expression } of from.scope.equalities) state.rights.join(left, right, expression.at);
  for (const base of from.scope.bases) for (const on of base.leftOn ?? []) checkLeftJoin(state, on);
  for (const predicate of from.scope.predicates) state.rights.condition(predicate);
  const asKeys =
    select.distinct &&
    select.groups.length === 0 &&
    !select.groupAll &&
    !select.items.some((item) => hasAggregate(item.expression));
  const groups = asKeys ? select.items.map((item) => item.expression) : groupKeys(select, select.items);
  const resolved = groups.map(resolveRow);
  const keys = distinctKeys(resolved);
  const sets = groupingSets(select, resolved, keys);
  for (const key of keys) state.rights.key(key.expression);
  const cells: Cell[] = [];
  const alias = `gb${state.nextBlock}_x`;
  const known = knownOf(from.scope.predicates, state.context.tables);
  const sight = aggregateSight({ state, scope, select, keys, cells, alias, resolveRow, known, sets });
  const outputs = select.items.map((item) => {
    const typed = resolve(item.expression, sight);
    return {
      name: itemName(item, from),
      sql: printTyped(typed),
      type: typed.type ?? TEXT,
      ...(typed.kind === 'constant' && typed.type === null ? { isUntyped: true } : {}),
      role: roleOf(typed, alias),
    };
  });
  const having = select.having === null ? [] : [printTyped(condition(resolve(select.having, sight)))];
  for (const order of select.orders) if (order.expression.kind !== 'constant') touchOrder(order.expression, sight);
  for (const on of select.distinctOn ?? []) if (on.kind !== 'constant') touchOrder(on, sight);
  if (select.qualify !== null) resolve(select.qualify, sight);
  if (cells.length + keys.length > MAX_ITEMS) refuse('query-too-large', `more than ${MAX_ITEMS} keys and cells`);
  const units = unitsOf(from.scope);
  const counted = countingUnmatched(from.scope);
  // INVARIANT: whoever a brought table leaves out is counted.
  if (counted.bases.some(({ table: of, leftOn }) => of.brought === true && leftOn === null))
    refuse('consumer-table-link', 'the tables of this join cannot be told apart from a table of yours');
  const whole = { scope: counted, keys, cells, units, terms: state.terms };
  const shown = sets === null ? compileBlock(state, whole) : compileSets(state, sets, whole);
  state.words.push(...inWords(whole));
  if (sets !== null)
    state.words.push(
      'subtotals and the cells below them do not subtract to fewer units: more cells are withheld for it',
    );
  return finish({
    select,
    items: select.items,
    outputs,
    certificates: units.map((unit, u) => ({ domain: unit.domain, sql: `${alias}.c${u}` })),
    sight,
    from: ` FROM (${shown}) AS ${alias}`,
    where: having,
    groups: [],
    having: [],
  });
}

function compileBlock(state: State, whole: Omit<Block, 'name'>): string {
  const block: Block = { ...whole, name: `gb${state.nextBlock++}` };
  const { setup, gate } = statementsOf(block, {
    beside: state.sketches === null || block.cells.length === 0 ? [] : sketchedBeside(block, state.sketches.buckets),
  });
  if (gate !== null) {
    const before = state.setup.length;
    state.gates.push({ ...gate, from: before + gate.from, to: before + gate.to });
  }
  state.setup.push(...setup);
  if (block.cells.length > 0) {
    // Groups that share rows subtract like cells of two aggregations.
    state.shownBlocks += hasOverlaps(block) ? 2 : 1;
    state.sketches?.blocks.push(sketchesOf(block, state.sketches.blocks.length, state.sketches.buckets));
  }
  state.withheld.push(withheld(block));
  return survivors(block);
}

/** The groups that may be shown, in the way that the policy treats small ones. */
function survivors(block: Block): string {
  const columns = [
    ...block.keys.map((_, i) => keyName(i)),
    ...block.cells.map((_, i) => cellName(i)),
    ...block.units.map((_, u) => `c${u}`),
  ].join(', ');
  const shown = `SELECT ${columns} FROM ${table(block, 't')} WHERE ok`;
  switch (block.terms.smallGroups) {
    case 'drop':
      return shown;
    case 'remainder':
      return block.keys.length === 0 ? shown : `${shown} UNION ALL SELECT ${columns} FROM ${table(block, 'r')}`;
    case 'null':
      return emitKeys(block, shown);
    case 'refuse':
      // Refusing whenever one group is small would tell whether a single person is there. The whole answer is kept back
      // only when what is small rests on enough units together; a smaller rest is left out in silence.
      return `${shown} AND (SELECT dropped FROM ${table(block, 'z')}) = 0`;
    default:
      return block.terms.smallGroups satisfies never;
  }
}

export function checkLeftJoin(state: State, on: Typed): void {
  if (on.kind === 'call' && on.name === '=') {
    const [left, right] = on.args;
    if (
      left?.kind === 'column' &&
      right?.kind === 'column' &&
      left.base !== null &&
      right.base !== null &&
      left.base.relation !== right.base.relation
    ) {
      state.rights.join(left.base, right.base, on.at);
      return;
    }
  }
  refuse(
    'outer-join-private',
    'LEFT JOIN takes `column = column` conditions only',
    on.at,
    'move other conditions to WHERE',
  );
}

function distinctKeys(expressions: readonly Typed[]): BlockKey[] {
  const found = new Map(
    expressions.map((expression) => [printTyped(expression), { expression, type: expression.type ?? TEXT }]),
  );
  return [...found.values()];
}

interface SightNeeds {
  readonly state: State;
  readonly scope: Scope;
  readonly select: Select;
  readonly keys: readonly BlockKey[];
  readonly cells: Cell[];
  readonly alias: string;
  readonly resolveRow: (syntax: Syntax) => Typed;
  readonly known: Known;
  readonly sets: readonly (readonly number[])[] | null;
}

/** Sees group keys (however they are spelled), aggregates, and names of the select list. */
function aggregateSight(needs: SightNeeds): Sight {
  const { state, scope, select, keys, cells, alias, resolveRow, known, sets } = needs;
  const pending = new Set<string>();
  const sight: Sight = {
    over: 'released',
    parameters: state.context.parameters,
    intercept: (syntax) => {
      if (syntax.kind === 'subquery' && !keys.some(({ expression }) => isCohort(expression))) return null;
      if (syntax.kind === 'window' || syntax.kind === 'constant' || hasAggregate(syntax)) return null;
      const printed = printedOrNull(resolveRow, syntax);
      const index = keys.findIndex((key) => printTyped(key.expression) === printed);
      return index === -1 ? null : keyColumn(alias, index, keys[index]);
    },
    column: (path, at) => {
      const item = viaAlias(select.items, path, pending, sight);
      if (item !== null) return item;
      resolveRow({ kind: 'column', path, at });
      return refuseUngrouped(path, at);
    },
    special: (syntax) => {
      if (syntax.name === 'grouping')
        return groupingCall(sets, alias, syntax.args, syntax.at, (arg) => {
          const printed = printedOrNull(resolveRow, arg);
          return keys.findIndex((key) => printTyped(key.expression) === printed);
        });
      if (!isAggregateCall(syntax)) return null;
      const calculated = withOutside(syntax, resolveRow);
      if (calculated !== null) return resolve(calculated, sight);
      const cell = buildCell(state.rights, syntax, resolveRow, known);
      const same = (one: Cell): string => `${one.sql} ${JSON.stringify([one.extremum ?? null, one.quantile ?? null])}`;
      const earlier = cells.findIndex((one) => same(one) === same(cell));
      const index = earlier === -1 ? cells.push(cell) - 1 : earlier;
      return releasedColumn(`${alias}.${cellName(index)}`, cell.type, syntax.at);
    },
    window: (window, at) => releasedWindow(window, sight, at),
    subquery: (syntax) => subqueryOverReleased(state, scope, syntax, sight),
  };
  return sight;
}

function keyColumn(alias: string, index: number, key: BlockKey | undefined): Typed {
  return releasedColumn(`${alias}.${keyName(index)}`, key?.type ?? TEXT, key?.expression.at ?? null);
}

/** An output expression need not make sense over rows; then it is no key. */
function printedOrNull(resolveRow: (syntax: Syntax) => Typed, syntax: Syntax): string | null {
  try {
    return printTyped(resolveRow(syntax));
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

/** Registers the aggregates that only ORDER BY names. */
function touchOrder(syntax: Syntax, sight: Sight): void {
  resolve(syntax, sight);
}

function roleOf(typed: Typed, alias: string): 'key' | 'cell' | 'derived' {
  if (typed.kind !== 'column') return 'derived';
  return typed.sql.startsWith(`${alias}.k`) ? 'key' : 'cell';
}

function inWords(block: Omit<Block, 'name'>): string[] {
  const { minUnits, smallGroups, dominance } = block.terms;
  const units = block.units.map((unit) => unit.domain).join(' and of ');
  const words = [`every row of the answer rests on at least ${minUnits} distinct units of ${units}`];
  if (block.scope.bases.some(({ table: of }) => of.brought === true))
    words.push('columns of a table of yours are group keys and conditions, and answers are compared with each other');
  if (block.scope.predicates.length > 0)
    words.push(`what the conditions leave out rests on nobody or on at least ${minUnits} units`);
  if (block.cells.some((cell) => cell.conditions.length > 0))
    words.push('cells with a condition of their own meet the same on both sides of it');
  if (dominance !== null)
    words.push(
      dominance.n === 1
        ? `a cell is withheld when its largest unit holds more than ${dominance.share} of it`
        : `a cell is withheld when its ${dominance.n} largest units hold more than ${dominance.share} of it`,
    );
  const small = {
    drop: 'left out',
    remainder: 'merged into one row',
    null: 'shown without values where their keys are public',
    refuse: 'a reason to give no answer',
  };
  if (block.keys.length > 0) words.push(`smaller groups are ${small[smallGroups]}`);
  return words;
}
