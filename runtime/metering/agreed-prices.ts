import { creditLimit, type MeterPrice, type PricePlan, priceOf, TEN_THOUSANDTHS } from './price.ts';
import { type Meter, type Meters, NO_USE } from './usage.ts';

/** Meters whose value is bounded before a job runs: only these can have an agreed price, so that no job costs more than was said. */
export const PRICED_METERS = [
  'calls',
  'rowsScanned',
  'cellsReleased',
  'bytesReleased',
  'heOps',
  'microEpsilon',
] as const satisfies readonly Meter[];

/** A price plan as the parties of an agreement sign it (its digest is in the terms); all money in minor units. */
export interface AgreedPrices {
  readonly currency: string;
  readonly prices: readonly Pick<MeterPrice, 'meter' | 'priceMinor' | 'per'>[];
  readonly payment: PricePlan['payment'];
  /** Jobs that cost nothing, in each sliding window; null: none. */
  readonly freeJobs: { readonly max: number; readonly perMs: number | null } | null;
  /** The operator's part of every charge, in ten-thousandths. */
  readonly operatorShare: number;
}

/** The plan for `priceOf`. Free jobs are no part of it: whether a job is free is decided by the ledger, when it is reserved. */
export function planOf(agreed: AgreedPrices): PricePlan {
  const { currency, prices, payment, operatorShare } = agreed;
  return { currency, prices: prices.map((one) => ({ ...one, freeUnits: 0 })), payment, operatorShare };
}

/** Throws a RangeError for prices that make no sense. */
export function checkAgreedPrices(agreed: AgreedPrices): void {
  const unbounded = agreed.prices.find(({ meter }) => !(PRICED_METERS as readonly Meter[]).includes(meter));
  if (unbounded !== undefined)
    throw new RangeError(`'${unbounded.meter}' cannot have a price: nothing bounds it before a job runs`);
  const { freeJobs } = agreed;
  const isCount = (value: number): boolean => Number.isSafeInteger(value) && value > 0;
  if (freeJobs !== null && !(isCount(freeJobs.max) && (freeJobs.perMs === null || isCount(freeJobs.perMs))))
    throw new RangeError('free jobs need a positive number, and a period when there is one');
  // Statements write it where nothing was agreed: a charge in it would be told and never settled.
  if (agreed.currency === 'XXX') throw new RangeError('`XXX` is no currency: name the one that is paid in');
  priceOf(planOf(agreed), NO_USE, NO_USE);
  if (creditLimit(planOf(agreed)) > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError('the limit is too large');
}

/** How a charge is shared: the operator's part is rounded down, the provider has the rest. */
export function operatorPart(chargeMinor: number, operatorShare: number): number {
  return Number((BigInt(chargeMinor) * BigInt(operatorShare)) / BigInt(TEN_THOUSANDTHS));
}

/** The most that a job can cost, from what bounds each of its meters. */
export function mostOf(agreed: AgreedPrices, most: Meters): number {
  return priceOf(planOf(agreed), most, NO_USE).totalMinor;
}
