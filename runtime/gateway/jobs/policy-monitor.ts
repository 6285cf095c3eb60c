import { admit } from '../../job/admit.ts';
import type { JobNeeds } from '../../job/needs.ts';
import { expireAgreements } from '../agreements/expire-agreements.ts';
import type { JobQueue, LiveJob } from './live-jobs.ts';
import type { GatewayNeeds } from '../needs.ts';
import type { PartyBody } from '../records.ts';

/** How often running jobs are judged again although nothing was reported, milliseconds: time alone ends rights. */
export const MONITOR_EVERY_MS = 1000;

export interface MonitorNeeds extends GatewayNeeds {
  readonly queue: JobQueue;
  readonly jobNeeds: JobNeeds;
}

/**
 * Usage control while a job runs: every running job is decided again under the present state, and what would no longer
 * be admitted is stopped. The ledger makes the same checks in the transaction of the release, so a job that slips
 * between two looks still releases nothing; the monitor frees the worker and tells the asker early.
 */
export async function enforcePolicies(needs: MonitorNeeds): Promise<{ readonly stopped: number }> {
  const expired = await expireAgreements(needs);
  let stopped = needs.queue.stop((job) => job.agreements.some((id) => expired.includes(id)));
  for (const live of needs.queue.list()) {
    if (mayGoOn(needs, live)) continue;
    if (needs.queue.cancel(live.job.id, 'stopped')) stopped += 1;
  }
  return { stopped };
}

/** Stages that come after the job's own decision; before it, the decision itself will tell the asker why. */
const DECIDED: readonly LiveJob['stage'][] = ['parse', 'reserve', 'run', 'disclose', 'record'];

function mayGoOn(needs: MonitorNeeds, { job, stage, scope }: Pick<LiveJob, 'job' | 'stage' | 'scope'>): boolean {
  if (!DECIDED.includes(stage) || scope.agreements.length === 0) return true;
  const { party } = job.asker;
  const record = needs.store.peek<PartyBody>('party', party);
  if (record?.state !== 'admitted' || record.body.credentialExpiresAtMs <= needs.nowMs()) return false;
  if (job.actor !== null) {
    const { party: actor, mandate, notAfterMs } = job.actor;
    if (needs.store.peek<PartyBody>('party', actor)?.state !== 'admitted') return false;
    if (needs.store.peek('delegation', mandate)?.state !== 'active' || needs.nowMs() >= notAfterMs) return false;
  }
  const scopes = ['all', `party/${party}`, ...scope.agreements.map((id) => `agreement/${id}`)];
  scopes.push(...scope.datasets.map((name) => `dataset/${name}`));
  if (scopes.some((one) => needs.store.peek('switch', one)?.state === 'on')) return false;
  const agreements = needs.jobNeeds.activeAgreements(party).filter(({ id }) => scope.agreements.includes(id));
  if (agreements.length < scope.agreements.length) return false;
  return admit(needs.jobNeeds, job, agreements).kind === 'admitted';
}
