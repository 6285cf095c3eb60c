import type { UsagePolicy } from '../model.ts';
import { partyIri, policyIri, policyToOdrl, datasetIri, type LdEntry, type LdNode } from './compile.ts';
import { NAMESPACES, PROFILE } from './terms.ts';

/** A constraint as the Dataspace Protocol 2025-1 writes it: full IRIs, the operator without its namespace. */
export interface DspConstraint {
  readonly leftOperand: string;
  readonly operator: string;
  /** Texts only: the protocol's schema admits no JSON number. */
  readonly rightOperand: string | readonly string[];
}

export interface DspRule {
  readonly action: string;
  readonly constraint?: readonly DspConstraint[];
}

/** An offer in a message of the Dataspace Protocol 2025-1 (`MessageOffer` of its contract schema). */
export interface DspOffer {
  readonly '@context': readonly string[];
  readonly '@type': 'Offer';
  readonly '@id': string;
  readonly profile: string;
  readonly target: string;
  readonly assigner: string;
  readonly permission?: readonly DspRule[];
  readonly prohibition?: readonly DspRule[];
  readonly obligation?: readonly DspRule[];
}

/**
 * A policy as the offer of a Dataspace Protocol negotiation. An action is one text there, so the release terms that
 * refine it in ODRL stand beside the conditions, under the left operands of our profile. Grants on columns and the terms
 * of duties have no place in it: it is for finding and negotiating, and what is signed and enforced is the document.
 */
export function policyToDsp(policy: UsagePolicy, assigner: string): DspOffer {
  const odrl = policyToOdrl(policy, assigner);
  const rules = (name: string): { readonly [key: string]: readonly DspRule[] } => {
    const written = nodes(odrl, `odrl:${name}`).map(ruleOf);
    return written.length === 0 ? {} : { [name]: written };
  };
  return {
    '@context': ['https://w3id.org/dspace/2025/1/context.jsonld'],
    '@type': 'Offer',
    '@id': policyIri(policy),
    profile: PROFILE,
    target: datasetIri(policy.dataset),
    assigner: partyIri(assigner),
    ...rules('permission'),
    ...rules('prohibition'),
    ...rules('obligation'),
  };
}

function ruleOf(rule: LdNode): DspRule {
  const [action] = nodes(rule, 'odrl:action');
  const refined = action === undefined ? [] : nodes(action, 'odrl:refinement');
  const [named] = action === undefined ? [] : nodes(action, 'rdf:value');
  const constraint = [...refined, ...nodes(rule, 'odrl:constraint')].map(constraintOf);
  return { action: idOf(named ?? action), ...(constraint.length === 0 ? {} : { constraint }) };
}

function constraintOf(node: LdNode): DspConstraint {
  const values = entries(node, 'odrl:rightOperand').map((one) =>
    typeof one['@value'] === 'string' ? one['@value'] : idOf(one as LdNode),
  );
  const operator = idOf(nodes(node, 'odrl:operator')[0]).slice(NAMESPACES.odrl.length);
  return {
    leftOperand: idOf(nodes(node, 'odrl:leftOperand')[0]),
    operator,
    // Several of `isAnyOf` stay several, also when there is one.
    rightOperand: /^is(Any|None|All)Of$/.test(operator) ? values : (values[0] ?? ''),
  };
}

function entries(node: LdNode, term: string): readonly LdEntry[] {
  const [prefix = '', name = ''] = term.split(':');
  const value = node[`${NAMESPACES[prefix as keyof typeof NAMESPACES]}${name}`];
  return typeof value === 'string' || value === undefined ? [] : value;
}

const nodes = (node: LdNode, term: string): readonly LdNode[] => entries(node, term) as readonly LdNode[];
const idOf = (node: LdNode | undefined): string => (typeof node?.['@id'] === 'string' ? node['@id'] : '');
