import type { Command } from 'commander';
import type { Code, Reason } from '../gen/messages.ts';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { type ExitCode, type Output, reasonLines, tableText } from './output.ts';
import { programOf, type ProgramOptions } from './program-option.ts';
import { wholeNumber } from './whole-number.ts';

/** Code that people approve before it runs. */
export function addCode(program: Command): void {
  const code = program.command('code').description('code that people approve before it runs');
  withCommon(
    code.command('submit').description('submit code for approval'),
    'glovebox code submit --spec survival.yaml --name survival --dataset clinical --as acme.credential.json',
  )
    .requiredOption('--name <name>', 'name that its versions share')
    .requiredOption('--dataset <name>', 'the dataset it is for')
    .option('--program <file>', 'the source; default: the one that the description names')
    .requiredOption('--spec <file>', 'what the program reads and returns, YAML or JSON; see docs/sandboxed-code.md')
    .option('--note <text>', 'what it is for, for reviewers', '')
    .action((options: CommonOptions & ProgramOptions & { name: string; dataset: string; note: string }) =>
      actAs(options, async (glovebox, out) => {
        const { name, dataset, note } = options;
        const answer = await glovebox.code.submit({ name, dataset, note, program: await programOf(options) });
        return tell(out, answer.code, answer.reasons);
      }),
    );
  withCommon(
    code.command('review <digest>').description('read code, with the difference to its last approved version'),
    'glovebox code review sha256:…',
  ).action((digest: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const { code: found, difference, findings } = await glovebox.code.review({ digest });
      out.answer({ code: found, difference, findings }, () =>
        [
          found === null ? '' : describe(found),
          `reads columns ${found?.program?.columns.join(', ') ?? ''} of ${found?.program?.table ?? ''}`,
          ...findings.map(({ message }) => `look twice: ${message}`),
          '',
          found?.source ?? '',
          ...(difference === '' ? [] : ['', 'difference to the last approved version:', difference]),
        ].join('\n'),
      );
    }),
  );
  withCommon(
    code.command('approve <digest>').description('approve code; your signature is added'),
    'glovebox code approve sha256:… --capacity dpo --days 90',
  )
    .requiredOption('--capacity <capacity>', 'in which capacity: owner, a group of yours, or your name')
    .option('--days <days>', 'life of the approval', '180')
    .option('--note <text>', 'why', '')
    .action((digest: string, options: CommonOptions & { capacity: string; days: string; note: string }) =>
      actAs(options, async (glovebox, out) => {
        const { capacity, note, days } = options;
        const answer = await glovebox.code.approve({
          digest,
          capacity,
          note,
          days: wholeNumber('--days', days, { from: 1 }),
        });
        return tell(out, answer.code, answer.reasons);
      }),
    );
  withCommon(
    code.command('reject <digest>').description('reject code for good'),
    'glovebox code reject sha256:… --note "returns single rows"',
  )
    .option('--note <text>', 'why', '')
    .action((digest: string, options: CommonOptions & { note: string }) =>
      actAs(options, async (glovebox, out) => {
        const answer = await glovebox.code.reject({ digest, note: options.note });
        return tell(out, answer.code, answer.reasons);
      }),
    );
  withCommon(
    code.command('revoke <digest>').description('take approved code back; running jobs with it stop'),
    'glovebox code revoke sha256:…',
  )
    .option('--note <text>', 'why', '')
    .action((digest: string, options: CommonOptions & { note: string }) =>
      actAs(options, async (glovebox, out) => {
        const answer = await glovebox.code.revoke({ digest, note: options.note });
        return tell(out, answer.code, answer.reasons);
      }),
    );
  withCommon(code.command('list').description('code that you may know of, newest first'), 'glovebox code list').action(
    (options: CommonOptions) =>
      actAs(options, async (glovebox, out) => {
        const { codes } = await glovebox.code.list({});
        out.answer({ codes }, () =>
          tableText(
            ['digest', 'name', 'dataset', 'state', 'submitter', 'verdicts', 'expires'],
            codes.map((one) => [
              one.digest,
              one.name,
              one.dataset,
              one.state,
              one.submitter,
              verdictsOf(one),
              one.expiresAtMs === null ? null : new Date(one.expiresAtMs).toISOString(),
            ]),
          ),
        );
      }),
  );
}

function tell(out: Output, code: Code | null, reasons: readonly Reason[]): ExitCode {
  out.answer({ code, reasons }, () =>
    reasons.length > 0 ? `not taken:\n${reasonLines(reasons)}` : code === null ? '' : describe(code),
  );
  return reasons.length > 0 ? 1 : 0;
}

function describe(code: Code): string {
  const verdicts = code.verdicts.length === 0 ? 'no verdicts yet' : verdictsOf(code);
  return `${code.digest} \`${code.name}\` for ${code.dataset}: ${code.state}, submitted by ${code.submitter}; ${verdicts}`;
}

const verdictsOf = (code: Code): string =>
  code.verdicts
    .map(({ reviewer, capacity, approves }) => `${reviewer} as ${capacity}: ${approves ? 'yes' : 'NO'}`)
    .join(', ');
