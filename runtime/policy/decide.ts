import type { AllowRule, Conditions, DenyRule, Duty, IsolationLevel, Mode, Release, UsagePolicy } from './model.ts';
import { type Denied, denied, type Reason, reason } from './reason.ts';
import { periodInWords } from './release-in-words.ts';

/** What is asked of one policy, with every fact the decision rests on: who, what for, when, and where it would run. */
export interface Request {
  readonly consumer: string;
  /** Groups the party belongs to, without the prefix `group:`. */
  readonly groups: readonly string[];
  readonly mode: Mode;
  /** The rule the job names; null when it names none. */
  readonly rule: string | null;
  readonly purpose: string | null;
  /** Milliseconds since the epoch, from the trusted clock. */
  readonly now: number;
  /** When the last party signed the agreement, milliseconds since the epoch; null: there is none, or it is not known. */
  readonly agreedAtMs: number | null;
  readonly isolation: IsolationLevel;
  /** Where the recipient is, from its credential (ISO 3166-1); null is treated as foreign everywhere. */
  readonly recipientCountry: string | null;
  readonly image: string | null;
  readonly codeDigest: string | null;
  /** Parties (or roles) that approved the code. */
  readonly approvers: readonly string[];
}

/** Judgements that need knowledge outside of the policy. Throwing counts as "no". */
export interface Knowledge {
  /** Whether `purpose` is `allowed` or a narrower purpose of it (W3C DPV). */
  readonly purposeIncludes: (allowed: string, purpose: string) => boolean;
  /** Evaluates a condition in CEL over the request. */
  readonly evaluate: (condition: string, request: Request) => boolean;
}

export interface Permit {
  readonly kind: 'permitted';
  readonly policy: UsagePolicy;
  readonly rule: AllowRule;
  readonly release: Release;
  readonly duties: readonly Duty[];
  /** For people and evidence: `hospital/visits v3 allow[statistics]`. */
  readonly clause: string;
}

const LEVELS: readonly IsolationLevel[] = ['none', 'process', 'confined', 'namespaced', 'vm'];
export const isAtLeast = (level: IsolationLevel, least: IsolationLevel): boolean =>
  LEVELS.indexOf(level) >= LEVELS.indexOf(least);

/**
 * Decides one request under one policy. Nothing is allowed that no rule allows; a deny rule beats every allow rule; a
 * term that cannot be evaluated denies. Pure: same request, same decision, same reasons.
 */
export function decide(policy: UsagePolicy, request: Request, knowledge: Knowledge): Permit | Denied {
  const name = `${policy.dataset} v${policy.version}`;
  for (const rule of policy.deny) {
    const verdict = applies(rule, request, knowledge);
    if (verdict !== 'no') {
      const why = verdict === 'error' ? 'cannot be evaluated, and what cannot be evaluated denies' : 'forbids this';
      return denied(
        reason('rule-forbids', `rule \`${rule.id}\` of policy \`${name}\` ${why}`, {
          clause: `${name} deny[${rule.id}]`,
        }),
      );
    }
  }
  const ofMode = policy.allow.filter((rule) => rule.mode === request.mode);
  if (ofMode.length === 0) {
    const modes = [...new Set(policy.allow.map((rule) => rule.mode))];
    return denied(
      reason('mode-not-allowed', `policy \`${name}\` has no rule for mode \`${request.mode}\``, {
        clause: name,
        remedy: modes.length === 0 ? 'the policy allows nothing' : `allowed modes: ${modes.join(', ')}`,
      }),
    );
  }
  const named = request.rule === null ? ofMode : ofMode.filter((rule) => rule.id === request.rule);
  if (named.length === 0) {
    return denied(
      reason('rule-unknown', `policy \`${name}\` has no rule \`${request.rule ?? ''}\` for mode \`${request.mode}\``, {
        clause: name,
        remedy: `name one of: ${ofMode.map((rule) => rule.id).join(', ')}`,
      }),
    );
  }
  const judged = named.map((rule) => ({ rule, failures: failuresOf(name, rule, policy.defaults, request, knowledge) }));
  const passing = judged.filter(({ failures }) => failures.length === 0).map(({ rule }) => rule);
  const [first, second] = passing;
  if (first === undefined) return denied(...judged.flatMap(({ failures }) => failures));
  if (second !== undefined) {
    // Two rules may release under different terms; picking one silently would join the two.
    return denied(
      reason('rule-ambiguous', `policy \`${name}\` allows this by several rules`, {
        clause: name,
        remedy: `name one of: ${passing.map((rule) => rule.id).join(', ')}`,
      }),
    );
  }
  return {
    kind: 'permitted',
    policy,
    rule: first,
    release: first.release,
    duties: policy.duties,
    clause: `${name} allow[${first.id}]`,
  };
}

function failuresOf(
  name: string,
  rule: AllowRule,
  defaults: Conditions,
  request: Request,
  knowledge: Knowledge,
): readonly Reason[] {
  return [
    ...unmet(defaults, request, knowledge).map((failure) => failure(`${name} defaults`)),
    ...unmet(rule.when, request, knowledge).map((failure) => failure(`${name} allow[${rule.id}].when`)),
  ];
}

type Failure = (clause: string) => Reason;

/** Every condition that does not hold; the use count is the ledger's to check, durably, at reserve. */
function unmet(when: Conditions, request: Request, knowledge: Knowledge): readonly Failure[] {
  const failures: Failure[] = [];
  const fail = (code: string, message: string, remedy: string | null): void => {
    failures.push((clause) => reason(code, message, { clause, remedy }));
  };
  if (when.consumers !== null && !isAmong(when.consumers, request)) {
    fail(
      'consumer-not-allowed',
      `party \`${request.consumer}\` is not among the consumers`,
      'ask the provider to admit the party',
    );
  }
  if (when.purposes !== null) {
    const { purpose } = request;
    if (purpose === null)
      fail('purpose-missing', 'the job names no purpose', `name one of: ${when.purposes.join(', ')}`);
    else if (!when.purposes.some((allowed) => safely(() => knowledge.purposeIncludes(allowed, purpose)))) {
      fail('purpose-not-allowed', `purpose \`${purpose}\` is not allowed`, `name one of: ${when.purposes.join(', ')}`);
    }
  }
  if (when.notBefore !== null && request.now < when.notBefore) {
    fail('too-early', `use begins at ${new Date(when.notBefore).toISOString()}`, 'submit the job then');
  }
  if (when.notAfter !== null && request.now >= when.notAfter) {
    fail('too-late', `use ended at ${new Date(when.notAfter).toISOString()}`, 'ask the provider for a new agreement');
  }
  const { elapsedMs } = when;
  if (elapsedMs !== null && (request.agreedAtMs === null || request.now - request.agreedAtMs > elapsedMs)) {
    fail(
      'too-late',
      `use ended ${periodInWords(elapsedMs)} after the agreement was signed`,
      'ask the provider for a new agreement',
    );
  }
  if (when.credentials !== null) {
    const missing = when.credentials.filter((one) => !request.groups.includes(one));
    if (missing.length > 0)
      fail(
        'credential-missing',
        `party \`${request.consumer}\` is not attested as: ${missing.join(', ')}`,
        'ask the operator, who attests it: `party add --group`',
      );
  }
  if (when.isolationAtLeast !== null && !isAtLeast(request.isolation, when.isolationAtLeast)) {
    fail(
      'isolation-too-low',
      `this machine offers isolation \`${request.isolation}\`, \`${when.isolationAtLeast}\` is required`,
      'ask the operator; `glovebox doctor` says what is missing',
    );
  }
  if (when.images !== null && (request.image === null || !when.images.includes(request.image))) {
    fail(
      'image-not-allowed',
      `sandbox image \`${request.image ?? 'none'}\` is not allowed`,
      `use one of: ${when.images.join(', ')}`,
    );
  }
  if (when.digests !== null && (request.codeDigest === null || !when.digests.includes(request.codeDigest))) {
    fail(
      'code-not-approved',
      'this code is not among the allowed digests',
      'ask the provider to allow the digest of this code',
    );
  }
  if (when.approvals !== null) {
    const by = when.approvals.by;
    const approvers = new Set(request.approvers.filter((approver) => by.includes(approver)));
    if (approvers.size < when.approvals.quorum) {
      fail(
        'approvals-missing',
        `the code has ${approvers.size} of ${when.approvals.quorum} approvals`,
        `approvals come from: ${by.join(', ')}`,
      );
    }
  }
  const country = request.recipientCountry;
  if (when.recipientInside !== null && (country === null || !when.recipientInside.includes(country))) {
    fail(
      'recipient-location',
      'the recipient is not known to be inside the allowed jurisdictions',
      `allowed: ${when.recipientInside.join(', ')}`,
    );
  }
  if (when.recipientOutside !== null && country !== null && when.recipientOutside.includes(country)) {
    fail('recipient-location', 'the recipient is inside the excluded jurisdictions', null);
  }
  const { condition } = when;
  if (condition !== null && !safely(() => knowledge.evaluate(condition, request))) {
    fail('condition-not-met', `the condition \`${condition}\` does not hold`, null);
  }
  return failures;
}

/** A deny rule applies when its action covers the request and every one of its conditions holds. */
function applies(rule: DenyRule, request: Request, knowledge: Knowledge): 'yes' | 'no' | 'error' {
  // `export` is every release to a recipient; `raw` and `reuse` are never offered by any mode, so they cannot match.
  const covers = rule.mode === 'any' || rule.mode === 'export' || rule.mode === request.mode;
  if (!covers) return 'no';
  const { when } = rule;
  const { condition, purposes } = when;
  const { purpose } = request;
  // First: a rule that cannot be evaluated denies, whatever else it says.
  try {
    if (condition !== null && !knowledge.evaluate(condition, request)) return 'no';
    if (purposes !== null && purpose !== null)
      for (const forbidden of purposes) knowledge.purposeIncludes(forbidden, purpose);
  } catch {
    return 'error';
  }
  if (when.recipientOutside !== null) {
    // An unknown place is treated as foreign.
    const isInside = request.recipientCountry !== null && when.recipientOutside.includes(request.recipientCountry);
    if (isInside) return 'no';
  }
  const rest: Conditions = { ...when, recipientOutside: null, condition: null, count: null };
  return unmet(rest, request, knowledge).length === 0 ? 'yes' : 'no';
}

const isAmong = (consumers: readonly string[], request: Request): boolean =>
  consumers.some(
    (one) =>
      one === request.consumer || (one.startsWith('group:') && request.groups.includes(one.slice('group:'.length))),
  );

function safely(judge: () => boolean): boolean {
  try {
    return judge();
  } catch {
    return false;
  }
}
