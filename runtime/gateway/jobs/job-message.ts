import type { Job as JobMessage, ResultColumn } from '../../gen/messages.ts';
import type { Job } from '../../job/job.ts';
import type { ResultNote } from '../../job/needs.ts';
import { microsOf } from '../../metering/money.ts';
import type { CellIntervals, ColumnAccuracy } from '../../job/prepare.ts';
import { ruleOf } from '../../job/withheld-rules.ts';
import type { Reason } from '../../policy/reason.ts';
import type { Schema } from '../../release/columns.ts';
import type { JobRecord } from '../../store/jobs.ts';
import { toldEndMs } from './answer-slots.ts';
import type { Parts } from './live-jobs.ts';
import type { GatewayNeeds } from '../needs.ts';

/** How jobs are told: those that live and those on record. */

function blankMessage(): Omit<JobMessage, 'id' | 'state' | 'consumer' | 'submittedAtMs'> {
  return {
    datasets: [],
    agreementIds: [],
    ruleId: '',
    mode: 'unspecified',
    purpose: '',
    endedAtMs: null,
    reasons: [],
    withheld: null,
    receipt: null,
    meter: null,
    budget: [],
    isolation: 'unspecified',
    guarantee: '',
    ticket: null,
    ticketExpiresAtMs: null,
    columns: [],
    rowCount: null,
    resultBytes: null,
    progress: null,
    computationDigest: '',
    imageDigest: '',
    errors: [],
    disputes: [],
    submittedBy: '',
    resultDigest: '',
    resultSalt: new Uint8Array(),
  };
}

const STAGES = ['identify', 'decide', 'parse', 'reserve', 'run', 'disclose', 'record', 'release'] as const;

/** `parts` are the rounds of a job that has some; else its place among the stages is told. */
export function liveMessage(job: Job, stage: string, parts: Parts | null = null): JobMessage {
  const at = STAGES.findIndex((one) => one === stage);
  const { done, total } = parts ?? { done: at, total: STAGES.length };
  return {
    ...blankMessage(),
    id: job.id,
    state: stage === 'queued' ? 'queued' : 'running',
    consumer: job.asker.party,
    agreementIds: job.agreementIds,
    ruleId: job.rule ?? '',
    purpose: job.purpose ?? '',
    submittedBy: job.actor?.party ?? '',
    submittedAtMs: job.submittedAtMs,
    progress: at < 0 ? null : { stage: STAGES[at] ?? 'identify', done, total },
  };
}

/** What opens the digest of a result in the log: its consumer's alone. */
export function resultOpening(record: JobRecord): Pick<JobMessage, 'resultDigest' | 'resultSalt'> {
  const note = record.body.result as ResultNote | null;
  return note?.salt === undefined
    ? { resultDigest: '', resultSalt: new Uint8Array() }
    : { resultDigest: note.sha256, resultSalt: Buffer.from(note.salt, 'hex') };
}

/** How the store's states are told; a job stopped by somebody else is kept as cancelled with its reason. */
function stateOf(record: JobRecord): JobMessage['state'] {
  switch (record.state) {
    case 'released':
    case 'denied':
    case 'failed':
      return record.state;
    case 'cancelled':
      return record.body.reasons.includes('cancelled') ? 'cancelled' : 'stopped';
    default:
      return 'running';
  }
}

/** A job as its record tells it; `receipt` is the receipt of its last entry, where one is shown. */
export function recordMessage(
  needs: Pick<GatewayNeeds, 'isolation'>,
  record: JobRecord,
  receipt?: string | Uint8Array,
): JobMessage {
  const { body } = record;
  const details = body.details as Readonly<Record<string, string | null | readonly string[]>>;
  const note = body.result as ResultNote | null;
  const position = body.evidence.at(-1);
  const told = details['reasons'];
  const reasons: readonly Reason[] =
    typeof told === 'string'
      ? (JSON.parse(told) as readonly Reason[])
      : body.reasons.map((code) => ({ code, message: code, clause: null, at: null, remedy: null }));
  const endedAtMs = body.endedAtMs === undefined ? null : toldEndMs(record.atMs, body.endedAtMs);
  return {
    ...blankMessage(),
    id: record.id,
    state: stateOf(record),
    consumer: record.owner,
    submittedBy: actorOf(record),
    datasets: details['datasets'] as readonly string[],
    agreementIds: body.agreements,
    ruleId: (details['rule'] as string | null) ?? '',
    mode: (details['mode'] as JobMessage['mode'] | null | undefined) ?? 'unspecified',
    purpose: (details['purpose'] as string | null) ?? '',
    submittedAtMs: record.atMs,
    endedAtMs,
    reasons,
    receipt:
      receipt === undefined || position === undefined
        ? null
        : {
            id: `${record.id}/${position}`,
            logIndex: BigInt(position),
            document: Buffer.from(receipt),
            recordedAtMs: endedAtMs ?? record.atMs,
          },
    isolation: needs.isolation,
    guarantee: note?.guarantee ?? '',
    withheld:
      note === null
        ? null
        : {
            cells: note.withheldCells === null ? null : BigInt(note.withheldCells),
            rows: null,
            reasons: note.withheldReasons.map((code) => ruleOf(code)),
          },
    meter: note?.meter === undefined ? null : meterMessage(note, note.meter, record.atMs, endedAtMs),
    columns: note === null ? [] : columnsOf(JSON.parse(note.schema) as Schema),
    errors: (note?.errors ?? []).map(({ column, halfWidth, confidence, cells }) =>
      errorMessage({
        column,
        halfWidth: Number(halfWidth),
        confidence: Number(confidence),
        ...(cells === undefined ? {} : { cells: JSON.parse(cells) as CellIntervals }),
      }),
    ),
    rowCount: note === null ? null : BigInt(note.rows),
    resultBytes: note === null ? null : BigInt(note.bytes),
    computationDigest: (details['digest'] as string | null | undefined) ?? '',
    imageDigest: (details['image'] as string | null | undefined) ?? '',
    budget: spendsOf(details['datasets'] as readonly string[], Number(details['microEpsilon'] ?? 0)),
  };
}

/** Who submitted a job for its consumer; empty when the consumer did. */
export const actorOf = ({ body }: JobRecord): string =>
  ((body.details as Readonly<Record<string, unknown>> | null)?.['actor'] as string | undefined) ?? '';

function meterMessage(
  { bytes }: ResultNote,
  { rowsScanned, cellsReleased, ciphertextOperations = 0, chargeMinor, currency }: NonNullable<ResultNote['meter']>,
  startedAtMs: number,
  endedAtMs: number | null,
): JobMessage['meter'] {
  return {
    rowsScanned: BigInt(rowsScanned),
    cellsReleased: BigInt(cellsReleased),
    bytesReleased: BigInt(bytes),
    elapsedMs: Math.max(0, (endedAtMs ?? startedAtMs) - startedAtMs),
    ciphertextOperations: BigInt(ciphertextOperations),
    chargeMicros: currency === '' ? null : microsOf(chargeMinor, currency),
    currency,
  };
}

/** JSON has no NaN: what came back as null had no value. */
export function errorMessage({ column, halfWidth, confidence, cells }: ColumnAccuracy): JobMessage['errors'][number] {
  const numbers = (of: readonly (number | null)[] | undefined): readonly number[] =>
    (of ?? []).map((one) => one ?? Number.NaN);
  return {
    column,
    halfWidth,
    confidence,
    low: numbers(cells?.low),
    high: numbers(cells?.high),
    noiseScale: numbers(cells?.noiseScale),
  };
}

/** What one job takes from the privacy budget of its dataset; noisy jobs touch one. */
function spendsOf(datasets: readonly string[], microEpsilon: number): JobMessage['budget'] {
  if (microEpsilon === 0) return [];
  return datasets.map((dataset) => ({
    dataset,
    microEpsilon: BigInt(microEpsilon),
    microEpsilonLeft: null,
    uses: 1n,
    usesLeft: null,
    microEpsilonBefore: null,
    usesBefore: null,
  }));
}

export function columnsOf(schema: Schema): readonly ResultColumn[] {
  return schema.map(({ name, type, nullable }) => ({
    name,
    type: type.kind,
    precision: type.kind === 'decimal128' ? type.precision : 0,
    scale: type.kind === 'decimal128' ? type.scale : 0,
    nullable,
  }));
}
