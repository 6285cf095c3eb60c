import duckdb from '@duckdb/node-bindings';
import { DuckDBTypeId, type DuckDBConnection, type DuckDBDataChunk } from '@duckdb/node-api';
import { VectorKernel } from '../../sandbox/vector-kernel.ts';
import { foldLayout, type FoldKind, type SqlFold } from '../sql-job.ts';

/** What a printed kernel is: it adds the rows of a buffer to its cells, and hands the cells out. */
type Kernel = (buffer?: ArrayBuffer | null, rows?: number, ...offsets: readonly number[]) => Float64Array | undefined;

/** A kernel and the room that its rows are put into. */
type Adder = Pick<VectorKernel, 'roomFor' | 'add' | 'takeCells'>;

/** Rows that the kernel is given at once: few enough to stay in the processor's cache. */
const ROOM_ROWS = 8192;
/** Rows after which the cells are taken: below this, every cell of a kernel is an exact integer. */
const EXACT_ROWS = 2 ** 20;

/**
 * Runs a kernel over the rows of a statement where they are read, and returns its cells as `i64`, with the number of rows. The
 * kernel's text was printed by the gateway out of a checked, closed program: like a statement, it is nobody else's text. No row
 * and no JavaScript value per row leaves the engine's chunks but into the kernel's own buffer.
 */
export async function foldRows(
  connection: DuckDBConnection,
  select: string,
  fold: SqlFold,
  refuseWhenStopped: () => void,
): Promise<{ readonly rows: number; readonly totals: BigInt64Array }> {
  const result = await connection.stream(select);
  if (result.columnCount !== fold.kinds.length) throw new TypeError('the result has other columns than agreed');
  const isWidened = fold.kinds.map((kind, i) => isWidenedTo(kind, result.columnTypeId(i)));
  const { offsets, bytes } = foldLayout(fold.kinds, ROOM_ROWS);
  const kernel: Adder = VectorKernel.from(fold.module, fold.cells) ?? printedKernel(fold.kernel);
  const room = kernel.roomFor(bytes);
  const columns = fold.kinds.map((kind, i) => viewOf(kind, room, offsets[i] ?? 0));
  const totals = new BigInt64Array(fold.cells);
  let [rows, held, sinceTaken] = [0, 0, 0];
  const take = (): void => {
    const cells = kernel.takeCells();
    if (cells.length !== fold.cells) throw new TypeError('the kernel has other cells than agreed');
    for (let i = 0; i < cells.length; i++) totals[i] = (totals[i] ?? 0n) + BigInt(cells[i] ?? 0);
    sinceTaken = 0;
  };
  const run = (): void => {
    kernel.add(held, offsets);
    rows += held;
    sinceTaken += held;
    held = 0;
    if (sinceTaken + ROOM_ROWS > EXACT_ROWS) take();
  };
  // The next chunk is fetched while this one is added.
  let next = result.fetchChunk();
  for (;;) {
    const chunk = await next;
    refuseWhenStopped();
    if (chunk === null || chunk.rowCount === 0) break;
    next = result.fetchChunk();
    next.catch(() => undefined);
    if (held + chunk.rowCount > ROOM_ROWS) run();
    append(chunk, { kinds: fold.kinds, columns, isWidened }, held);
    held += chunk.rowCount;
  }
  if (held > 0) run();
  take();
  return { rows, totals };
}

/** The printed kernel over a buffer of its own: for what no module was made of. */
function printedKernel(text: string): Adder {
  // oxlint-disable-next-line typescript/no-implied-eval -- the kernel is our own text
  const kernel = new Function(`return ${text}`)() as Kernel;
  let room = new Uint8Array(0);
  return {
    roomFor: (bytes) => (room = new Uint8Array(bytes)),
    add: (rows, offsets) => void kernel(room.buffer, rows, ...offsets),
    takeCells: () => kernel() ?? new Float64Array(0),
  };
}

type Values = Float64Array | Int32Array | Int8Array;

function viewOf(kind: FoldKind, room: Uint8Array<ArrayBuffer>, at: number): Values {
  const { buffer } = room;
  const offset = room.byteOffset + at;
  switch (kind) {
    case 'float64':
      return new Float64Array(buffer, offset, ROOM_ROWS);
    case 'int32':
    case 'dictionary':
      return new Int32Array(buffer, offset, ROOM_ROWS);
    case 'boolean':
      return new Int8Array(buffer, offset, ROOM_ROWS);
  }
}

/** Whether 32-bit integers of the engine travel as doubles, where NaN is missing; throws for a type that was not agreed. */
function isWidenedTo(kind: FoldKind, type: DuckDBTypeId): boolean {
  const stored =
    { float64: DuckDBTypeId.DOUBLE, boolean: DuckDBTypeId.BOOLEAN }[kind as string] ?? DuckDBTypeId.INTEGER;
  if (type === stored) return false;
  if (kind === 'float64' && type === DuckDBTypeId.INTEGER) return true;
  throw new TypeError('a column has another type than agreed');
}

interface Room {
  readonly kinds: readonly FoldKind[];
  readonly columns: readonly Values[];
  readonly isWidened: readonly boolean[];
}

/** Copies a chunk's columns behind the rows that are there; a missing value is in band: NaN or −1. */
function append(chunk: DuckDBDataChunk, { kinds, columns, isWidened }: Room, at: number): void {
  const rows = chunk.rowCount;
  for (const [i, kind] of kinds.entries()) {
    const vector = duckdb.data_chunk_get_vector(chunk.chunk, i);
    const target = columns[i];
    if (target === undefined) throw new TypeError('a column is missing');
    if (isWidened[i] === true) {
      const raw = duckdb.vector_get_data(vector, rows * 4);
      target.set(new Int32Array(raw.buffer, raw.byteOffset, rows), at);
    } else {
      const width = target.BYTES_PER_ELEMENT;
      const raw = duckdb.vector_get_data(vector, rows * width);
      new Uint8Array(target.buffer, target.byteOffset + at * width, rows * width).set(raw);
    }
    // The binding answers null (its type does not say so) when every value is valid.
    const validity = duckdb.vector_get_validity(vector, ((rows + 63) >> 6) * 8) as Uint8Array | null;
    if (validity === null || validity === undefined) continue;
    const missing = kind === 'float64' ? Number.NaN : -1;
    for (let row = 0; row < rows; row++) {
      const byte = validity[row >> 3] ?? 0;
      if (byte === 255) row |= 7;
      else if (((byte >> (row & 7)) & 1) === 0) target[at + row] = missing;
    }
  }
}
