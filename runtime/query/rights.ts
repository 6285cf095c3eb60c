import type { AggregateFunction, ColumnRight } from '../policy/model.ts';
import { type Place, refuse } from './refusal.ts';
import type { BaseColumn, Typed } from './typed.ts';
import { distinctColumns, partsOf } from './typed.ts';
import { printable } from './parse/literal.ts';
import type { Footprint } from './footprint.ts';

/** A condition that looks into rows of a private table (compile/cohort.ts); what stands inside it passed here already. */
export const COHORT = 'cohort';
/** In a cohort: the columns of the row outside by which it is linked. */
export const ASKED_FOR = 'asked for';

/** Every use of a column passes here: what the policy does not grant is refused, what it grants goes into the footprint. */
export class Rights {
  readonly #uses = new Map<string, { dataset: string; table: string; column: string; uses: Set<string> }>();
  readonly #functions = new Set<string>();

  require(base: BaseColumn, right: ColumnRight, at: Place, purpose: string): void {
    this.#note(base, right);
    if (base.table.brought === true && right === 'extremum') notAdded(base, at);
    if (base.table.isDerived === true && right === 'extremum') notMeasured(base, at);
    if (base.table.isPublic || has(base, right)) return;
    refuse(
      'column-right-missing',
      `\`${shown(base)}\` cannot be used ${purpose}: the policy does not grant \`${right}\``,
      at,
      remedyFor(base, right),
    );
  }

  /**
   * The same where a public column says something about private rows, which no right to the public rows covers: how many
   * of its values occur among them tells of values that one unit alone has.
   */
  granted(base: BaseColumn, right: ColumnRight, at: Place, purpose: string): void {
    this.#note(base, right);
    if (has(base, right)) return;
    refuse(
      'column-right-missing',
      `\`${shown(base)}\` cannot be used ${purpose}: the policy does not grant \`${right}\``,
      at,
      base.table.isPublic ? 'count the groups of a sub-query instead' : remedyFor(base, right),
    );
  }

  /** A group key: every column in it must be allowed as a key. */
  key(expression: Typed): void {
    for (const base of tellingColumns(expression)) this.require(base, 'group', expression.at, 'as a group key');
  }

  /** A condition on rows: one column against constants needs `filter`, several columns in one comparison `compare`. */
  condition(expression: Typed): void {
    if (expression.kind === 'call' && ['and', 'or', 'not'].includes(expression.name)) {
      for (const part of expression.args) this.condition(part);
      return;
    }
    if (expression.kind === 'call' && (expression.name === 'among' || expression.name === 'picked')) {
      for (const part of expression.args) this.condition(part);
      return;
    }
    if (expression.kind === 'call' && expression.name === COHORT) return;
    if (expression.kind === 'call' && expression.name === 'semi join') {
      // What a join with the same public table tells as well.
      for (const base of expression.args.flatMap(distinctColumns))
        this.require(base, has(base, 'join') ? 'join' : 'filter', expression.at, 'to look for a partner');
      return;
    }
    const columns = distinctColumns(expression);
    const values = columns.filter(({ column }) => column.isPresence !== true);
    const right = values.length > 1 ? 'compare' : 'filter';
    for (const base of columns) {
      this.require(base, right, expression.at, right === 'filter' ? 'in a condition' : 'in a comparison of columns');
    }
  }

  /** The two sides of a join condition. */
  join(left: BaseColumn, right: BaseColumn, at: Place): void {
    for (const side of [left, right]) this.require(side, 'join', at, 'to join');
    // What a sub-query computed is compared with, as in a condition.
    if ([left, right].some(({ table, column }) => table.isDerived === true && column.facts === undefined))
      for (const side of [left, right]) this.require(side, 'compare', at, 'in a comparison of columns');
  }

  /**
   * What an aggregate works on: sums and products of measures, each at most to the first power. Everything else could be
   * a filter in disguise (`floor`, `abs`, powers, casts that cut off), so it is not offered here.
   */
  measure(expression: Typed, wanted: AggregateFunction): void {
    this.#degree(expression);
    for (const base of distinctColumns(expression)) {
      this.#note(base, wanted);
      if (base.table.brought === true) notAdded(base, expression.at);
      if (base.table.isDerived === true) notMeasured(base, expression.at);
      const isGranted =
        base.table.isPublic ||
        base.column.grants.some((grant) => grant.rights.includes('aggregate') && grant.functions.includes(wanted));
      if (!isGranted) {
        refuse(
          'aggregate-not-granted',
          `\`${wanted}\` of \`${shown(base)}\` is not granted`,
          expression.at,
          remedyFor(base, 'aggregate', wanted),
        );
      }
    }
  }

  note(name: string): void {
    this.#functions.add(name);
  }

  touch(base: BaseColumn, use: string): void {
    this.#note(base, use);
  }

  footprint(): Footprint {
    const uses = [...this.#uses.values()].toSorted((a, b) =>
      `${a.dataset} ${a.table} ${a.column}` < `${b.dataset} ${b.table} ${b.column}` ? -1 : 1,
    );
    return {
      datasets: [...new Set(uses.map((use) => use.dataset))],
      columns: uses.map((use) => ({ ...use, uses: [...use.uses].toSorted() })),
      functions: [...this.#functions].toSorted(),
    };
  }

  #note(base: BaseColumn, use: string): void {
    const { dataset, names, given, brought } = base.table;
    // A consumer's own values are no dataset.
    if (given !== undefined || brought !== undefined) return;
    // What a sub-query computed was noted with the columns that it is computed of.
    const { of, label } = base.column;
    if (label !== undefined && of === undefined) return;
    const column = of ?? base.column.name;
    const [table = dataset] = names;
    const key = `${dataset} ${table} ${column}`;
    const entry = this.#uses.get(key) ?? { dataset, table, column, uses: new Set<string>() };
    entry.uses.add(use);
    this.#uses.set(key, entry);
  }

  /** How often each measure is multiplied with itself; refuses a second power. */
  #degree(expression: Typed): ReadonlyMap<string, number> {
    if (expression.kind === 'constant') return new Map();
    if (expression.kind === 'column') {
      const base = expression.base;
      return base === null ? new Map() : new Map([[`${base.relation}.${base.column.name}`, 1]]);
    }
    if (expression.kind === 'case') {
      return refuse(
        'measure-not-allowed',
        'a condition inside the aggregated expression',
        expression.at,
        'put CASE directly inside the aggregate: sum(CASE WHEN … THEN … ELSE 0 END)',
      );
    }
    const parts = partsOf(expression).map((part) => this.#degree(part));
    switch (expression.name) {
      case '+':
      case '-':
      case '/':
      case 'cast':
        return combine(parts, Math.max);
      case 'coalesce':
      case 'ifnull':
        if (expression.args.slice(1).every((arg) => arg.kind === 'constant' || isConstantCast(arg)))
          return combine(parts, Math.max);
        break;
      case '*': {
        const product = combine(parts, (a, b) => a + b);
        for (const [column, power] of product) {
          if (power > 1) {
            refuse(
              'measure-not-allowed',
              `\`${shownIn(expression, column)}\` is multiplied with itself`,
              expression.at,
              'use variance or stddev where they are granted',
            );
          }
        }
        return product;
      }
      default:
    }
    return refuse(
      'measure-not-allowed',
      `${wordFor(expression.name)} cannot be used inside an aggregate`,
      expression.at,
      (Object.hasOwn(UNCUT, expression.name) ? UNCUT[expression.name] : undefined) ??
        'aggregate columns, their sums and products',
    );
  }
}

const SPAN =
  'what is cut off picks rows: avg(epoch(b) - epoch(a)) / 3600 for hours between moments, avg(b - a) for days';
const OF_YEARS = "what is cut off picks rows: avg(DATE '2025-01-01' - x) / 365.25 for years since a day";
/** What to write in place of functions that cut off. */
const UNCUT: Readonly<Record<string, string>> = {
  date_diff: SPAN,
  datediff: SPAN,
  date_sub: SPAN,
  datesub: SPAN,
  epoch: SPAN,
  year: OF_YEARS,
  month: OF_YEARS,
  date_part: OF_YEARS,
};

/** How a call is named to who wrote it: some of ours have no name in SQL. */
export function wordFor(name: string): string {
  return name === ASKED_FOR || name === COHORT ? 'a look into another table' : `\`${name}\``;
}

/** The columns whose values an expression tells of: not those that only link a cohort to the row. */
export function tellingColumns(expression: Typed): readonly BaseColumn[] {
  if (expression.kind === 'call' && expression.name === ASKED_FOR) return [];
  if (expression.kind === 'column') return distinctColumns(expression);
  return partsOf(expression).flatMap(tellingColumns);
}

/** A value of its own for each unit would tell them apart in one sum: 1, 10, 100, … */
function notAdded(base: BaseColumn, at: Place): never {
  return refuse(
    'consumer-table-measure',
    `\`${shown(base)}\` of a table of yours cannot be aggregated over private rows`,
    at,
    'use it as a group key or in a condition, and calculate with the released values',
  );
}

function notMeasured(base: BaseColumn, at: Place): never {
  return refuse(
    'measure-not-allowed',
    `\`${shown(base)}\` of a sub-query over public tables cannot be aggregated with private rows`,
    at,
    'use it as a group key or in a condition, and calculate with the released values',
  );
}

function isConstantCast(arg: Typed): boolean {
  return arg.kind === 'call' && arg.name === 'cast' && arg.args[0]?.kind === 'constant';
}

function combine(
  parts: readonly ReadonlyMap<string, number>[],
  how: (a: number, b: number) => number,
): Map<string, number> {
  const result = new Map<string, number>();
  for (const part of parts) for (const [key, power] of part) result.set(key, how(result.get(key) ?? 0, power));
  return result;
}

/** The consumer's own name for a column. */
export function shown(base: BaseColumn): string {
  return printable(base.column.label ?? base.column.name);
}

function shownIn(expression: Typed, key: string): string {
  const found = distinctColumns(expression).find((base) => `${base.relation}.${base.column.name}` === key);
  return found === undefined ? key : shown(found);
}

export function has(base: BaseColumn, right: ColumnRight): boolean {
  return base.column.grants.some((grant) => grant.rights.includes(right));
}

function remedyFor(base: BaseColumn, right: ColumnRight, wanted?: AggregateFunction): string {
  const rights = [...new Set(base.column.grants.flatMap((grant) => grant.rights))];
  const functions = [...new Set(base.column.grants.flatMap((grant) => grant.functions))];
  const others = base.table.columns
    .filter((column) =>
      column.grants.some(
        (grant) => grant.rights.includes(right) && (wanted === undefined || grant.functions.includes(wanted)),
      ),
    )
    .map((column) => column.label ?? column.name);
  const uses = rights.map((one) =>
    one === 'aggregate' && functions.length > 0 ? `${one} (${functions.join(', ')})` : one,
  );
  const mine = `\`${shown(base)}\` may be used for: ${uses.join(', ') || 'nothing'}`;
  const perUnit =
    right === 'group' &&
    base.table.units.length === 1 &&
    base.table.units.some(({ keyColumns }) => keyColumns.includes(base.column.name))
      ? '; a sub-query in FROM may group by it, for what is then aggregated again'
      : '';
  return others.length === 0
    ? `${mine}${perUnit}`
    : `${mine}; \`${wanted ?? right}\` is granted on: ${others.join(', ')}${perUnit}`;
}
