/** What noise costs, as budget lines: reserved before anything runs, and spent whole whatever came of it. */
import { consumerBudget, datasetBudget } from '../ledger/budget.ts';
import type { BudgetLine } from '../ledger/reservation.ts';
import type { DifferentialPrivacyRelease, SandboxRelease } from '../policy/model.ts';
import { costIn, femtoDeltaOf, type Loss, nanoRhoWithin, openAccount } from '../release/accounting.ts';
import type { AdmittedPermit } from './admission.ts';

/** A limit that nobody reaches: a budget that is only counted. */
const COUNTED = 2n ** 62n;

/**
 * The loss of a differentially private job: per consumer and dataset under the total of the rule, and per dataset over all
 * consumers. Each dataset is charged what its own policy limits.
 *
 * INVARIANT: epsilon, rho and delta are all charged, whichever the policy limits: a policy edit that changes how losses add
 * up finds what was spent in its own measure, and refills nothing.
 */
export function differentialLossLines(
  consumer: string,
  permits: readonly AdmittedPermit[],
  loss: Loss,
  microEpsilon: number,
): readonly BudgetLine[] {
  return permits.flatMap(({ agreement: { dataset }, permit: { release } }): readonly BudgetLine[] => {
    if (release.mode !== 'differentialPrivacy') throw new Error('a noisy job under a rule that adds no noise');
    const scope = { dataset, consumer, rule: 'differentialPrivacy' };
    const limits = limitsOf(release);
    const window = release.budgetPeriodMs === null ? {} : { windowMs: release.budgetPeriodMs };
    const charge = (kind: 'microEpsilon' | 'nanoRho' | 'femtoDelta', amount: number): BudgetLine => ({
      budget: consumerBudget(kind, scope),
      amount: BigInt(amount),
      limit: limits[kind],
      ...window,
    });
    return [
      charge('microEpsilon', microEpsilon),
      charge('nanoRho', costIn('zcdp', loss)),
      charge('femtoDelta', deltaOf(release, loss)),
      datasetLine(dataset, microEpsilon, release.microEpsilonDataset),
    ];
  });
}

/** What one consumer may spend under a rule, before top-ups, in each of the measures. */
export function limitsOf(release: {
  readonly accounting: 'pure' | 'zcdp';
  readonly microEpsilonTotal: number | null;
  readonly delta: number;
  readonly deltaTotal: number | null;
}): Readonly<Record<'microEpsilon' | 'nanoRho' | 'femtoDelta', bigint>> {
  const { accounting, microEpsilonTotal, delta, deltaTotal } = release;
  if (accounting === 'pure') {
    const femtoDelta = deltaTotal === null ? COUNTED : BigInt(femtoDeltaOf(deltaTotal));
    return {
      microEpsilon: microEpsilonTotal === null ? COUNTED : BigInt(microEpsilonTotal),
      nanoRho: COUNTED,
      femtoDelta,
    };
  }
  if (microEpsilonTotal === null) return { microEpsilon: COUNTED, nanoRho: COUNTED, femtoDelta: COUNTED };
  // Without a total of delta, what private keys use is counted alone, and the conversion has a job's delta to itself.
  if (deltaTotal === null)
    return { microEpsilon: COUNTED, nanoRho: BigInt(nanoRhoWithin(microEpsilonTotal, delta)), femtoDelta: COUNTED };
  const { limit, femtoDeltaLimit } = openAccount('zcdp', microEpsilonTotal, deltaTotal);
  return { microEpsilon: COUNTED, nanoRho: BigInt(limit), femtoDelta: BigInt(femtoDeltaLimit) };
}

/** Of δ: what private keys use; when epsilons are summed, what Gaussian noise uses as well. */
function deltaOf({ accounting, delta }: DifferentialPrivacyRelease, loss: Loss): number {
  return loss.kind === 'zcdp' && accounting === 'pure' ? femtoDeltaOf(delta) : loss.femtoDelta;
}

/**
 * What noisy code draws on: its loss under the total of the rule for this consumer, and under that of the dataset. As above all
 * measures are charged, whichever is limited; code selects no keys, so delta is used by Gaussian noise alone.
 */
export function codeLossLines(
  consumer: string,
  dataset: string,
  release: SandboxRelease,
  spent: { readonly loss: Loss; readonly microEpsilon: number },
): readonly BudgetLine[] {
  const { loss, microEpsilon } = spent;
  const scope = { dataset, consumer, rule: 'sandbox' };
  const limits = limitsOf({ ...release, deltaTotal: null });
  const charge = (kind: 'microEpsilon' | 'nanoRho' | 'femtoDelta', amount: number): BudgetLine => ({
    budget: consumerBudget(kind, scope),
    amount: BigInt(amount),
    limit: limits[kind],
  });
  return [
    charge('microEpsilon', microEpsilon),
    charge('nanoRho', costIn('zcdp', loss)),
    ...(loss.kind === 'zcdp' ? [charge('femtoDelta', femtoDeltaOf(release.delta))] : []),
    datasetLine(dataset, microEpsilon, release.microEpsilonDataset),
  ];
}

/** All consumers and modes draw on it, so that consumers who put their answers together gain nothing by being several. */
function datasetLine(dataset: string, microEpsilon: number, limit: number | null): BudgetLine {
  return {
    budget: datasetBudget('microEpsilon', { dataset }),
    amount: BigInt(microEpsilon),
    limit: limit === null ? COUNTED : BigInt(limit),
  };
}
