/**
 * What is wanted of every group besides its cells: numbers of rows, and XORs and ORs of words of theirs, of which sketches and
 * certificates are made. All of them follow from those of parts of the rows.
 */
export interface Wanted {
  readonly name: string;
  readonly call: 'count' | 'bit_xor' | 'bit_or';
  /** The word; of a number of rows: how many rows of the table each stands for, null: one. */
  readonly value: string | null;
  /** A condition that picks the rows; null: all. */
  readonly rows: string | null;
}

/** As a column over rows. */
export function printWanted({ name, call, value, rows }: Wanted): string {
  if (call === 'count') {
    const filter = rows === null ? '' : ` FILTER (WHERE ${rows})`;
    return `${value === null ? 'count(*)' : `sum(${value})`}${filter} AS ${name}`;
  }
  // Not FILTER: selecting rows for each aggregate costs more than adding nothing.
  return `${call}(${rows === null ? value : `CASE WHEN ${rows} THEN ${value} ELSE ${NOTHING} END`}) AS ${name}`;
}

/** The same out of those of parts of the rows; `test`: picks parts. */
export function printTogether(
  { name, call }: Pick<Wanted, 'name' | 'call'>,
  part: string,
  test: string | null,
): string {
  if (call === 'count')
    return `CAST(coalesce(sum(${test === null ? part : `CASE WHEN ${test} THEN ${part} END`}), 0) AS BIGINT) AS ${name}`;
  return `${call}(${test === null ? part : `CASE WHEN ${test} THEN ${part} ELSE ${NOTHING} END`}) AS ${name}`;
}

const NOTHING = `CAST('0' AS UBIGINT)`;
