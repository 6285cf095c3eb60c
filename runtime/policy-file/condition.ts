import { celEnv, parse, plan } from '@bufbuild/cel';
import type { Request } from '../policy/decide.ts';

/** Longest condition, characters; deepest nesting of its expression. */
export const MAX_CONDITION = 4096;
const MAX_NODES = 500;

/** What a condition may speak of. */
const ATTRIBUTES = [
  'consumer',
  'groups',
  'mode',
  'purpose',
  'now',
  'isolation',
  'country',
  'image',
  'codeDigest',
] as const;

const compiled = new Map<string, (request: Request) => boolean>();
const MAX_CACHED = 1000;

/**
 * Checks a condition in CEL (Common Expression Language) when a policy is attached; null when it can be evaluated. The
 * parser does not check names, so undeclared ones are found by walking the expression.
 */
export function conditionProblem(condition: string): string | null {
  if (condition.length > MAX_CONDITION) return `longer than ${MAX_CONDITION} characters`;
  try {
    compile(condition);
    return null;
  } catch (error) {
    return error instanceof Error ? (error.message.split('\n')[0] ?? 'cannot be read') : 'cannot be read';
  }
}

/** Evaluates a condition over a request. Throws when it has no boolean answer; the caller denies. */
export function evaluateCondition(condition: string, request: Request): boolean {
  let run = compiled.get(condition);
  if (run === undefined) {
    run = compile(condition);
    if (compiled.size >= MAX_CACHED) compiled.clear();
    compiled.set(condition, run);
  }
  return run(request);
}

function compile(condition: string): (request: Request) => boolean {
  const expression = parse(condition);
  let nodes = 0;
  const scan = (node: unknown, bound: ReadonlySet<string>): void => {
    if (typeof node !== 'object' || node === null) return;
    if (++nodes > MAX_NODES * 20) throw new TypeError('the condition is too large');
    if (Array.isArray(node)) {
      for (const one of node) scan(one, bound);
      return;
    }
    const kind = (node as { case?: unknown }).case;
    const value = (node as { value?: unknown }).value;
    if (kind === 'identExpr') {
      const name = String((value as { name?: unknown }).name);
      if (!bound.has(name))
        throw new TypeError(`unknown name \`${name}\`: a condition speaks of ${ATTRIBUTES.join(', ')}`);
    }
    if (kind === 'comprehensionExpr') {
      const { iterVar, iterVar2, accuVar } = value as { iterVar?: string; iterVar2?: string; accuVar?: string };
      scan(value, new Set([...bound, iterVar ?? '', iterVar2 ?? '', accuVar ?? '']));
      return;
    }
    for (const [key, child] of Object.entries(node)) if (!key.startsWith('$')) scan(child, bound);
  };
  scan((expression as { expr?: unknown }).expr, new Set<string>([...ATTRIBUTES, '@result']));
  const program = plan(celEnv(), expression);
  return (request) => {
    const answer = program({
      consumer: request.consumer,
      groups: [...request.groups],
      mode: request.mode,
      purpose: request.purpose ?? '',
      now: BigInt(Math.floor(request.now / 1000)),
      isolation: request.isolation,
      country: request.recipientCountry ?? '',
      image: request.image ?? '',
      codeDigest: request.codeDigest ?? '',
    });
    if (typeof answer !== 'boolean') throw new TypeError('the condition has no yes or no');
    return answer;
  };
}
