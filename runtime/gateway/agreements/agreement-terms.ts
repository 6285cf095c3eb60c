import type { AgreementTerms } from '../../contract/agreement.ts';
import { canonicalJson, type Json } from '../../evidence/canonical-json.ts';
import { parsePricePlan } from '../../policy-file/price-plan.ts';
import { Fault } from '../../rpc/fault.ts';
import { type GatewayNeeds, newId } from '../needs.ts';
import type { PolicyBody } from '../records.ts';

/** The terms of a new agreement on one dataset; throws when it would end before it begins. */
export function termsFor(
  needs: GatewayNeeds,
  of: Pick<
    AgreementTerms,
    'consumer' | 'notBeforeMs' | 'notAfterMs' | 'purposes' | 'supersedes' | 'counterOffers' | 'pricesDigest'
  > & {
    readonly policy: PolicyBody;
  },
): AgreementTerms {
  const { policy, notBeforeMs, notAfterMs, ...rest } = of;
  if (notAfterMs !== null && notAfterMs <= notBeforeMs)
    throw new Fault('argument-not-valid', 'the agreement would end before it begins');
  return {
    id: newId(needs, 'agr'),
    authority: needs.authority,
    ...rest,
    notBeforeMs,
    notAfterMs,
    datasets: [
      {
        provider: policy.provider,
        dataset: policy.dataset,
        policyVersion: policy.version,
        policyDigest: policy.digest,
        rules: null,
      },
    ],
  };
}

/** A price plan as it is signed: canonical JSON of what the document says; empty for none. */
export function pricesIn(document: string): string {
  if (document === '') return '';
  const parsed = parsePricePlan(document);
  if (parsed.kind === 'complaints')
    throw new Fault('argument-not-valid', `the price plan is not one: ${parsed.complaints.slice(0, 5).join('; ')}`);
  return canonicalJson(parsed.prices as unknown as Json);
}
