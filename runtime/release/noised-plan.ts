/** A differentially private question as plain data: what the exact part must compute and how the budget is shared. */
import { femtoDeltaOf, FEMTO_PER_DELTA, nanoRhoWithin, type Loss } from './accounting.ts';
import type { Cell } from './column-values.ts';
import { mechanismOf, type DpAggregate } from './mechanisms/aggregate.ts';
import { countQuery } from './mechanisms/count.ts';
import {
  exactId,
  rowsPerUnit,
  type ContributionBound,
  type ExactColumn,
  type Mechanism,
  type NoisyQuery,
} from './mechanisms/mechanism.ts';
import { noiseFor, upperTail, type Noise, type NoiseShare } from './noise.ts';

/**
 * Which groups appear. `public`: exactly the declared keys, in their order, also where the data has none (one empty key
 * means no grouping). `private`: keys come from the data and pass only by the threshold.
 */
export type GroupKeys =
  | { readonly kind: 'public'; readonly keys: readonly (readonly Cell[])[] }
  | { readonly kind: 'private' };

/** No grouping: one group whose key has no columns. */
export const WHOLE_TABLE: GroupKeys = { kind: 'public', keys: [[]] };

/** What a release may cost. `femtoDelta` pays for private keys; Gaussian noise has its own δ inside ρ's conversion. */
export type NoiseBudget =
  | { readonly kind: 'laplace'; readonly microEpsilon: number; readonly femtoDelta: number }
  | { readonly kind: 'gaussian'; readonly nanoRho: number; readonly femtoDelta: number };

export interface NoisedPlan {
  readonly aggregates: readonly DpAggregate[];
  readonly keys: GroupKeys;
  readonly bound: ContributionBound;
  /** Least units behind a group, kept with probability 1 − δ; null asks for none beyond what privacy needs. */
  readonly minUnits: number | null;
  readonly budget: NoiseBudget;
}

/** A budget from a policy's (ε, δ) per job; Gaussian noise gives half of δ to the conversion of ρ, half to private keys. */
export function budgetOf(kind: NoiseBudget['kind'], microEpsilon: number, delta: number): NoiseBudget {
  const femtoDelta = femtoDeltaOf(delta);
  if (kind === 'laplace') return { kind, microEpsilon, femtoDelta };
  const half = Math.floor(femtoDelta / 2);
  return { kind, nanoRho: nanoRhoWithin(microEpsilon, half / FEMTO_PER_DELTA), femtoDelta: half };
}

/** What releasing a plan costs, whatever the data: known before anything is computed. */
export function lossOf(plan: NoisedPlan): Loss {
  const femtoDelta = plan.keys.kind === 'private' ? plan.budget.femtoDelta : 0;
  return plan.budget.kind === 'laplace'
    ? { kind: 'pure', microEpsilon: plan.budget.microEpsilon, femtoDelta }
    : { kind: 'zcdp', nanoRho: plan.budget.nanoRho, femtoDelta };
}

/**
 * One job's budget shared among its releases by the number of their queries. Losses add up whatever rows the releases are
 * about (sequential composition), so shares that are rounded down cost together at most what the one budget costs. Throws
 * `RangeError` when a share would be nothing.
 */
export function shareBudget(plans: readonly NoisedPlan[]): readonly NoisedPlan[] {
  const counts = plans.map((plan) => BigInt(queriesOf(plan).queries.length));
  const total = counts.reduce((sum, count) => sum + count, 0n);
  const part = (whole: number, count: bigint): number => {
    const share = Number((BigInt(whole) * count) / total);
    if (share < 1) throw new RangeError(`a privacy budget cannot be shared among ${plans.length} releases`);
    return share;
  };
  return plans.map((plan, index) => {
    const count = counts[index] ?? 0n;
    // Of δ each release gets the same, whether its keys are private or not.
    const femtoDelta = Math.floor(plan.budget.femtoDelta / plans.length);
    const budget: NoiseBudget =
      plan.budget.kind === 'laplace'
        ? { kind: 'laplace', microEpsilon: part(plan.budget.microEpsilon, count), femtoDelta }
        : { kind: 'gaussian', nanoRho: part(plan.budget.nanoRho, count), femtoDelta };
    return { ...plan, budget };
  });
}

/** What several releases cost together. Throws when they are not of one kind. */
export function lossOfAll(plans: readonly NoisedPlan[]): Loss {
  const losses = plans.map(lossOf);
  const femtoDelta = losses.reduce((sum, loss) => sum + loss.femtoDelta, 0);
  if (losses.every((loss) => loss.kind === 'pure'))
    return { kind: 'pure', microEpsilon: losses.reduce((sum, loss) => sum + loss.microEpsilon, 0), femtoDelta };
  if (losses.every((loss) => loss.kind === 'zcdp'))
    return { kind: 'zcdp', nanoRho: losses.reduce((sum, loss) => sum + loss.nanoRho, 0), femtoDelta };
  throw new Error('releases of two kinds of noise in one job');
}

/** A plan with its queries, each with the noise that its share of the budget buys. */
export interface NoisedQueries {
  /** One per aggregate of the plan. */
  readonly mechanisms: readonly Mechanism[];
  readonly queries: readonly { readonly query: NoisyQuery; readonly noise: Noise }[];
  /** What the exact part must deliver per group. */
  readonly reads: readonly ExactColumn[];
  /** Groups pass when their noisy row count reaches this; null when every group passes. */
  readonly threshold: bigint | null;
}

/**
 * Shares the budget equally among the distinct queries (basic composition: shares add up to at most the budget). Throws
 * `RangeError` when a share would be nothing, or when private keys come without δ.
 *
 * Threshold. Let k satisfy P(noise ≥ k) ≤ δ/M. A group passes when rows + noise ≥ τ = k + M·max(1, minUnits − 1).
 * (1) Private keys: groups that exist only because of one unit number at most M and have at most M rows each, so one of them
 * passes with probability at most M · δ/M = δ. (2) minUnits: a group over fewer than minUnits units has at most
 * M·(minUnits − 1) rows, so it passes with probability at most δ/M. No exact distinct count is needed for either.
 */
export function queriesOf(plan: NoisedPlan): NoisedQueries {
  const needsThreshold = plan.keys.kind === 'private' || plan.minUnits !== null;
  const rows = countQuery({ kind: 'rows' }, plan.bound);
  const bound = boundOf(plan);
  const mechanisms = plan.aggregates.map((aggregate) => mechanismOf(aggregate, bound));
  const asked = mechanisms.flatMap((mechanism) => mechanism.queries);
  const distinct = [
    ...new Map([...(needsThreshold ? [rows] : []), ...asked].map((query) => [query.id, query])).values(),
  ];
  const share = shareOf(plan.budget, distinct.length);
  const queries = distinct.map((query) => ({ query, noise: noiseFor(query, share) }));
  const reads = [
    ...new Map(distinct.flatMap(({ reads }) => reads).map((column) => [exactId(column), column])).values(),
  ];
  const threshold = needsThreshold ? thresholdOf(plan, noiseFor(rows, share)) : null;
  return { mechanisms, queries, reads, threshold };
}

/** Of groups that are declared a unit can be in no more than there are; rows of other keys are in none. */
function boundOf({ bound, keys }: NoisedPlan): ContributionBound {
  return keys.kind === 'private' || keys.keys.length === 0 ? bound : { ...bound, maxGroupsPerUnit: keys.keys.length };
}

const PUBLIC_KEY_MISS = 1e-6;

function thresholdOf({ bound, minUnits, budget, keys }: NoisedPlan, noise: Noise): bigint {
  const isPrivate = keys.kind === 'private';
  if (isPrivate && budget.femtoDelta < 1) throw new RangeError('private keys need a delta');
  // With public keys the threshold protects nothing that noise does not: it only says how sure `minUnits` is.
  const miss = budget.femtoDelta < 1 ? PUBLIC_KEY_MISS : budget.femtoDelta / FEMTO_PER_DELTA;
  if (minUnits !== null && !(Number.isSafeInteger(minUnits) && minUnits >= 1))
    throw new RangeError('a minimum of units is at least 1');
  const m = rowsPerUnit(bound);
  const others = BigInt(Math.max(1, (minUnits ?? 1) - 1));
  return upperTail(noise, miss / Number(m)) + m * others;
}

function shareOf(budget: NoiseBudget, queries: number): NoiseShare {
  if (queries === 0) throw new RangeError('a plan asks for at least one aggregate');
  const share = Math.floor((budget.kind === 'laplace' ? budget.microEpsilon : budget.nanoRho) / queries);
  if (!(share >= 1)) throw new RangeError(`a privacy budget cannot be shared among ${queries} queries`);
  return budget.kind === 'laplace' ? { kind: 'laplace', microEpsilon: share } : { kind: 'gaussian', nanoRho: share };
}
