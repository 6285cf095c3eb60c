import type {
  DebugJobRequest,
  DebugJobResponse,
  JavaScriptProgram,
  Job as JobMessage,
  JobRequest,
  SubmitJobResponse,
} from '../../gen/messages.ts';
import type { JobServiceHandlers } from '../../gen/services.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import { agreementsOf } from '../../job/admit.ts';
import type { Job, Outcome } from '../../job/job.ts';
import type { JobNeeds } from '../../job/needs.ts';
import { rehearse, runJob } from '../../job/run-job.ts';
import { checkText } from '../../query/text.ts';
import type { Answer, CallContext } from '../../rpc/call.ts';
import { Fault } from '../../rpc/fault.ts';
import type { JobRecord } from '../../store/jobs.ts';
import { MAX_PAGE as MAX_RECORDS, type RecordFilter } from '../../store/records.ts';
import { endOf, pageOf } from '../access.ts';
import { untilSlot } from './answer-slots.ts';
import { disputesOfJob } from '../agreements/disputes.ts';
import { type EndRecord, type StoreLedger, tellingEnd } from './ended-jobs.ts';
import type { SubmittedProgram } from '../javascript/engine.ts';
import type { CodeDiagnosticsNeeds } from '../javascript/diagnostics.ts';
import { explainJob } from './explain-job.ts';
import type { ForecastNeeds } from './forecast-cells.ts';
import { actorOf, liveMessage, recordMessage, resultOpening } from './job-message.ts';
import { jobOf } from './job-request.ts';
import type { JobQueue } from './live-jobs.ts';
import type { GatewayNeeds } from '../needs.ts';
import type { PartyBody } from '../records.ts';
import { handOver, type IssuedTicket, MAX_HANDED_OVER_BYTES, newTicket } from '../results/release-tickets.ts';
import type { Results } from '../results/results.ts';
import { StageClock } from './stage-clock.ts';

export interface JobServiceNeeds extends GatewayNeeds, ForecastNeeds, CodeDiagnosticsNeeds {
  readonly queue: JobQueue;
  readonly results: Results;
  readonly jobNeeds: Omit<JobNeeds, 'ledger'> & { readonly ledger: StoreLedger };
  /** Begins to parse a text for its party, whose job is about to ask for it. */
  readonly parseAhead?: (party: string, text: string, signal: AbortSignal) => void;
  /** A submitted program with what the registry says of its code. */
  readonly programOf: (message: JavaScriptProgram) => SubmittedProgram;
  /** Runs code on synthetic data; see code-debug.ts. */
  readonly debugCode: (
    asker: Pick<Job, 'asker' | 'agreementIds'>,
    request: DebugJobRequest,
    signal: AbortSignal,
  ) => Promise<DebugJobResponse>;
}

/** Longest a job may run when its asker sets no deadline, and at most, milliseconds. */
export const DEFAULT_DEADLINE_MS = 10 * 60_000;
export const MAX_DEADLINE_MS = 60 * 60_000;

export function jobService(needs: JobServiceNeeds): JobServiceHandlers {
  /** What was recorded of a job that ended while somebody waited for it, until nobody does any more. */
  const ends = new WeakMap<Outcome, EndRecord>();
  /** Tickets that were given to somebody: each goes to one. */
  const given = new WeakSet<IssuedTicket>();
  /** Releases whose ticket was used up by the answer to whoever submitted the job. */
  const handedOver = new WeakSet<Outcome>();

  const submit = async (
    caller: Caller,
    request: JobRequest | null,
    call: CallContext,
    { withResult, isFollowed }: { readonly withResult: boolean; readonly isFollowed: boolean },
  ): Promise<
    | { readonly id: string; readonly outcome: Promise<Outcome> }
    | { readonly known: JobRecord }
    | { readonly running: string }
  > => {
    const job = jobOf(needs, caller, request, call);
    if (isRunning(needs, job)) return { running: job.id };
    const looking = request?.idempotencyKey === '' ? undefined : needs.store.job(job.id);
    if (isFollowed) parseAhead(needs, job, call.signal);
    const known = await looking;
    if (known !== undefined) {
      const { asked } = (known.body.details ?? {}) as { readonly asked?: string };
      requireSame(job, asked);
      return { known };
    }
    // Another call with the same key may have come in while this one looked.
    if (isRunning(needs, job)) return { running: job.id };
    const agreements = agreementsOf(needs.jobNeeds, job);
    const scope =
      'kind' in agreements
        ? { agreements: [], datasets: [] }
        : { agreements: agreements.map(({ id }) => id), datasets: agreements.map(({ dataset }) => dataset) };
    const asked = request?.deadlineMs ?? 0;
    const deadline = asked <= 0 ? DEFAULT_DEADLINE_MS : Math.min(asked, MAX_DEADLINE_MS);
    const outcome = needs.queue.add(
      job,
      scope,
      async (one, run) => {
        // Not the wall clock, which may be set: an answer must not wait for a slot of the day after.
        const since = performance.now();
        const started = needs.nowMs();
        const stages = new StageClock();
        try {
          let end: EndRecord | null = null;
          const ledger = tellingEnd(needs.jobNeeds.ledger, (recorded) => (end = recorded));
          let hasWaited = false;
          const wait = async (): Promise<void> => {
            hasWaited = true;
            await untilSlot(performance.now() - since, run.signal);
          };
          // A result goes to its asker alone: whoever acts for it gets none.
          const isHandedOver = (bytes: number): boolean =>
            withResult && one.asker.party === caller.party && bytes <= MAX_HANDED_OVER_BYTES;
          const ended = await runJob({ ...needs.jobNeeds, ledger }, one, {
            ...stages.timing(run),
            untilSlot: wait,
            isHandedOver,
          });
          if (end !== null) ends.set(ended, end);
          if (ended.kind === 'released' && isHandedOver(ended.bytes)) {
            given.add(ended.ticket);
            handedOver.add(ended);
          }
          // What touched rows waited before it was recorded; from there on nothing depends on them.
          if (!hasWaited) await untilSlot(performance.now() - since);
          // For the operator's log alone: how long each stage took says something of the data.
          needs.log({ level: 'debug', event: 'job.stages', facts: { job: one.id, ...stages.stop() } });
          needs.log({
            level: 'info',
            event: 'job.ended',
            facts: {
              job: one.id,
              state: ended.kind,
              reason: ended.kind === 'released' ? null : (ended.reasons[0]?.code ?? null),
              ms: needs.nowMs() - started,
            },
          });
          return ended;
        } catch (cause) {
          needs.log({
            level: 'error',
            event: 'job.faulted',
            facts: { job: one.id, ms: needs.nowMs() - started },
            cause,
          });
          throw cause;
        }
      },
      deadline,
    );
    return { id: job.id, outcome };
  };

  const show = async (id: string, caller: Caller, withTicket: boolean): Promise<JobMessage> => {
    const live = needs.queue.find(id);
    if (live !== undefined && maySeeLive(caller, live.job)) return liveMessage(live.job, live.stage, live.parts);
    const record = await needs.store.job(id);
    if (record === undefined || !maySeeRecord(caller, record))
      throw new Fault('not-found', `no job \`${id}\` of yours`);
    const position = record.body.evidence.at(-1);
    const message = recordMessage(needs, record, position === undefined ? undefined : await needs.receiptOf(position));
    const disputes = disputesOfJob(needs, { id, agreements: record.body.agreements });
    const isMine = record.owner === caller.party;
    const told = { ...message, disputes, ...(isMine ? resultOpening(record) : {}) };
    return withTicketOf(told, withTicket && isMine ? await newTicket(needs, record) : null);
  };

  /** A job that has just ended, as recorded, with its own ticket for the first of its party who asks. */
  const showEnded = async (id: string, caller: Caller, outcome: Outcome, withTicket = true): Promise<JobMessage> => {
    const end = ends.get(outcome);
    const isMine = end?.record.owner === caller.party;
    if (end === undefined || end.record.id !== id || !(isMine || maySeeRecord(caller, end.record)))
      return await show(id, caller, withTicket);
    const message = {
      ...recordMessage(needs, end.record, end.receipt),
      disputes: disputesOfJob(needs, { id, agreements: end.record.body.agreements }),
      ...(isMine ? resultOpening(end.record) : {}),
    };
    if (outcome.kind !== 'released' || !isMine || !withTicket) return message;
    if (given.has(outcome.ticket)) return withTicketOf(message, await newTicket(needs, end.record));
    given.add(outcome.ticket);
    return withTicketOf(message, outcome.ticket);
  };

  /** A fault of ours is on record as failed, with a receipt: that is an answer, and only what is not recorded is none. */
  const ended = async (id: string, caller: Caller, outcome: Promise<Outcome>): Promise<JobMessage> => {
    let released: Outcome;
    try {
      released = await outcome;
    } catch (fault) {
      return await show(id, caller, false).catch(() => {
        throw fault;
      });
    }
    return await showEnded(id, caller, released);
  };

  /** The end of a job for whoever submitted it: with its result where that was asked for and is small. */
  const answered = async (
    id: string,
    caller: Caller,
    outcome: Promise<Outcome>,
  ): Promise<Pick<SubmitJobResponse, 'job' | 'result'>> => {
    const released = await outcome.catch(() => null);
    const end = released === null ? undefined : ends.get(released);
    if (released === null || end === undefined || !handedOver.has(released))
      return { job: await ended(id, caller, outcome), result: [] };
    // INVARIANT: it is on record as released and fetched, and these are the bytes that passed the gate.
    const [job, result] = [await showEnded(id, caller, released, false), await handOver(needs.results, end.record)];
    return { job, result };
  };

  return {
    submit: async (caller, request, call): Promise<Answer<SubmitJobResponse>> => {
      if (request.isDryRun) {
        const job = jobOf(needs, caller, request.job, call);
        const rehearsed = await rehearse(needs.jobNeeds, job, call.signal);
        const state = rehearsed.kind === 'denied' ? 'denied' : 'queued';
        return {
          job: { ...liveMessage(job, 'queued'), state, reasons: rehearsed.kind === 'denied' ? rehearsed.reasons : [] },
          wasKnown: false,
          result: [],
        };
      }
      const { wait: isFollowed } = request;
      const withResult = isFollowed && request.withResult;
      const submitted = await submit(caller, request.job, call, { withResult, isFollowed });
      if ('known' in submitted)
        return { job: await show(submitted.known.id, caller, true), wasKnown: true, result: [] };
      if ('running' in submitted) {
        const live = needs.queue.find(submitted.running);
        if (request.wait) await live?.outcome.catch(() => undefined);
        return { job: await show(submitted.running, caller, true), wasKnown: true, result: [] };
      }
      if (!request.wait) return { job: await show(submitted.id, caller, false), wasKnown: false, result: [] };
      // A client that goes away while it waits has cancelled its job.
      const cancel = (): void => void needs.queue.cancel(submitted.id, 'cancelled');
      call.signal.addEventListener('abort', cancel, { once: true });
      if (call.signal.aborted) cancel();
      try {
        return { ...(await answered(submitted.id, caller, submitted.outcome)), wasKnown: false };
      } finally {
        call.signal.removeEventListener('abort', cancel);
      }
    },
    get: async (caller, request) => ({ job: await show(request.id, caller, true) }),
    list: async (caller, request) => {
      const everyone = hasRole(caller, 'operator', 'auditor');
      const owner = everyone ? (request.consumer === '' ? undefined : request.consumer) : caller.party;
      const live = needs.queue.list().filter(({ job }) => owner === undefined || job.asker.party === owner);
      const running = new Set(live.map(({ job }) => job.id));
      const isAskedFor = ({ state, datasets }: JobMessage): boolean =>
        (request.states.length === 0 || request.states.includes(state)) &&
        (request.dataset === '' || datasets.includes(request.dataset));
      const all = live.map(({ job, stage }) => liveMessage(job, stage)).filter(isAskedFor);
      const wanted = endOf(request.page);
      for (let filter: RecordFilter | null = owner === undefined ? {} : { owner }; filter !== null;) {
        const records: readonly JobRecord[] = await needs.store.jobs(filter);
        const messages = records
          .filter(({ id }) => !running.has(id))
          .map((record) => ({
            ...recordMessage(needs, record),
            disputes: disputesOfJob(needs, { id: record.id, agreements: record.body.agreements }),
          }));
        all.push(...messages.filter(isAskedFor));
        const last = records.at(-1);
        // One more than is shown says that there is another page.
        const isEnough = last === undefined || records.length < MAX_RECORDS || all.length > wanted;
        filter = isEnough ? null : { ...filter, before: { atMs: last.atMs, id: last.id } };
      }
      const { items, nextPageToken } = pageOf(all, request.page);
      return { jobs: items, nextPageToken };
    },
    watch: async function* (caller, request, call) {
      for (;;) {
        const live = needs.queue.find(request.id);
        if (live === undefined || !maySeeLive(caller, live.job)) {
          yield { job: await show(request.id, caller, true) };
          return;
        }
        yield { job: liveMessage(live.job, live.stage, live.parts) };
        if (call.signal.aborted) return;
        await needs.queue.changed(request.id, call.signal);
        if (call.signal.aborted) return;
        if (needs.queue.find(request.id) === undefined) {
          yield { job: await ended(request.id, caller, live.outcome) };
          return;
        }
      }
    },
    cancel: async (caller, request) => {
      const live = needs.queue.find(request.id);
      if (live === undefined || !maySeeLive(caller, live.job)) {
        const job = await show(request.id, caller, false);
        throw new Fault('wrong-state', `job \`${request.id}\` is ${job.state} already`);
      }
      const isMine = live.job.asker.party === caller.party || live.job.actor?.party === caller.party;
      if (!isMine && !hasRole(caller, 'operator'))
        throw new Fault('role-missing', 'only its asker or an operator cancels a job');
      needs.queue.cancel(request.id, isMine ? 'cancelled' : 'stopped');
      await live.outcome.catch(() => undefined);
      return { job: await show(request.id, caller, false) };
    },
    debug: async (caller, request, call) => {
      if (!hasRole(caller, 'consumer'))
        throw new Fault('role-missing', `party \`${caller.party}\` may not run code: it needs the role \`consumer\``);
      const groups = needs.store.peek<PartyBody>('party', caller.party)?.body.groups ?? [];
      const asker = { party: caller.party, groups, country: caller.jurisdiction };
      return needs.debugCode({ asker, agreementIds: request.agreementIds }, request, call.signal);
    },
    explain: async (caller, request, call) =>
      await explainJob(needs, jobOf(needs, caller, request.job, call), call.signal),
  };
}

/** Whether the job is under way; throws where its key was given to another question. */
function isRunning(needs: Pick<JobServiceNeeds, 'queue'>, job: Job): boolean {
  const live = needs.queue.find(job.id);
  if (live !== undefined) requireSame(job, live.job.askedDigest);
  return live !== undefined;
}

/** The answer to another question, taken for the one to this, would be a wrong figure in somebody's report. */
function requireSame(job: Job, asked: string | null | undefined): void {
  if (asked === undefined || asked === null || asked === job.askedDigest) return;
  throw new Fault(
    'already-exists',
    `the idempotency key was given to job \`${job.id}\`, which asks something else: use another key`,
  );
}

/**
 * The store looks for a job of that name in another thread: meanwhile the text is parsed, of whoever has an agreement and
 * would not have to wait for a turn. A text that is too long or no text is left to the job to refuse.
 */
function parseAhead(needs: JobServiceNeeds, job: Job, signal: AbortSignal): void {
  if (job.computation.kind !== 'sql' || !needs.queue.hasRoomFor(job.asker.party)) return;
  if ('kind' in agreementsOf(needs.jobNeeds, job)) return;
  const { text } = job.computation;
  if (checkText(new TextEncoder().encode(text)).kind !== 'denied') needs.parseAhead?.(job.asker.party, text, signal);
}

const withTicketOf = (message: JobMessage, ticket: IssuedTicket | null): JobMessage =>
  ticket === null ? message : { ...message, ticket: ticket.secret, ticketExpiresAtMs: ticket.expiresAtMs };

/** Its consumer, who acts for it, and those who watch over everything; the result is the consumer's alone. */
const maySee = (caller: Caller, owner: string, actor: string): boolean =>
  caller.party === owner || caller.party === actor || hasRole(caller, 'operator', 'auditor');

const maySeeRecord = (caller: Caller, record: JobRecord): boolean => maySee(caller, record.owner, actorOf(record));

const maySeeLive = (caller: Caller, { asker, actor }: Pick<Job, 'asker' | 'actor'>): boolean =>
  maySee(caller, asker.party, actor?.party ?? '');
