import type { EvidenceEvent } from '../evidence/entry.ts';
import type { Json } from '../evidence/canonical-json.ts';
import { commit, settleUnfinished, type ReservationState, type SettleAnswer } from '../ledger/reservation.ts';
import type { EvidenceRows } from './evidence-rows.ts';
import { StoreFault } from './fault.ts';
import { hasEvent, UNFINISHED } from './jobs.ts';
import type {
  Blocked,
  DenyInput,
  DenyOutcome,
  FailInput,
  FailOutcome,
  JobBody,
  JobRecord,
  JobState,
  NewJob,
  RedeemInput,
  RedeemOutcome,
  ReleaseInput,
  ReleaseOutcome,
  ReserveInput,
  ReserveOutcome,
  Step,
  TransactOutcome,
} from './jobs.ts';
import { linesFromJson, linesToJson, type LedgerRows, type StoredReservation } from './ledger-rows.ts';
import type { StoredRecord } from './records.ts';
import type { Rows } from './rows.ts';

/** What an operation works on, inside one transaction. `step` names the places at which a crash is tried in tests. */
export interface Tables {
  readonly rows: Rows;
  readonly ledger: LedgerRows;
  readonly log: EvidenceRows;
  readonly nowMs: number;
  readonly step: (name: string) => void;
}

/** A job id that another party uses: what it is must not show through the id. */
const TAKEN: Blocked = { code: 'wrong-state', state: 'taken' };

/** Answers get their receipts only after the commit's checkpoint is signed. */
type WithoutReceipts<Outcome> = Outcome extends { readonly receipts: readonly string[] }
  ? Omit<Outcome, 'receipts'>
  : Outcome;

/** Records a new job and holds its budget, or says which budget cannot bear it. */
export function reserveJob(tables: Tables, input: ReserveInput): ReserveOutcome {
  const { rows, ledger, nowMs, step } = tables;
  const { job, lines, startsNow } = input;
  if (input.events.length === 0) throw new StoreFault('state-misuse', `job '${job.id}' reserves without evidence`);
  const known = rows.get<JobBody>('job', job.id);
  if (known !== undefined) return known.owner === job.party ? { kind: 'known', job: known } : refused(TAKEN);
  const blocked = blockedBy(tables, job.party, job);
  if (blocked !== undefined) return { kind: 'refused', reason: blocked };
  const { unlessAnswered } = input;
  if (unlessAnswered !== undefined && rows.stateOf('question', unlessAnswered) !== undefined)
    return { kind: 'answered' };
  const answer = ledger.reserve(lines, nowMs);
  if (answer.kind === 'exhausted') return answer;
  step('reserve:held');
  const evidence = recordAll(tables, input.events);
  step('reserve:recorded');
  const state: ReservationState = startsNow ? 'touched' : 'held';
  rows.insert({ table: 'reservation', id: job.id, owner: job.party, state, atMs: nowMs, body: linesToJson(lines) });
  putJob(tables, job, { state: startsNow ? 'running' : 'reserved', atMs: nowMs, evidence });
  step('reserve:job');
  return { kind: 'reserved', job: job.id, evidence };
}

/** Marks a job as running: from here on data may have been touched. */
export function startJob(tables: Tables, jobId: string): { kind: 'started' } | { kind: 'refused'; reason: Blocked } {
  const job = jobOf(tables, jobId);
  if (job === undefined) return refused({ code: 'unknown-job' });
  if (job.state !== 'reserved') return refused({ code: 'wrong-state', state: job.state });
  const blocked = blockedBy(tables, job.owner, job.body);
  if (blocked !== undefined) return refused(blocked);
  const reservation = tables.rows.get('reservation', jobId);
  if (reservation === undefined) throw missing('reservation', jobId);
  tables.rows.put({ ...reservation, state: 'touched' });
  tables.rows.put({ ...job, state: 'running' });
  return { kind: 'started' };
}

/**
 * Spends the reservation, meters, records the release and issues the ticket: one transaction, or nothing leaves.
 * Whether the agreement is still active and no switch is thrown is looked at here, in the same transaction.
 */
export function releaseJob(tables: Tables, input: ReleaseInput): WithoutReceipts<ReleaseOutcome> {
  const { rows, step, nowMs } = tables;
  // INVARIANT: no ticket without evidence of the release.
  if (!hasEvent(input.events, 'release'))
    throw new StoreFault('state-misuse', `job '${input.jobId}' releases without evidence`);
  const job = jobOf(tables, input.jobId);
  if (job === undefined) return refused({ code: 'unknown-job' });
  if (job.state === 'released') return { kind: 'released', already: true, evidence: job.body.evidence, job };
  if (job.state !== 'running') return refused({ code: 'wrong-state', state: job.state });
  const blocked = blockedBy(tables, job.owner, job.body);
  if (blocked !== undefined) return refused(blocked);
  const holds = (input.expects ?? []).every(({ table, id, state }) => (rows.get(table, id)?.state ?? null) === state);
  if (!holds) return refused({ code: 'changed' });
  const reservation = reservationOf(tables, job.id);
  settleOrFault(tables, reservation, commit(reservation, new Map(input.used ?? [])));
  step('release:committed');
  const evidence = recordAll(tables, input.events);
  step('release:recorded');
  const common = { owner: job.owner, atMs: nowMs };
  if (input.usage !== undefined)
    rows.put({ ...common, table: 'usage', id: job.id, state: 'committed', body: input.usage });
  for (const record of input.records ?? []) rows.put(record);
  step('release:metered');
  if (input.ticket !== undefined) {
    const { digest, expiresAtMs, fetched } = input.ticket;
    if (rows.get('ticket', digest) !== undefined)
      throw new StoreFault('state-misuse', 'a ticket was used for two jobs');
    const state = fetched === undefined ? 'issued' : 'redeemed';
    rows.insert({ ...common, table: 'ticket', id: digest, state, body: { job: job.id, expiresAtMs } });
    recordAll(tables, fetched ?? []);
  }
  step('release:ticket');
  const ended = endJob(tables, job, { state: 'released', evidence, reasons: [], result: input.result ?? null });
  step('release:job');
  return { kind: 'released', already: false, evidence, job: ended };
}

/** Records that a job was refused; nothing was reserved for it. */
export function denyJob(tables: Tables, input: DenyInput): WithoutReceipts<DenyOutcome> {
  const { job } = input;
  if (!hasEvent(input.events, input.state === undefined ? 'decision' : `job.${input.state}`))
    throw new StoreFault('state-misuse', `job '${job.id}' is denied without evidence`);
  const known = jobOf(tables, job.id);
  if (known !== undefined && known.owner !== job.party)
    throw new StoreFault('state-misuse', `job id '${job.id}' is taken`);
  if (known !== undefined) return { kind: 'known', job: known };
  const evidence = recordAll(tables, input.events);
  for (const record of input.records ?? []) tables.rows.put(record);
  const denied = putJob(tables, job, {
    state: input.state ?? 'denied',
    atMs: tables.nowMs,
    evidence,
    reasons: input.reasons,
    endedAtMs: tables.nowMs,
  });
  return { kind: 'denied', evidence, job: denied };
}

/** Ends a job that will not release; its reservation stays spent when data was touched, else it goes back. */
export function failJob(tables: Tables, input: FailInput): WithoutReceipts<FailOutcome> {
  const job = jobOf(tables, input.jobId);
  if (job === undefined) return refused({ code: 'unknown-job' });
  if (!UNFINISHED.includes(job.state as JobState)) return refused({ code: 'wrong-state', state: job.state });
  const reservation = reservationOf(tables, job.id);
  const state = settleOrFault(tables, reservation, settleUnfinished(reservation));
  tables.step('fail:settled');
  const evidence = recordAll(tables, input.events);
  const { details } = job.body;
  const told = input.told === undefined ? details : { ...(details as Record<string, Json>), reasons: input.told };
  const asTold = { ...job, body: { ...job.body, details: told } };
  const ended = endJob(tables, asTold, { state: input.state, evidence, reasons: [input.reason], result: null });
  return { kind: 'ended', reservation: state, evidence, job: ended };
}

/** Uses a ticket, once, by the party it was made for, while nothing has stopped the job's release. */
export function redeemTicket(tables: Tables, input: RedeemInput): RedeemOutcome {
  const ticket = tables.rows.get<{ job: string; expiresAtMs: number }>('ticket', input.digest);
  if (ticket === undefined || ticket.owner !== input.party) return { kind: 'refused', reason: 'unknown' };
  if (ticket.state !== 'issued') return { kind: 'refused', reason: 'used' };
  if (tables.nowMs >= ticket.body.expiresAtMs) return { kind: 'refused', reason: 'expired' };
  const job = jobOf(tables, ticket.body.job);
  if (job === undefined || job.state !== 'released') throw missing('job', ticket.body.job);
  if (blockedBy(tables, job.owner, job.body) !== undefined) return { kind: 'refused', reason: 'stopped' };
  tables.rows.put({ ...ticket, state: 'redeemed' });
  // Not among the job's own entries: its receipt stays that of the release, however often it is fetched.
  recordAll(tables, input.events ?? []);
  return { kind: 'redeemed', job: job.id, result: job.body.result };
}

/** Runs steps over records; the first expectation that fails undoes the whole (the caller rolls back on a refusal). */
export function transact(tables: Tables, steps: readonly Step[]): WithoutReceipts<TransactOutcome> {
  const evidence: number[] = [];
  for (const [index, one] of steps.entries()) {
    switch (one.do) {
      case 'put':
        tables.rows.put(one.record);
        break;
      case 'remove':
        tables.rows.delete(one.table, one.id);
        break;
      case 'expect': {
        const found = tables.rows.get(one.table, one.id)?.state ?? null;
        if (found !== one.state) return { kind: 'refused', step: index, found };
        break;
      }
      case 'record':
        evidence.push(tables.log.append(one.event));
        break;
      case 'topUp': {
        const known = tables.rows.get('topUp', one.id);
        if (known !== undefined) return { kind: 'refused', step: index, found: known.state };
        tables.ledger.topUp(one.budget, one.amount);
        const body = { ...one.body, amount: String(one.amount) };
        const [owner, state, atMs] = [one.budget, 'applied', tables.nowMs];
        tables.rows.put({ table: 'topUp', id: one.id, owner, state, atMs, body });
        break;
      }
    }
    tables.step(`transact:${one.do}`);
  }
  return { kind: 'done', evidence };
}

/** After a crash: every unfinished job becomes failed, and its budget is spent when data may have been touched. */
export function endInterruptedJobs(
  tables: Tables,
  eventOf: (job: JobRecord, reservation: 'committed' | 'returned') => EvidenceEvent,
): number {
  let ended = 0;
  for (const state of UNFINISHED) {
    for (;;) {
      const page = tables.rows.list('job', { state, limit: 500 });
      if (page.length === 0) break;
      for (const job of page as JobRecord[]) {
        const reservation = reservationOf(tables, job.id);
        const settled = settleOrFault(tables, reservation, settleUnfinished(reservation));
        const evidence = recordAll(tables, [eventOf(job, settled)]);
        endJob(tables, job, { state: 'failed', evidence, reasons: ['interrupted'], result: null });
        ended += 1;
      }
    }
  }
  return ended;
}

/** What stops this job now, if anything does. */
function blockedBy(
  tables: Tables,
  party: string,
  job: {
    readonly agreements: readonly string[];
    readonly scopes: readonly string[];
    readonly notAfterMs: number | null;
  },
): Blocked | undefined {
  const { rows, nowMs } = tables;
  const agreements = job.agreements.map((id) => `agreement/${id}`);
  // Switches are almost never on: one look instead of one per scope.
  const scopes = rows.some('switch', 'on') ? ['all', `party/${party}`, ...agreements, ...job.scopes] : [];
  for (const scope of scopes) {
    if (rows.stateOf('switch', scope) === 'on') return { code: 'stopped', scope };
  }
  if (rows.stateOf('party', party) !== 'admitted') return { code: 'party-not-admitted', party };
  // Whoever acts for the party, and by which mandate.
  for (const scope of job.scopes) {
    const [kind, id] = [scope.slice(0, scope.indexOf('/')), scope.slice(scope.indexOf('/') + 1)];
    if (kind === 'party' && rows.stateOf('party', id) !== 'admitted') return { code: 'party-not-admitted', party: id };
    if (kind === 'mandate' && rows.stateOf('delegation', id) !== 'active') return { code: 'stopped', scope };
  }
  if (job.agreements.length === 0) return { code: 'agreement-not-active', agreement: '', state: 'none' };
  for (const agreement of job.agreements) {
    const state = rows.stateOf('agreement', agreement) ?? 'none';
    if (state !== 'active') return { code: 'agreement-not-active', agreement, state };
  }
  if (rows.some('dispute', 'open')) {
    for (const agreement of job.agreements) {
      const open = rows.list<{ readonly holdsJobs?: boolean }>('dispute', { owner: agreement, state: 'open' });
      const holding = open.find(({ body }) => body.holdsJobs === true);
      if (holding !== undefined) return { code: 'stopped', scope: `dispute/${holding.id}` };
    }
  }
  return job.notAfterMs !== null && nowMs >= job.notAfterMs ? { code: 'agreement-ended' } : undefined;
}

function putJob(
  tables: Tables,
  job: NewJob,
  now: {
    readonly state: JobState;
    readonly atMs: number;
    readonly evidence: readonly number[];
    readonly reasons?: readonly string[];
    readonly endedAtMs?: number;
  },
): JobRecord {
  const { agreements, scopes, notAfterMs, details } = job;
  const { evidence, reasons = [], endedAtMs } = now;
  const end = endedAtMs === undefined ? {} : { endedAtMs };
  const body: JobBody = { agreements, scopes, notAfterMs, details, evidence, reasons, result: null, ...end };
  const record: JobRecord = { table: 'job', id: job.id, owner: job.party, state: now.state, atMs: now.atMs, body };
  tables.rows.insert(record);
  return record;
}

function endJob(
  tables: Tables,
  job: JobRecord,
  end: {
    readonly state: JobState;
    readonly evidence: readonly number[];
    readonly reasons: readonly string[];
    readonly result: Json;
  },
): JobRecord {
  const { reasons, result, state } = end;
  const evidence = [...job.body.evidence, ...end.evidence];
  const record: JobRecord = {
    ...job,
    state,
    body: { ...job.body, reasons, result, evidence, endedAtMs: tables.nowMs },
  };
  tables.rows.put(record);
  return record;
}

function recordAll({ log }: Tables, events: readonly EvidenceEvent[]): number[] {
  return events.map((event) => log.append(event));
}

function jobOf(tables: Tables, id: string): JobRecord | undefined {
  return tables.rows.get<JobBody>('job', id);
}

function reservationOf(tables: Tables, id: string): StoredReservation {
  const record: StoredRecord | undefined = tables.rows.get('reservation', id);
  if (record === undefined) throw missing('reservation', id);
  return { id, job: id, state: record.state as ReservationState, atMs: record.atMs, lines: linesFromJson(record.body) };
}

function settleOrFault(tables: Tables, reservation: StoredReservation, answer: SettleAnswer): 'committed' | 'returned' {
  if (answer.kind === 'refused') throw new StoreFault('state-misuse', `job '${reservation.id}': ${answer.reason}`);
  tables.ledger.settle(reservation, answer.settlement);
  const record = tables.rows.get('reservation', reservation.id);
  if (record === undefined) throw missing('reservation', reservation.id);
  tables.rows.put({ ...record, state: answer.settlement.state });
  return answer.settlement.state;
}

function refused(reason: Blocked): { readonly kind: 'refused'; readonly reason: Blocked } {
  return { kind: 'refused', reason };
}

function missing(table: string, id: string): StoreFault {
  return new StoreFault('state-tampered', `the ${table} '${id}' is missing from the state`);
}
