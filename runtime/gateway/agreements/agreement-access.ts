import { OPERATOR } from '../../contract/lifecycle.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { type StoredAgreement, pinnedPolicy } from '../agreement-record.ts';
import type { GatewayNeeds } from '../needs.ts';
import type { AgreementBody, PolicyBody } from '../records.ts';

/** An agreement that the caller may see; others answer as if they did not exist. */
export function mine(needs: GatewayNeeds, caller: Caller, id: string): StoredAgreement {
  const agreement = needs.store.peek<AgreementBody>('agreement', id);
  if (agreement === undefined || !(isParty(caller, agreement.body) || hasRole(caller, 'operator', 'auditor')))
    throw new Fault('not-found', `no agreement \`${id}\` of yours`);
  return agreement;
}

/** Whether the caller is the provider or the consumer of an agreement. */
export const isParty = (caller: Caller, body: AgreementBody): boolean =>
  body.provider === caller.party || body.consumer === caller.party;

/** Whom the state machine takes the caller for: a party acts for itself, an operator in its role. */
export function actorOf(caller: Caller, { body }: StoredAgreement): string {
  if (isParty(caller, body)) return caller.party;
  if (hasRole(caller, 'operator')) return OPERATOR;
  throw new Fault('role-missing', 'only its parties change an agreement');
}

/** The policy that an agreement pins; throws `not-found` when it is no longer what was signed. */
export function policyOfAgreement(needs: GatewayNeeds, body: AgreementBody): StoredRecord<PolicyBody> {
  const policy = pinnedPolicy(needs, body);
  if (policy === undefined) throw new Fault('not-found', 'the policy of the agreement is no longer what was signed');
  return policy;
}

/** A policy that the caller attached; one of others answers as if it did not exist. */
export function attachedPolicy(
  needs: GatewayNeeds,
  caller: Caller,
  dataset: string,
  version: number,
): StoredRecord<PolicyBody> {
  const [newest] = needs.store
    .peekAll<PolicyBody>('policy')
    .filter(({ state, body }) => state === 'attached' && body.dataset === dataset && body.provider === caller.party)
    .filter(({ body }) => version === 0 || body.version === version)
    .toSorted((a, b) => b.body.version - a.body.version);
  if (newest === undefined)
    throw new Fault(
      'not-found',
      `no dataset \`${dataset}\` of yours has a policy${version === 0 ? '' : ` version ${version}`}: attach one first`,
    );
  return newest;
}
