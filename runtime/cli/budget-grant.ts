import type { Command } from 'commander';
import { actAs, type CommonOptions, withCommon } from './command.ts';
import { UsageError } from './output.ts';
import { wholeNumber } from './whole-number.ts';

interface GrantOptions extends CommonOptions {
  readonly dataset: string;
  readonly to: string;
  readonly mode: string;
  readonly epsilon?: string;
  readonly rho?: string;
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
    .option('--rho <number>', 'privacy loss to add to a rule that says `accounting: zcdp`')
    .option('--uses <number>', 'uses to add')
    .action((options: GrantOptions) =>
      actAs(options, async (glovebox, out) => {
        const { dataset, to: consumer } = options;
        const { kind, amount, text } = addedBy(options);
        const mode = consumer === '' ? '' : options.mode;
        const { budget: name, toppedUp } = await glovebox.budgets.topUp({ dataset, consumer, mode, kind, amount });
        out.answer(
          { budget: name, toppedUp },
          () =>
            `added ${text} ${WORDS[kind]} ${consumer === '' ? 'for all consumers together' : `for ${consumer} under ${mode}`} over ${dataset}; added in all: ${kind === 'count' ? toppedUp : Number(toppedUp) / 10 ** DIGITS[kind]}`,
        );
      }),
    );
}

const WORDS = { microEpsilon: 'epsilon', nanoRho: 'rho', count: 'uses' } as const;
/** Decimals of the whole units in which a loss is counted. */
const DIGITS = { microEpsilon: 6, nanoRho: 9 } as const;

function addedBy({ epsilon, rho, uses }: GrantOptions): {
  readonly kind: 'microEpsilon' | 'nanoRho' | 'count';
  readonly amount: bigint;
  readonly text: string;
} {
  const [text, ...more] = [epsilon, rho, uses].filter((one) => one !== undefined);
  if (text === undefined || more.length > 0) throw new UsageError('give --epsilon, --rho or --uses');
  if (uses !== undefined)
    return { kind: 'count', amount: BigInt(wholeNumber('--uses', uses, { from: 1, to: MAX_USES })), text };
  const kind = rho === undefined ? 'microEpsilon' : 'nanoRho';
  return { kind, amount: wholeOf(text, DIGITS[kind]), text };
}

const MAX_USES = 9_999_999_999_999;

/** A decimal loss in whole units, without rounding. */
function wholeOf(text: string, digits: number): bigint {
  const match = /^(\d{1,6})(?:\.(\d{1,9}))?$/.exec(text);
  const [, whole = '', fraction = ''] = match ?? [];
  const amount = fraction.length > digits ? 0n : BigInt(`${whole}${fraction.padEnd(digits, '0')}`);
  if (amount <= 0n)
    throw new UsageError(
      `\`${text}\` is not a privacy loss above 0 with at most ${digits === 6 ? 'six' : 'nine'} decimals`,
    );
  return amount;
}
