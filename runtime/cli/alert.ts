import type { Command } from 'commander';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { tableText } from './output.ts';

/** What the risk detectors found. */
export function addAlert(program: Command): void {
  const alert = program.command('alert').description('what the risk detectors found');
  withCommon(
    alert.command('list').description('alerts, newest first; providers see those about their data'),
    'glovebox alert list --open',
  )
    .option('--open', 'only those that nobody has acknowledged')
    .action((options: CommonOptions & { open?: boolean }) =>
      actAs(options, async (glovebox, out) => {
        const answer = await glovebox.operator.listAlerts({ openOnly: options.open === true });
        out.answer(answer, () =>
          tableText(
            ['alert', 'when', 'severity', 'what', 'party', 'dataset', 'count', 'open', 'delivery'],
            answer.alerts.map((one) => [
              one.id,
              new Date(one.raisedAtMs).toISOString(),
              one.severity,
              one.detector,
              one.party,
              one.dataset,
              one.count,
              one.isOpen ? 'yes' : 'no',
              one.delivery,
            ]),
          ),
        );
      }),
    );
  withCommon(
    alert.command('acknowledge <id>').description('say that you have looked at an alert'),
    'glovebox alert acknowledge alert-1f…',
  ).action((id: string, options: CommonOptions) =>
    actAs(options, async (glovebox, out) => {
      const answer = await glovebox.operator.acknowledgeAlert({ id });
      out.answer(answer, () => `${id} is acknowledged`);
    }),
  );
}
