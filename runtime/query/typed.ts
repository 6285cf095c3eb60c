import type { CatalogueColumn, CatalogueTable } from './catalogue.ts';
import type { Digits, SqlType } from './types.ts';
import type { Place } from './refusal.ts';
import type { TypedConstant } from './syntax.ts';

/** A column of a base table as one relation of a query reads it. */
export interface BaseColumn {
  readonly relation: number;
  readonly table: CatalogueTable;
  readonly column: CatalogueColumn;
}

/** An expression whose names are resolved and whose type is known. `type` null: the NULL constant. */
export type Typed =
  | TypedConstant
  | {
      readonly kind: 'column';
      /** Printed reference, e.g. `r0."cost"`. */
      readonly sql: string;
      /** null: a column of something already released. */
      readonly base: BaseColumn | null;
      readonly type: SqlType;
      /** Tighter than the type when the policy bounds the column. */
      readonly digits: Digits | null;
      readonly at: Place;
    }
  | {
      readonly kind: 'call';
      readonly name: string;
      readonly args: readonly Typed[];
      readonly type: SqlType;
      readonly digits: Digits | null;
      readonly sql: string;
      readonly at: Place;
    }
  | {
      readonly kind: 'case';
      readonly whens: readonly { readonly when: Typed; readonly value: Typed }[];
      readonly otherwise: Typed;
      readonly type: SqlType | null;
      readonly sql: string;
      readonly at: Place;
    };

/** A column of what is released already: `sql` is how it is referred to. */
export function releasedColumn(sql: string, type: SqlType, at: Place, digits: Digits | null = null): Typed {
  return { kind: 'column', sql, base: null, type, digits, at };
}

/** The operands directly below an expression. */
export function partsOf(expression: Typed): readonly Typed[] {
  if (expression.kind === 'call') return expression.args;
  if (expression.kind === 'case') {
    return [...expression.whens.flatMap(({ when, value }) => [when, value]), expression.otherwise];
  }
  return [];
}

export function baseColumnsOf(expression: Typed): BaseColumn[] {
  if (expression.kind === 'column') return expression.base === null ? [] : [expression.base];
  return partsOf(expression).flatMap(baseColumnsOf);
}

/** Distinct base columns by relation and name. */
export function distinctColumns(expression: Typed): BaseColumn[] {
  const found = new Map(baseColumnsOf(expression).map((one) => [`${one.relation}.${one.column.name}`, one]));
  return [...found.values()];
}
