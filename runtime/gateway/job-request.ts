import type { JavaScriptProgram, JobRequest } from '../gen/messages.ts';
import { type Caller, hasRole } from '../identity/party.ts';
import type { Computation, Job, ParameterValue } from '../job/job.ts';
import type { CallContext } from '../rpc/call.ts';
import { Fault } from '../rpc/fault.ts';
import type { SubmittedProgram } from './javascript-engine.ts';
import { type GatewayNeeds, newId } from './needs.ts';
import type { PartyBody } from './records.ts';

type Needs = Pick<GatewayNeeds, 'store' | 'nowMs' | 'randomBytes' | 'sha256'> & {
  /** A submitted program with what the registry says of its code. */
  readonly programOf: (message: JavaScriptProgram) => SubmittedProgram;
};

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
