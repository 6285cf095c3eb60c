import type { Table } from 'apache-arrow';
import type { Glovebox } from '../../runtime/client/connect.ts';
import { WrongAnswer } from '../measurement.ts';
import { sortedRows } from '../world/plain-duckdb.ts';

/** One job, from its text to its table at the consumer; anything but a release ends the benchmark. */
export async function ask(glovebox: Glovebox, agreement: string, sql: string): Promise<Table> {
  const outcome = await glovebox.jobs.sql(anew(sql), { agreementIds: [agreement] });
  if (outcome.kind === 'released') return outcome.table;
  throw new WrongAnswer(
    `not released: ${outcome.reasons.map(({ code, message }) => `${message} [${code}]`).join('; ')}`,
  );
}

let asked = 0;
/** Differs from run to run: a runtime that is kept in the cache remembers what was asked of it. */
const RUN = Date.now().toString(36);
/** The query with a name of its own for its first aggregate: the very same question would be answered from the record. */
export function anew(sql: string): string {
  asked += 1;
  return sql.replace(/ as (\w+)/, ` as $1_${RUN}_${asked}`);
}

/** The rows of a table as `sortedRows` writes them. */
export function rowsOf(table: Table): readonly string[] {
  const columns = table.schema.fields.map((_, index) => table.getChildAt(index));
  return sortedRows(
    Array.from({ length: table.numRows }, (_, row) => columns.map((column) => plain(column?.get(row), column?.type))),
  );
}

/** Arrow gives decimals as words; their value is what counts. */
function plain(value: unknown, type: unknown): unknown {
  const { scale } = type as { readonly scale?: number };
  if (scale === undefined || !(value instanceof Uint32Array)) return value;
  return Number(value.toString()) / 10 ** scale;
}

/**
 * Checks that what left is exactly what the floor's data says may leave. A row's last column, the
 * sum of products, may be withheld: in a small group nearly everybody shares a factor, and the product would tell the
 * others. How often that happened is part of the answer.
 */
export function checkRows(what: string, released: readonly string[], expected: readonly string[]): string {
  const known = new Set(expected);
  const odd = released.filter((row) => !known.has(row));
  const withheld = new Set(odd.length === 0 ? [] : expected.map(lastCellWithheld));
  const wrong = odd.find((row) => !withheld.has(row));
  if (wrong !== undefined)
    throw new WrongAnswer(
      `${what}: ${wrong ?? odd[0] ?? ''} is not what the floor answers, e.g. ${expected[0] ?? 'nothing'}`,
    );
  if (released.length !== expected.length)
    throw new WrongAnswer(`${what}: ${released.length} rows left, ${expected.length} were due`);
  const equal = `${released.length - odd.length} rows, each equal to the floor's`;
  return odd.length === 0 ? equal : `${equal}, and ${odd.length} with one cell withheld`;
}

const lastCellWithheld = (row: string): string =>
  JSON.stringify([...(JSON.parse(row) as readonly unknown[]).slice(0, -1), null]);
