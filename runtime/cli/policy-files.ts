import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { PolicyComplaint } from '../gen/messages.ts';
import type { UsagePolicy } from '../policy/model.ts';
import { policyFromOdrl } from '../policy/odrl/parse.ts';
import { type CaseResult, type PolicyRef, runPolicyCases } from '../policy-file/cases.ts';
import { complaintText, parsePolicy } from '../policy-file/parse-policy.ts';
import { policyDocumentOf } from '../policy-file/write-document.ts';
import type { ExitCode, Output } from './output.ts';

/** What `policy import` and `policy test` do; in a file of its own, since other commands need not load the parser. */

export function importOdrl(out: Output, file: string, target: string | null): ExitCode {
  const imported = policyFromOdrl(readFileSync(file, 'utf8'));
  if (imported.kind === 'refused') {
    out.answer({ document: null, reason: imported.reason }, () => `cannot import \`${file}\`: ${imported.reason}`);
    return 1;
  }
  const document = policyDocumentOf(imported.policy);
  const checked = parsePolicy(document, file);
  if (checked.kind === 'complaints') {
    const { complaints } = checked;
    out.answer({ document: null, complaints }, () => complaints.map(complaintText).join('\n'));
    return 1;
  }
  if (target !== null) writeFileSync(target, document);
  out.answer({ document, assigner: imported.assigner }, () =>
    target === null ? document : `written to ${target}; attach it with: glovebox policy attach ${target}`,
  );
  return 0;
}

export function testCases(out: Output, file: string): ExitCode {
  const policyOf = (ref: PolicyRef): UsagePolicy | string => policyIn(file, ref);
  const answer = runPolicyCases(readFileSync(file, 'utf8'), file, { nowMs: Date.now(), policyOf });
  return answer.kind === 'ran' ? tellCases(out, file, answer.results, []) : tellCases(out, file, [], answer.complaints);
}

/** A policy that a case names: a document of its own, or a file beside the cases. */
function policyIn(file: string, ref: PolicyRef): UsagePolicy | string {
  const place = typeof ref === 'string' ? join(dirname(file), ref) : file;
  if (typeof ref === 'string' && !existsSync(place)) return `there is no file \`${place}\``;
  const parsed = parsePolicy(typeof ref === 'string' ? readFileSync(place, 'utf8') : JSON.stringify(ref), place);
  return parsed.kind === 'policy' ? parsed.policy : (parsed.complaints.map(complaintText)[0] ?? 'not a policy');
}

export function tellCases(
  out: Output,
  file: string,
  results: readonly Pick<CaseResult, 'name' | 'passed' | 'difference'>[],
  complaints: readonly Pick<PolicyComplaint, 'line' | 'column' | 'path' | 'message'>[],
): ExitCode {
  const failed = results.filter(({ passed }) => !passed);
  out.answer({ results, complaints }, () =>
    [
      ...complaints.map((one) => complaintText({ ...one, file })),
      ...results.map(({ name, passed, difference }) => (passed ? `ok      ${name}` : `FAILED  ${name}: ${difference}`)),
      ...(results.length === 0 ? [] : [`${results.length - failed.length} of ${results.length} cases passed`]),
    ].join('\n'),
  );
  return failed.length + complaints.length === 0 ? 0 : 1;
}
