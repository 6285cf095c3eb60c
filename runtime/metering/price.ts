import { METERS, type Meter, type Meters } from './usage.ts';

/** What one meter costs. */
export interface MeterPrice {
  readonly meter: Meter;
  /** Minor units of the currency for every `per` units begun or part of them, e.g. 80 (fen) per 1 call. */
  readonly priceMinor: number;
  readonly per: number;
  /** Units that cost nothing, counted over the agreement's billing period. */
  readonly freeUnits: number;
}

/** The price plan of an agreement; all money in minor units (fen, cent). */
export interface PricePlan {
  /** ISO 4217. */
  readonly currency: string;
  readonly prices: readonly MeterPrice[];
  /** prepaid: a job needs credit that was topped up. postpaid: a job is refused when the bill would pass the limit. */
  readonly payment: { readonly kind: 'prepaid' } | { readonly kind: 'postpaid'; readonly limitMinor: number };
  /** How revenue goes to the providers; the operator's part comes first. In ten-thousandths. */
  readonly operatorShare: number;
}

export interface ChargeLine {
  readonly meter: Meter;
  readonly units: number;
  readonly billableUnits: number;
  readonly chargeMinor: number;
}

export interface Charge {
  readonly currency: string;
  readonly lines: readonly ChargeLine[];
  readonly totalMinor: number;
}

export const TEN_THOUSANDTHS = 10_000;

/**
 * What a job's use costs after `before` was used in the same period. Each line is rounded up to a whole minor unit,
 * so that a bill is exactly the sum of its jobs. With upper bounds as `use` it is the price before the run: no job
 * can then cost more. Throws a RangeError for a plan that makes no sense or a charge above 2^53.
 */
export function priceOf(plan: PricePlan, use: Meters, before: Meters): Charge {
  checkPlan(plan);
  const lines = plan.prices.map(({ meter, priceMinor, per, freeUnits }): ChargeLine => {
    const units = use[meter];
    const billableUnits = Math.max(0, before[meter] + units - freeUnits) - Math.max(0, before[meter] - freeUnits);
    const charge = (BigInt(billableUnits) * BigInt(priceMinor) + BigInt(per) - 1n) / BigInt(per);
    return { meter, units, billableUnits, chargeMinor: toNumber(charge) };
  });
  const total = lines.reduce((sum, line) => sum + BigInt(line.chargeMinor), 0n);
  return { currency: plan.currency, lines, totalMinor: toNumber(total) };
}

/** The budget limit that a plan gives to `credit`: prepaid has none but its top-ups. */
export function creditLimit(plan: PricePlan): bigint {
  return plan.payment.kind === 'prepaid' ? 0n : BigInt(plan.payment.limitMinor);
}

function checkPlan(plan: PricePlan): void {
  const { currency, prices, payment, operatorShare } = plan;
  if (!/^[A-Z]{3}$/.test(currency)) throw new RangeError(`'${currency}' is not a currency code`);
  if (!isCount(operatorShare) || operatorShare > TEN_THOUSANDTHS)
    throw new RangeError(`operator share ${operatorShare} is not a part of 10000`);
  if (payment.kind === 'postpaid' && !isCount(payment.limitMinor))
    throw new RangeError(`${payment.limitMinor} is not a credit limit`);
  const seen = new Set<Meter>();
  for (const { meter, priceMinor, per, freeUnits } of prices) {
    if (!METERS.includes(meter) || seen.has(meter))
      throw new RangeError(`meter '${meter}' is unknown or has two prices`);
    seen.add(meter);
    if (!isCount(priceMinor) || !isCount(freeUnits) || !isCount(per) || per === 0) {
      throw new RangeError(`the price of '${meter}' is not in whole units`);
    }
  }
}

function toNumber(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError(`a charge of ${value} is too large`);
  return Number(value);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
