/** What reading a provider's files yields, in order: for each table its head, its batches, its end. */
import type { SqlType } from '../query/types.ts';
import type { Column, ColumnBatch, Schema } from '../release/columns.ts';
import { columnTypeOf } from './column-types.ts';
import type { EngineLimits } from './engine.ts';
import type { StoredColumn } from './metadata.ts';
import type { SourceFile } from './source.ts';

export type IngestEvent =
  | { readonly kind: 'table'; readonly name: string; readonly label: string; readonly columns: readonly StoredColumn[] }
  /** A batch of the table begun last; its buffers are valid until the next event is asked for. */
  | { readonly kind: 'batch'; readonly batch: ColumnBatch }
  | { readonly kind: 'end'; readonly rows: number };

export interface IngestRequest {
  readonly sources: readonly SourceFile[];
  readonly limits: EngineLimits;
}

/** Where a provider's bytes are parsed: in the jail (read-in-worker.ts), or in-process for tests (worker/read-sources.ts). */
export interface SourceReader {
  read(request: IngestRequest): AsyncIterable<IngestEvent>;
}

/** The schema in which batches of stored columns travel. Throws for types that no dataset holds. */
export function transportSchema(columns: readonly StoredColumn[]): Schema {
  return columns.map(({ name, type }): Column => {
    const carried = columnTypeOf(type);
    if (carried === null) throw new TypeError(`column \`${name}\` has a type that no dataset holds`);
    return { name, type: carried, nullable: true };
  });
}

/** Reads a type that a worker named; null unless it is exactly one of the types that a dataset can hold. */
export function parseStoredType(value: unknown): SqlType | null {
  if (typeof value !== 'object' || value === null) return null;
  const { kind, bits, isSigned, width, scale } = value as Record<string, unknown>;
  switch (kind) {
    case 'boolean':
    case 'double':
    case 'float':
    case 'text':
    case 'date':
    case 'timestamp':
    case 'timestampWithZone':
      return { kind };
    case 'integer':
      if ((bits === 8 || bits === 16 || bits === 32 || bits === 64) && typeof isSigned === 'boolean')
        return { kind, bits, isSigned };
      return null;
    case 'decimal': {
      const isWhole =
        typeof width === 'number' && typeof scale === 'number' && Number.isInteger(width) && Number.isInteger(scale);
      return isWhole && width >= 1 && width <= 38 && scale >= 0 && scale <= width ? { kind, width, scale } : null;
    }
    default:
      return null;
  }
}
