import type { Code as CodeMessage, JavaScriptProgram, SubmitCodeRequest } from '../../gen/messages.ts';
import type { CodeServiceHandlers } from '../../gen/services.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import { type Reason, reason } from '../../policy/reason.ts';
import type { CallContext } from '../../rpc/call.ts';
import { verifyCodeApproval } from '../../rpc/code-statement.ts';
import { Fault } from '../../rpc/fault.ts';
import { approvalDigest } from '../../sandbox/javascript/approval.ts';
import { computationOfMessage } from '../../sandbox/javascript/from-message.ts';
import type { StoredRecord } from '../../store/records.ts';
import { pageOf } from '../access.ts';
import { activeAgreements } from '../jobs/active-agreements.ts';
import type { DutyBook } from '../policies/duties.ts';
import {
  capacitiesOf,
  type CodeBody,
  codeRecord,
  type CodeRecordState,
  type CodeVerdictBody,
  programOfText,
  programText,
} from './code-registry.ts';
import type { SubmittedProgram } from '../javascript/engine.ts';
import type { JobQueue } from '../jobs/live-jobs.ts';
import { evidence, type GatewayNeeds } from '../needs.ts';
import type { DatasetBody } from '../records.ts';
import { sourceDifference } from './source-difference.ts';
import { reviewText, findingsOf } from './code-review.ts';
import { stateOf, lastApproved, isReviewing } from './code-quorum.ts';
import { assertSigned, problemOfReviewer, revocationOf, verdictOf, withVerdict } from './code-verdict.ts';

export interface CodeServiceNeeds extends GatewayNeeds {
  readonly duties: Pick<DutyBook, 'blocking'>;
  readonly queue: JobQueue;
}

/** Life of an approval, days. */
export const DEFAULT_APPROVAL_DAYS = 180;
export const MAX_APPROVAL_DAYS = 730;

/** Switch that stops every release of one piece of code; named in the scopes of its jobs. */
export const codeScope = (digest: string): string => `code/${digest}`;

/** Submission, review and approval of code by digest. Everything is durable and in evidence before it is answered. */
export function codeService(needs: CodeServiceNeeds): CodeServiceHandlers {
  const find = (caller: Caller, digest: string): StoredRecord<CodeBody> => {
    const record = codeRecord(needs, digest);
    if (record === undefined || !maySee(needs, caller, record))
      throw new Fault('not-found', `no code \`${digest}\` that you may know of`);
    return record;
  };
  const change = async (
    caller: Caller,
    record: StoredRecord<CodeBody>,
    next: { readonly state: CodeRecordState; readonly verdicts: readonly CodeVerdictBody[]; readonly verdict: string },
    more: readonly Parameters<GatewayNeeds['store']['transact']>[0][number][] = [],
  ): Promise<StoredRecord<CodeBody>> => {
    const changed: StoredRecord<CodeBody> = {
      ...record,
      state: next.state,
      body: { ...record.body, verdicts: next.verdicts },
    };
    const outcome = await needs.store.transact([
      { do: 'expect', table: 'approval', id: record.id, state: record.state },
      { do: 'put', record: changed },
      ...more,
      { do: 'record', event: approvalEvent(needs, record, next.verdict, caller.party) },
    ]);
    if (outcome.kind === 'refused') throw new Fault('conflict', 'the code was judged by somebody else meanwhile');
    return changed;
  };
  return {
    submit: async (caller, request) => {
      const { program, dataset, reasons } = submitted(needs, caller, request);
      const parsed = computationOfMessage(program);
      const complaints =
        parsed.kind === 'refused' ? parsed.reasons.map((text) => reason('program-not-valid', text)) : reasons;
      if (parsed.kind === 'refused' || parsed.computation.mode !== 'approved' || complaints.length > 0)
        return { code: null, reasons: complaints };
      const digest = approvalDigest(parsed.computation);
      const known = codeRecord(needs, digest);
      if (known !== undefined) {
        if (known.owner === caller.party && known.body.dataset === dataset)
          return { code: messageOf(needs, known), reasons: [] };
        return {
          code: null,
          reasons: [reason('code-known', 'the same code was submitted before', { remedy: `see ${digest}` })],
        };
      }
      const record: StoredRecord<CodeBody> = {
        table: 'approval',
        id: digest,
        owner: caller.party,
        state: 'open' satisfies CodeRecordState,
        atMs: needs.nowMs(),
        body: { name: request.name, dataset, note: request.note, program: programText(program), verdicts: [] },
      };
      const outcome = await needs.store.transact([
        { do: 'expect', table: 'approval', id: digest, state: null },
        { do: 'put', record },
        { do: 'record', event: approvalEvent(needs, record, 'submitted', caller.party) },
      ]);
      if (outcome.kind === 'refused') throw new Fault('conflict', 'the same code was submitted meanwhile');
      return { code: messageOf(needs, record), reasons: [] };
    },
    review: (caller, request) => {
      const record = find(caller, request.digest);
      const program = programOfText(record.body.program);
      const before = lastApproved(needs, record);
      return Promise.resolve({
        code: { ...messageOf(needs, record), source: program.source, program },
        difference:
          before === undefined ? '' : sourceDifference(reviewText(before), reviewText(record), [before.id, record.id]),
        findings: findingsOf(record),
      });
    },
    approve: async (caller, request, _call: CallContext) => {
      const record = find(caller, request.digest);
      const refused = problemOfReviewer(needs, caller, record, request.capacity);
      if (refused !== null) return { code: messageOf(needs, record), reasons: [refused] };
      const days = request.days === 0 ? DEFAULT_APPROVAL_DAYS : request.days;
      if (days > MAX_APPROVAL_DAYS)
        throw new Fault('argument-not-valid', `an approval lives at most ${MAX_APPROVAL_DAYS} days`);
      const { signature } = request;
      const { dataset } = record.body;
      const isSigned =
        signature !== null &&
        caller.signingPublicKey !== null &&
        verifyCodeApproval(
          caller.party,
          caller.signingPublicKey,
          { digest: record.id, dataset, capacity: request.capacity, days },
          signature,
        );
      if (!isSigned) throw new Fault('signature-not-valid', 'the approval is not signed by this party over this code');
      const verdict = verdictOf(needs, caller, request.capacity, true, request.note, days, signature);
      const changed = await change(caller, record, {
        state: 'open',
        verdicts: withVerdict(record, verdict),
        verdict: 'approved',
      });
      return { code: messageOf(needs, changed), reasons: [] };
    },
    reject: async (caller, request) => {
      const record = find(caller, request.digest);
      const [capacity] = capacitiesOf(needs, caller.party, record.body.dataset).filter((one) =>
        isReviewing(needs, record, one),
      );
      const refused = problemOfReviewer(needs, caller, record, capacity ?? '');
      if (refused !== null) return { code: messageOf(needs, record), reasons: [refused] };
      assertSigned(caller, record, 'rejected', request);
      const verdict = verdictOf(needs, caller, capacity ?? '', false, request.note, 0, request.signature);
      const changed = await change(caller, record, {
        state: 'rejected',
        verdicts: withVerdict(record, verdict),
        verdict: 'rejected',
      });
      return { code: messageOf(needs, changed), reasons: [] };
    },
    revoke: async (caller, request) => {
      const record = find(caller, request.digest);
      const { dataset, verdicts } = record.body;
      const isOwner = capacitiesOf(needs, caller.party, dataset).includes('owner');
      const hasApproved = verdicts.some(({ reviewer, approves }) => reviewer === caller.party && approves);
      if (!isOwner && !hasApproved && !hasRole(caller, 'operator')) {
        const why = reason(
          'not-a-reviewer',
          'only the provider, an operator, or who approved it takes an approval back',
        );
        return { code: messageOf(needs, record), stoppedJobs: 0, reasons: [why] };
      }
      if (record.state !== 'open') throw new Fault('wrong-state', `the code is ${record.state} already`);
      assertSigned(caller, record, 'revoked', request);
      const revocation = revocationOf(needs, caller, request);
      const scope = codeScope(record.id);
      const thrown = {
        table: 'switch',
        id: scope,
        owner: caller.party,
        state: 'on',
        atMs: needs.nowMs(),
        body: { note: 'revoked' },
      } as const;
      // The switch is durable before anything is stopped: from then on the ledger refuses every release of this code.
      const said = { ...record, body: { ...record.body, revocation } };
      const changed = await change(caller, said, { state: 'revoked', verdicts, verdict: 'revoked' }, [
        { do: 'put', record: thrown },
      ]);
      const running = needs.queue.list().filter(({ job }) => digestOf(job.computation) === record.id);
      for (const { job } of running) needs.queue.cancel(job.id, 'stopped');
      return { code: messageOf(needs, changed), stoppedJobs: running.length, reasons: [] };
    },
    list: (caller, request) => {
      const all = needs.store
        .peekAll<CodeBody>('approval')
        .filter((record) => maySee(needs, caller, record))
        .toSorted((a, b) => b.atMs - a.atMs || (a.id < b.id ? -1 : 1))
        .map((record) => messageOf(needs, record))
        .filter(({ state }) => request.states.length === 0 || request.states.includes(state));
      const { items, nextPageToken } = pageOf(all, request.page);
      return Promise.resolve({ codes: items, nextPageToken });
    },
  };
}

/** The program of a submission, and for which dataset its submitter may submit it. */
function submitted(
  needs: CodeServiceNeeds,
  caller: Caller,
  request: SubmitCodeRequest,
): { readonly program: JavaScriptProgram; readonly dataset: string; readonly reasons: readonly Reason[] } {
  const { dataset, program } = request;
  if (!/^[\p{L}\p{N}_.-]{1,64}$/u.test(request.name))
    throw new Fault('argument-not-valid', 'the name is 1 to 64 letters, digits, dots, dashes or underscores');
  if (request.note.length > 2000) throw new Fault('argument-not-valid', 'the note is longer than 2000 characters');
  if (program === null)
    throw new Fault('argument-not-valid', 'the program is missing: its table, columns and result are approved with it');
  const mayUse =
    activeAgreements(needs, caller.party).some((one) => one.dataset === dataset) ||
    needs.store.peek<DatasetBody>('dataset', dataset)?.owner === caller.party;
  if (!mayUse) throw new Fault('not-found', `no dataset \`${dataset}\` that you have an agreement on`);
  return { program: { ...program, method: 'approved', codeDigest: '', microEpsilon: 0n }, dataset, reasons: [] };
}

function messageOf(needs: CodeServiceNeeds, record: StoredRecord<CodeBody>): CodeMessage {
  const { name, dataset, verdicts } = record.body;
  const approvals = verdicts.filter(({ approves }) => approves);
  return {
    digest: record.id,
    name,
    state: stateOf(needs, record),
    submitter: record.owner,
    submittedAtMs: record.atMs,
    verdicts: verdicts.map(({ reviewer, capacity, approves, note, atMs }) => ({
      reviewer,
      capacity,
      approves,
      note,
      atMs,
    })),
    expiresAtMs: approvals.length === 0 ? null : Math.min(...approvals.map(({ expiresAtMs }) => expiresAtMs)),
    dataset,
    source: '',
    outputs: [],
    program: null,
  };
}

/** The submitter, reviewers that the policy names, the provider, operators and auditors. */
function maySee(needs: CodeServiceNeeds, caller: Caller, record: StoredRecord<CodeBody>): boolean {
  if (record.owner === caller.party || hasRole(caller, 'operator', 'auditor')) return true;
  return capacitiesOf(needs, caller.party, record.body.dataset).some((one) => isReviewing(needs, record, one));
}

function approvalEvent(
  needs: CodeServiceNeeds,
  record: StoredRecord<CodeBody>,
  verdict: string,
  party: string,
): ReturnType<typeof evidence> {
  const subject = {
    name: `code/${record.id.slice('sha256:'.length, 'sha256:'.length + 16)}`,
    sha256: record.id.replace('sha256:', ''),
  };
  return evidence(needs, 'approval', [subject], { verdict, by: needs.pseudonymOf(party) });
}

function digestOf(computation: { readonly kind: string; readonly program?: unknown }): string | null {
  return computation.kind === 'javascript' ? (computation.program as SubmittedProgram).codeDigest : null;
}
