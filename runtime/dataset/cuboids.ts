/**
 * Cuboids of a large table: how many rows, and the XOR of the words of which, share the values of some of its columns. The
 * sketch of any cell whose keys and conditions speak of these columns alone follows from them, and the differencing guard
 * has no need to look at the rows (Gray et al., Data Cube, 1997; Harinarayan et al., Implementing Data Cubes Efficiently, 1996).
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import { type Cuboid, CUBOID, CUBOID_ROWS, LARGE_ROWS, type LayoutTable, UNIT_WORDS } from '../query/layout.ts';
import type { LearntColumn } from './column-facts.ts';
import { quoteName } from './sql-text.ts';

/** Of so few combinations nothing that is asked of them takes long; each takes some 40 bytes in the layout. */
const MOST_CELLS = 65_536;
/** There are to be many more rows than combinations, or the rows might as well be read. */
const ROWS_PER_CELL = 64;
/** Each takes a pass over the table. */
const MOST_CUBOIDS = 4;
/** Longer texts would make a cuboid large. */
const MOST_BYTES = 256;

interface Dimension {
  readonly name: string;
  /** Roughly how many values it has. */
  readonly values: number;
}

/**
 * Which columns go together: beginning with one that is in no cuboid yet, as many as fit.
 *
 * @param dimensions in the order in which they are taken.
 */
export function cuboidColumns(dimensions: readonly Dimension[], rows: number): readonly (readonly string[])[] {
  const most = Math.min(MOST_CELLS, rows / ROWS_PER_CELL);
  const found: (readonly string[])[] = [];
  const isIn = (name: string): boolean => found.some((names) => names.includes(name));
  for (const seed of dimensions.filter(({ values }) => values <= most)) {
    if (found.length === MOST_CUBOIDS || isIn(seed.name)) continue;
    const names = [seed.name];
    let cells = seed.values;
    for (const { name, values } of dimensions) {
      if (name === seed.name || cells * values > most) continue;
      names.push(name);
      cells *= values;
    }
    found.push(names);
  }
  return found;
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
  const made: Cuboid[] = [];
  for (const names of cuboidColumns(dimensions, rowCount)) {
    const name = CUBOID(table.name, made.length);
    const keys = names.map(quoteName).join(', ');
    const words = table.units
      .flatMap((_, i) => UNIT_WORDS(i))
      .map((word) => `bit_xor(${quoteName(word)}) AS ${quoteName(word)}`);
    const sums = [`count(*) AS ${quoteName(CUBOID_ROWS)}`, ...words].join(', ');
    await connection.run(
      `CREATE TABLE ${quoteName(name)} AS SELECT ${keys}, ${sums} FROM ${quoteName(table.name)} GROUP BY ${keys} ORDER BY ${keys}`,
    );
    const counted = await connection.runAndReadAll(`SELECT count(*) FROM ${quoteName(name)}`);
    made.push({ name, columns: names, rowCount: Number(counted.getRows()[0]?.[0]) });
  }
  return made;
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
  const described = await connection.runAndReadAll(`DESCRIBE ${quoteName(table)}`);
  const texts = described.getRows().flatMap(([name, type]) => (type === 'VARCHAR' ? [String(name)] : []));
  const measured = few.filter(({ name }) => texts.includes(name));
  if (measured.length === 0) return few;
  const lengths = measured.map(({ name }) => `max(strlen(${quoteName(name)}))`);
  const longest = await connection.runAndReadAll(`SELECT ${lengths.join(', ')} FROM ${quoteName(table)}`);
  const isLong = measured.filter((_, i) => Number(longest.getRows()[0]?.[i] ?? 0) > MOST_BYTES);
  return few.filter((one) => !isLong.includes(one));
}
