import type * as z from 'zod';
import type { UsagePolicy } from '../policy/model.ts';
import { type Path, type PolicyDocument, policyDocument } from './document.ts';
import { checkMeaning } from './meaning.ts';
import { normalise } from './normalise.ts';
import { readYaml } from './read-yaml.ts';
import { sayIssue } from './say-issue.ts';

/** Largest policy file accepted, bytes of UTF-8. */
export const MAX_POLICY_BYTES = 256 * 1024;
/** Most complaints listed for one file. */
export const MAX_COMPLAINTS = 50;

/** One thing wrong with a policy file; printed as `file:line:column path: message`. */
export interface Complaint {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly path: string;
  readonly message: string;
}

export type ParsedPolicy =
  | {
      readonly kind: 'policy';
      readonly policy: UsagePolicy;
      readonly document: PolicyDocument;
      /** A complaint about a place in this file, for checks that need more than the file. */
      readonly complaintAt: (path: Path, message: string) => Complaint;
    }
  | { readonly kind: 'complaints'; readonly complaints: readonly Complaint[] };

/**
 * Reads a policy in YAML or JSON. Unknown keys, unknown terms, wrong types and rules that make no sense are complaints
 * with their place; nothing is guessed. `version` is what the runtime assigns when the policy is attached.
 */
export function parsePolicy(text: string, file: string, version = 1): ParsedPolicy {
  if (Buffer.byteLength(text) > MAX_POLICY_BYTES) {
    return complain({
      file,
      line: 1,
      column: 1,
      path: '',
      message: `the file is larger than ${MAX_POLICY_BYTES} bytes`,
    });
  }
  const read = readYaml(text);
  if (read.kind === 'troubles') return complain(...read.troubles.map((one) => ({ file, path: '', ...one })));
  const { source, lines } = read;
  const placeOf = (path: Path): { line: number; column: number } => {
    for (let length = path.length; length >= 0; length--) {
      const node = source.getIn(path.slice(0, length), true) as
        | { range?: readonly [number, number, number] }
        | undefined;
      if (node?.range !== undefined && node.range !== null) {
        const place = lines.linePos(node.range[0]);
        return { line: place.line, column: place.col };
      }
    }
    return { line: 1, column: 1 };
  };
  const at = (path: Path, message: string): Complaint => ({ file, ...placeOf(path), path: path.join('.'), message });

  const parsed = policyDocument.safeParse(read.value);
  if (!parsed.success) {
    // Places are looked up one by one: no more of them than are shown.
    const complaints: Complaint[] = [];
    for (const issue of parsed.error.issues.slice(0, MAX_COMPLAINTS))
      if (complaints.length < MAX_COMPLAINTS) complaints.push(...complaintsOf(issue, at));
    return complain(...complaints);
  }
  const wrong = checkMeaning(parsed.data);
  if (wrong.length > 0)
    return complain(...wrong.slice(0, MAX_COMPLAINTS).map(({ path, message }) => at(path, message)));
  return {
    kind: 'policy',
    policy: normalise(parsed.data, parsed.data.metadata.version ?? version),
    document: parsed.data,
    complaintAt: at,
  };
}

/** The line a person reads. */
export function complaintText(complaint: Complaint): string {
  const { file, line, column, path, message } = complaint;
  return `${file}:${line}:${column} ${path === '' ? '' : `${path}: `}${message}`;
}

function complain(...complaints: readonly Complaint[]): ParsedPolicy {
  return { kind: 'complaints', complaints: complaints.slice(0, MAX_COMPLAINTS) };
}

function complaintsOf(issue: z.core.$ZodIssue, at: (path: Path, message: string) => Complaint): readonly Complaint[] {
  const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part));
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.slice(0, MAX_COMPLAINTS).map((key) => at([...path, key], `unknown key \`${key}\``));
  }
  if (issue.code === 'invalid_union') {
    // The branch that got furthest says best what is wrong.
    const deepest = issue.errors
      .map((branch) => branch.toSorted((a, b) => b.path.length - a.path.length)[0])
      .filter((candidate) => candidate !== undefined && candidate.path.length > 0)
      .toSorted((a, b) => (b?.path.length ?? 0) - (a?.path.length ?? 0))[0];
    if (deepest !== undefined) return complaintsOf({ ...deepest, path: [...issue.path, ...deepest.path] }, at);
    const choices = issue.errors.map((branch) => branch[0]?.message ?? '').filter((text) => text !== '');
    return [
      at(path, choices.length > 0 ? `expected one of: ${[...new Set(choices)].join('; ')}` : 'not an accepted form'),
    ];
  }
  return [at(path, sayIssue(issue))];
}
