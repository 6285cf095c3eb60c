import type { Job as JobMessage } from '../../gen/messages.ts';
import type { Prepared } from '../../job/prepare.ts';
import { remaining } from '../../ledger/budget.ts';
import type { GatewayNeeds } from '../needs.ts';

/** What a job would take from privacy budgets and counted uses, with what is left before and after: nothing is reserved. */
export async function spendsBefore(
  needs: Pick<GatewayNeeds, 'store'>,
  prepared: Prepared,
): Promise<JobMessage['budget']> {
  const spends = await Promise.all(
    prepared.datasets.map(async ({ name }) => {
      const own = `/${encodeURIComponent(name)}`;
      const lines = prepared.budget.filter(({ budget, limit }) => {
        const [kind = '', , dataset = ''] = budget.split('/');
        return TOLD_KINDS.has(kind) && `/${dataset}` === own && limit < COUNTED_ONLY;
      });
      const left = await Promise.all(
        lines.map(async ({ budget, amount, limit, windowMs }) => {
          const rest = remaining(await needs.store.balance(budget, windowMs), limit);
          return { isEpsilon: budget.startsWith('microEpsilon/'), rest, amount };
        }),
      );
      const epsilons = left.filter(({ isEpsilon }) => isEpsilon);
      const uses = left.filter(({ amount }) => amount > 0n);
      return {
        dataset: name,
        microEpsilon: BigInt(prepared.microEpsilon),
        microEpsilonLeft: least(epsilons.map(({ rest, amount }) => positive(rest - amount))),
        uses: 1n,
        usesLeft: least(uses.map(({ rest, amount }) => positive(rest - amount) / amount)),
        microEpsilonBefore: least(epsilons.map(({ rest }) => rest)),
        usesBefore: least(uses.map(({ rest, amount }) => rest / amount)),
      };
    }),
  );
  return spends.filter(({ microEpsilon, usesLeft }) => microEpsilon > 0n || usesLeft !== null);
}

const TOLD_KINDS = new Set(['count', 'microEpsilon', 'nanoRho', 'femtoDelta']);
/** Limits from here on are those of budgets that are counted and not limited. */
const COUNTED_ONLY = 2n ** 62n;
const positive = (value: bigint): bigint => (value > 0n ? value : 0n);
const least = (values: readonly bigint[]): bigint | null =>
  values.length === 0 ? null : values.reduce((a, b) => (a < b ? a : b));
