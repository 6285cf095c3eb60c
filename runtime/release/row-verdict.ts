/** Reads the certificates of each row and says which cells must not leave. */
import type { Certificate, ReleaseTerms, TableCandidate } from './candidate.ts';
import { cellReader, columnOf, type Cell } from './column-values.ts';
import type { ColumnBatch, Schema } from './columns.ts';
import { isDominated, isDominatedFloat } from './dominance.ts';

/** A row stays with the cells `hidden` (by output index) as null, or is dropped. */
export interface RowVerdict {
  readonly kind: 'keep' | 'drop';
  readonly hidden: ReadonlySet<number>;
  /** Whether a threshold, and not only another rule, was missed. */
  readonly isSmallGroup: boolean;
}

/**
 * One verdict per row of a checked batch.
 *
 * A whole-row failure drops the row, except under `smallGroups: null`, where its keys stay and every cell goes. A failure
 * of single cells hides them and every derived column of the row, because a derived value can be solved for its parts.
 */
export function verdictsOf(candidate: TableCandidate, batch: ColumnBatch, terms: ReleaseTerms): readonly RowVerdict[] {
  const readers = candidate.certificates.map((certificate) => readerOf(certificate, candidate.schema, batch, terms));
  return Array.from({ length: batch.rowCount }, (_, row) => verdictOf(readers, row, terms));
}

interface Reader {
  readonly certificate: Certificate;
  readonly passes: (row: number) => boolean;
}

/** The one verdict of rows that leave as they are. */
export const KEEP: RowVerdict = { kind: 'keep', hidden: new Set(), isSmallGroup: false };

function verdictOf(readers: readonly Reader[], row: number, terms: ReleaseTerms): RowVerdict {
  if (readers.every((reader) => reader.passes(row))) return KEEP;
  const failed = readers.filter((reader) => !reader.passes(row)).map((reader) => reader.certificate);
  const isSmallGroup = failed.some(({ kind }) => kind === 'units' || kind === 'leftOut');
  const notKeys = new Set(terms.outputs.flatMap((output, i) => (output.role === 'key' ? [] : [i])));
  if (failed.some(({ cells }) => cells === null)) {
    // A row whose every column is a key carries its information in being there, so it can only be dropped.
    const staysAsKeys = terms.smallGroups === 'null' && notKeys.size > 0;
    return { kind: staysAsKeys ? 'keep' : 'drop', hidden: notKeys, isSmallGroup };
  }
  const named = new Set(failed.flatMap(({ cells }) => cells ?? []));
  // A key named by a failed certificate cannot be hidden on its own: the row goes.
  const hidesKey = terms.outputs.some((output) => output.role === 'key' && named.has(output.name));
  const hidden = terms.outputs.flatMap((output, i) => (output.role === 'derived' || named.has(output.name) ? [i] : []));
  return { kind: hidesKey ? 'drop' : 'keep', hidden: new Set(hidden), isSmallGroup };
}

function readerOf(certificate: Certificate, schema: Schema, batch: ColumnBatch, terms: ReleaseTerms): Reader {
  const cell = columnReader(schema, batch);
  // Without a threshold no certificate of units can pass: certificates come only with `certified`, which demands one.
  const minUnits = terms.minUnits === null ? null : BigInt(terms.minUnits);
  switch (certificate.kind) {
    case 'units': {
      const read = cell(certificate.column);
      return { certificate, passes: (row) => isAtLeast(read(row), minUnits) };
    }
    case 'leftOut': {
      const read = cell(certificate.column);
      return { certificate, passes: (row) => read(row) === 0n || isAtLeast(read(row), minUnits) };
    }
    case 'suppressed': {
      const read = cell(certificate.column);
      return { certificate, passes: (row) => read(row) === false };
    }
    case 'dominance': {
      const top = cell(certificate.top);
      const total = cell(certificate.total);
      const share = terms.dominance?.share ?? 0;
      return { certificate, passes: (row) => !dominates(top(row), total(row), share) };
    }
    default:
      return { certificate, passes: () => false };
  }
}

function columnReader(schema: Schema, batch: ColumnBatch): (name: string) => (row: number) => Cell {
  return (name) => {
    const index = schema.findIndex((column) => column.name === name);
    const column = schema[index];
    if (column === undefined) return () => null;
    return cellReader(column.type, columnOf(batch, index));
  };
}

function isAtLeast(value: Cell, least: bigint | null): boolean {
  return least !== null && typeof value === 'bigint' && value >= least;
}

function dominates(top: Cell, total: Cell, share: number): boolean {
  if (typeof top === 'bigint' && typeof total === 'bigint') return isDominated({ top, total }, share);
  if (typeof top === 'number' && typeof total === 'number') return isDominatedFloat(top, total, share);
  return true;
}
