import type { Dispute as DisputeMessage } from '../../gen/messages.ts';
import type { AgreementServiceHandlers } from '../../gen/services.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import { type Reason, reason } from '../../policy/reason.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { pageOf } from '../access.ts';
import { evidence, type GatewayNeeds, newId } from '../needs.ts';
import type { AgreementBody, DisputeBody } from '../records.ts';

type Dispute = StoredRecord<DisputeBody>;
type DisputeHandlers = Pick<AgreementServiceHandlers, 'openDispute' | 'resolveDispute' | 'listDisputes'>;

/** Longest text of an objection or a resolution, characters. */
export const MAX_DISPUTE_CHARACTERS = 4000;
/** Most disputes of one agreement that can be open at once. */
export const MAX_OPEN_DISPUTES = 20;

/**
 * Objections to an agreement, a bill or a job. While one is open nothing of the agreement is settled and its jobs are
 * flagged; a provider can also hold jobs. The log has the digest of the words, never the words.
 */
export function disputeHandlers(needs: GatewayNeeds): DisputeHandlers {
  const { store } = needs;
  return {
    openDispute: async (caller, request) => {
      const agreement = await agreementOf(needs, caller, request.agreementId, request.jobId);
      const text = textOf(request.text, 'say what you object to');
      const isProvider = agreement.body.provider === caller.party;
      if (request.holdsJobs && !isProvider && !hasRole(caller, 'operator'))
        throw new Fault('role-missing', 'only the provider or an operator holds jobs during a dispute');
      if (openDisputes(needs, agreement.id).length >= MAX_OPEN_DISPUTES)
        throw new Fault('wrong-state', `agreement \`${agreement.id}\` has ${MAX_OPEN_DISPUTES} open disputes already`);
      const record: Dispute = {
        table: 'dispute',
        id: newId(needs, 'dsp'),
        owner: agreement.id,
        state: 'open',
        atMs: needs.nowMs(),
        body: {
          agreement: agreement.id,
          job: request.jobId,
          openedBy: caller.party,
          text,
          holdsJobs: request.holdsJobs,
          resolvedAtMs: null,
          resolvedBy: '',
          resolution: '',
        },
      };
      await store.put(
        record,
        evidence(needs, 'dispute.opened', subjectsOf(needs, record, text), {
          by: needs.pseudonymOf(caller.party),
          holdsJobs: request.holdsJobs,
        }),
      );
      const stoppedJobs = request.holdsJobs ? needs.live.stop((job) => job.agreements.includes(agreement.id)) : 0;
      return { dispute: messageOf(record), stoppedJobs };
    },
    resolveDispute: async (caller, request) => {
      const record = store.peek<DisputeBody>('dispute', request.id);
      if (record === undefined || !maySee(needs, caller, record.body.agreement))
        throw new Fault('not-found', `no dispute \`${request.id}\` of yours`);
      // The other side cannot declare an objection settled: who made it withdraws it, or an operator decides.
      if (record.body.openedBy !== caller.party && !hasRole(caller, 'operator'))
        throw new Fault('role-missing', `only \`${record.body.openedBy}\` or an operator resolves this dispute`);
      const resolution = textOf(request.resolution, 'say how it is resolved');
      const resolved: Dispute = {
        ...record,
        state: 'resolved',
        body: { ...record.body, resolvedAtMs: needs.nowMs(), resolvedBy: caller.party, resolution },
      };
      const outcome = await store.transact([
        { do: 'expect', table: 'dispute', id: record.id, state: 'open' },
        { do: 'put', record: resolved },
        {
          do: 'record',
          event: evidence(needs, 'dispute.resolved', subjectsOf(needs, record, resolution), {
            by: needs.pseudonymOf(caller.party),
          }),
        },
      ]);
      if (outcome.kind === 'refused') throw new Fault('wrong-state', `dispute \`${record.id}\` is resolved already`);
      return { dispute: messageOf(resolved) };
    },
    listDisputes: (caller, request) => {
      const all = store
        .peekAll<DisputeBody>('dispute')
        .filter(({ body }) => request.agreementId === '' || body.agreement === request.agreementId)
        .filter(({ body }) => maySee(needs, caller, body.agreement))
        .toSorted((a, b) => b.atMs - a.atMs || (a.id < b.id ? 1 : -1));
      const { items, nextPageToken } = pageOf(all, request.page);
      return Promise.resolve({ disputes: items.map(messageOf), nextPageToken });
    },
  };
}

/** Disputes of an agreement that are open now. */
export function openDisputes(needs: Pick<GatewayNeeds, 'store'>, agreement: string): readonly Dispute[] {
  return needs.store
    .peekAll<DisputeBody>('dispute')
    .filter(({ state, body }) => state === 'open' && body.agreement === agreement);
}

/** Why no job may run under an agreement while a dispute holds it. */
export function heldByDispute(needs: Pick<GatewayNeeds, 'store'>, agreement: string): readonly Reason[] {
  return openDisputes(needs, agreement)
    .filter(({ body }) => body.holdsJobs)
    .map(({ id }) =>
      reason('agreement-disputed', `agreement \`${agreement}\` is disputed (\`${id}\`), and jobs are held meanwhile`, {
        remedy: 'wait until the dispute is resolved: dispute list',
      }),
    );
}

/** Ids of open disputes that concern a job: about itself, or about an agreement of its as a whole. */
export function disputesOfJob(
  needs: Pick<GatewayNeeds, 'store'>,
  job: { readonly id: string; readonly agreements: readonly string[] },
): readonly string[] {
  return job.agreements
    .flatMap((agreement) => openDisputes(needs, agreement))
    .filter(({ body }) => body.job === '' || body.job === job.id)
    .map(({ id }) => id);
}

async function agreementOf(
  needs: GatewayNeeds,
  caller: Caller,
  agreementId: string,
  jobId: string,
): Promise<StoredRecord<AgreementBody>> {
  const unknown = new Fault('not-found', `no agreement or job of yours is named \`${agreementId || jobId}\``);
  const candidates = jobId === '' ? [agreementId] : ((await needs.store.job(jobId))?.body.agreements ?? []);
  const named = candidates.filter((id) => agreementId === '' || id === agreementId);
  const id = named.find((one) => isParty(needs, caller, one));
  const found = id === undefined ? undefined : needs.store.peek<AgreementBody>('agreement', id);
  if (found === undefined) throw unknown;
  return found;
}

function isParty(needs: Pick<GatewayNeeds, 'store'>, caller: Caller, agreement: string): boolean {
  const body = needs.store.peek<AgreementBody>('agreement', agreement)?.body;
  return (
    body !== undefined &&
    (body.provider === caller.party || body.consumer === caller.party || hasRole(caller, 'operator'))
  );
}

const maySee = (needs: Pick<GatewayNeeds, 'store'>, caller: Caller, agreement: string): boolean =>
  isParty(needs, caller, agreement) || hasRole(caller, 'auditor', 'clearing');

function textOf(text: string, missing: string): string {
  if (text.trim() === '') throw new Fault('argument-not-valid', missing);
  if (text.length > MAX_DISPUTE_CHARACTERS)
    throw new Fault('argument-not-valid', `the text is longer than ${MAX_DISPUTE_CHARACTERS} characters`);
  return text;
}

const subjectsOf = (
  needs: Pick<GatewayNeeds, 'sha256'>,
  { id, body }: Dispute,
  text: string,
): readonly { readonly name: string; readonly sha256: string }[] => [
  { name: `dispute/${id}`, sha256: needs.sha256(text) },
  { name: `agreement/${body.agreement}`, sha256: needs.sha256(body.agreement) },
  ...(body.job === '' ? [] : [{ name: `job/${body.job}`, sha256: needs.sha256(body.job) }]),
];

function messageOf({ id, state, atMs, body }: Dispute): DisputeMessage {
  const { agreement, job, openedBy, text, holdsJobs, resolvedAtMs, resolvedBy, resolution } = body;
  return {
    id,
    agreementId: agreement,
    jobId: job,
    openedBy,
    text,
    holdsJobs,
    isOpen: state === 'open',
    openedAtMs: atMs,
    resolvedAtMs,
    resolvedBy,
    resolution,
  };
}
