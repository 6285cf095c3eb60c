import type { RecordBatch } from 'apache-arrow';
import type { Glovebox } from '../client/connect.ts';
import type { Job } from '../gen/messages.ts';
import type { Cell, ResultColumn } from './result-table.ts';
import { reasonLines, tableText, UsageError } from './output.ts';
import { writeWhole } from './write-file.ts';

/** Rows shown to a person; the whole result goes to a file with --out. */
const SHOWN_ROWS = 200;

/** The first rows of a result for a person, each with half of its interval, and what was paid for them. */
export function rowsText(
  released: Job,
  columns: readonly ResultColumn[],
  rows: readonly Readonly<Record<string, Cell>>[],
): string {
  const more =
    rows.length > SHOWN_ROWS ? `\n… and ${rows.length - SHOWN_ROWS} rows more: write them to a file with --out` : '';
  const intervals = intervalsOf(released);
  const cells = rows.slice(0, SHOWN_ROWS).map((row, at) =>
    columns.flatMap(({ name }) => {
      const half = intervals.get(name)?.(at);
      return half === undefined ? [row[name] ?? null] : [row[name] ?? null, half];
    }),
  );
  return `${tableText(
    columns.flatMap(({ name }) => (intervals.has(name) ? [name, '±'] : [name])),
    cells,
  )}${more}\n\n${footOf(released)}`;
}

/** Half of each cell's 95 % interval, for columns that have them. */
function intervalsOf(job: Job): ReadonlyMap<string, (row: number) => number | string> {
  return new Map(
    job.errors
      .filter(({ low }) => low.length > 0)
      .map(({ column, low, high }) => [
        column,
        (row: number) => {
          const half = ((high[row] ?? Number.NaN) - (low[row] ?? Number.NaN)) / 2;
          return Number.isNaN(half) ? '' : Number(half.toPrecision(3));
        },
      ]),
  );
}

/** What a released job guarantees, cost and withheld, one line each. */
export function footOf(job: Job): string {
  const withheld = job.withheld?.cells;
  return [
    `${job.id}: ${job.guarantee}`,
    ...job.errors.map(
      ({ column, halfWidth, confidence }) =>
        `${column}: within ±${Number(halfWidth.toPrecision(3))} of the exact value (${confidence * 100} %)`,
    ),
    ...job.budget
      .filter(({ microEpsilon }) => microEpsilon > 0n)
      .map(({ dataset, microEpsilon }) => `spent epsilon ${Number(microEpsilon) / 1e6} of ${dataset}`),
    `withheld cells: ${withheld === null || withheld === undefined ? 'none, or too few to say' : String(withheld)}`,
    job.receipt === null
      ? ''
      : `receipt: entry ${job.receipt.logIndex} of the evidence log (job show ${job.id} --receipt FILE, then evidence verify FILE)`,
  ]
    .filter((line) => line !== '')
    .join('\n');
}

/** Fetches a result into a file whose ending says its format; answers the number of rows. */
export async function writeResult(glovebox: Glovebox, ticket: Uint8Array, file: string): Promise<number> {
  const batches: RecordBatch[] = [];
  for await (const batch of glovebox.readBatches(ticket)) batches.push(batch);
  const [{ Table, tableToIPC }, { cellsOf, csvText }] = await Promise.all([
    import('apache-arrow'),
    import('./result-table.ts'),
  ]);
  const table = new Table(batches);
  if (file.endsWith('.csv')) writeWhole(file, csvText(table));
  else if (file.endsWith('.json')) writeWhole(file, `${JSON.stringify(cellsOf(table), null, 2)}\n`);
  else if (file.endsWith('.arrow')) writeWhole(file, tableToIPC(table, 'file'));
  else throw new UsageError(`\`${file}\`: the ending says the format: .arrow, .csv or .json`);
  return table.numRows;
}

/** Writes the receipt of a job, when a file is asked for and there is one. */
export function writeReceipt(job: Job, file: string | undefined): void {
  if (file !== undefined && job.receipt !== null) writeWhole(file, job.receipt.document);
}

/** A job for machines: its receipt as text, and no ticket, which works only once. */
export function shown(job: Job): Readonly<Record<string, unknown>> {
  const { ticket: _ticket, ticketExpiresAtMs: _expires, receipt, ...rest } = job;
  return {
    ...rest,
    receipt: receipt === null ? null : { ...receipt, document: Buffer.from(receipt.document).toString('utf8') },
  };
}

/** One job for a person, with its receipt. */
export function describe(job: Job): string {
  return [
    `${job.id} of ${job.consumer}: ${job.state}, ${new Date(job.submittedAtMs).toISOString()}`,
    `datasets: ${job.datasets.join(', ')}; mode ${job.mode}; isolation ${job.isolation}`,
    job.rowCount === null ? '' : `released ${job.rowCount} rows, ${job.resultBytes ?? 0n} bytes`,
    job.reasons.length === 0 ? '' : reasonLines(job.reasons),
    job.guarantee,
    job.receipt === null
      ? ''
      : `receipt (entry ${job.receipt.logIndex}):\n${Buffer.from(job.receipt.document).toString('utf8')}`,
  ]
    .filter((line) => line !== '')
    .join('\n');
}
