import type { Command } from 'commander';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { tableText, UsageError } from './output.ts';

export function addMandate(program: Command): void {
  const mandate = program
    .command('mandate')
    .description('let another party submit jobs for you, for a time; results stay yours');
  withCommon(
    mandate.command('give').description('sign a mandate with your key'),
    'glovebox mandate give --to desk --until 2026-12-31 --as acme.credential.json',
  )
    .requiredOption('--to <party>', 'who may act')
    .requiredOption('--until <date>', 'its end, at most 366 days from now')
    .option('--agreement <id...>', 'agreements it is for; default: all of yours')
    .action((options: CommonOptions & { to: string; until: string; agreement?: readonly string[] }) =>
      actAs(options, async (glovebox, out) => {
        const notAfterMs = Date.parse(options.until);
        if (Number.isNaN(notAfterMs)) throw new UsageError(`\`${options.until}\` is not a date, e.g. 2026-12-31`);
        const terms = { delegate: options.to, notAfterMs, agreements: options.agreement ?? [] };
        const given = await mandateOf(() => glovebox.parties.mandate(terms));
        out.answer(
          { mandate: given },
          () =>
            `${given?.id ?? ''}: ${options.to} may submit jobs for you; they name it with --mandate ${given?.id ?? ''}`,
        );
      }),
    );
  withCommon(
    mandate.command('revoke <id>').description('end a mandate now; its running jobs stop'),
    'glovebox mandate revoke mdt-… --as acme.credential.json',
  ).action((id: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const answer = await glovebox.parties.revokeMandate({ id });
      out.answer(answer, () => `${id} is revoked; ${answer.stoppedJobs} running jobs stopped`);
    }),
  );
  withCommon(mandate.command('list').description('mandates that you gave or hold'), 'glovebox mandate list').action(
    (options: CommonOptions) =>
      actAs(options, async (glovebox, out) => {
        const { mandates } = await glovebox.parties.listMandates({});
        out.answer({ mandates }, () =>
          tableText(
            ['mandate', 'state', 'for', 'acts', 'agreements', 'until'],
            mandates.map((one) => [
              one.id,
              one.state,
              one.principal,
              one.delegate,
              one.agreementIds.length === 0 ? 'all' : one.agreementIds.join(', '),
              new Date(one.notAfterMs).toISOString().slice(0, 16),
            ]),
          ),
        );
      }),
  );
}

/** A mandate that makes no sense is wrong usage, and is never sent. */
async function mandateOf<Answer>(give: () => Promise<Answer>): Promise<Answer> {
  try {
    return await give();
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message);
    throw error;
  }
}
