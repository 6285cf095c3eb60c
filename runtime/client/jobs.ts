import { randomUUID } from 'node:crypto';
import type { Table } from 'apache-arrow';
import type { Job, JobRequest, JobState, Reason, SubmitJobRequest, SubmitJobResponse } from '../gen/messages.ts';
import type { JobServiceClient } from '../gen/services.ts';
import type { CredentialBundle } from '../identity/credential.ts';
import type { CallOptions, Init } from '../rpc/call.ts';
import { signJobRequest } from '../rpc/job-statement.ts';
import { codecOf } from '../rpc/translate.ts';
import { serviceClient, type Channel } from './channel.ts';
import { GloveboxError } from './error.ts';
import { readTable, tableOf } from './results.ts';

/** How a job ended for its consumer. */
export type JobOutcome =
  | { readonly kind: 'released'; readonly job: Job; readonly table: Table }
  /** Denied, withheld, cancelled, stopped or failed: the reasons say why and what would be allowed. */
  | { readonly kind: 'refused'; readonly job: Job; readonly reasons: readonly Reason[] };

export interface RunOptions extends CallOptions {
  /** Called for each change of state or progress. */
  readonly onChange?: (job: Job) => void;
}

export interface JobsClient extends JobServiceClient {
  /** Submits, follows and fetches: the whole job in one call. The result is fetched once. */
  run(job: Init<JobRequest>, options?: RunOptions): Promise<JobOutcome>;
  /** `run` for SQL text. */
  sql(text: string, job?: Init<Omit<JobRequest, 'computation'>>, options?: RunOptions): Promise<JobOutcome>;
}

const FINAL: ReadonlySet<JobState> = new Set(['released', 'withheld', 'denied', 'cancelled', 'stopped', 'failed']);

/** How long a job may take that sets no deadline, and what a runtime needs beyond it to answer; milliseconds. */
const LONGEST_JOB_MS = 10 * 60_000;
const ANSWER_GRACE_MS = 30_000;

function patienceMs(job: Init<JobRequest>): number {
  const asked = job.deadlineMs ?? 0;
  return (asked > 0 ? asked : LONGEST_JOB_MS) + ANSWER_GRACE_MS;
}

/** Whether a job has ended. */
export function hasEnded(job: Pick<Job, 'state'>): boolean {
  return FINAL.has(job.state);
}

/** The jobs of a party; requests are signed with its key when there is one. */
export function jobsClient(channel: Channel, credential: CredentialBundle | null): JobsClient {
  const service = serviceClient<JobServiceClient>(channel, 'JobService');
  const submit = async (request: Init<SubmitJobRequest>, options?: CallOptions): Promise<SubmitJobResponse> =>
    await service.submit(signed(request, credential), options);
  const run = async (job: Init<JobRequest>, options: RunOptions = {}): Promise<JobOutcome> => {
    // Nobody follows the stages: one call that answers at the end, instead of one for each stage.
    const isFollowed = options.onChange !== undefined;
    const patience = isFollowed ? options : { ...options, timeoutMs: options.timeoutMs ?? patienceMs(job) };
    const { job: started, result } = await submit({ job, wait: !isFollowed, withResult: !isFollowed }, patience);
    if (started === null) throw new GloveboxError('the runtime answered without a job', { status: 13 });
    options.onChange?.(started);
    // A small result came with the answer; a larger one waits behind its ticket.
    if (result.length > 0) return { kind: 'released', job: started, table: await tableOf(result) };
    const last = hasEnded(started) ? started : await followed(service, started, options);
    if (last.ticket === null) return { kind: 'refused', job: last, reasons: last.reasons };
    return { kind: 'released', job: last, table: await readTable(channel, last.ticket, options) };
  };
  return {
    ...service,
    submit,
    run,
    sql: (text, job = {}, options) => run({ ...job, computation: { kind: 'sql', sql: { text } } }, options),
  };
}

/** Follows a job to its end; a caller that gives up takes its job with it. */
async function followed(service: JobServiceClient, started: Job, options: RunOptions): Promise<Job> {
  try {
    for await (const { job } of service.watch({ id: started.id }, options)) {
      if (job === null) continue;
      options.onChange?.(job);
      if (hasEnded(job)) return job;
    }
  } catch (thrown) {
    if (options.signal?.aborted === true) await service.cancel({ id: started.id }).catch(() => {});
    throw thrown;
  }
  // The stream may end early, when the runtime is shutting down.
  const { job } = await service.get({ id: started.id }, options);
  if (job === null || !hasEnded(job)) {
    const message = `the runtime stopped telling about job \`${started.id}\`; ask again with \`jobs.get\``;
    throw new GloveboxError(message, { status: 14, isRetryable: true });
  }
  return job;
}

/** Adds an idempotency key, so that a retry is the same job, and the signature over the whole request. */
function signed(request: Init<SubmitJobRequest>, credential: CredentialBundle | null): Init<SubmitJobRequest> {
  const job = { ...request.job, idempotencyKey: request.job?.idempotencyKey ?? randomUUID() };
  if (credential === null || (request.signature ?? '') !== '') return { ...request, job };
  const codec = codecOf('JobRequest');
  // What is signed is the request as the runtime will read it, defaults included.
  const read = codec.decode(codec.encode(job)) as JobRequest;
  return { ...request, job, signature: signJobRequest(credential.party, credential.signingKey, read) };
}
