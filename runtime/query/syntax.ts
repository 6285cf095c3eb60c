import type { Place } from './refusal.ts';
import type { SqlType } from './types.ts';

/**
 * The part of SQL that this runtime understands, as read from the parser's tree. Operators, comparisons and functions
 * are all `call`s: one table (functions.ts) says which exist.
 */
export type Syntax =
  | { readonly kind: 'constant'; readonly literal: Literal; readonly at: Place }
  | { readonly kind: 'parameter'; readonly name: string; readonly at: Place }
  | { readonly kind: 'column'; readonly path: readonly string[]; readonly at: Place }
  | {
      readonly kind: 'star';
      readonly relation: string;
      /** EXCLUDE: names of columns that it leaves out; absent: none. */
      readonly exclude?: readonly string[];
      /** REPLACE: what stands in the place of columns; absent: nothing. */
      readonly replace?: readonly { readonly name: string; readonly expression: Syntax }[];
      readonly at: Place;
    }
  | {
      readonly kind: 'call';
      readonly name: string;
      readonly args: readonly Syntax[];
      readonly distinct: boolean;
      readonly filter: Syntax | null;
      /** ORDER BY inside an aggregate, where one is offered with it. */
      readonly orders?: readonly OrderItem[];
      readonly at: Place;
    }
  | {
      readonly kind: 'case';
      readonly whens: readonly CaseWhen[];
      readonly otherwise: Syntax | null;
      readonly at: Place;
    }
  | { readonly kind: 'cast'; readonly arg: Syntax; readonly type: SqlType; readonly isTry: boolean; readonly at: Place }
  | { readonly kind: 'window'; readonly window: WindowSyntax; readonly at: Place }
  | {
      readonly kind: 'subquery';
      readonly test: 'scalar' | 'in' | 'exists' | 'not exists';
      readonly arg: Syntax | null;
      readonly query: Query;
      readonly at: Place;
    };

export interface CaseWhen {
  readonly when: Syntax;
  readonly value: Syntax;
}

/** A constant whose type is known; null: NULL. */
export interface TypedConstant {
  readonly kind: 'constant';
  readonly literal: Literal;
  readonly type: SqlType | null;
  readonly at: Place;
}

export type Literal =
  | { readonly kind: 'null' }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'integer'; readonly value: bigint }
  | { readonly kind: 'decimal'; readonly unscaled: bigint; readonly scale: number }
  | { readonly kind: 'double'; readonly text: string }
  | { readonly kind: 'text'; readonly value: string }
  | { readonly kind: 'date'; readonly text: string }
  | { readonly kind: 'timestamp'; readonly text: string }
  | { readonly kind: 'interval'; readonly months: number; readonly days: number; readonly micros: number };

export interface OrderItem {
  readonly expression: Syntax;
  readonly descending: boolean;
  readonly nulls: 'first' | 'last' | null;
}

export interface WindowSyntax {
  readonly name: string;
  readonly args: readonly Syntax[];
  readonly partitions: readonly Syntax[];
  readonly orders: readonly OrderItem[];
  readonly frame: {
    readonly unit: 'ROWS' | 'RANGE';
    readonly start: string;
    readonly end: string;
    readonly exclude: string;
  } | null;
  readonly filter: Syntax | null;
  readonly distinct: boolean;
  readonly ignoresNulls: boolean;
  readonly startOffset: Syntax | null;
  readonly endOffset: Syntax | null;
  readonly offset: Syntax | null;
  readonly fallback: Syntax | null;
}

export interface SelectItem {
  readonly expression: Syntax;
  readonly alias: string;
  /** What the column is called without an alias, as DuckDB spells it. */
  readonly defaultName: string;
}

export interface CommonTable {
  readonly name: string;
  readonly columns: readonly string[];
  readonly query: Query;
}

export type Query = Select | Union;

interface Modified {
  readonly commonTables: readonly CommonTable[];
  readonly orders: readonly OrderItem[];
  /** ORDER BY ALL. */
  readonly orderAll: OrderItem | null;
  readonly limit: Syntax | null;
  readonly offset: Syntax | null;
  readonly distinct: boolean;
  /** DISTINCT ON: of the rows that are equal in these the first is kept; absent: plain DISTINCT or none. */
  readonly distinctOn?: readonly Syntax[];
}

export interface Select extends Modified {
  readonly kind: 'select';
  readonly items: readonly SelectItem[];
  readonly from: Source;
  readonly where: Syntax | null;
  readonly groups: readonly Syntax[];
  readonly groupSets: readonly (readonly number[])[];
  readonly groupAll: boolean;
  readonly having: Syntax | null;
  readonly qualify: Syntax | null;
}

export interface Union extends Modified {
  readonly kind: 'union';
  readonly operation: 'union' | 'except' | 'intersect';
  readonly isAll: boolean;
  readonly left: Query;
  readonly right: Query;
}

export type Source =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'table';
      readonly name: string;
      readonly schema: string;
      readonly catalog: string;
      readonly alias: string;
      readonly at: Place;
    }
  | {
      readonly kind: 'values';
      readonly rows: readonly (readonly Syntax[])[];
      readonly alias: string;
      readonly at: Place;
    }
  | {
      /** range and generate_series: a list of constants, made from its ends. */
      readonly kind: 'series';
      readonly name: 'range' | 'generate_series';
      readonly args: readonly Syntax[];
      readonly alias: string;
      readonly columns: readonly string[];
      readonly at: Place;
    }
  | {
      /** Columns of one row as rows: `name` says which, `value` what was in it. */
      readonly kind: 'unpivot';
      readonly source: Source;
      readonly name: string;
      readonly value: string;
      readonly entries: readonly { readonly column: string; readonly label: string }[];
      readonly keepsNulls: boolean;
      readonly alias: string;
      readonly at: Place;
    }
  | {
      readonly kind: 'derived';
      readonly query: Query;
      readonly alias: string;
      readonly columns: readonly string[];
      readonly at: Place;
    }
  | {
      readonly kind: 'join';
      readonly type: 'inner' | 'left' | 'right' | 'full' | 'cross' | 'semi' | 'anti';
      /** NATURAL: joined on the columns that both sides have; absent: as `using` and `condition` say. */
      readonly isNatural?: true;
      readonly left: Source;
      readonly right: Source;
      readonly condition: Syntax | null;
      readonly using: readonly string[];
      readonly at: Place;
    };

/** How syntax is written, wherever it stands: equal for what is spelled alike. */
export function wordsOf(syntax: Syntax | Query): string {
  return JSON.stringify(syntax, (key, value: unknown) =>
    key === 'at' ? undefined : typeof value === 'bigint' ? `${value}n` : value,
  );
}

/** Where an output of a query is written; null where that is not known. */
export function placeOfItem(query: Query, index: number): Place {
  return query.kind === 'union' ? placeOfItem(query.left, index) : (query.items[index]?.expression.at ?? null);
}

/** A query without any clause but what it is spread into: select list, FROM, WHERE and keys. */
export const BARE = {
  kind: 'select',
  commonTables: [],
  orders: [],
  orderAll: null,
  limit: null,
  offset: null,
  distinct: false,
  groupSets: [],
  groupAll: false,
  having: null,
  qualify: null,
} as const;
