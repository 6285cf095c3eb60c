/**
 * Cuboids of a large table: how many rows share the values of some of its columns, the sums of its measures over them, the
 * bits of their units, and the XOR of their words. Counts, sums and means whose keys and conditions speak of these columns
 * alone follow from them, with the proof of how many units they rest on and the sketches of the differencing guard, and no
 * row is read (Gray et al., Data Cube, 1997; Harinarayan et al., Implementing Data Cubes Efficiently, 1996).
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import {
  type Cuboid,
  CUBOID,
  CUBOID_ROWS,
  CUBOID_SUM,
  LARGE_ROWS,
  type LayoutTable,
  UNIT_ONE_HOT,
  UNIT_WORDS,
} from '../query/layout.ts';
import type { LearntColumn } from './column-facts.ts';
import { quoteName } from './sql-text.ts';

/** Of so few combinations nothing that is asked of them takes long; each takes some 50 bytes in the layout, and 8 for each measure. */
const MOST_CELLS = 131_072;
/** There are to be many more rows than combinations, or the rows might as well be read. */
const ROWS_PER_CELL = 64;
/** Each takes a pass over the table. */
const MOST_CUBOIDS = 4;
/** To group by more of them takes long, though they have one value each. */
const MOST_COLUMNS = 12;
/** Longer texts would make a cuboid large. */
const MOST_BYTES = 256;

interface Dimension {
  readonly name: string;
  /** Roughly how many values it has. */
  readonly values: number;
}

/**
 * Which columns go together: beginning with one that is in no cuboid yet, as many as fit; then beginning with two that are in
 * none together.
 *
 * @param dimensions in the order in which they are taken.
 */
export function cuboidColumns(dimensions: readonly Dimension[], rows: number): readonly (readonly string[])[] {
  const most = Math.min(MOST_CELLS, rows / ROWS_PER_CELL);
  const found: (readonly string[])[] = [];
  for (const seed of seedsOf(dimensions)) {
    if (found.length === MOST_CUBOIDS) break;
    const names = seed.map(({ name }) => name);
    let cells = seed.reduce((product, { values }) => product * values, 1);
    const isHeld = found.some((held) => names.every((name) => held.includes(name)));
    if (isHeld || cells > most) continue;
    for (const { name, values } of dimensions) {
      if (names.length === MOST_COLUMNS || names.includes(name) || cells * values > most) continue;
      names.push(name);
      cells *= values;
    }
    found.push(names);
  }
  return found;
}

function* seedsOf(dimensions: readonly Dimension[]): Generator<readonly Dimension[]> {
  for (const one of dimensions) yield [one];
  for (const [i, one] of dimensions.entries()) for (const other of dimensions.slice(i + 1)) yield [one, other];
}

/** Makes the cuboids of a table that is laid out in the connected database. */
export async function makeCuboids(
  connection: DuckDBConnection,
  table: LayoutTable,
  { columns, rowCount }: { readonly columns: Readonly<Record<string, LearntColumn>>; readonly rowCount: number },
): Promise<readonly Cuboid[]> {
  // Of fewer, as a row scope leaves them, nothing is sketched by XOR.
  if (table.dimensions === undefined || rowCount < LARGE_ROWS) return [];
  // Those of few values first: more of them fit.
  const known = table.dimensions.flatMap((names) =>
    names.map((name) => ({ name, values: valuesOf(columns[name]) })).toSorted((a, b) => a.values - b.values),
  );
  const dimensions = await withoutLongTexts(connection, table.name, known);
  const types = await typesOf(connection, table.name);
  const measures = (table.measures ?? []).filter((name) => columns[name]?.isComplete === true);
  const made: Cuboid[] = [];
  for (const names of cuboidColumns(dimensions, rowCount)) {
    const name = CUBOID(table.name, made.length);
    const keys = names.map(quoteName).join(', ');
    const of = (call: string, column: string): string => `${call}(${quoteName(column)}) AS ${quoteName(column)}`;
    const held = [
      `count(*) AS ${quoteName(CUBOID_ROWS)}`,
      ...table.units.map((_, i) => of('bit_or', UNIT_ONE_HOT(i))),
      ...table.units.flatMap((_, i) => UNIT_WORDS(i).map((word) => of('bit_xor', word))),
      ...measures.map(
        (column) =>
          `TRY_CAST(sum(${quoteName(column)}) AS ${cuboidSumType(types.get(column) ?? '')}) AS ${quoteName(CUBOID_SUM(column))}`,
      ),
    ];
    await connection.run(
      `CREATE TABLE ${quoteName(name)} AS SELECT ${keys}, ${held.join(', ')} FROM ${quoteName(table.name)} GROUP BY ${keys} ORDER BY ${keys}`,
    );
    const there = ['*', ...measures.map((column) => quoteName(CUBOID_SUM(column)))];
    const counted = await connection.runAndReadAll(
      `SELECT ${there.map((column) => `count(${column})`).join(', ')} FROM ${quoteName(name)}`,
    );
    const [rows = 0, ...whole] = (counted.getRows()[0] ?? []).map(Number);
    made.push({ name, columns: names, sums: measures.filter((_, i) => whole[i] === rows), rowCount: rows });
  }
  return made;
}

/**
 * The type of sums of a column of that type in a cuboid: 64 bits, which are read and added up several times as fast as 128.
 * A measure with a sum that does not fit is not held.
 */
export function cuboidSumType(type: string): string {
  const scale = /^DECIMAL\(\d+,\s*(\d+)\)$/.exec(type)?.[1];
  return scale === undefined ? 'BIGINT' : `DECIMAL(18,${scale})`;
}

/** One more where some rows have none. */
function valuesOf(learnt: LearntColumn | undefined): number {
  return learnt === undefined ? Number.POSITIVE_INFINITY : learnt.distinctValues + (learnt.isComplete ? 0 : 1);
}

/** Only of columns that could be in a cuboid, of which a table has few. */
async function withoutLongTexts(
  connection: DuckDBConnection,
  table: string,
  dimensions: readonly Dimension[],
): Promise<readonly Dimension[]> {
  const few = dimensions.filter(({ values }) => values <= MOST_CELLS);
  const types = await typesOf(connection, table);
  const measured = few.filter(({ name }) => types.get(name) === 'VARCHAR');
  if (measured.length === 0) return few;
  const lengths = measured.map(({ name }) => `max(strlen(${quoteName(name)}))`);
  const longest = await connection.runAndReadAll(`SELECT ${lengths.join(', ')} FROM ${quoteName(table)}`);
  const isLong = measured.filter((_, i) => Number(longest.getRows()[0]?.[i] ?? 0) > MOST_BYTES);
  return few.filter((one) => !isLong.includes(one));
}

async function typesOf(connection: DuckDBConnection, table: string): Promise<ReadonlyMap<string, string>> {
  const described = await connection.runAndReadAll(`DESCRIBE ${quoteName(table)}`);
  return new Map(described.getRows().map(([name, type]) => [String(name), String(type)]));
}
