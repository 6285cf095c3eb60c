import { setTimeout as delay } from 'node:timers/promises';
import type {
  DebugJobRequest,
  DebugJobResponse,
  ExplainJobResponse,
  JavaScriptProgram,
  Job as JobMessage,
  JobRequest,
  ResultColumn,
  SubmitJobResponse,
} from '../gen/messages.ts';
import type { JobServiceHandlers } from '../gen/services.ts';
import type { EvidenceEvent } from '../evidence/entry.ts';
import { type Caller, hasRole } from '../identity/party.ts';
import { agreementsOf } from '../job/admit.ts';
import { priceBefore } from '../job/charge.ts';
import type { Computation, Job, Outcome, ParameterValue } from '../job/job.ts';
import type { JobNeeds, ResultNote } from '../job/needs.ts';
import type { CellIntervals, ColumnAccuracy, Prepared } from '../job/prepare.ts';
import { remaining } from '../ledger/budget.ts';
import { ruleOf } from '../job/withheld-rules.ts';
import { rehearse, runJob, TICKET_LIFE_MS } from '../job/run-job.ts';
import type { Reason } from '../policy/reason.ts';
import type { Schema } from '../release/columns.ts';
import { answerTime } from '../release/quantum.ts';
import type { Answer, CallContext } from '../rpc/call.ts';
import { Fault } from '../rpc/fault.ts';
import type { JobRecord } from '../store/jobs.ts';
import { pageOf } from './access.ts';
import type { SubmittedProgram } from './javascript-engine.ts';
import type { JobQueue, Parts } from './live-jobs.ts';
import { type GatewayNeeds, newId } from './needs.ts';
import { StageClock } from './stage-clock.ts';
import type { PartyBody } from './records.ts';
import type { Results } from './results.ts';

export interface JobServiceNeeds extends GatewayNeeds {
  readonly queue: JobQueue;
  readonly results: Results;
  readonly jobNeeds: JobNeeds;
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
  const submit = async (
    caller: Caller,
    request: JobRequest | null,
    call: CallContext,
  ): Promise<
    | { readonly id: string; readonly outcome: Promise<Outcome> }
    | { readonly known: JobRecord }
    | { readonly running: string }
  > => {
    const job = jobOf(needs, caller, request, call);
    if (needs.queue.find(job.id) !== undefined) return { running: job.id };
    const known = request?.idempotencyKey === '' ? undefined : await needs.store.job(job.id);
    if (known !== undefined) return { known };
    // Another call with the same key may have come in while this one looked.
    if (needs.queue.find(job.id) !== undefined) return { running: job.id };
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
          const ended = await runJob(needs.jobNeeds, one, stages.timing(run));
          remember(one.id, ended);
          await untilSlot(performance.now() - since);
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
    if (live !== undefined && maySee(caller, live.job.asker.party))
      return liveMessage(live.job, live.stage, live.parts);
    const record = await needs.store.job(id);
    if (record === undefined || !maySee(caller, record.owner))
      throw new Fault('not-found', `no job \`${id}\` of yours`);
    const message = await recordMessage(needs, record);
    if (
      !withTicket ||
      record.state !== 'released' ||
      record.owner !== caller.party ||
      !(await needs.results.exists(id))
    )
      return message;
    const ticket = await newTicket(needs, record);
    return { ...message, ticket: ticket.secret, ticketExpiresAtMs: ticket.expiresAtMs };
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
        };
      }
      const submitted = await submit(caller, request.job, call);
      if ('known' in submitted) return { job: await show(submitted.known.id, caller, true), wasKnown: true };
      if ('running' in submitted) {
        const live = needs.queue.find(submitted.running);
        if (request.wait) await live?.outcome.catch(() => undefined);
        return { job: await show(submitted.running, caller, true), wasKnown: true };
      }
      if (!request.wait) return { job: await show(submitted.id, caller, false), wasKnown: false };
      // A client that goes away while it waits has cancelled its job.
      const cancel = (): void => void needs.queue.cancel(submitted.id, 'cancelled');
      call.signal.addEventListener('abort', cancel, { once: true });
      if (call.signal.aborted) cancel();
      try {
        const outcome = await submitted.outcome.catch((fault: unknown) => ({ kind: 'faulted' as const, fault }));
        const message = await show(submitted.id, caller, false).catch((notRecorded: unknown) => {
          throw outcome.kind === 'faulted' ? outcome.fault : notRecorded;
        });
        // It is on record as failed, with a receipt: that is an answer.
        if (outcome.kind === 'faulted') return { job: message, wasKnown: false };
        if (outcome.kind !== 'released') return { job: { ...message, reasons: outcome.reasons }, wasKnown: false };
        return {
          job: { ...message, ticket: outcome.ticket.secret, ticketExpiresAtMs: outcome.ticket.expiresAtMs },
          wasKnown: false,
        };
      } finally {
        call.signal.removeEventListener('abort', cancel);
      }
    },
    get: async (caller, request) => ({ job: await show(request.id, caller, true) }),
    list: async (caller, request) => {
      const everyone = hasRole(caller, 'operator', 'auditor');
      const owner = everyone ? (request.consumer === '' ? undefined : request.consumer) : caller.party;
      const records = await needs.store.jobs(owner === undefined ? {} : { owner });
      const live = needs.queue.list().filter(({ job }) => owner === undefined || job.asker.party === owner);
      const running = new Set(live.map(({ job }) => job.id));
      const ended = await Promise.all(
        records.filter(({ id }) => !running.has(id)).map((record) => recordMessage(needs, record, false)),
      );
      const all = [...live.map(({ job, stage }) => liveMessage(job, stage)), ...ended]
        .filter(({ state }) => request.states.length === 0 || request.states.includes(state))
        .filter(({ datasets }) => request.dataset === '' || datasets.includes(request.dataset));
      const { items, nextPageToken } = pageOf(all, request.page);
      return { jobs: items, nextPageToken };
    },
    watch: async function* (caller, request, call) {
      for (;;) {
        const job = await show(request.id, caller, false);
        const isOver = job.state !== 'queued' && job.state !== 'running';
        if (isOver) {
          yield { job: await show(request.id, caller, true) };
          return;
        }
        yield { job };
        if (call.signal.aborted) return;
        await needs.queue.changed(request.id, call.signal);
        if (call.signal.aborted) return;
      }
    },
    cancel: async (caller, request) => {
      const live = needs.queue.find(request.id);
      if (live === undefined || !maySee(caller, live.job.asker.party)) {
        const job = await show(request.id, caller, false);
        throw new Fault('wrong-state', `job \`${request.id}\` is ${job.state} already`);
      }
      if (live.job.asker.party !== caller.party && !hasRole(caller, 'operator'))
        throw new Fault('role-missing', 'only its asker or an operator cancels a job');
      needs.queue.cancel(request.id, live.job.asker.party === caller.party ? 'cancelled' : 'stopped');
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
    explain: async (caller, request, call) => {
      const rehearsed = await rehearse(needs.jobNeeds, jobOf(needs, caller, request.job, call), call.signal);
      const answer = explained(rehearsed, needs);
      return rehearsed.kind === 'denied'
        ? answer
        : { ...answer, budget: await spendsBefore(needs, rehearsed.prepared) };
    },
  };
}

/** Slots in which answers leave: how long a computation took tells only its slot (8 % wide), not its rows. */
const ANSWER_STEPS = { stepMs: 5, growth: 1.08 } as const;

async function untilSlot(elapsedMs: number): Promise<void> {
  await delay(answerTime(elapsedMs, ANSWER_STEPS) - elapsedMs);
}

/** What a consumer may fetch with a ticket, once. */
export async function* openRelease(
  needs: JobServiceNeeds,
  caller: Caller,
  ticket: Uint8Array,
): AsyncGenerator<Uint8Array, void, void> {
  const digest = needs.sha256(ticket);
  const fetched: EvidenceEvent = {
    kind: 'release.fetched',
    atMs: needs.nowMs(),
    subjects: [{ name: 'ticket', sha256: digest }],
    facts: {},
  };
  const redeemed = await needs.store.redeemTicket({ digest, party: caller.party, events: [fetched] });
  // One answer for every ticket that is not good, so that tickets of others cannot be probed.
  const note = redeemed.kind === 'refused' ? null : (await needs.store.job(redeemed.job))?.body.result;
  if (redeemed.kind === 'refused' || !note || !(await needs.results.exists(redeemed.job))) {
    throw new Fault(
      'ticket-not-valid',
      'this ticket is not valid: it was used, has expired, or was made for another party; get the job again for a new one',
    );
  }
  yield* needs.results.read(redeemed.job, (note as ResultNote).bytes);
}

async function newTicket(
  needs: JobServiceNeeds,
  record: JobRecord,
): Promise<{ readonly secret: Uint8Array; readonly expiresAtMs: number }> {
  const secret = needs.randomBytes(32);
  const expiresAtMs = needs.nowMs() + TICKET_LIFE_MS;
  await needs.store.transact([
    { do: 'expect', table: 'job', id: record.id, state: 'released' },
    {
      do: 'put',
      record: {
        table: 'ticket',
        id: needs.sha256(secret),
        owner: record.owner,
        state: 'issued',
        atMs: needs.nowMs(),
        body: { job: record.id, expiresAtMs },
      },
    },
  ]);
  return { secret, expiresAtMs };
}

function jobOf(needs: JobServiceNeeds, caller: Caller, request: JobRequest | null, call: CallContext): Job {
  if (!hasRole(caller, 'consumer'))
    throw new Fault('role-missing', `party \`${caller.party}\` may not submit jobs: it needs the role \`consumer\``);
  if (request === null || request.computation === null)
    throw new Fault(
      'argument-not-valid',
      'the job holds no computation: give SQL, a program, or a homomorphic program',
    );
  if (request.idempotencyKey.length > 128)
    throw new Fault('argument-not-valid', 'the idempotency key is longer than 128 characters');
  const id =
    request.idempotencyKey === ''
      ? newId(needs, 'job')
      : `job-${needs.sha256(JSON.stringify([caller.party, request.idempotencyKey])).slice(0, 20)}`;
  const party = needs.store.peek<PartyBody>('party', caller.party);
  return {
    id,
    asker: { party: caller.party, groups: party?.body.groups ?? [], country: caller.jurisdiction },
    computation: computationOf(needs, request.computation),
    agreementIds: request.agreementIds,
    rule: request.ruleId === '' ? null : request.ruleId,
    purpose: request.purpose === '' ? null : request.purpose,
    submittedAtMs: needs.nowMs(),
    signature: call.signedRequest?.jws ?? null,
  };
}

function computationOf(needs: JobServiceNeeds, computation: NonNullable<JobRequest['computation']>): Computation {
  switch (computation.kind) {
    case 'sql': {
      const parameters: Record<string, ParameterValue> = {};
      for (const [name, { value }] of Object.entries(computation.sql.parameters)) {
        if (value === null) parameters[name] = null;
        else if (value.kind === 'text') parameters[name] = value.text;
        else if (value.kind === 'boolean') parameters[name] = value.boolean;
        else if (value.kind === 'number') parameters[name] = value.number;
        else {
          if (value.integer > BigInt(Number.MAX_SAFE_INTEGER) || value.integer < -BigInt(Number.MAX_SAFE_INTEGER)) {
            throw new Fault('argument-not-valid', `parameter \`${name}\` is beyond 2^53: write it into the query`);
          }
          parameters[name] = Number(value.integer);
        }
      }
      return { kind: 'sql', text: computation.sql.text, parameters };
    }
    case 'javascript':
      return { kind: 'javascript', program: needs.programOf(computation.javascript) };
    case 'homomorphic':
      return { kind: 'homomorphic', program: computation.homomorphic };
  }
}

const maySee = (caller: Caller, owner: string): boolean =>
  caller.party === owner || hasRole(caller, 'operator', 'auditor');

/** Reasons in full, for as long as the process lives; the store keeps their codes. */
const remembered = new Map<string, readonly Reason[]>();
const MAX_REMEMBERED = 10_000;
function remember(id: string, outcome: Outcome): void {
  if (outcome.kind === 'released') return;
  if (remembered.size >= MAX_REMEMBERED) remembered.delete(remembered.keys().next().value ?? '');
  remembered.set(id, outcome.reasons);
}

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
  };
}

const STAGES = ['identify', 'decide', 'parse', 'reserve', 'run', 'disclose', 'record', 'release'] as const;

/** `parts` are the rounds of a job that has some; else its place among the stages is told. */
function liveMessage(job: Job, stage: string, parts: Parts | null = null): JobMessage {
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
    submittedAtMs: job.submittedAtMs,
    progress: at < 0 ? null : { stage: STAGES[at] ?? 'identify', done, total },
  };
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

async function recordMessage(needs: JobServiceNeeds, record: JobRecord, withReceipt = true): Promise<JobMessage> {
  const { body } = record;
  const details = body.details as Readonly<Record<string, string | null | readonly string[]>>;
  const note = body.result as ResultNote | null;
  const position = body.evidence.at(-1);
  const document = withReceipt && position !== undefined ? await needs.receiptOf(position) : undefined;
  const told = details['reasons'];
  const reasons: readonly Reason[] =
    remembered.get(record.id) ??
    (typeof told === 'string' ? (JSON.parse(told) as readonly Reason[]) : null) ??
    body.reasons.map((code) => ({ code, message: code, clause: null, at: null, remedy: null }));
  return {
    ...blankMessage(),
    id: record.id,
    state: stateOf(record),
    consumer: record.owner,
    datasets: details['datasets'] as readonly string[],
    agreementIds: body.agreements,
    ruleId: (details['rule'] as string | null) ?? '',
    mode: (details['mode'] as JobMessage['mode'] | null | undefined) ?? 'unspecified',
    purpose: (details['purpose'] as string | null) ?? '',
    submittedAtMs: record.atMs,
    reasons,
    receipt:
      document === undefined || position === undefined
        ? null
        : {
            id: `${record.id}/${position}`,
            logIndex: BigInt(position),
            document: Buffer.from(document),
            recordedAtMs: record.atMs,
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

/** JSON has no NaN: what came back as null had no value. */
function errorMessage({ column, halfWidth, confidence, cells }: ColumnAccuracy): JobMessage['errors'][number] {
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
  }));
}

/** What a job would take from privacy budgets, with what would be left of them: nothing is reserved. */
async function spendsBefore(needs: JobServiceNeeds, prepared: Prepared): Promise<JobMessage['budget']> {
  if (prepared.microEpsilon === 0) return [];
  return await Promise.all(
    prepared.datasets.map(async ({ name }) => {
      const own = `/${encodeURIComponent(name)}`;
      const lines = prepared.budget.filter(({ budget, limit }) => {
        const [kind = '', , dataset = ''] = budget.split('/');
        return LOSS_KINDS.has(kind) && `/${dataset}` === own && limit < COUNTED_ONLY;
      });
      const left = await Promise.all(
        lines.map(async ({ budget, amount, limit, windowMs }) => {
          const rest = remaining(await needs.store.balance(budget, windowMs), limit);
          return { isEpsilon: budget.startsWith('microEpsilon/'), rest, amount };
        }),
      );
      const epsilons = left.filter(({ isEpsilon }) => isEpsilon).map(({ rest, amount }) => positive(rest - amount));
      const uses = left.filter(({ amount }) => amount > 0n).map(({ rest, amount }) => positive(rest - amount) / amount);
      return {
        dataset: name,
        microEpsilon: BigInt(prepared.microEpsilon),
        microEpsilonLeft: least(epsilons),
        uses: 1n,
        usesLeft: least(uses),
      };
    }),
  );
}

const LOSS_KINDS = new Set(['microEpsilon', 'nanoRho', 'femtoDelta']);
/** Limits from here on are those of budgets that are counted and not limited. */
const COUNTED_ONLY = 2n ** 62n;
const positive = (value: bigint): bigint => (value > 0n ? value : 0n);
const least = (values: readonly bigint[]): bigint | null =>
  values.length === 0 ? null : values.reduce((a, b) => (a < b ? a : b));

function columnsOf(schema: Schema): readonly ResultColumn[] {
  return schema.map(({ name, type, nullable }) => ({
    name,
    type: type.kind,
    precision: type.kind === 'decimal128' ? type.precision : 0,
    scale: type.kind === 'decimal128' ? type.scale : 0,
    nullable,
  }));
}

function explained(rehearsed: Awaited<ReturnType<typeof rehearse>>, needs: JobServiceNeeds): ExplainJobResponse {
  const blank: ExplainJobResponse = {
    wouldRun: false,
    reasons: [],
    rules: [],
    enforced: [],
    guarantee: '',
    errors: [],
    suppression: '',
    budget: [],
    priceMicros: null,
    currency: '',
    repaired: '',
    ruleId: '',
    mode: 'unspecified',
    columns: [],
    diagnostics: [],
    isolation: needs.isolation,
    datasets: [],
  };
  if (rehearsed.kind === 'denied') return { ...blank, reasons: rehearsed.reasons };
  const { admission, prepared } = rehearsed;
  const { terms } = prepared;
  return {
    ...blank,
    wouldRun: true,
    rules: admission.permits.map(({ permit }) => permit.clause),
    enforced: prepared.inWords,
    guarantee: prepared.guarantee,
    errors: (prepared.errors ?? []).map(errorMessage),
    suppression:
      terms.minUnits === null
        ? 'no threshold'
        : `cells over fewer than ${terms.minUnits} units are withheld (${terms.smallGroups})`,
    ruleId: admission.permits[0]?.permit.rule.id ?? '',
    mode: admission.mode,
    columns: columnsOf(terms.outputs),
    datasets: prepared.datasets.map(({ name }) => name),
    ...priceBefore(
      admission.permits.filter(({ agreement }) => prepared.datasets.some(({ name }) => name === agreement.dataset)),
      prepared.microEpsilon,
    ),
  };
}
