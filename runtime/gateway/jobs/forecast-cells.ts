import type { DatasetManifest } from '../../dataset/metadata.ts';
import type { CellForecast } from '../../gen/messages.ts';
import type { AdmittedPermit } from '../../job/admission.ts';
import type { Prepared } from '../../job/prepare.ts';
import type { TablePolicy, UsagePolicy } from '../../policy/model.ts';
import { cellReader } from '../../release/column-values.ts';
import { storedTableOf } from '../../dataset/catalogue.ts';
import { twinTables } from '../datasets/twin-tables.ts';

export interface ForecastNeeds {
  readonly manifestOf: (dataset: string, version: number) => Promise<DatasetManifest>;
}

/** Units of the twin: its default 1000 rows, five for each. */
const TWIN_ROWS = 1000;

/**
 * How many cells may be withheld, before anything runs: from the declared values of the keys, and from the synthetic
 * twin, whose rows are drawn from the policy alone. The filter of the query is not applied to it. Null when the release
 * has no threshold.
 */
export async function cellForecast(
  needs: ForecastNeeds,
  prepared: Prepared,
  permits: readonly AdmittedPermit[],
): Promise<CellForecast | null> {
  const { minUnits } = prepared.terms;
  if (minUnits === null || prepared.columns === undefined) return null;
  const keys = prepared.columns.filter(({ uses }) => uses?.includes('group') === true);
  const policies = permits.map(({ permit }) => permit.policy);
  const sizes = keys.map((key) => declaredValues(policies, key));
  const declared = sizes.includes(null) ? null : sizes.reduce<number>((product, size) => product * (size ?? 0), 1);
  const twin = await twinGroups(needs, prepared, permits, keys, minUnits);
  return {
    declaredGroups: declared === null ? null : BigInt(declared),
    minUnits: BigInt(minUnits),
    unitsNeeded: declared === null ? null : BigInt(declared * minUnits),
    ...twin,
  };
}

type Key = NonNullable<Prepared['columns']>[number];
type Twin = Pick<CellForecast, 'twinUnits' | 'twinGroups' | 'twinWithheld'>;

const tableOf = (policies: readonly UsagePolicy[], key: Key): TablePolicy | undefined =>
  policies
    .find(({ dataset }) => dataset === key.dataset)
    ?.tables.find(({ name }) => name === null || key.table === name || key.table.endsWith(`.${name}`));

function declaredValues(policies: readonly UsagePolicy[], key: Key): number | null {
  const column = tableOf(policies, key)?.columns.find(({ name }) => name === key.column);
  const listed = column?.grants.flatMap(({ values }) => (Array.isArray(values) ? [values.length] : [])) ?? [];
  return listed.length === 0 ? null : Math.min(...listed);
}

const NO_TWIN: Twin = { twinUnits: 0n, twinGroups: 0n, twinWithheld: 0n };

/** Groups of the twin by units; only for keys of one table whose unit is a column of it or its row. */
async function twinGroups(
  needs: ForecastNeeds,
  prepared: Prepared,
  permits: readonly AdmittedPermit[],
  keys: readonly Key[],
  minUnits: number,
): Promise<Twin> {
  const [first] = keys;
  if (first === undefined || keys.some(({ dataset, table }) => dataset !== first.dataset || table !== first.table))
    return NO_TWIN;
  const policy = permits.find(({ agreement }) => agreement.dataset === first.dataset)?.permit.policy;
  const version = prepared.datasets.find(({ name }) => name === first.dataset)?.version;
  const table = policy === undefined ? undefined : tableOf([policy], first);
  const [unit] = table?.privacyUnits ?? [];
  if (policy === undefined || table === undefined || version === undefined || unit === undefined) return NO_TWIN;
  if (table.isPublic || unit.via.length > 0) return NO_TWIN;
  const manifest = await needs.manifestOf(first.dataset, version);
  const wanted = new Set([...keys.map(({ column }) => column), ...unit.columns]);
  const [twin] = twinTables(
    manifest,
    { ...policy, tables: [table] },
    { rows: TWIN_ROWS, seed: 1, mayRead: ({ name }) => wanted.has(name) },
  );
  if (twin === undefined || twin.name !== storedTableOf(manifest, table).name) return NO_TWIN;
  const readers = new Map(
    twin.schema.map(({ name }, index) => {
      const [field, data] = [twin.schema[index], twin.batch.columns[index]];
      return [name, field === undefined || data === undefined ? null : cellReader(field.type, data)] as const;
    }),
  );
  const keyOf = (names: readonly string[], row: number): string =>
    JSON.stringify(names.map((name) => String(readers.get(name)?.(row))));
  const groups = new Map<string, Set<string>>();
  const units = new Set<string>();
  for (let row = 0; row < twin.batch.rowCount; row++) {
    const group = keyOf(
      keys.map(({ column }) => column),
      row,
    );
    // A unit column that cannot be used is not in the twin: its rows then stand for units of their own.
    const isKnown = unit.columns.length > 0 && unit.columns.every((name) => readers.has(name));
    const one = isKnown ? keyOf(unit.columns, row) : String(row);
    units.add(one);
    groups.set(group, (groups.get(group) ?? new Set<string>()).add(one));
  }
  return {
    twinUnits: BigInt(units.size),
    twinGroups: BigInt(groups.size),
    twinWithheld: BigInt([...groups.values()].filter((one) => one.size < minUnits).length),
  };
}
