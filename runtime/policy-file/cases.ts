import * as z from 'zod';
import { decide, type Request } from '../policy/decide.ts';
import type { UsagePolicy } from '../policy/model.ts';
import { judgeByOdrl } from '../policy/odrl/judge.ts';
import { purposeIncludes } from '../policy/purposes.ts';
import type { Reason } from '../policy/reason.ts';
import { evaluateCondition } from './condition.ts';
import { instant } from './document.ts';
import { MAX_POLICY_BYTES } from './parse-policy.ts';
import { readYaml } from './read-yaml.ts';
import type { Complaint } from './parse-policy.ts';
import { sayIssue } from './say-issue.ts';

/** Most cases in one file. */
export const MAX_CASES = 10_000;

const name = z.string().min(1).max(256);
const policyRef = z.union([
  name.describe('Where the policy is: a file for the command line, DATASET or DATASET@VERSION for a runtime'),
  z.record(z.string(), z.unknown()).describe('The policy document itself'),
]);
const request = z.strictObject({
  consumer: name,
  groups: z.array(name).optional(),
  mode: z.enum(['aggregate', 'differentialPrivacy', 'homomorphic', 'sandbox', 'approvedCode']),
  rule: name.optional(),
  purpose: name.optional(),
  at: instant.optional().describe('When; default: now'),
  agreedAt: instant.optional().describe('When the last party signed; default: there is no agreement'),
  isolation: z.enum(['none', 'process', 'confined', 'namespaced', 'vm']).optional(),
  country: z
    .string()
    .regex(/^[A-Z]{2}$/)
    .optional(),
  image: name.optional(),
  codeDigest: name.optional(),
  approvers: z.array(name).optional(),
});
const expect = z.union([
  z.enum(['permit', 'deny']),
  z.strictObject({
    permit: name.describe('The rule that permits it'),
    release: z.record(z.string(), z.unknown()).optional().describe('Release terms that must hold, as they are shown'),
  }),
  z.strictObject({ deny: z.array(name).min(1).describe('Codes that must be among the reasons') }),
]);
const casesDocument = z.strictObject({
  policy: policyRef.optional(),
  cases: z
    .array(z.strictObject({ name: name.optional(), policy: policyRef.optional(), request, expect }))
    .min(1)
    .max(MAX_CASES),
});

export type PolicyRef = z.infer<typeof policyRef>;
export interface CaseResult {
  readonly name: string;
  readonly passed: boolean;
  /** What came instead; empty when it passed. */
  readonly difference: string;
  readonly reasons: readonly Reason[];
}
export type CasesAnswer =
  | { readonly kind: 'ran'; readonly results: readonly CaseResult[] }
  | { readonly kind: 'complaints'; readonly complaints: readonly Complaint[] };

/**
 * Runs policy cases `{policy, request, expect}`. Each is decided by `decide` and judged again by the ODRL evaluator;
 * a case on which the two disagree has failed, whatever was expected.
 */
export function runPolicyCases(
  text: string,
  file: string,
  needs: {
    readonly nowMs: number;
    /** The policy that a case names, or what is wrong with it. */
    readonly policyOf: (ref: PolicyRef) => UsagePolicy | string;
  },
): CasesAnswer {
  if (Buffer.byteLength(text) > MAX_POLICY_BYTES)
    return complain(file, 1, 1, '', `the file is larger than ${MAX_POLICY_BYTES} bytes`);
  const read = readYaml(text);
  if (read.kind === 'troubles') {
    const [trouble] = read.troubles;
    return complain(file, trouble?.line ?? 1, trouble?.column ?? 1, '', trouble?.message ?? 'not YAML');
  }
  const { source, lines, value: plain } = read;
  // A file may also be the list of cases alone.
  const isList = Array.isArray(plain);
  const placed = (whole: readonly PropertyKey[], message: string): CasesAnswer => {
    const path = isList ? whole.slice(1) : whole;
    for (let length = path.length; length >= 0; length -= 1) {
      const node = source.getIn(path.slice(0, length), true) as { range?: readonly number[] | null } | undefined;
      const start = node?.range?.[0];
      if (start === undefined) continue;
      const { line, col } = lines.linePos(start);
      return complain(file, line, col, path.join('.'), message);
    }
    return complain(file, 1, 1, path.join('.'), message);
  };
  const parsed = casesDocument.safeParse(isList ? { cases: plain } : plain);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return placed(issue?.path ?? [], issue === undefined ? 'not a file of cases' : sayIssue(issue));
  }
  const results: CaseResult[] = [];
  const known = new Map<PolicyRef, UsagePolicy | string>();
  for (const [index, one] of parsed.data.cases.entries()) {
    const ref = one.policy ?? parsed.data.policy;
    if (ref === undefined) return placed(['cases', index], 'no policy: name one for the file or for the case');
    const policy = known.get(ref) ?? needs.policyOf(ref);
    known.set(ref, policy);
    const where = one.policy === undefined ? ['policy'] : ['cases', index, 'policy'];
    if (typeof policy === 'string') return placed(where, policy);
    results.push(judge(one.name ?? `case ${index + 1}`, policy, requestOf(one.request, needs.nowMs), one.expect));
  }
  return { kind: 'ran', results };
}

function requestOf(asked: z.infer<typeof request>, nowMs: number): Request {
  return {
    consumer: asked.consumer,
    groups: asked.groups ?? [],
    mode: asked.mode,
    rule: asked.rule ?? null,
    purpose: asked.purpose ?? null,
    now: asked.at === undefined ? nowMs : Date.parse(asked.at),
    agreedAtMs: asked.agreedAt === undefined ? null : Date.parse(asked.agreedAt),
    isolation: asked.isolation ?? 'namespaced',
    recipientCountry: asked.country ?? null,
    image: asked.image ?? null,
    codeDigest: asked.codeDigest ?? null,
    approvers: asked.approvers ?? [],
  };
}

function judge(name_: string, policy: UsagePolicy, asked: Request, expected: z.infer<typeof expect>): CaseResult {
  const knowledge = { purposeIncludes, evaluate: evaluateCondition };
  const verdict = decide(policy, asked, knowledge);
  const reasons = verdict.kind === 'denied' ? verdict.reasons : [];
  const opinion = judgeByOdrl(policy, asked, knowledge);
  const result = (difference: string): CaseResult => ({ name: name_, passed: difference === '', difference, reasons });
  const ruled = verdict.kind === 'permitted' ? verdict.rule.id : null;
  if (opinion.kind !== verdict.kind || (opinion.kind === 'permitted' && opinion.rule !== ruled))
    return result(`the evaluators disagree: ${verdict.kind} and, as ODRL, ${opinion.kind}`);
  const came =
    verdict.kind === 'denied'
      ? `denied (${reasons.map(({ code }) => code).join(', ')})`
      : `permitted by ${ruled ?? ''}`;
  if (expected === 'permit') return result(ruled === null ? `expected a permit; it is ${came}` : '');
  if (expected === 'deny') return result(ruled === null ? '' : `expected a denial; it is ${came}`);
  if ('deny' in expected) {
    const missing = expected.deny.filter((code) => !reasons.some((one) => one.code === code));
    if (ruled !== null) return result(`expected a denial; it is ${came}`);
    return result(missing.length === 0 ? '' : `expected reason ${missing.join(', ')}; it is ${came}`);
  }
  if (ruled !== expected.permit) return result(`expected a permit by ${expected.permit}; it is ${came}`);
  const terms = verdict.kind === 'permitted' ? (verdict.release as unknown as Readonly<Record<string, unknown>>) : {};
  const wrong = Object.entries(expected.release ?? {}).find(
    ([term, value]) => JSON.stringify(terms[term]) !== JSON.stringify(value),
  );
  return result(
    wrong === undefined
      ? ''
      : `expected ${wrong[0]} ${JSON.stringify(wrong[1])}; it is ${JSON.stringify(terms[wrong[0]])}`,
  );
}

function complain(file: string, line: number, column: number, path: string, message: string): CasesAnswer {
  return { kind: 'complaints', complaints: [{ file, line, column, path, message }] };
}
