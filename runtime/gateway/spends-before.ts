import type { Job as JobMessage } from '../gen/messages.ts';
import type { Prepared } from '../job/prepare.ts';
import { remaining } from '../ledger/budget.ts';
import type { GatewayNeeds } from './needs.ts';

/** What a job would take from privacy budgets, with what would be left of them: nothing is reserved. */
export async function spendsBefore(
  needs: Pick<GatewayNeeds, 'store'>,
  prepared: Prepared,
): Promise<JobMessage['budget']> {
  if (prepared.microEpsilon === 0) return [];
  return await Promise.all(
    prepared.datasets.map(async ({ name }) => {
      const own = `/${encodeURIComponent(name)}`;
      const lines = prepared.budget.filter(({ budget, limit }) => {
        const [kind = '', , dataset = ''] = budget.split('/');
        return LOSS_KINDS.has(kind) && `/${dataset}` === own && limit < COUNTED_ONLY;
      });
      const left = await Promise.all(
        lines.map(async ({ budget, amount, limit, windowMs }) => {
          const rest = remaining(await needs.store.balance(budget, windowMs), limit);
          return { isEpsilon: budget.startsWith('microEpsilon/'), rest, amount };
        }),
      );
      const epsilons = left.filter(({ isEpsilon }) => isEpsilon).map(({ rest, amount }) => positive(rest - amount));
      const uses = left.filter(({ amount }) => amount > 0n).map(({ rest, amount }) => positive(rest - amount) / amount);
      return {
        dataset: name,
        microEpsilon: BigInt(prepared.microEpsilon),
        microEpsilonLeft: least(epsilons),
        uses: 1n,
        usesLeft: least(uses),
      };
    }),
  );
}

const LOSS_KINDS = new Set(['microEpsilon', 'nanoRho', 'femtoDelta']);
/** Limits from here on are those of budgets that are counted and not limited. */
const COUNTED_ONLY = 2n ** 62n;
const positive = (value: bigint): bigint => (value > 0n ? value : 0n);
const least = (values: readonly bigint[]): bigint | null =>
  values.length === 0 ? null : values.reduce((a, b) => (a < b ? a : b));
