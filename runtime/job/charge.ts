import type { Duty } from '../policy/model.ts';
import { type MeterPrice, type PricePlan, priceOf } from '../metering/price.ts';
import { minorDigitsOf } from '../metering/statement.ts';
import { METERS, type Meter, type Meters, NO_USE, type UsageEvent, usageEvent } from '../metering/usage.ts';
import type { Disclosed } from './disclose.ts';
import type { Job } from './job.ts';
import type { AdmittedPermit } from './needs.ts';
import type { Prepared } from './prepare.ts';

/** Prices below a minor unit are kept exact by charging `per` so many units. */
const MAX_DECIMALS = 6;

/** What the `pay` duties of a policy ask for, as a price plan; null when nothing is to be paid. */
export function pricePlanOf(duties: readonly Duty[]): PricePlan | null {
  const paying = duties.filter((duty) => duty.do === 'pay' && duty.unitPrice !== null && duty.currency !== null);
  const [first] = paying;
  if (first?.currency === null || first === undefined) return null;
  const { currency } = first;
  const prices = paying
    .filter((duty) => duty.currency === currency)
    .map((duty): MeterPrice => ({
      meter: meterOf(duty.meter),
      ...exactPrice(duty.unitPrice ?? '0', currency),
      freeUnits: 0,
    }));
  return { currency, prices, payment: { kind: 'postpaid', limitMinor: Number.MAX_SAFE_INTEGER }, operatorShare: 0 };
}

/**
 * What a job will cost, before it runs: millionths of the currency. Null when nothing is to be paid, or when the price
 * depends on what is measured while it runs (rows, bytes, time).
 */
export function priceBefore(
  permits: readonly AdmittedPermit[],
  microEpsilon: number,
): { readonly priceMicros: bigint; readonly currency: string } | null {
  const plans = permits.map(({ permit }) => pricePlanOf(permit.duties)).filter((plan) => plan !== null);
  const [plan] = plans;
  if (plan === undefined) return null;
  const mine = plans.filter(({ currency }) => currency === plan.currency);
  if (mine.some(({ prices }) => prices.some(({ meter }) => meter !== 'calls' && meter !== 'microEpsilon'))) return null;
  const use: Meters = { ...NO_USE, calls: 1, microEpsilon };
  const minor = mine.reduce((sum, one) => sum + priceOf(one, use, NO_USE).totalMinor, 0);
  const digits = minorDigitsOf(plan.currency);
  return { priceMicros: BigInt(minor) * 10n ** BigInt(6 - digits), currency: plan.currency };
}

/** The usage event of a released job: measured by the runtime, priced by the policies, one per job. */
export function usageOf(
  job: Job,
  permits: readonly AdmittedPermit[],
  prepared: Prepared,
  result: Disclosed,
  nowMs: number,
): UsageEvent {
  // An answer that is given again was paid for.
  const meters: Meters =
    prepared.repeats !== undefined
      ? NO_USE
      : {
          ...NO_USE,
          calls: 1,
          ...result.usage,
          microEpsilon: prepared.microEpsilon,
          wallMs: Math.max(0, nowMs - job.submittedAtMs),
        };
  const plans = permits.map(({ permit }) => pricePlanOf(permit.duties)).filter((plan) => plan !== null);
  const [plan] = plans;
  // Providers who ask for different currencies are billed in the first one's only: one event has one currency.
  const chargeMinor = plans
    .filter(({ currency }) => currency === plan?.currency)
    .reduce((sum, one) => sum + priceOf(one, meters, NO_USE).totalMinor, 0);
  const [first] = permits;
  return usageEvent(
    {
      job: job.id,
      agreement: first?.agreement.id ?? '',
      consumer: job.asker.party,
      provider: first?.agreement.provider ?? '',
      datasets: prepared.datasets.map(({ name, version }) => `${name}@${version}`),
      atMs: nowMs,
      meters,
      chargeMinor,
      currency: plan?.currency ?? 'XXX',
    },
    'urn:glovebox:runtime',
  );
}

/** The meter that a duty names; `job` is a call. Unknown names count as calls, so that nothing is free by mistake. */
function meterOf(name: string | null): Meter {
  return METERS.find((meter) => meter === name) ?? 'calls';
}

/** `0.80` CNY is 80 fen for 1 unit; `0.001` CNY is 1 fen for 10 units. */
function exactPrice(text: string, currency: string): { readonly priceMinor: number; readonly per: number } {
  const [whole = '0', fraction = ''] = text.split('.');
  const digits = minorDigitsOf(currency);
  const decimals = Math.min(fraction.replace(/0+$/, '').length, MAX_DECIMALS);
  const unscaled = Number(whole) * 10 ** decimals + Number(fraction.slice(0, decimals) || '0');
  return decimals <= digits
    ? { priceMinor: unscaled * 10 ** (digits - decimals), per: 1 }
    : { priceMinor: unscaled, per: 10 ** (decimals - digits) };
}
