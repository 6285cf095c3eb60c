import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { readText } from '../client/read-text.ts';
import type { DiffPolicyResponse, ExplainPolicyResponse, PolicyRef } from '../gen/messages.ts';
import { termDifferences } from '../policy/diff.ts';
import { explainPolicy } from '../policy/explain.ts';
import { act, actAs, type CommonOptions, withCommon } from './command.ts';
import { type ExitCode, type Output, reasonLines, tableText } from './output.ts';
import { wholeNumber } from './whole-number.ts';

/** `policy explain` and `policy diff`. */
export function addPolicyCompare(policy: Command): void {
  withCommon(
    policy
      .command('explain <dataset-or-file>')
      .description('a policy in words: what can be asked, column by column and rule by rule, and what not'),
    'glovebox policy explain hospital/visits --consumer acme',
  )
    .option('--version <number>', 'a version of the dataset’s policy; default: the newest', '0')
    .option(
      '--consumer <party>',
      'as this consumer meets it; default: yourself when you are a consumer, else everybody',
    )
    .action((source: string, options: CommonOptions & { version: string; consumer?: string }) =>
      existsSync(source)
        ? act(options, async (out) => {
            const read = await policyFile(source);
            if (typeof read === 'string') return complained(out, read);
            const party = options.consumer;
            const reader = party === undefined ? null : { party, groups: [] };
            out.answer(explainPolicy(read.policy, reader), explanationText);
            return 0;
          })
        : actAs(options, async (glovebox, out) => {
            const answer = await glovebox.policies.explain({
              dataset: source,
              version: wholeNumber('--version', options.version),
              consumer: options.consumer ?? '',
            });
            out.answer(answer, explanationText);
          }),
    );
  withCommon(
    policy
      .command('diff <before> <after>')
      .description('what is stricter and what is looser, term by term; each is a file, a DATASET or a DATASET@VERSION'),
    'glovebox policy diff hospital/visits visits-new.yaml --jobs',
  )
    .option('--jobs', 'also decide the jobs on record again, and list those whose verdict would change')
    .action((before: string, after: string, options: CommonOptions & { jobs?: boolean }) =>
      options.jobs !== true && existsSync(before) && existsSync(after)
        ? act(options, async (out) => {
            const [a, b] = [await policyFile(before), await policyFile(after)];
            if (typeof a === 'string') return complained(out, a);
            if (typeof b === 'string') return complained(out, b);
            const terms = termDifferences(a.policy, b.policy);
            out.answer({ terms, jobs: [], replayed: 0, notReplayed: 0, complaints: [] }, (answer) =>
              diffText(answer, false),
            );
            return 0;
          })
        : actAs(options, async (glovebox, out) => {
            const withJobs = options.jobs === true;
            const answer = await glovebox.policies.diff(
              { before: refOf(before), after: refOf(after), withJobs },
              { timeoutMs: 600_000 },
            );
            out.answer(answer, () => diffText(answer, withJobs));
            return answer.complaints.length === 0 ? 0 : 1;
          }),
    );
}

/** The policy of a file, or what is wrong with it. */
async function policyFile(file: string): Promise<{ readonly policy: Parameters<typeof explainPolicy>[0] } | string> {
  const { complaintText, parsePolicy } = await import('../policy-file/parse-policy.ts');
  const parsed = parsePolicy(readText(file), file);
  return parsed.kind === 'policy' ? parsed : parsed.complaints.map(complaintText).join('\n');
}

function complained(out: Output, complaints: string): ExitCode {
  out.answer({ complaints: complaints.split('\n') }, () => complaints);
  return 1;
}

function refOf(said: string): PolicyRef {
  if (existsSync(said)) return { document: readText(said), fileName: said, dataset: '', version: 0 };
  const [dataset = '', version = '0'] = said.split('@');
  return { document: '', fileName: '', dataset, version: wholeNumber('the version of DATASET@VERSION', version) };
}

function explanationText(answer: ExplainPolicyResponse): string {
  const columns = answer.columns.map(({ table, column, may, mayNot }) => [
    table === '' ? column : `${table}.${column}`,
    may.length === 0 ? '–' : may.join('; '),
    mayNot.length === 0 ? '–' : mayNot.join('; '),
  ]);
  const part = (title: string, lines: readonly string[]): readonly string[] =>
    lines.length === 0 ? [] : ['', title, ...lines.map((line) => `  ${line}`)];
  return [
    ...answer.summary,
    '',
    tableText(['column', 'may', 'may not'], columns),
    ...part('rules', answer.rules),
    ...part('never', answer.never),
    ...part('duties', answer.duties),
    ...part('for example', answer.examples),
  ].join('\n');
}

function diffText({ terms, jobs, replayed, notReplayed, complaints }: DiffPolicyResponse, withJobs: boolean): string {
  if (complaints.length > 0)
    return complaints.map(({ line, column, message }) => `${line}:${column} ${message}`).join('\n');
  return [
    terms.length === 0
      ? 'the two policies say the same'
      : tableText(
          ['term', 'change', 'before', 'after'],
          terms.map(({ path, change, before, after }) => [path, change, before, after]),
        ),
    ...(withJobs
      ? [
          '',
          `${replayed} jobs on record decided again${notReplayed === 0 ? '' : `; of ${notReplayed} too little is on record`}`,
          ...jobs.flatMap(({ jobId, consumer, wasPermitted, reasons }) => [
            `${jobId} of ${consumer} would now be ${wasPermitted ? 'refused' : 'permitted'}`,
            reasonLines(reasons),
          ]),
          ...(jobs.length === 0 && replayed > 0 ? ['none would be decided otherwise'] : []),
        ]
      : []),
  ].join('\n');
}
