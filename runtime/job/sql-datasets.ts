/** Which datasets an SQL job opens, and which of them its statements read. */
import { publicRows } from '../metering/public-figures.ts';
import type { Denied } from '../policy/reason.ts';
import type { EnforcedQuery } from '../query/enforced.ts';
import type { Basis } from '../release/candidate.ts';
import type { Job } from './job.ts';
import type { AdmittedPermit } from './admission.ts';
import type { Prepared } from './prepare.ts';
import type { OpenDataset, SqlEngine } from './sql-engine.ts';

/** The datasets behind the permits, attached as d0, d1, …; the first that cannot be opened denies. */
export async function openAll(
  engine: SqlEngine,
  permits: readonly AdmittedPermit[],
  asker: Job['asker'],
): Promise<readonly OpenDataset[] | Denied> {
  const open: OpenDataset[] = [];
  for (const [index, permit] of permits.entries()) {
    const dataset = await engine.open(permit, asker.party, asker.groups);
    if (dataset.kind === 'denied') return dataset;
    open.push(renamed(dataset, `d${index}`));
  }
  return open;
}

/** Datasets whose database our own statements name; a literal that looks like a name can only add one, never hide one. */
export function datasetsIn(enforced: EnforcedQuery, open: readonly OpenDataset[]): readonly OpenDataset[] {
  const statements = [...enforced.setup, enforced.result, enforced.summary];
  return open.filter(({ database }) => statements.some((statement) => statement.includes(`"${database}".`)));
}

/** Tables of the same content are one, whatever they are called. */
export function once(brought: readonly OpenDataset[]): readonly OpenDataset[] {
  return [...new Map(brought.map((one) => [one.database, one])).values()];
}

export function digestsOf(brought: readonly OpenDataset[]): Pick<Prepared, 'brought'> {
  return brought.length === 0 ? {} : { brought: brought.map(({ digest }) => digest).toSorted() };
}

/**
 * Rows of the tables that our statements read (of all tables when that is not known), as everybody may know them: each
 * table by itself, since a figure of the exact sum would tell more than the figures of the tables.
 */
export function rowsRead(tables: OpenDataset['tables'], reads: readonly string[] | undefined): number {
  return tables
    .filter(({ physical }) => reads?.includes(physical) ?? true)
    .reduce((sum, { rowCount }) => sum + publicRows(Number(rowCount), null), 0);
}

/** Public only when every table that our statements read is one that the policy declares public. */
export function basisOf(enforced: EnforcedQuery, open: readonly OpenDataset[]): Basis {
  if (enforced.certificates.length > 0 || enforced.reads === undefined) return { kind: 'certified' };
  const tables = open.flatMap((dataset) => dataset.tables);
  const isPublic = (physical: string): boolean => {
    const table = tables.find((one) => one.physical === physical);
    return table !== undefined && table.isPublic && table.units.length === 0;
  };
  return enforced.reads.every(isPublic) ? { kind: 'public' } : { kind: 'certified' };
}

/** Datasets are attached as d0, d1, …; the catalogue names tables accordingly. */
function renamed(dataset: OpenDataset, database: string): OpenDataset {
  const prefix = `"${dataset.database}".`;
  const placed = <Named extends { readonly physical: string }>(named: Named): Named => ({
    ...named,
    physical: named.physical.startsWith(prefix)
      ? `"${database}".${named.physical.slice(prefix.length)}`
      : named.physical,
  });
  const tables = dataset.tables.map((table) => ({
    ...placed(table),
    ...(table.cuboids === undefined ? {} : { cuboids: table.cuboids.map(placed) }),
  }));
  return { ...dataset, database, tables };
}
