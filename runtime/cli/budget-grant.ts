import type { Command } from 'commander';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { UsageError } from './output.ts';
import { wholeNumber } from './whole-number.ts';

interface GrantOptions extends CommonOptions {
  readonly dataset: string;
  readonly to: string;
  readonly mode: string;
  readonly epsilon?: string;
  readonly uses?: string;
}

/** `budget grant`: a provider's signed order to enlarge a budget, once. */
export function addBudgetGrant(budget: Command): void {
  withCommon(
    budget.command('grant').description('enlarge a budget of your dataset once, by a signed order'),
    'glovebox budget grant --dataset clinical --to acme --epsilon 1 --as hospital.json',
  )
    .requiredOption('--dataset <name>', 'your dataset')
    .option('--to <consumer>', 'whose budget; without it the one that all consumers share', '')
    .option('--mode <mode>', 'mode of the rule whose budget it is', 'differentialPrivacy')
    .option('--epsilon <number>', 'privacy loss to add')
    .option('--uses <number>', 'uses to add')
    .action((options: GrantOptions) =>
      actAs(options, async (glovebox, out) => {
        const { dataset, to: consumer, epsilon, uses } = options;
        if ((epsilon === undefined) === (uses === undefined)) throw new UsageError('give --epsilon or --uses');
        const kind = epsilon === undefined ? 'count' : 'microEpsilon';
        const amount =
          epsilon === undefined
            ? BigInt(wholeNumber('--uses', uses ?? '', { from: 1, to: MAX_USES }))
            : microEpsilonOf(epsilon);
        const mode = consumer === '' ? '' : options.mode;
        const { budget: name, toppedUp } = await glovebox.budgets.topUp({ dataset, consumer, mode, kind, amount });
        out.answer(
          { budget: name, toppedUp },
          () =>
            `added ${epsilon ?? uses} to ${name}; added in all: ${kind === 'count' ? toppedUp : Number(toppedUp) / 1e6}`,
        );
      }),
    );
}

const MAX_USES = 9_999_999_999_999;

/** Decimal epsilon to whole micro-epsilon, without rounding. */
function microEpsilonOf(text: string): bigint {
  const match = /^(\d{1,6})(?:\.(\d{1,6}))?$/.exec(text);
  const micro = match === null ? 0n : BigInt(`${match[1] ?? ''}${(match[2] ?? '').padEnd(6, '0')}`);
  if (micro <= 0n) throw new UsageError(`\`${text}\` is not an epsilon above 0 with at most six decimals`);
  return micro;
}
