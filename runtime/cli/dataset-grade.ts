import type { Command } from 'commander';
import type { Dataset } from '../gen/messages.ts';
import { GRADES } from '../policy/grade-pack.ts';
import type { Grade } from '../policy/model.ts';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { UsageError } from './output.ts';

/** `dataset grade`: what is proposed, and the provider's word. */
export function addDatasetGrade(dataset: Command): void {
  withCommon(
    dataset
      .command('grade <name>')
      .description('what grade is proposed and what it demands of rules; with --confirm: say which it is'),
    'glovebox dataset grade hospital/visits --confirm important',
  )
    .option('--confirm <grade>', `${GRADES.join(', ')}; takes effect at once`)
    .option('--note <text>', 'why; needed for a grade below the proposed one', '')
    .action((name: string, options: CommonOptions & { confirm?: string; note: string }) =>
      actAs(options, async (glovebox, out) => {
        if (options.confirm === undefined) {
          const { dataset: found } = await glovebox.catalogue.get({ name });
          out.answer({ dataset: found }, () => (found === null ? '' : gradeLines(found)));
          return;
        }
        const grade = gradeOf(options.confirm);
        const answer = await glovebox.catalogue.grade({ name, grade, note: options.note });
        const { blockedAgreements, stoppedJobs } = answer;
        out.answer(answer, () =>
          [
            answer.dataset === null ? '' : gradeLines(answer.dataset),
            ...(blockedAgreements.length === 0
              ? []
              : [
                  `too weak for it, so nothing can be used under them: ${blockedAgreements.join(', ')}; ${stoppedJobs} running jobs stopped`,
                ]),
          ].join('\n'),
        );
      }),
    );
}

/** A grade that was typed; wrong usage when it is none. */
export function gradeOf(text: string): Grade {
  const grade = GRADES.find((one) => one === text);
  if (grade === undefined) throw new UsageError(`\`${text}\` is not a grade: ${GRADES.join(', ')}`);
  return grade;
}

function gradeLines({ name, grade, isGradeConfirmed, proposedGrade, gradeRules, tables }: Dataset): string {
  const columns = tables.flatMap((table) =>
    table.columns
      .filter(({ suggestedGrade }) => suggestedGrade !== 'unspecified')
      .map((one) => `  ${table.name}.${one.name}: ${one.recognisedAs}`),
  );
  return [
    `${name}: grade ${grade}${isGradeConfirmed ? ', confirmed' : ', not confirmed'}; proposed: ${proposedGrade}`,
    ...columns,
    ...(gradeRules.length === 0 ? [] : [`rules under which it can be offered: ${gradeRules.join('; ')}`]),
  ].join('\n');
}
