import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { BenchReport } from '../measurement.ts';

/** A report and the name by which the page calls it. */
export interface NamedReport {
  readonly name: string;
  readonly report: BenchReport;
}

/** Largest results file that is read, bytes. */
const MAX_BYTES = 64 << 20;

/** Reads files that `glovebox bench --json` wrote; says which one is not one. */
export function readReports(
  files: readonly string[],
):
  | { readonly kind: 'read'; readonly reports: readonly NamedReport[] }
  | { readonly kind: 'bad'; readonly problem: string } {
  const reports: NamedReport[] = [];
  for (const file of files) {
    const text = readFileSync(file, 'utf8');
    if (text.length > MAX_BYTES) return { kind: 'bad', problem: `\`${file}\` is too large to be a report` };
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return { kind: 'bad', problem: `\`${file}\` is not JSON` };
    }
    if (!isReport(value)) return { kind: 'bad', problem: `\`${file}\` is not a report of \`glovebox bench --json\`` };
    reports.push({ name: basename(file, '.json'), report: value });
  }
  return { kind: 'read', reports };
}

function isReport(value: unknown): value is BenchReport {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, form, measurements, machine, versions, options } = value as Partial<BenchReport>;
  return (
    kind === 'glovebox-bench' &&
    form === 1 &&
    typeof machine === 'object' &&
    typeof versions === 'object' &&
    typeof options === 'object' &&
    Array.isArray(measurements) &&
    measurements.every(
      (one: unknown) =>
        typeof one === 'object' &&
        one !== null &&
        'name' in one &&
        typeof one.name === 'string' &&
        'group' in one &&
        typeof one.group === 'string' &&
        'value' in one &&
        isSpread(one.value),
    )
  );
}

function isSpread(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || !('median' in value) || !('runs' in value)) return false;
  return (
    typeof value.median === 'number' && Array.isArray(value.runs) && value.runs.every((run) => typeof run === 'number')
  );
}
