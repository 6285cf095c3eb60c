/** From a dataset version, its policy and its layout to the tables that a query may see. Plain data in, plain data out. */
import type { ColumnGrant, ColumnRight, PrivacyUnit, TablePolicy } from '../policy/model.ts';
import { grantsFor } from '../policy/rights.ts';
import type { CatalogueColumn, CatalogueTable, UnitColumns } from '../query/catalogue.ts';
import {
  type Cuboid,
  CUBOID_ROWS,
  CUBOID_SUM,
  FIXED_POINT,
  LARGE_ROWS,
  ROW_RANK,
  UNIT_HASH,
  UNIT_ONE_HOT,
  UNIT_SIDES,
  UNIT_TAG,
  UNIT_WORDS,
  type LayoutSpec,
  type LayoutTable,
} from '../query/layout.ts';
import type { LearntColumn } from './column-facts.ts';
import { cuboidSumType } from './cuboids.ts';
import { DatasetError } from './dataset-error.ts';
import { printType } from '../query/types.ts';
import type { DatasetManifest, StoredTable } from './metadata.ts';
import { quoteName } from './sql-text.ts';

/** The table of the dataset that a table policy is about, if there is one; without a name, the only one there is. */
export function findStoredTable(
  { tables }: Pick<DatasetManifest, 'tables'>,
  { name }: Pick<TablePolicy, 'name'>,
): StoredTable | undefined {
  if (name === null) return tables.length === 1 ? tables[0] : undefined;
  return tables.find((table) => table.name === name);
}

/** The same where there has to be one. Throws `DatasetError` when there is none. */
export function storedTableOf(manifest: DatasetManifest, policy: Pick<TablePolicy, 'name'>): StoredTable {
  const found = findStoredTable(manifest, policy);
  if (found !== undefined) return found;
  const { tables, dataset } = manifest;
  const names = tables.map(({ name }) => `\`${name}\``).join(', ');
  throw new DatasetError(
    'invalid-layout',
    policy.name === null
      ? `dataset \`${dataset}\` has the tables ${names}: the policy has to name the one it is about`
      : `table \`${policy.name}\` is not in dataset \`${dataset}\``,
  );
}

/**
 * The layout that a policy's tables need: every column that some grant names, clipped to the declared bounds.
 * `maxRowsPerUnit` is the largest row bound of the policy's differentially private rules, null when there is none;
 * `isCompared`: whether some rule releases exact aggregates, which are proved and can be compared with earlier ones.
 * Throws `DatasetError` when the policy names a table or column that the dataset does not have, or bounds that differ
 * between the grants of one column (one file can hold only one clipped form).
 */
export function layoutSpecOf(
  manifest: DatasetManifest,
  policies: readonly TablePolicy[],
  maxRowsPerUnit: number | null,
  isCompared = true,
): LayoutSpec {
  return { tables: policies.map((policy) => layoutTableOf(manifest, policy, maxRowsPerUnit, isCompared)) };
}

function layoutTableOf(
  manifest: DatasetManifest,
  policy: TablePolicy,
  maxRowsPerUnit: number | null,
  isCompared: boolean,
): LayoutTable {
  const stored = storedTableOf(manifest, policy);
  const bounds: Record<string, { low: number; high: number }> = {};
  for (const { name, grants } of policy.columns) {
    if (!stored.columns.some((column) => column.name === name)) {
      throw new DatasetError(
        'invalid-layout',
        `column \`${name}\` is not in table \`${stored.name}\` of dataset \`${manifest.dataset}\``,
      );
    }
    const declared = grants.flatMap((grant) => (grant.bounds === null ? [] : [grant.bounds]));
    const [first] = declared;
    if (first === undefined) continue;
    if (declared.some(({ low, high }) => low !== first.low || high !== first.high)) {
      throw new DatasetError(
        'invalid-layout',
        `column \`${name}\` has different bounds in different grants; give it one pair`,
      );
    }
    bounds[name] = { low: first.low, high: first.high };
  }
  const sides = isCompared ? sidedColumns(policy, stored) : [];
  const dimensions = isCompared && isLarge(policy, stored) ? dimensionsOf(policy, stored) : [];
  return {
    name: stored.name,
    ...(dimensions.length === 0 ? {} : { dimensions, measures: addedColumns(policy, stored) }),
    ...(sides.length === 0 ? {} : { sides }),
    columns: policy.columns.map(({ name }) => name),
    units: policy.privacyUnits,
    rows: policy.rows,
    bounds,
    maxRowsPerUnit: policy.isPublic ? null : maxRowsPerUnit,
    isTagged: isCompared && !policy.isPublic,
    ...(isCompared && isLarge(policy, stored) ? { hasLanes: true as const } : {}),
  };
}

/** Whether a private table has rows enough for what is prepared of large ones. */
function isLarge({ isPublic }: Pick<TablePolicy, 'isPublic'>, { rowCount }: StoredTable): boolean {
  return !isPublic && rowCount >= LARGE_ROWS;
}

/** Each takes 8 bytes a row. */
const MOST_SIDED = 8;

/** The measures that can be added up, hence multiplied, of a large table with one unit. */
function sidedColumns({ isPublic, privacyUnits, columns }: TablePolicy, stored: StoredTable): readonly string[] {
  if (!isLarge({ isPublic }, stored) || privacyUnits.length !== 1) return [];
  const numbers = new Set(stored.columns.filter(({ type }) => NUMBERS.has(type.kind)).map(({ name }) => name));
  const isAdded = ({ rights, functions }: ColumnGrant): boolean =>
    rights.includes('aggregate') && functions.includes('sum');
  const added = columns.filter(({ name, grants }) => numbers.has(name) && grants.some(isAdded));
  return added.slice(0, MOST_SIDED).map(({ name }) => name);
}
const NUMBERS: ReadonlySet<string> = new Set(['integer', 'decimal', 'float', 'double']);

/** Each takes 8 bytes in each row of each cuboid. */
const MOST_ADDED = 8;
/** Sums have 18 digits: of values with more behind the point hardly any would fit. */
const MOST_SCALE = 12;

/** The measures that are added up or averaged, and whose sums are exact. */
function addedColumns({ columns }: TablePolicy, stored: StoredTable): readonly string[] {
  const isExact = ({ type }: StoredTable['columns'][number]): boolean =>
    (type.kind === 'integer' && type.bits <= 64) || (type.kind === 'decimal' && type.scale <= MOST_SCALE);
  const exact = new Set(stored.columns.filter(isExact).map(({ name }) => name));
  const isAdded = ({ rights, functions }: ColumnGrant): boolean =>
    rights.includes('aggregate') && (functions.includes('sum') || functions.includes('avg'));
  const added = columns.filter(({ name, grants }) => exact.has(name) && grants.some(isAdded));
  return added.slice(0, MOST_ADDED).map(({ name }) => name);
}

/** Columns by which rows of a large private table can be told apart: what can be a key of groups, and what else conditions can speak of. */
function dimensionsOf({ columns }: TablePolicy, stored: StoredTable): readonly (readonly string[])[] {
  const exact = new Set(stored.columns.filter(({ type }) => !INEXACT.has(type.kind)).map(({ name }) => name));
  const having = (wanted: readonly ColumnRight[]): readonly string[] =>
    columns
      .filter(
        ({ name, grants }) =>
          exact.has(name) && grants.some(({ rights }) => wanted.some((one) => rights.includes(one))),
      )
      .map(({ name }) => name);
  const keys = having(['group']);
  return [keys, having(['filter', 'join', 'compare']).filter((name) => !keys.includes(name))];
}
/** What is equal is not the same here. */
const INEXACT: ReadonlySet<string> = new Set(['float', 'double', 'interval']);

export interface CatalogueInput {
  readonly manifest: DatasetManifest;
  readonly policies: readonly TablePolicy[];
  readonly consumer: string;
  /** Groups of the consumer, without the prefix `group:`. */
  readonly groups?: readonly string[];
  /** Catalogue name of the dataset's layout file in the worker, e.g. `d0`. */
  readonly alias: string;
  /** Rows of each laid-out table (its row scope applied), by name. */
  readonly rowCounts: ReadonlyMap<string, number>;
  /** What was learnt of the laid-out columns, by table and column; absent: nothing is known. */
  readonly facts?: ReadonlyMap<string, Readonly<Record<string, LearntColumn>>>;
  /** Cuboids of the laid-out tables, by table; absent: there are none. */
  readonly cuboids?: ReadonlyMap<string, readonly Cuboid[]>;
}

/** The tables of one dataset as a query of this consumer may see them. */
export function catalogueTables(input: CatalogueInput): readonly CatalogueTable[] {
  const { manifest, policies, consumer, alias, rowCounts } = input;
  const groups = input.groups ?? [];
  return policies.map((policy): CatalogueTable => {
    const stored = storedTableOf(manifest, policy);
    const learnt = input.facts?.get(stored.name) ?? {};
    const columns = visibleColumns(policy, stored, learnt, { consumer, groups });
    return {
      dataset: manifest.dataset,
      names: sqlNamesOf(manifest, stored.name),
      physical: `${quoteName(alias)}.${quoteName(stored.name)}`,
      isPublic: policy.isPublic,
      columns,
      units: policy.privacyUnits.map((unit, i) => ({
        ...unitColumns(unit, i, manifest, stored, columns),
        ...sidesOf(policy, stored, columns),
      })),
      joins: policy.joins,
      ...(policy.consumerTables === false
        ? {}
        : { consumerTables: policy.consumerTables === 'onUnit' ? ('unit' as const) : ('columns' as const) }),
      ...cuboidsOf(input.cuboids?.get(stored.name), alias),
      ...(isReachedByKey(policy, stored.name, policies) ? { isOneOfEachUnit: true as const } : {}),
      rowCount: BigInt(rowCounts.get(stored.name) ?? stored.rowCount),
    };
  });
}

function cuboidsOf(cuboids: readonly Cuboid[] | undefined, alias: string): Pick<CatalogueTable, 'cuboids'> {
  if (cuboids === undefined) return {};
  return {
    cuboids: cuboids.map(({ name, ...rest }) => ({ ...rest, physical: `${quoteName(alias)}.${quoteName(name)}` })),
  };
}

/** Whether a path of another table ends on the one column that is this table's only unit. */
function isReachedByKey(policy: TablePolicy, name: string, policies: readonly TablePolicy[]): boolean {
  const [unit, ...more] = policy.privacyUnits;
  const [key, ...others] = unit?.columns ?? [];
  if (unit === undefined || key === undefined || unit.via.length + more.length + others.length > 0) return false;
  const steps = policies.flatMap(({ privacyUnits }) => privacyUnits.flatMap(({ via }) => via));
  return steps.some((step) => step.table === name && step.to === key);
}

function visibleColumns(
  policy: TablePolicy,
  stored: StoredTable,
  learnt: Readonly<Record<string, LearntColumn>>,
  { consumer, groups }: { readonly consumer: string; readonly groups: readonly string[] },
): CatalogueColumn[] {
  return policy.columns.flatMap((column): CatalogueColumn[] => {
    const { name } = column;
    const type = stored.columns.find((column) => column.name === name)?.type;
    const held = grantsFor(column, consumer, groups);
    if (type === undefined || held.length === 0) return [];
    const known = Object.hasOwn(learnt, name) ? learnt[name] : undefined;
    if (known === undefined) return [{ name, type, grants: held }];
    const { distinctValues, ...facts } = known;
    return [{ name, type, grants: held, distinctValues, facts }];
  });
}

/**
 * Names under which a table can be asked for, most specific last. `hospital/visits` with the one table `visits`:
 * `visits`, `hospital.visits`, `"hospital/visits"`. With several tables each is `table` and `dataset.table`.
 */
export function sqlNamesOf(manifest: DatasetManifest, table: string): readonly string[] {
  const parts = manifest.dataset.split('/');
  const last = parts.at(-1) ?? '';
  const schema = parts.at(-2);
  const names = new Set([table]);
  if (manifest.tables.length === 1) {
    names.add(last.replaceAll(/[^a-z0-9_]/g, '_'));
    if (schema !== undefined) names.add(`${schema}.${table}`).add(`${schema}.${last}`);
    names.add(`${manifest.dataset}`);
  } else {
    names.add(`${last}.${table}`);
    names.add(`${manifest.dataset}.${table}`);
  }
  return [...names];
}

function unitColumns(
  unit: PrivacyUnit,
  index: number,
  manifest: DatasetManifest,
  stored: StoredTable,
  columns: readonly CatalogueColumn[],
): UnitColumns {
  const isHere = unit.via.length === 0 && unit.columns.length > 0;
  const isVisible = isHere && unit.columns.every((name) => columns.some((column) => column.name === name));
  // The hash covers the values of the key alone, so equal keys are one unit wherever in the dataset they stand. A row
  // that is its own unit is nowhere else.
  const domain =
    unit.columns.length === 0 ? `${manifest.dataset}#${stored.name}` : `${manifest.dataset}:${unit.columns.join(',')}`;
  return {
    keyColumns: isVisible ? unit.columns : keysAlongPath(unit, columns),
    domain,
    hash: UNIT_HASH(index),
    oneHot: UNIT_ONE_HOT(index),
    tag: UNIT_TAG(index),
    ...(stored.rowCount < LARGE_ROWS ? {} : { words: UNIT_WORDS(index) }),
    ...(unit.via.length === 0 ? {} : { path: unit.via }),
    ...(unit.columns.length === 0 ? { isRow: true as const } : {}),
  };
}

/** What the layout prepared for products of the columns that are visible. */
function sidesOf(
  policy: TablePolicy,
  stored: StoredTable,
  columns: readonly CatalogueColumn[],
): Pick<UnitColumns, 'sides'> {
  const sided = sidedColumns(policy, stored).filter((name) => columns.some((column) => column.name === name));
  return sided.length === 0 ? {} : { sides: new Map(sided.map((name) => [name, UNIT_SIDES(name)])) };
}

/** A path of one step that ends on the unit's own key: the column it starts from holds that key here. */
function keysAlongPath(
  { columns: [key, ...others], via: [step, ...more] }: PrivacyUnit,
  columns: readonly CatalogueColumn[],
): readonly string[] {
  const isDirect = key !== undefined && others.length + more.length === 0 && step?.to === key;
  return isDirect && columns.some(({ name }) => name === step.from) ? [step.from] : [];
}

/**
 * Statements that make the layout's tables without rows, for the bound-plan check (`planInWorker`). `cuboids`: those that the
 * layout has, by table.
 */
export function emptySchemaOf(
  alias: string,
  manifest: DatasetManifest,
  spec: LayoutSpec,
  cuboids: ReadonlyMap<string, readonly Cuboid[]> = new Map(),
): readonly string[] {
  const statements = [`ATTACH ':memory:' AS ${quoteName(alias)}`];
  for (const table of spec.tables) {
    const stored = storedTableOf(manifest, table);
    const typeOf = (name: string): string => {
      const column = stored.columns.find((candidate) => candidate.name === name);
      if (column === undefined)
        throw new DatasetError('invalid-layout', `column \`${name}\` is not in table \`${stored.name}\``);
      return printType(column.type);
    };
    const columns = [
      ...table.columns.map((name) => `${quoteName(name)} ${typeOf(name)}`),
      ...table.units.flatMap((_, i) =>
        [
          UNIT_HASH(i),
          UNIT_ONE_HOT(i),
          ...(table.isTagged ? [UNIT_TAG(i)] : []),
          ...(table.hasLanes === true ? UNIT_WORDS(i) : []),
        ].map((name) => `${quoteName(name)} UBIGINT`),
      ),
      ...(table.sides ?? []).map((name) => `${quoteName(UNIT_SIDES(name))} UBIGINT`),
      ...(table.maxRowsPerUnit === null
        ? []
        : [
            ...table.columns
              .filter((name) => Object.hasOwn(table.bounds, name))
              .map((name) => `${quoteName(FIXED_POINT(name))} BIGINT`),
            `${quoteName(ROW_RANK)} UINTEGER`,
          ]),
    ];
    statements.push(`CREATE TABLE ${quoteName(alias)}.${quoteName(table.name)} (${columns.join(', ')})`);
    for (const { name, columns: keys, sums } of cuboids.get(stored.name) ?? []) {
      const words = table.units.flatMap((_, i) => [UNIT_ONE_HOT(i), ...UNIT_WORDS(i)]);
      const parts = [
        ...keys.map((key) => `${quoteName(key)} ${typeOf(key)}`),
        `${quoteName(CUBOID_ROWS)} BIGINT`,
        ...words.map((word) => `${quoteName(word)} UBIGINT`),
        ...sums.map((column) => `${quoteName(CUBOID_SUM(column))} ${cuboidSumType(typeOf(column))}`),
      ];
      statements.push(`CREATE TABLE ${quoteName(alias)}.${quoteName(name)} (${parts.join(', ')})`);
    }
  }
  return statements;
}
