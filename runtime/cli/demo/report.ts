import type { Glovebox } from '../../client/connect.ts';
import type { JobOutcome } from '../../client/jobs.ts';
import { parseVerifierKey } from '../../evidence/note.ts';
import { verifyReceipt } from '../../evidence/receipt.ts';
import type { Job } from '../../gen/messages.ts';
import { type Cell, cellsOf, columnsOf } from '../result-table.ts';
import type { ClinicalFiles } from './clinical-files.ts';
import { type Attack, type Group, MIN_UNITS, type Question } from './questions.ts';

export interface Step {
  readonly name: string;
  readonly ms: number;
}

export interface Answered {
  readonly title: string;
  readonly sql: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  readonly ms: number;
  /** Groups of the truth that did not come out, and as promised must not. */
  readonly groupsWithheld: number;
  /** What the runtime told the consumer of withheld cells; null when they are none or too few to say. */
  readonly cellsWithheld: number | null;
  /** Whether the rows are exactly the groups of enough patients, with the figures worked out from the files. */
  readonly isExact: boolean;
  readonly job: { readonly id: string; readonly guarantee: string; readonly receipt: string } | null;
}

export interface Attacked extends Attack {
  /** Refused, for the reason that was expected. */
  readonly isRefused: boolean;
  readonly message: string;
  readonly remedy: string | null;
  readonly ms: number;
}

export interface ReceiptCheck {
  readonly job: string;
  readonly says: string;
  /** Why the copy with one changed digit was refused; null when it was taken, which breaks the promise. */
  readonly tamperedRefused: string | null;
  readonly isAsPromised: boolean;
}

export interface DemoReport {
  readonly isAsPromised: boolean;
  readonly isolation: string;
  readonly answers: readonly Answered[];
  readonly attacks: readonly Attacked[];
  readonly receipt: ReceiptCheck;
  readonly steps: readonly Step[];
}

/** Asks and compares: every group of enough patients must be there with the true figures, and no other. */
export async function answerTo(consumer: Glovebox, question: Question, files: ClinicalFiles): Promise<Answered> {
  const started = performance.now();
  const outcome = await consumer.jobs.sql(question.sql);
  const ms = performance.now() - started;
  const truth = question.truth(files);
  const expected = truth.filter(({ patients }) => patients >= MIN_UNITS);
  const columns = outcome.kind === 'released' ? columnsOf(outcome.table).map(({ name }) => name) : [];
  const rows =
    outcome.kind === 'released' ? cellsOf(outcome.table).map((row) => columns.map((name) => row[name] ?? null)) : [];
  const cells = outcome.job.withheld?.cells ?? null;
  return {
    title: question.title,
    sql: question.sql,
    columns,
    rows,
    ms,
    groupsWithheld: truth.length - expected.length,
    cellsWithheld: cells === null ? null : Number(cells),
    isExact: outcome.kind === 'released' && areSame(rows, expected),
    job: noteOf(outcome),
  };
}

/** Tries, and looks whether the refusal is the expected one. */
export async function attackOn(consumer: Glovebox, attack: Attack): Promise<Attacked> {
  const started = performance.now();
  const outcome = await consumer.jobs.sql(attack.sql);
  const ms = performance.now() - started;
  const [reason] = outcome.kind === 'refused' ? outcome.reasons : [];
  return {
    ...attack,
    isRefused: outcome.job.state === 'denied' && reason?.code === attack.code,
    message: reason?.message ?? `the job is ${outcome.job.state}`,
    remedy: reason?.remedy ?? null,
    ms,
  };
}

/** Verifies a receipt with nothing but the log's public key, and that a copy with one changed digit is refused. */
export function checkReceipt(job: Answered['job'], verifierKey: string): ReceiptCheck {
  const key = parseVerifierKey(verifierKey);
  if (job === null || key === undefined)
    return { job: job?.id ?? '', says: 'there is no receipt', tamperedRefused: null, isAsPromised: false };
  const verdict = verifyReceipt(job.receipt, key);
  const forged = verifyReceipt(withOneMoreRow(job.receipt), key);
  const isRight =
    verdict.kind === 'verified' &&
    verdict.event.kind === 'release' &&
    verdict.event.subjects.some(({ name }) => name === `job/${job.id}`);
  return {
    job: job.id,
    says:
      verdict.kind === 'verified'
        ? `entry ${verdict.index} of the log of ${verdict.checkpoint.origin}: ${verdict.event.kind} of ${String(verdict.event.facts['rows'])} rows, at least ${String(verdict.event.facts['minUnits'])} units behind each cell, isolation ${String(verdict.event.facts['isolation'])}`
        : verdict.reason,
    tamperedRefused: forged.kind === 'refused' ? forged.reason : null,
    isAsPromised: isRight && forged.kind === 'refused',
  };
}

/** The receipt with another number of rows in the entry that the signed root covers. */
function withOneMoreRow(receipt: string): string {
  return receipt.replace(/^extra (.*)$/m, (_line, entry: string) => {
    const forged = fromBase64(entry).replace(/"rows":(\d+)/, (_, rows: string) => `"rows":${Number(rows) + 1}`);
    return `extra ${toBase64(forged)}`;
  });
}

const fromBase64 = (text: string): string => Buffer.from(text, 'base64').toString('utf8');
const toBase64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64');

const noteOf = ({ job }: JobOutcome): Answered['job'] => (job.receipt === null ? null : receiptNote(job, job.receipt));

function receiptNote(job: Job, receipt: NonNullable<Job['receipt']>): NonNullable<Answered['job']> {
  return { id: job.id, guarantee: job.guarantee, receipt: Buffer.from(receipt.document).toString('utf8') };
}

/** Same rows in any order; numbers may differ by rounding in the last digits only. */
function areSame(rows: readonly (readonly Cell[])[], expected: readonly Group[]): boolean {
  const left = [...expected];
  for (const row of rows) {
    const at = left.findIndex(
      ({ figures }) => figures.length === row.length && figures.every((figure, index) => isSame(figure, row[index])),
    );
    if (at < 0) return false;
    left.splice(at, 1);
  }
  return left.length === 0;
}

function isSame(figure: string | number, cell: Cell | undefined): boolean {
  if (typeof figure === 'string') return figure === cell;
  return typeof cell === 'number' && Math.abs(figure - cell) <= 1e-9 * Math.max(1, Math.abs(figure));
}
