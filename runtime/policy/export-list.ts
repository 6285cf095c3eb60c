import { strictestGrade } from './grade-pack.ts';
import type { Grade, Mode, UsagePolicy } from './model.ts';
import { type Denied, denied, reason } from './reason.ts';

/** What may not leave a set of jurisdictions (a negative list), and how often the rest may, per destination. */
export interface ExportList {
  readonly name: string;
  readonly version: number;
  /** ISO 3166-1 alpha-2; a recipient whose place is not known is outside. */
  readonly inside: readonly string[];
  /** `DATASET:TABLE.COLUMN`; each part may be `*`. */
  readonly fields: readonly string[];
  /** Releases to one destination outside, per period; null: counted, not limited. */
  readonly perDestination: { readonly max: number; readonly perMs: number | null } | null;
}

/** A column that a result rests on. */
export interface UsedColumn {
  readonly dataset: string;
  readonly table: string;
  readonly column: string;
}

/** What a result rests on. `columns` null: not known one by one, so every column of the datasets counts. */
export interface Lineage {
  readonly datasets: readonly string[];
  readonly columns: readonly UsedColumn[] | null;
}

/** The destination of a recipient whose place is not known. */
export const UNKNOWN_DESTINATION = 'unknown';

/** Judges a release by the list: inside it says nothing; outside, nothing that rests on a listed field may go. */
export function judgeExport(
  list: ExportList,
  country: string | null,
  lineage: Lineage,
): Denied | { readonly kind: 'inside' } | { readonly kind: 'foreign'; readonly destination: string } {
  if (country !== null && list.inside.includes(country)) return { kind: 'inside' };
  const listed = list.fields.filter((field) => isTouched(field, lineage));
  if (listed.length > 0) {
    const [first = ''] = listed;
    return denied(
      reason('export-listed', `the result would rest on \`${first}\`, which may not leave ${list.inside.join(', ')}`, {
        clause: `${list.name} v${list.version}`,
        remedy: `leave ${listed.map((field) => `\`${field}\``).join(', ')} out, or ask from inside; the place of a party is part of its admission`,
      }),
    );
  }
  return { kind: 'foreign', destination: country ?? UNKNOWN_DESTINATION };
}

/** Whether a text names a field as the list does. */
export const isField = (text: string): boolean => partsOf(text) !== null;

function isTouched(field: string, { datasets, columns }: Lineage): boolean {
  const parts = partsOf(field);
  // A field that cannot be read stands for everything: the list was written to hold something back.
  if (parts === null) return true;
  // Names of SQL know no case, and a table may be noted with the name of its dataset before it.
  const is = (pattern: string, name: string): boolean =>
    pattern === '*' || pattern.toLowerCase() === name.toLowerCase();
  const isTable = (pattern: string, { dataset, table }: UsedColumn): boolean =>
    // A dataset of one table is noted by its own name: then the table that is meant is that one.
    is(pattern, table) || table === dataset || is(pattern, table.slice(table.lastIndexOf('.') + 1));
  // A dataset from which no column was noted (`count(*)`) was still read: only its own fields can be left out by name.
  if (columns === null) return datasets.some((dataset) => is(parts.dataset, dataset));
  const noted = columns.some(
    (one) => is(parts.dataset, one.dataset) && isTable(parts.table, one) && is(parts.column, one.column),
  );
  const whole = parts.column === '*' && datasets.some((dataset) => is(parts.dataset, dataset));
  return noted || whole;
}

function partsOf(field: string): { readonly dataset: string; readonly table: string; readonly column: string } | null {
  const [, dataset, table, column] = /^([^:\s]{1,200}):([^:.\s]{1,200})\.([^:.\s]{1,200})$/.exec(field) ?? [];
  return dataset === undefined || table === undefined || column === undefined ? null : { dataset, table, column };
}

/**
 * The grade of a result: the highest grade of what it rests on. Modes that release statistics alone lower `important` to
 * `internal`; nothing lowers `core`. A column without a grade has the one of its policy.
 */
export function gradeOfResult(policies: readonly UsagePolicy[], lineage: Lineage, mode: Mode): Grade {
  const grades = policies
    .filter(({ dataset }) => lineage.datasets.includes(dataset))
    .flatMap((policy) =>
      policy.tables.flatMap((table) =>
        table.columns
          .filter(({ name }) => isUsed(lineage, policy.dataset, table.name, name))
          .map(({ grade }) => grade ?? policy.grade),
      ),
    );
  const known = grades.length > 0 ? grades : policies.map(({ grade }) => grade);
  const highest = strictestGrade(known) ?? 'core';
  return highest === 'important' && mode !== 'approvedCode' ? 'internal' : highest;
}

/** A policy names its only table by nothing: then the column alone says which. */
function isUsed({ columns }: Lineage, dataset: string, table: string | null, column: string): boolean {
  return (
    columns === null ||
    columns.some((one) => one.dataset === dataset && one.column === column && (table === null || one.table === table))
  );
}

/** Data of grade core never leaves, in whatever form. */
export const CORE_NEVER_LEAVES: Denied = denied(
  reason('grade-core', 'the result would rest on data of grade `core`, which never leaves', {
    remedy: 'leave the columns of grade `core` out',
  }),
);
