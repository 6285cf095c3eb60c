import { type Command, Option } from 'commander';
import { readText } from '../client/read-text.ts';
import type { PolicyComplaint } from '../gen/messages.ts';
import { gradeProblems } from '../policy/grade-pack.ts';
import { policyInWords } from '../policy/in-words.ts';
import { act, actAs, type CommonOptions, withCommon } from './command.ts';
import { gradeOf } from './dataset-grade.ts';
import { reasonLines, UsageError } from './output.ts';
import { addPolicyCompare } from './policy-compare.ts';
import type { ImportChoices } from './policy-files.ts';
import { wholeNumber } from './whole-number.ts';

/** What `policy import` reads. */
const FORMS = ['odrl', 'clean-rooms', 'bigquery', 'snowflake', 'ccl'];

export function addPolicy(program: Command): void {
  const policy = program.command('policy').description('what providers allow');
  withCommon(
    policy
      .command('check <file>')
      .description('read a policy document and say what is wrong, with its place; needs no runtime'),
    'glovebox policy check visits.yaml',
  )
    .option('--grade <grade>', 'hold it against the rules of a data grade: public, internal, important or core')
    .action((file: string, options: CommonOptions & { grade?: string }) =>
      act(options, async (out) => {
        const { complaintText, parsePolicy } = await import('../policy-file/parse-policy.ts');
        const grade = options.grade === undefined ? null : gradeOf(options.grade);
        const parsed = parsePolicy(readText(file), file);
        const complaints =
          parsed.kind === 'complaints'
            ? parsed.complaints
            : gradeProblems(parsed.policy, { grade, isConfirmed: true, proposed: [] }).map(({ path, message }) =>
                parsed.complaintAt(path, message),
              );
        if (parsed.kind === 'complaints' || complaints.length > 0) {
          out.answer({ isValid: false, complaints }, () => complaints.map(complaintText).join('\n'));
          return 1;
        }
        const inWords = policyInWords(parsed.policy);
        out.answer({ isValid: true, complaints: [], inWords }, () => inWords.join('\n'));
        return 0;
      }),
    );
  withCommon(
    policy.command('attach <file>').description('attach a document as the next version of its dataset’s policy'),
    'glovebox policy attach visits.yaml',
  )
    .option('--dataset <name>', 'refuse unless the document is for this dataset')
    .action((file: string, options: CommonOptions & { dataset?: string }) =>
      actAs(options, async (glovebox, out) => {
        const answer = await glovebox.policies.attach(
          { document: readText(file), fileName: file, dataset: options.dataset ?? '' },
          { timeoutMs: 3_600_000 },
        );
        const { policy: attached } = answer;
        out.answer(answer, () =>
          attached === null
            ? `not attached:\n${[...answer.complaints.map((complaint) => textOf(file, complaint)), reasonLines(answer.reasons)].filter((text) => text !== '').join('\n')}`
            : `attached version ${attached.version} to ${attached.dataset}, ${attached.digest}\n${attached.inWords.join('\n')}`,
        );
        return attached === null ? 1 : 0;
      }),
    );
  withCommon(
    policy.command('show <dataset>').description('the policy of a dataset as you may see it'),
    'glovebox policy show hospital/visits',
  )
    .option('--version <number>', 'a version; default: the newest', '0')
    .option('--odrl', 'as ODRL 2.2 (JSON-LD)')
    .option('--dsp', 'as an offer of the Dataspace Protocol 2025-1 (JSON)')
    .action((dataset: string, options: CommonOptions & { version: string; odrl?: boolean; dsp?: boolean }) =>
      actAs(options, async (glovebox, out) => {
        const found = await glovebox.policies.get({
          dataset,
          version: wholeNumber('--version', options.version),
          format: options.odrl === true ? 'odrl' : options.dsp === true ? 'dsp' : '',
        });
        out.answer(found, () =>
          options.odrl === true || options.dsp === true
            ? found.odrl
            : `${found.policy?.inWords.join('\n') ?? ''}\n\n${found.policy?.document ?? ''}`,
        );
      }),
    );
  withCommon(
    policy
      .command('import <file>')
      .description(
        'write somebody else’s rules as a policy document, and list what cannot be said in one; needs no runtime',
      ),
    'glovebox policy import rule.json --from clean-rooms --dataset shop/orders --out orders.yaml',
  )
    .addOption(
      new Option(
        '--from <form>',
        'odrl: offer of our ODRL 2.2 profile (JSON-LD); clean-rooms: AWS analysis rule (JSON); bigquery, snowflake: DDL; ccl: GRANTs of SCQL 1.x',
      ).choices(FORMS),
    )
    .option('--odrl', 'the same as --from odrl')
    .option('--dataset <name>', 'the dataset that the document is for, where the source does not name it')
    .option('--unit <column...>', 'key columns of whom the table protects, or `row`, where the source does not say')
    .option('--min-units <number>', 'least units behind each cell, where the source does not say')
    .option('--columns <list>', 'columns of the table, A,B,C, where the source does not list them')
    .option('--out <file>', 'write the document to a file')
    .action((file: string, options: CommonOptions & ImportChoices) =>
      act(options, async (out) => {
        if (options.from === undefined && options.odrl !== true)
          throw new UsageError(`say what the file is: --from ${FORMS.join('|')}`);
        const { importForeign, importOdrl } = await import('./policy-files.ts');
        return options.odrl === true || options.from === 'odrl'
          ? importOdrl(out, file, options.out ?? null)
          : importForeign(out, file, options);
      }),
    );
  addPolicyCompare(policy);
  withCommon(
    policy
      .command('test <file>')
      .description(
        'run cases {policy, request, expect}; policies are files next to it, or with --attached those of a runtime',
      ),
    'glovebox policy test policies/cases/clinical.yaml',
  )
    .option('--attached', 'policies are DATASET or DATASET@VERSION of the runtime')
    .action((file: string, options: CommonOptions & { attached?: boolean }) =>
      options.attached === true
        ? actAs(options, async (glovebox, out) => {
            const answer = await glovebox.policies.test({ cases: readText(file), fileName: file });
            return (await import('./policy-files.ts')).tellCases(out, file, answer.results, answer.complaints);
          })
        : act(options, async (out) => (await import('./policy-files.ts')).testCases(out, file)),
    );
}

const textOf = (
  file: string,
  { line, column, path, message }: Pick<PolicyComplaint, 'line' | 'column' | 'path' | 'message'>,
): string => `${file}:${line}:${column} ${path === '' ? '' : `${path}: `}${message}`;
