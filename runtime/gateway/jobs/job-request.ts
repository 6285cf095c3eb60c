import type { JavaScriptProgram, JobRequest } from '../../gen/messages.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import { mandateContent } from '../../contract/mandate.ts';
import type { Actor, Computation, Job, ParameterValue } from '../../job/job.ts';
import type { CallContext } from '../../rpc/call.ts';
import { Fault } from '../../rpc/fault.ts';
import { jobStatement } from '../../rpc/job-statement.ts';
import type { SubmittedProgram } from '../javascript/engine.ts';
import { mandateInForce } from '../parties/mandates.ts';
import { type GatewayNeeds, newId } from '../needs.ts';
import { projectId } from '../parties/projects.ts';
import type { PartyBody, ProjectBody } from '../records.ts';

type Needs = Pick<GatewayNeeds, 'store' | 'nowMs' | 'randomBytes' | 'sha256'> & {
  /** A submitted program with what the registry says of its code. */
  readonly programOf: (message: JavaScriptProgram) => SubmittedProgram;
};

/** Most agreements that one job names, and most characters of a name in a request: all of it goes on record. */
export const MAX_AGREEMENTS = 64;
export const MAX_NAME_CHARACTERS = 256;

/** The job that a request asks for. Throws the fault that says what is wrong with it. */
export function jobOf(needs: Needs, caller: Caller, request: JobRequest | null, call: CallContext): Job {
  if (!hasRole(caller, 'consumer'))
    throw new Fault('role-missing', `party \`${caller.party}\` may not submit jobs: it needs the role \`consumer\``);
  if (request === null || request.computation === null)
    throw new Fault(
      'argument-not-valid',
      'the job holds no computation: give SQL, a program, or a homomorphic program',
    );
  if (request.idempotencyKey.length > 128)
    throw new Fault('argument-not-valid', 'the idempotency key is longer than 128 characters');
  if (request.agreementIds.length > MAX_AGREEMENTS)
    throw new Fault('argument-not-valid', `the job names more than ${MAX_AGREEMENTS} agreements`);
  for (const [what, name] of [
    ['rule', request.ruleId],
    ['purpose', request.purpose],
    ...request.agreementIds.map((one) => ['agreement', one] as const),
  ] as const)
    if (name.length > MAX_NAME_CHARACTERS)
      throw new Fault('argument-not-valid', `the name of a ${what} is longer than ${MAX_NAME_CHARACTERS} characters`);
  const id =
    request.idempotencyKey === ''
      ? newId(needs, 'job')
      : `job-${needs.sha256(JSON.stringify([caller.party, request.idempotencyKey])).slice(0, 20)}`;
  const actor = request.mandateId === '' ? null : actorOf(needs, caller, request.mandateId);
  const asker = actor?.principal ?? caller.party;
  const party = needs.store.peek<PartyBody>('party', asker);
  return {
    id,
    // The result goes to the asker: where it is counts, not where its delegate is.
    asker: {
      party: asker,
      groups: party?.body.groups ?? [],
      country: actor === null ? caller.jurisdiction : (party?.body.jurisdiction ?? null),
    },
    actor: actor?.actor ?? null,
    computation: computationOf(needs, request.computation),
    agreementIds: request.project === '' ? request.agreementIds : agreementsOfProject(needs, asker, request),
    rule: request.ruleId === '' ? null : request.ruleId,
    purpose: request.purpose === '' ? null : request.purpose,
    submittedAtMs: needs.nowMs(),
    signature: call.signedRequest?.jws ?? null,
    // A later attempt may have less time left: its deadline is no part of the question.
    askedDigest:
      request.idempotencyKey === '' ? null : needs.sha256(jobStatement(caller.party, { ...request, deadlineMs: 0 })),
  };
}

function actorOf(needs: Needs, caller: Caller, id: string): { readonly principal: string; readonly actor: Actor } {
  const mandate = mandateInForce(needs, caller.party, id);
  const { principal, agreements, notAfterMs } = mandate;
  const mandateDigest = needs.sha256(mandateContent(mandate));
  return { principal, actor: { party: caller.party, mandate: id, mandateDigest, agreements, notAfterMs } };
}

function agreementsOfProject(needs: Needs, owner: string, request: JobRequest): readonly string[] {
  if (request.agreementIds.length > 0) throw new Fault('argument-not-valid', 'name a project or agreements, not both');
  const project = needs.store.peek<ProjectBody>('project', projectId(owner, request.project));
  if (project === undefined) throw new Fault('not-found', `no project \`${request.project}\` of yours`);
  return project.body.agreements;
}

function computationOf(needs: Needs, computation: NonNullable<JobRequest['computation']>): Computation {
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
