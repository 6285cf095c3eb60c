import { majorUnits } from './money.ts';
import { type ParquetColumn, parquetFile } from './parquet.ts';
import type { Period, StatementLine } from './statement.ts';
import { METERS, type Meter } from './usage.ts';

type Cell = string | number;

/** Columns of a statement in FOCUS 1.0 (FinOps Open Cost and Usage Specification), each with what it says of a line. */
const COLUMNS: readonly {
  readonly name: string;
  /** text; decimal: an exact decimal text in CSV, a double in Parquet; integer. */
  readonly kind: ParquetColumn['kind'];
  readonly of: (line: StatementLine, period: Period, issuer: string) => Cell;
}[] = [
  { name: 'BilledCost', kind: 'decimal', of: costOf },
  { name: 'BillingAccountId', kind: 'text', of: ({ consumer }) => consumer },
  { name: 'BillingAccountName', kind: 'text', of: ({ consumer }) => consumer },
  { name: 'BillingCurrency', kind: 'text', of: ({ currency }) => currency },
  { name: 'BillingPeriodEnd', kind: 'text', of: (_, { toMs }) => isoSeconds(toMs) },
  { name: 'BillingPeriodStart', kind: 'text', of: (_, { fromMs }) => isoSeconds(fromMs) },
  { name: 'ChargeCategory', kind: 'text', of: () => 'Usage' },
  { name: 'ChargeClass', kind: 'text', of: () => '' },
  { name: 'ChargeDescription', kind: 'text', of: ({ agreement }) => `use of data under agreement ${agreement}` },
  { name: 'ChargeFrequency', kind: 'text', of: () => 'Usage-Based' },
  { name: 'ChargePeriodEnd', kind: 'text', of: (_, { toMs }) => isoSeconds(toMs) },
  { name: 'ChargePeriodStart', kind: 'text', of: (_, { fromMs }) => isoSeconds(fromMs) },
  { name: 'ConsumedQuantity', kind: 'decimal', of: ({ jobs }) => String(jobs) },
  { name: 'ConsumedUnit', kind: 'text', of: () => 'Jobs' },
  { name: 'ContractedCost', kind: 'decimal', of: costOf },
  { name: 'EffectiveCost', kind: 'decimal', of: costOf },
  { name: 'InvoiceIssuerName', kind: 'text', of: (_, __, issuer) => issuer },
  { name: 'ListCost', kind: 'decimal', of: costOf },
  { name: 'PricingCategory', kind: 'text', of: () => 'Standard' },
  { name: 'PricingQuantity', kind: 'decimal', of: ({ jobs }) => String(jobs) },
  { name: 'PricingUnit', kind: 'text', of: () => 'Jobs' },
  { name: 'ProviderName', kind: 'text', of: ({ provider }) => provider },
  { name: 'PublisherName', kind: 'text', of: ({ provider }) => provider },
  { name: 'ResourceId', kind: 'text', of: ({ agreement }) => agreement },
  { name: 'ResourceName', kind: 'text', of: ({ agreement }) => agreement },
  { name: 'ResourceType', kind: 'text', of: () => 'Agreement' },
  { name: 'ServiceCategory', kind: 'text', of: () => 'Analytics' },
  { name: 'ServiceName', kind: 'text', of: () => 'Data use' },
  { name: 'SubAccountId', kind: 'text', of: ({ agreement }) => agreement },
  // What FOCUS has no column for is in columns that begin with `x_`, as it prescribes.
  ...METERS.map((meter) => ({
    name: columnOf(meter),
    kind: 'integer' as const,
    of: ({ meters }: StatementLine) => meters[meter],
  })),
  { name: 'x_FreeJobs', kind: 'integer', of: ({ freeJobs }) => freeJobs },
  {
    name: 'x_OperatorCost',
    kind: 'decimal',
    of: ({ operatorMinor, currency }) => majorUnits(operatorMinor, currency),
  },
  {
    name: 'x_ProviderRevenue',
    kind: 'decimal',
    of: ({ chargeMinor, operatorMinor, currency }) => majorUnits(chargeMinor - operatorMinor, currency),
  },
];

/** A statement as CSV: a header, and one row per agreement. */
export function toFocusCsv(lines: readonly StatementLine[], period: Period, issuer: string): string {
  return [
    COLUMNS.map(({ name }) => name),
    ...lines.map((line) => COLUMNS.map(({ of }) => String(of(line, period, issuer)))),
  ]
    .map((cells) => `${cells.map((cell) => csvCell(cell)).join(',')}\r\n`)
    .join('');
}

/** The same columns and rows as Apache Parquet. */
export function toFocusParquet(lines: readonly StatementLine[], period: Period, issuer: string): Uint8Array {
  return parquetFile(
    COLUMNS.map(({ name, kind, of }): ParquetColumn => {
      const values = lines.map((line) => of(line, period, issuer));
      if (kind === 'text') return { name, kind, values: values.map(String) };
      return { name, kind, values: values.map(Number) };
    }),
  );
}

function costOf({ chargeMinor, currency }: StatementLine): string {
  return majorUnits(chargeMinor, currency);
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
