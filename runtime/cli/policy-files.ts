import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readText } from '../client/read-text.ts';
import type { PolicyComplaint } from '../gen/messages.ts';
import type { UsagePolicy } from '../policy/model.ts';
import { policyFromOdrl } from '../policy/odrl/parse.ts';
import { type CaseResult, type PolicyRef, runPolicyCases } from '../policy-file/cases.ts';
import { complaintText, parsePolicy } from '../policy-file/parse-policy.ts';
import { importBigQuery } from '../policy-file/import/bigquery.ts';
import { importCcl } from '../policy-file/import/ccl.ts';
import { importCleanRooms } from '../policy-file/import/clean-rooms.ts';
import type { Imported, ImportOptions } from '../policy-file/import/imported.ts';
import { importSnowflake } from '../policy-file/import/snowflake.ts';
import { policyDocumentOf } from '../policy-file/write-document.ts';
import { type ExitCode, type Output, UsageError } from './output.ts';
import { wholeNumber } from './whole-number.ts';
import { writeWhole } from './write-file.ts';

/** What `policy import` and `policy test` do; in a file of its own, since other commands need not load the parser. */

export function importOdrl(out: Output, file: string, target: string | null): ExitCode {
  const imported = policyFromOdrl(readText(file));
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
  if (target !== null) writeWhole(target, document);
  out.answer({ document, assigner: imported.assigner }, () =>
    target === null ? document : `written to ${target}; attach it with: glovebox policy attach ${target}`,
  );
  return 0;
}

/** What a person says beside the file that is imported. */
export interface ImportChoices {
  readonly from?: string;
  readonly odrl?: boolean;
  readonly dataset?: string;
  readonly unit?: readonly string[];
  readonly minUnits?: string;
  readonly columns?: string;
  readonly out?: string;
}

/** Rules of other systems; what cannot be said is listed, in the document too. */
export function importForeign(out: Output, file: string, choices: ImportChoices): ExitCode {
  const { unit, minUnits, columns, dataset, out: target } = choices;
  if (minUnits !== undefined && !/^[1-9]\d{0,5}$/.test(minUnits))
    throw new UsageError(`--min-units \`${minUnits}\` is not a number of at least 1`);
  const read = IMPORTERS[choices.from ?? ''];
  if (read === undefined) throw new UsageError(`\`${choices.from ?? ''}\` is not a form`);
  const imported = read(readText(file), {
    ...(dataset === undefined ? {} : { dataset }),
    ...(unit === undefined ? {} : { unit: unit.length === 1 && unit[0] === 'row' ? 'row' : unit }),
    ...(minUnits === undefined ? {} : { minUnits: wholeNumber('--min-units', minUnits, { from: 1 }) }),
    ...(columns === undefined ? {} : { columns: columns.split(',').map((name) => name.trim()) }),
  });
  const { losses } = imported;
  const lost = losses.map(({ at, said, becomes }) => `  ${at}: ${said}: ${becomes}`);
  const lostText = lost.length === 0 ? '' : `\nnot said in the same way:\n${lost.join('\n')}`;
  if (imported.kind === 'refused') {
    const { reason } = imported;
    out.answer({ document: null, reason, losses }, () => `cannot import \`${file}\`: ${reason}${lostText}`);
    return 1;
  }
  const { document } = imported;
  if (target !== undefined) writeWhole(target, document);
  out.answer({ document, losses }, () =>
    target === undefined
      ? document
      : `written to ${target}; read it, then attach it with: glovebox policy attach ${target}${lostText}`,
  );
  return 0;
}

const IMPORTERS: Readonly<Record<string, (source: string, options: ImportOptions) => Imported>> = {
  'clean-rooms': importCleanRooms,
  bigquery: importBigQuery,
  snowflake: importSnowflake,
  ccl: importCcl,
};

export function testCases(out: Output, file: string): ExitCode {
  const policyOf = (ref: PolicyRef): UsagePolicy | string => policyIn(file, ref);
  const answer = runPolicyCases(readText(file), file, { nowMs: Date.now(), policyOf });
  return answer.kind === 'ran' ? tellCases(out, file, answer.results, []) : tellCases(out, file, [], answer.complaints);
}

/** A policy that a case names: a document of its own, or a file beside the cases. */
function policyIn(file: string, ref: PolicyRef): UsagePolicy | string {
  const place = typeof ref === 'string' ? join(dirname(file), ref) : file;
  if (typeof ref === 'string' && !existsSync(place)) return `there is no file \`${place}\``;
  const parsed = parsePolicy(typeof ref === 'string' ? readText(place) : JSON.stringify(ref), place);
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
