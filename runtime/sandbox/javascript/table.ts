import { javascriptLimits } from './limits.ts';
import { statusOf } from './status.ts';
import type { BlockStatus } from './status.ts';
import type { TableColumn } from './worker-job.ts';

export type TableCell = number | boolean | string | null;

/** What approved code returned for one group. */
export interface GroupTable {
  readonly status: BlockStatus;
  readonly rows: readonly (readonly TableCell[])[];
}

/**
 * Reads the table that a hostile worker sent for one group: `u8 status`, and for status ok `u32 rows`, then row by row and
 * column by column `u8 isThere` and the value (f64, i32, u8, or `u32 length` and UTF-8). Numbers become canonical (not
 * finite → missing, −0 → 0). Undefined for anything that is not exactly such a table within its limits.
 */
export function decodeGroupTable(
  bytes: Uint8Array,
  columns: readonly TableColumn[],
  maxRows: number = javascriptLimits.approvedRowsPerGroup,
): GroupTable | undefined {
  const status = statusOf(bytes[0]);
  if (status === undefined || bytes.length > javascriptLimits.approvedGroupBytes) return undefined;
  if (status !== 'ok') return bytes.length === 1 ? { status, rows: [] } : undefined;
  const reader = new TableReader(bytes);
  const count = reader.integer();
  if (count === undefined || count > maxRows) return undefined;
  const rows: TableCell[][] = [];
  for (let r = 0; r < count; r++) {
    const row: TableCell[] = [];
    for (const column of columns) {
      const cell = reader.cell(column);
      if (cell === undefined) return undefined;
      row.push(cell);
    }
    rows.push(row);
  }
  return reader.isAtEnd ? { status, rows } : undefined;
}

class TableReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 1;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** Moves past `size` bytes and returns where they start, or undefined when they are not there. */
  #take(size: number): number | undefined {
    const at = this.#at;
    if (at + size > this.#bytes.length) return undefined;
    this.#at += size;
    return at;
  }

  integer(): number | undefined {
    const at = this.#take(4);
    return at === undefined ? undefined : this.#view.getUint32(at, true);
  }

  cell(column: TableColumn): TableCell | undefined {
    const at = this.#take(1);
    const there = at === undefined ? undefined : this.#bytes[at];
    if (there !== 0 && there !== 1) return undefined;
    const value = this.#value(column);
    return value !== undefined && there === 0 ? null : value;
  }

  #value(column: TableColumn): TableCell | undefined {
    switch (column.kind) {
      case 'float64': {
        const at = this.#take(8);
        if (at === undefined) return undefined;
        const value = this.#view.getFloat64(at, true);
        return Number.isFinite(value) ? value + 0 : null;
      }
      case 'int32': {
        const at = this.#take(4);
        return at === undefined ? undefined : this.#view.getInt32(at, true);
      }
      case 'boolean': {
        const at = this.#take(1);
        const value = at === undefined ? undefined : this.#bytes[at];
        return value === 0 || value === 1 ? value === 1 : undefined;
      }
      case 'text': {
        const length = this.integer();
        if (length === undefined || length > column.maxBytes) return undefined;
        const at = this.#take(length);
        if (at === undefined) return undefined;
        try {
          return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
            this.#bytes.subarray(at, at + length),
          );
        } catch {
          return undefined;
        }
      }
    }
  }
}
