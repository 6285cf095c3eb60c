import type { ResultColumn } from '../gen/messages.ts';
import type { Column, ColumnType, Schema } from '../release/columns.ts';

/** Columns of a result as the API names them. */
export function resultColumns(schema: Schema): ResultColumn[] {
  return schema.map(({ name, type, nullable }) => ({
    name,
    nullable,
    type: type.kind,
    precision: type.kind === 'decimal128' ? type.precision : 0,
    scale: type.kind === 'decimal128' ? type.scale : 0,
  }));
}

/** The other way round. */
export function schemaOf(columns: readonly ResultColumn[]): Schema {
  return columns.map((column): Column => ({ name: column.name, nullable: column.nullable, type: typeOf(column) }));
}

function typeOf({ type, precision, scale }: ResultColumn): ColumnType {
  if (type === 'decimal128') return { kind: 'decimal128', precision, scale };
  if (type === 'unspecified') throw new RangeError('a result column has no type');
  return { kind: type };
}
