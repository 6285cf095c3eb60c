import type { Command } from 'commander';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { tableText, UsageError } from './output.ts';

export function addDispute(program: Command): void {
  const dispute = program
    .command('dispute')
    .description('objections: settlement is frozen and jobs are flagged until they are resolved');
  withCommon(
    dispute.command('open <text>').description('object to a job, or to an agreement and its bill'),
    'glovebox dispute open "the ward counts are wrong" --job job-… --as acme.credential.json',
  )
    .option('--agreement <id>', 'the agreement', '')
    .option('--job <id>', 'the job', '')
    .option('--hold', 'refuse jobs under the agreement meanwhile (provider or operator)')
    .action((text: string, options: CommonOptions & { agreement: string; job: string; hold?: boolean }) =>
      actAs(options, async (glovebox, out) => {
        if (options.agreement === '' && options.job === '') throw new UsageError('name --agreement ID or --job ID');
        const answer = await glovebox.agreements.openDispute({
          agreementId: options.agreement,
          jobId: options.job,
          text,
          holdsJobs: options.hold === true,
        });
        out.answer(
          answer,
          () =>
            `opened ${answer.dispute?.id ?? ''} about ${answer.dispute?.agreementId ?? ''}; nothing is settled until it is resolved${answer.stoppedJobs === 0 ? '' : `; ${answer.stoppedJobs} running jobs stopped`}`,
        );
      }),
    );
  withCommon(
    dispute.command('resolve <id> <text>').description('end a dispute: withdraw your own, or decide as operator'),
    'glovebox dispute resolve dsp-… "recounted, the bill stands"',
  ).action((id: string, text: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const answer = await glovebox.agreements.resolveDispute({ id, resolution: text });
      out.answer(answer, () => `${id} is resolved`);
    }),
  );
  withCommon(dispute.command('list').description('disputes of your agreements'), 'glovebox dispute list')
    .option('--agreement <id>', 'only of this agreement', '')
    .action((options: CommonOptions & { agreement: string }) =>
      actAs(options, async (glovebox, out) => {
        const { disputes } = await glovebox.agreements.listDisputes({ agreementId: options.agreement });
        out.answer({ disputes }, () =>
          tableText(
            ['dispute', 'state', 'agreement', 'job', 'by', 'what'],
            disputes.map((one) => [
              one.id,
              one.isOpen ? (one.holdsJobs ? 'open, holds jobs' : 'open') : 'resolved',
              one.agreementId,
              one.jobId,
              one.openedBy,
              one.isOpen ? one.text : `${one.text} → ${one.resolution}`,
            ]),
          ),
        );
      }),
    );
}
