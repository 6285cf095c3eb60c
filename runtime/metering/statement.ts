import { addMeters, METERS, NO_USE, type Meter, type Meters, type UsageEvent } from './usage.ts';

/** What one agreement used and owes in a period. */
export interface StatementLine {
  readonly agreement: string;
  readonly consumer: string;
  readonly provider: string;
  readonly currency: string;
  readonly jobs: number;
  readonly meters: Meters;
  readonly chargeMinor: number;
}

/** A time span: inclusive start, exclusive end, milliseconds since 1970. */
export interface Period {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * Sums usage events by agreement, provider and currency. An event that comes twice (same id) counts once; two
 * different events with one id are a fault, for then the meter and the log disagree.
 */
export function statementOf(events: readonly UsageEvent[], period: Period): StatementLine[] {
  const seen = new Map<string, string>();
  const lines = new Map<string, StatementLine>();
  for (const event of events) {
    const atMs = Date.parse(event.time);
    if (atMs < period.fromMs || atMs >= period.toMs) continue;
    const content = JSON.stringify(event.data);
    const known = seen.get(event.id);
    if (known === content) continue;
    if (known !== undefined) throw new RangeError(`job '${event.id}' has two different usage events`);
    seen.set(event.id, content);
    const { agreement, consumer, provider, currency, meters, chargeMinor } = event.data;
    const key = JSON.stringify([agreement, provider, currency]);
    const line = lines.get(key) ?? { agreement, consumer, provider, currency, jobs: 0, meters: NO_USE, chargeMinor: 0 };
    lines.set(key, {
      ...line,
      jobs: line.jobs + 1,
      meters: addMeters(line.meters, meters),
      chargeMinor: line.chargeMinor + chargeMinor,
    });
  }
  return [...lines.values()].toSorted(
    (one, other) => compare(one.agreement, other.agreement) || compare(one.provider, other.provider),
  );
}

/** Digits after the point, for currencies that do not have two (ISO 4217). */
const MINOR_DIGITS: Readonly<Record<string, number>> = {
  JPY: 0,
  KRW: 0,
  VND: 0,
  CLP: 0,
  BHD: 3,
  KWD: 3,
  OMR: 3,
  TND: 3,
};

/** Digits after the point in amounts of a currency: 2 for CNY, 0 for JPY. */
export function minorDigitsOf(currency: string): number {
  return MINOR_DIGITS[currency] ?? 2;
}

/**
 * A statement as CSV in the columns of FOCUS 1.0 (FinOps Open Cost and Usage Specification): one row per agreement.
 * What FOCUS has no column for is in columns that begin with `x_`, as it prescribes.
 */
export function toFocusCsv(lines: readonly StatementLine[], period: Period, issuer: string): string {
  const [start, end] = [isoSeconds(period.fromMs), isoSeconds(period.toMs)];
  const rows = lines.map((line): Record<string, string> => {
    const cost = majorUnits(line.chargeMinor, line.currency);
    return {
      BilledCost: cost,
      BillingAccountId: line.consumer,
      BillingAccountName: line.consumer,
      BillingCurrency: line.currency,
      BillingPeriodEnd: end,
      BillingPeriodStart: start,
      ChargeCategory: 'Usage',
      ChargeClass: '',
      ChargeDescription: `use of data under agreement ${line.agreement}`,
      ChargeFrequency: 'Usage-Based',
      ChargePeriodEnd: end,
      ChargePeriodStart: start,
      ConsumedQuantity: String(line.jobs),
      ConsumedUnit: 'Jobs',
      ContractedCost: cost,
      EffectiveCost: cost,
      InvoiceIssuerName: issuer,
      ListCost: cost,
      PricingCategory: 'Standard',
      PricingQuantity: String(line.jobs),
      PricingUnit: 'Jobs',
      ProviderName: line.provider,
      PublisherName: line.provider,
      ResourceId: line.agreement,
      ResourceName: line.agreement,
      ResourceType: 'Agreement',
      ServiceCategory: 'Analytics',
      ServiceName: 'Data use',
      SubAccountId: line.agreement,
      ...Object.fromEntries(METERS.map((meter) => [columnOf(meter), String(line.meters[meter])])),
    };
  });
  const names = Object.keys(rows[0] ?? focusHeader());
  return [names, ...rows.map((row) => names.map((name) => row[name] ?? ''))]
    .map((cells) => `${cells.map((cell) => csvCell(cell)).join(',')}\r\n`)
    .join('');
}

/** An amount in minor units as a decimal text in major ones, exact: 12345 CNY → `123.45`. */
export function majorUnits(minor: number, currency: string): string {
  const digits = minorDigitsOf(currency);
  const text = String(minor).padStart(digits + 1, '0');
  return digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
}

function focusHeader(): Record<string, string> {
  const nobody: StatementLine = {
    agreement: '',
    consumer: '',
    provider: '',
    currency: 'XXX',
    jobs: 0,
    meters: NO_USE,
    chargeMinor: 0,
  };
  const header = toFocusCsv([nobody], { fromMs: 0, toMs: 0 }, '').split('\r\n')[0] ?? '';
  return Object.fromEntries(header.split(',').map((name) => [name, '']));
}

/** rowsScanned → x_RowsScanned */
function columnOf(meter: Meter): string {
  return `x_${meter.slice(0, 1).toUpperCase()}${meter.slice(1)}`;
}

/** RFC 4180; a cell that a spreadsheet would take for a formula is made text, since names come from other parties. */
function csvCell(cell: string): string {
  const text = /^[=+\-@\t\r]/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function isoSeconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
