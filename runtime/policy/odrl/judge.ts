import type { Knowledge, Request } from '../decide.ts';
import type { Conditions, UsagePolicy } from '../model.ts';
import { evaluateRule } from './evaluate.ts';
import type { Constraint, OdrlRule, Operator, World } from './model.ts';
import { ACTION_OF, CONDITION_TERMS, flatten } from './terms.ts';

export type OdrlVerdict =
  | { readonly kind: 'permitted'; readonly rule: string }
  | { readonly kind: 'denied'; readonly rule: string | null };

/**
 * Judges a request by the policy's ODRL rules with the general ODRL evaluator: a second opinion beside `decide`, made
 * in another way. Prohibitions win; exactly one permission must be active; an error denies.
 */
export function judgeByOdrl(policy: UsagePolicy, request: Request, knowledge: Knowledge): OdrlVerdict {
  const world = worldOf(policy, request, knowledge);
  const asked = { assignee: request.consumer, target: policy.dataset, action: ACTION_OF[request.mode] };
  // A released result is a use, and it leaves: prohibitions of either concern it.
  const actions = [asked.action, ACTION_OF.export];
  for (const rule of policy.deny) {
    const prohibition = ruleOf(policy, rule.id, 'prohibition', ACTION_OF[rule.mode], [rule.when]);
    try {
      const isActive = actions.some(
        (action) => evaluateRule(prohibition, { ...asked, action }, world).activation === 'Active',
      );
      if (isActive) return { kind: 'denied', rule: rule.id };
    } catch {
      if (actions.some((action) => prohibition.action.includes(action) || rule.mode === 'any'))
        return { kind: 'denied', rule: rule.id };
    }
  }
  const active = policy.allow.filter((rule) => {
    if (request.rule !== null && request.rule !== rule.id) return false;
    const permission = ruleOf(policy, rule.id, 'permission', ACTION_OF[rule.mode], [policy.defaults, rule.when]);
    try {
      return evaluateRule(permission, asked, world).activation === 'Active';
    } catch {
      return false;
    }
  });
  const [first, second] = active;
  return first === undefined || second !== undefined
    ? { kind: 'denied', rule: null }
    : { kind: 'permitted', rule: first.id };
}

function ruleOf(
  policy: UsagePolicy,
  id: string,
  kind: OdrlRule['kind'],
  action: string,
  conditions: readonly Conditions[],
): OdrlRule {
  const constraint = conditions.flatMap((when, index) => constraintsOf(when, `${id}/${index}`));
  return { id, kind, assignee: [], target: [policy.dataset], action: [action], constraint, duty: [] };
}

function constraintsOf(when: Conditions, base: string): readonly Constraint[] {
  const flat: Readonly<Record<string, unknown>> = flatten(when);
  return CONDITION_TERMS.flatMap((term): readonly Constraint[] => {
    const value = flat[term.field];
    if (value === null) return [];
    const written = (): readonly string[] => {
      if (term.kind === 'instant') return [new Date(value as number).toISOString()];
      return Array.isArray(value) ? (value as readonly string[]) : [String(value as string | number)];
    };
    const { operand, operator, extra } = term;
    const among = extra?.kind === 'texts' ? { among: (flat[extra.field] ?? []) as readonly string[] } : {};
    return [
      {
        id: `${base}/${term.field}`,
        leftOperand: operand,
        operator: operator as Operator,
        rightOperand: written(),
        ...among,
      },
    ];
  });
}

/** ISO 3166-1 keeps ZZ free: a place that nobody knows is none of those that anybody lists. */
const NOWHERE = 'ZZ';

function worldOf(policy: UsagePolicy, request: Request, knowledge: Knowledge): World {
  const { purpose, image, codeDigest } = request;
  const allowed = [policy.defaults, ...policy.allow.map(({ when }) => when), ...policy.deny.map(({ when }) => when)];
  const purposes = [...new Set(allowed.flatMap((when) => when.purposes ?? []))];
  const includes = (one: string): boolean => {
    try {
      return purpose !== null && knowledge.purposeIncludes(one, purpose);
    } catch {
      return false;
    }
  };
  return {
    values: {
      'odrl:recipient': request.consumer,
      'odrl:dateTime': request.now,
      // What is used up is the ledger's to know, durably, when it reserves.
      'odrl:count': 0,
      'odrl:spatial': request.recipientCountry ?? NOWHERE,
      ...(request.agreedAtMs === null ? {} : { 'odrl:elapsedTime': request.now - request.agreedAtMs }),
      'gb:credential': request.groups,
      'gb:isolationLevel': request.isolation,
      'gb:approvals': request.approvers,
      ...(purpose === null ? {} : { 'odrl:purpose': purpose }),
      ...(image === null ? {} : { 'gb:sandboxImage': image }),
      ...(codeDigest === null ? {} : { 'gb:codeDigest': codeDigest }),
    },
    partOf: request.groups.map((group) => [request.consumer, `group:${group}`] as const),
    duties: {},
    narrower: purposes.filter(includes).map((one) => [purpose ?? '', one] as const),
    holds: (condition) => knowledge.evaluate(condition, request),
  };
}
