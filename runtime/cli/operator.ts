import { addBudgetGrant } from './budget-grant.ts';
import { addDoctor } from './doctor.ts';
import { addImages } from './image.ts';
import type { Command } from 'commander';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import type { StopScope } from '../gen/messages.ts';
import type { Init } from '../rpc/call.ts';
import { tableText, UsageError } from './output.ts';

interface StopOptions {
  readonly note: string;
  readonly dataset?: string;
  readonly agreement?: string;
  readonly party?: string;
  readonly resume?: boolean;
}

function scopeOf({ dataset, agreement, party }: StopOptions): Init<StopScope> | null {
  if ([dataset, agreement, party].filter((one) => one !== undefined).length > 1)
    throw new UsageError('name one scope: --dataset, --agreement or --party');
  if (dataset !== undefined) return { what: { kind: 'dataset', dataset } };
  if (agreement !== undefined) return { what: { kind: 'agreement', agreement } };
  return party === undefined ? null : { what: { kind: 'party', party } };
}

const epsilonOf = (micro: bigint | null): number | null => (micro === null ? null : Number(micro) / 1e6);

/** Commands of whoever runs the machine. */
export function addOperator(program: Command): void {
  withCommon(program.command('status').description('what the runtime is doing'), 'glovebox status').action(
    (options: CommonOptions) =>
      actAs(options, async (glovebox, out) => {
        const status = await glovebox.operator.status({});
        out.answer(status, () =>
          [
            `glovebox ${status.version}${status.isStopped ? ', STOPPED by the kill switch' : ''}; isolation ${status.isolation}`,
            ...(status.stoppedScopes.length === 0 ? [] : [`stopped: ${status.stoppedScopes.join(', ')}`]),
            `jobs: ${status.runningJobs} running, ${status.queuedJobs} waiting; evidence log: ${status.logSize} entries; memory: ${Number(status.residentBytes) >> 20} MiB`,
            tableText(
              ['check', 'ok', 'finding'],
              status.checks.map((one) => [one.name, one.isOk ? 'yes' : 'NO', one.finding]),
            ),
          ].join('\n'),
        );
      }),
  );
  withCommon(
    program.command('stop-all').description('kill switch: from now on nothing is released, and running jobs end'),
    'glovebox stop-all --note "suspected leak"',
  )
    .option('--note <text>', 'why, for the record', '')
    .option('--dataset <name>', 'only what touches this dataset; its provider may, too')
    .option('--agreement <id>', 'only what runs under this agreement; its provider may, too')
    .option('--party <name>', 'only what this party runs')
    .option('--resume', 'lift it again')
    .action((options: CommonOptions & StopOptions) =>
      actAs(options, async (glovebox, out) => {
        const scope = scopeOf(options);
        if (options.resume === true) {
          const answer = await glovebox.operator.resumeAll({ note: options.note, scope });
          out.answer(answer, () => `use goes on, from entry ${answer.logIndex} of the log`);
          return;
        }
        const answer = await glovebox.operator.stopAll({ note: options.note, scope });
        out.answer(
          answer,
          () =>
            `stopped: nothing is released after entry ${answer.logIndex} of the log; ${answer.stoppedJobs} running jobs ended`,
        );
      }),
    );
  const budget = program.command('budget').description('what is spent and what is left');
  withCommon(budget.command('show').description('budgets of your agreements'), 'glovebox budget show')
    .option('--dataset <name>', 'only of this dataset', '')
    .action((options: CommonOptions & { dataset: string }) =>
      actAs(options, async (glovebox, out) => {
        const { budgets } = await glovebox.budgets.get({ dataset: options.dataset });
        out.answer({ budgets }, () =>
          tableText(
            ['dataset', 'consumer', 'rule', 'uses', 'reserved', 'of', 'epsilon', 'reserved', 'of', 'some comes back'],
            budgets.map((one) => {
              // Rules that add no noise have no privacy budget.
              const hasLoss = one.microEpsilonLimit !== null || one.microEpsilonSpent + one.microEpsilonReserved > 0n;
              const loss = [one.microEpsilonSpent, one.microEpsilonReserved, one.microEpsilonLimit];
              return [
                one.dataset,
                one.consumer,
                one.consumer === '' ? 'all together' : one.ruleId || 'any',
                one.uses,
                one.usesReserved,
                one.usesLimit,
                ...loss.map((micro) => (hasLoss ? epsilonOf(micro) : null)),
                one.periodEndsAtMs === null ? null : new Date(one.periodEndsAtMs).toISOString(),
              ];
            }),
          ),
        );
      }),
    );
  addBudgetGrant(budget);
  addImages(program);
  addDoctor(program);
}
