/** Noisy answers as temporary tables of the engine that computes with them: printed values, each with its type. */
import type { Cell } from '../../release/column-values.ts';
import type { DpAggregate } from '../../release/mechanisms/aggregate.ts';
import type { SqlType } from '../catalogue.ts';
import { quoteText } from '../print.ts';
import { BIGINT, DOUBLE, printType } from '../types.ts';
import { aggregateName } from './answer.ts';
import type { NoisyBlock } from './noisy-block.ts';

/** Which row of the noisy answer it is, counted from 0. */
export const ROW_NUMBER = 'rn';

export const noisyTable = (block: number): string => `temp."gb_n${block}"`;

/**
 * The statement that fills the table of a block: its keys k0…, its aggregates a0…, and the number of the row. Without rows
 * it makes the table as the plan of a query needs it.
 */
export function fillNoisyTable(block: NoisyBlock, index: number, rows: readonly (readonly Cell[])[]): string {
  const types = [...block.keys.map(({ type }) => type), ...block.aggregates.map((one) => cellType(one.aggregate))];
  const names = [
    ...block.keys.map((_, i) => `k${i}`),
    ...block.aggregates.map((_, i) => aggregateName(i)),
    ROW_NUMBER,
  ].join(', ');
  const empty = types.map(() => null);
  const values = (rows.length === 0 ? [empty] : rows).map((row, number) => {
    const cells = types.map((type, i) => printCell(row[i] ?? null, type));
    return `(${[...cells, printCell(BigInt(number), BIGINT)].join(', ')})`;
  });
  const where = rows.length === 0 ? ' WHERE false' : '';
  return `CREATE TEMP TABLE "gb_n${index}" AS SELECT * FROM (VALUES ${values.join(', ')}) AS v(${names})${where}`;
}

export function cellType({ kind }: DpAggregate): SqlType {
  return kind === 'count' || kind === 'countDistinct' ? BIGINT : DOUBLE;
}

/** A released cell as a constant that no parser can read as anything else. */
function printCell(cell: Cell, type: SqlType): string {
  const as = (sql: string): string => `CAST(${sql} AS ${printType(type)})`;
  if (cell === null) return as('NULL');
  // All others are read from their text.
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check
  switch (type.kind) {
    case 'date':
      return as(`DATE '1970-01-01' + CAST('${String(Number(cell))}' AS INTEGER)`);
    case 'timestamp':
      return as(`make_timestamp(CAST('${String(BigInt(cell))}' AS BIGINT))`);
    case 'decimal':
      return as(quoteText(decimalText(BigInt(cell), type.scale)));
    case 'text':
      // What a quoted constant cannot hold is a key that nobody can compute with; as a group it is there all the same.
      return as(quoteText(String(cell).replaceAll('\0', '\uFFFD')));
    default:
      return as(quoteText(String(cell)));
  }
}

function decimalText(unscaled: bigint, scale: number): string {
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  const whole = digits.slice(0, digits.length - scale);
  return `${unscaled < 0n ? '-' : ''}${whole}${scale === 0 ? '' : `.${digits.slice(-scale)}`}`;
}
