import { agreementBudget } from '../ledger/budget.ts';
import type { BudgetLine } from '../ledger/reservation.ts';
import type { Duty } from '../policy/model.ts';
import { mostOf, operatorPart, planOf } from '../metering/agreed-prices.ts';
import { exactPrice, microsOf } from '../metering/money.ts';
import { creditLimit, type MeterPrice, type PricePlan, priceOf } from '../metering/price.ts';
import { publicRows } from '../metering/public-figures.ts';
import {
  METERS,
  type Meter,
  type Meters,
  NO_USE,
  type UsageEvent,
  usageEvent,
  type UsagePart,
} from '../metering/usage.ts';
import { answerTime } from '../release/quantum.ts';
import type { Disclosed } from './disclose.ts';
import type { Job } from './job.ts';
import type { ResultNote } from './needs.ts';
import type { AdmittedPermit } from './admission.ts';
import type { Prepared } from './prepare.ts';

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

/** The price that holds under an agreement: what its parties signed, else what the policy's duties say. */
function planUnder({ agreement, permit }: AdmittedPermit): PricePlan | null {
  return agreement.prices === null ? pricePlanOf(permit.duties) : planOf(agreement.prices);
}

/**
 * What a job will cost at most, before it runs: millionths of the currency. Null when nothing is to be paid, or when the
 * price depends on what nothing bounds (time).
 */
export function priceBefore(
  permits: readonly AdmittedPermit[],
  prepared: Prepared,
): { readonly priceMicros: bigint; readonly currency: string } | null {
  const plans = permits.flatMap((one) => {
    const plan = planUnder(one);
    return plan === null ? [] : [{ plan, most: mostUse(prepared, one) }];
  });
  const [first] = plans;
  if (first === undefined) return null;
  const { currency } = first.plan;
  const mine = plans.filter(({ plan }) => plan.currency === currency);
  const isBounded = mine.every(({ plan }) => plan.prices.every(({ meter }) => meter !== 'cpuMs' && meter !== 'wallMs'));
  if (!isBounded) return null;
  const minor = mine.reduce((sum, { plan, most }) => sum + priceOf(plan, most, NO_USE).totalMinor, 0);
  return { priceMicros: microsOf(minor, currency), currency };
}

/** What a job holds under agreements that have agreed prices: a free job's place, or the most that it can cost. */
export interface CreditHold {
  readonly line: BudgetLine;
  readonly agreement: string;
  readonly isFree: boolean;
}

/**
 * What is held before a job runs, so that no number of jobs at once passes a credit. `exhausted` names agreements whose
 * free jobs are used up.
 */
export function creditHolds(
  permits: readonly AdmittedPermit[],
  prepared: Prepared,
  exhausted: ReadonlySet<string>,
): readonly CreditHold[] {
  if (prepared.repeats !== undefined) return [];
  return permits.flatMap((one): readonly CreditHold[] => {
    const { id, prices } = one.agreement;
    if (prices === null) return [];
    const { freeJobs } = prices;
    if (freeJobs !== null && !exhausted.has(id)) {
      const line = { budget: agreementBudget('count', { agreement: id }), amount: 1n, limit: BigInt(freeJobs.max) };
      const { perMs } = freeJobs;
      return [{ agreement: id, isFree: true, line: perMs === null ? line : { ...line, windowMs: perMs } }];
    }
    const line = {
      budget: agreementBudget('credit', { agreement: id }),
      amount: BigInt(mostOf(prices, mostUse(prepared, one))),
      limit: creditLimit(planOf(prices)),
      returnsUnused: true,
    };
    return [{ agreement: id, isFree: false, line }];
  });
}

/** The usage event of a released job: measured by the runtime, priced by each agreement, one per job. */
export function usageOf(
  job: Job,
  permits: readonly AdmittedPermit[],
  prepared: Prepared,
  result: Disclosed,
  now: { readonly nowMs: number; readonly holds: readonly CreditHold[] },
): UsageEvent {
  const rows = permits.map((one) => rowsUnder(prepared, one));
  const worked: Meters = {
    ...NO_USE,
    calls: 1,
    ...result.usage,
    cpuMs: isNoisy(prepared) ? 0 : slotOf(result.usage.cpuMs),
    // Unknown before the run: what was measured, as a coarse figure.
    rowsScanned: rows.every((one) => one !== null)
      ? rows.reduce((sum, one) => sum + one, 0)
      : figureOf(prepared, result.usage.rowsScanned),
    microEpsilon: prepared.microEpsilon,
    heOps: prepared.ciphertextOperations ?? 0,
    wallMs: slotOf(now.nowMs - job.submittedAtMs),
  };
  // An answer that is given again was paid for.
  const isRepeat = prepared.repeats !== undefined;
  const measured = isRepeat ? NO_USE : worked;
  const parts = permits.map((one, at) =>
    partOf(one, isRepeat ? NO_USE : { ...measured, rowsScanned: rows[at] ?? measured.rowsScanned }, now.holds),
  );
  const [first] = permits;
  const currency = parts.find((part) => part.currency !== NO_CURRENCY)?.currency ?? NO_CURRENCY;
  return usageEvent(
    {
      job: job.id,
      agreement: first?.agreement.id ?? '',
      consumer: job.asker.party,
      provider: first?.agreement.provider ?? '',
      datasets: prepared.datasets.map(({ name, version }) => `${name}@${version}`),
      atMs: now.nowMs,
      meters: measured,
      chargeMinor: parts.reduce((sum, part) => sum + (part.currency === currency ? part.chargeMinor : 0), 0),
      currency,
      parts,
    },
    'urn:glovebox:runtime',
  );
}

/** What of the holds was used: the ledger gives the rest back. */
export function usedCredit(
  usage: UsageEvent,
  holds: readonly CreditHold[],
): readonly (readonly [BudgetLine['budget'], bigint])[] {
  return holds
    .filter(({ isFree }) => !isFree)
    .map(({ agreement, line }) => {
      const part = usage.data.parts?.find((one) => one.agreement === agreement);
      return [line.budget, BigInt(part?.chargeMinor ?? 0)] as const;
    });
}

const NO_CURRENCY = 'XXX';

function partOf(one: AdmittedPermit, meters: Meters, holds: readonly CreditHold[]): UsagePart {
  const { agreement } = one;
  const plan = planUnder(one);
  const isFree = holds.some((hold) => hold.agreement === agreement.id && hold.isFree);
  const chargeMinor = plan === null || isFree ? 0 : priceOf(plan, meters, NO_USE).totalMinor;
  return {
    agreement: agreement.id,
    provider: agreement.provider,
    chargeMinor,
    currency: plan?.currency ?? NO_CURRENCY,
    operatorMinor: operatorPart(chargeMinor, plan?.operatorShare ?? 0),
    isFree,
    rowsScanned: meters.rowsScanned,
    // Noisy jobs tell no figure of rows, and none of units.
    units: meters.rowsScanned === 0 ? 0 : (agreement.units ?? 0),
  };
}

/** What bounds each meter of a job before it runs. */
function mostUse(prepared: Prepared, one: AdmittedPermit): Meters {
  const { terms, microEpsilon } = prepared;
  const cells = terms.outputs.filter(({ role }) => role !== 'key').length;
  return {
    ...NO_USE,
    calls: 1,
    microEpsilon,
    heOps: prepared.ciphertextOperations ?? 0,
    rowsScanned: rowsUnder(prepared, one) ?? 0,
    cellsReleased: terms.maxRows * cells,
    bytesReleased: terms.maxBytes,
  };
}

/** Rows of what a job reads under an agreement, as everybody may know them; null when not known before the run. */
function rowsUnder(prepared: Prepared, { agreement }: AdmittedPermit): number | null {
  const dataset = prepared.datasets.find(({ name }) => name === agreement.dataset);
  if (dataset === undefined) return 0;
  return dataset.rows === undefined ? null : figureOf(prepared, dataset.rows);
}

/**
 * Bills are read by consumers, so a meter must tell no more than the answer: rows are a coarse figure, times the end of
 * their slot, and a job whose answer is noisy meters neither.
 */
const figureOf = (prepared: Prepared, rows: number): number =>
  isNoisy(prepared) ? 0 : publicRows(rows, prepared.terms.minUnits);

const isNoisy = ({ terms }: Prepared): boolean => terms.mode === 'differentialPrivacy' || terms.mode === 'sandbox';

/** Milliseconds as their slot tells them, 8 % wide: the slots in which answers leave. */
function slotOf(elapsedMs: number): number {
  return Math.ceil(answerTime(Math.max(0, elapsedMs), { stepMs: 5, growth: 1.08 }));
}

/** The meter that a duty names; `job` is a call. Unknown names count as calls, so that nothing is free by mistake. */
function meterOf(name: string | null): Meter {
  return METERS.find((meter) => meter === name) ?? 'calls';
}

/** What a consumer is told of a job's use beside its result: the figures of its bill, which tell no more than its answer. */
export function meterNote({ data: { meters, chargeMinor, currency } }: UsageEvent): NonNullable<ResultNote['meter']> {
  const { rowsScanned, cellsReleased, heOps } = meters;
  return {
    rowsScanned,
    cellsReleased,
    ...(heOps === 0 ? {} : { ciphertextOperations: heOps }),
    chargeMinor,
    currency: currency === NO_CURRENCY ? '' : currency,
  };
}
