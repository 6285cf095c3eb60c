/** How the engine's types, the policy catalogue's types and released column types correspond: one table. */
import { DuckDBTypeId, type DuckDBType } from '@duckdb/node-api';
import type { SqlType } from '../query/types.ts';
import { unreachable, type ColumnType } from '../release/columns.ts';

const INT128: ColumnType = { kind: 'decimal128', precision: 38, scale: 0 };

/** The column type in which values of a query type are released; `null` for types that cannot be released (interval). */
export function columnTypeOf(type: SqlType): ColumnType | null {
  switch (type.kind) {
    case 'boolean':
      return { kind: 'bool' };
    case 'integer': {
      if (type.bits === 128) return INT128;
      if (type.bits === 64) return type.isSigned ? { kind: 'int64' } : INT128;
      if (type.bits === 32) return type.isSigned ? { kind: 'int32' } : { kind: 'int64' };
      return { kind: 'int32' };
    }
    case 'decimal':
      return { kind: 'decimal128', precision: type.width, scale: type.scale };
    case 'double':
    case 'float':
      return { kind: 'float64' };
    case 'text':
      return { kind: 'utf8' };
    case 'date':
      return { kind: 'date32' };
    case 'timestamp':
    case 'timestampWithZone':
      return { kind: 'timestampMicros' };
    case 'interval':
      return null;
    default:
      return unreachable(type);
  }
}

const integer = (bits: 8 | 16 | 32 | 64 | 128, isSigned = true): SqlType => ({ kind: 'integer', bits, isSigned });

/**
 * How a source column is kept: its type of record, and the expression that makes it (`x` stands for the column).
 * `null` for types that cannot be kept, such as nested ones.
 */
export interface StoredForm {
  readonly type: SqlType;
  /** SQL that turns the quoted column into the stored type; must be exact or fail. */
  readonly expression: (column: string) => string;
}

const same = (type: SqlType): StoredForm => ({ type, expression: (column) => column });
const cast = (type: SqlType, engine: string): StoredForm => ({ type, expression: (c) => `CAST(${c} AS ${engine})` });

/** The stored form of a source column's engine type, or `null` when datasets cannot hold it. */
export function storedFormOf(type: DuckDBType): StoredForm | null {
  // An allow-list on purpose: a type that is not named here is refused.
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check
  switch (type.typeId) {
    case DuckDBTypeId.BOOLEAN:
      return same({ kind: 'boolean' });
    case DuckDBTypeId.TINYINT:
      return same(integer(8));
    case DuckDBTypeId.SMALLINT:
      return same(integer(16));
    case DuckDBTypeId.INTEGER:
      return same(integer(32));
    case DuckDBTypeId.BIGINT:
      return same(integer(64));
    case DuckDBTypeId.UTINYINT:
      return same(integer(8, false));
    case DuckDBTypeId.USMALLINT:
      return same(integer(16, false));
    case DuckDBTypeId.UINTEGER:
      return same(integer(32, false));
    case DuckDBTypeId.UBIGINT:
      return same(integer(64, false));
    // Parquet has no 128-bit integer and the engine would write doubles; a decimal is exact or fails.
    case DuckDBTypeId.HUGEINT:
    case DuckDBTypeId.UHUGEINT:
      return cast({ kind: 'decimal', width: 38, scale: 0 }, 'DECIMAL(38,0)');
    case DuckDBTypeId.FLOAT:
      return same({ kind: 'float' });
    case DuckDBTypeId.DOUBLE:
      return same({ kind: 'double' });
    case DuckDBTypeId.DECIMAL:
      return same({ kind: 'decimal', width: type.width, scale: type.scale });
    case DuckDBTypeId.VARCHAR:
      return same({ kind: 'text' });
    case DuckDBTypeId.ENUM:
    case DuckDBTypeId.UUID:
      return cast({ kind: 'text' }, 'VARCHAR');
    case DuckDBTypeId.DATE:
      return same({ kind: 'date' });
    case DuckDBTypeId.TIMESTAMP:
      return same({ kind: 'timestamp' });
    case DuckDBTypeId.TIMESTAMP_S:
    case DuckDBTypeId.TIMESTAMP_MS:
    case DuckDBTypeId.TIMESTAMP_NS:
      return cast({ kind: 'timestamp' }, 'TIMESTAMP');
    case DuckDBTypeId.TIMESTAMP_TZ:
      return same({ kind: 'timestampWithZone' });
    default:
      return null;
  }
}
