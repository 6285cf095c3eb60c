/**
 * Aggregation and projection policies of Snowflake: `CREATE AGGREGATION POLICY`, `CREATE PROJECTION POLICY`, and the
 * `ALTER TABLE`s that set them.
 */
import { DdlReader, type DdlToken, statementsOf } from './ddl.ts';
import {
  columnsDocument,
  type Imported,
  type ImportedGrant,
  importing,
  type ImportOptions,
  type Loss,
  needDataset,
  needUnit,
  refuseImport,
  unitDocument,
} from './imported.ts';

interface Found {
  readonly aggregation: Map<string, number>;
  /** Names of projection policies that allow nobody to see the column. */
  readonly projection: Set<string>;
  readonly set: { table: string; policy: string; entityKeys: (readonly string[])[] }[];
  readonly projected: { table: string; column: string; policy: string }[];
  readonly columns: Map<string, readonly string[]>;
}

export function importSnowflake(source: string, options: ImportOptions = {}): Imported {
  return importing(source, (losses) => {
    const found: Found = { aggregation: new Map(), projection: new Set(), set: [], projected: [], columns: new Map() };
    for (const tokens of statementsOf(source)) readStatement(new DdlReader(tokens), found, losses);
    const tables = [...new Set(found.set.map(({ table }) => table))];
    const table = tables.length === 1 ? tables[0] : tables.find((one) => one === options.dataset?.toLowerCase());
    if (table === undefined && tables.length > 0)
      return refuseImport(`the source speaks of ${tables.join(', ')}: say which with --dataset NAME`);
    const policies = found.set.filter((one) => one.table === table);
    const sizes = (policies.length > 0 ? policies.map(({ policy }) => policy) : [...found.aggregation.keys()]).map(
      (name) => found.aggregation.get(name) ?? refuseImport(`the aggregation policy \`${name}\` is not in the source`),
    );
    if (sizes.length === 0) return refuseImport('the source has no aggregation policy: without one rows leave');
    const columns = options.columns ?? (table === undefined ? undefined : found.columns.get(table));
    if (columns === undefined)
      return refuseImport('the source does not list the columns of the table: say them with --columns A,B,C');
    const spelled = (name: string): string => columns.find((one) => one.toLowerCase() === name.toLowerCase()) ?? name;
    const keys = policies.flatMap(({ entityKeys }) => entityKeys.map((names) => names.map(spelled)));
    const [key] = keys;
    if (key === undefined)
      losses.push({
        at: 'ENTITY KEY',
        said: 'none: groups are counted in rows',
        becomes: 'the unit that was asked for',
      });
    const unit = key ?? needUnit(options, 'the policy has no ENTITY KEY, so it counts rows');
    const hidden = hiddenColumns(found, table);
    const dataset = needDataset(options, table ?? null);
    losses.push({
      at: 'AGGREGATION POLICY',
      said: 'every column may be grouped, filtered, joined and aggregated',
      becomes: 'rights are granted to do that, and to take sums, averages and counts; take away what is not meant',
    });
    return {
      dataset,
      document: {
        apiVersion: 'glovebox/v1',
        kind: 'UsagePolicy',
        metadata: { dataset, title: 'Imported from Snowflake policies' },
        ...(keys.length > 1
          ? { privacyUnits: keys.map((one) => ({ columns: one })) }
          : { privacyUnit: unitDocument(unit) }),
        columns: columnsDocument(grantsOf(columns, new Set(keys.flat()), hidden)),
        allow: [
          {
            id: 'aggregation',
            mode: 'aggregate',
            release: { minUnits: Math.max(1, ...sizes, options.minUnits ?? 1), smallGroups: 'remainder' },
          },
        ],
      },
    };
  });
}

function grantsOf(
  columns: readonly string[],
  keys: ReadonlySet<string>,
  hidden: ReadonlySet<string>,
): ReadonlyMap<string, readonly ImportedGrant[]> {
  return new Map(
    columns.map((name) => {
      // A column that may not be projected is not shown as a group either; a key stands for somebody.
      if (keys.has(name) || hidden.has(name.toLowerCase()))
        return [
          name,
          [
            {
              rights: new Set(['join', 'countDistinct', ...(keys.has(name) ? [] : ['filter'])]),
              functions: new Set<string>(),
            },
          ],
        ];
      const rights = new Set(['join', 'group', 'filter', 'order', 'countDistinct', 'aggregate']);
      return [name, [{ rights, functions: new Set(['sum', 'avg', 'count']) }]];
    }),
  );
}

function hiddenColumns(found: Found, table: string | undefined): ReadonlySet<string> {
  return new Set(
    found.projected
      .filter((one) => table === undefined || one.table === table)
      .filter(({ policy }) =>
        found.projection.has(policy) ? true : refuseImport(`the projection policy \`${policy}\` is not in the source`),
      )
      .map(({ column }) => column),
  );
}

/** Names without quotes do not differ by case. */
const lastOf = (reader: DdlReader): string => reader.path().at(-1)?.toLowerCase() ?? '';

function readStatement(reader: DdlReader, found: Found, losses: Loss[]): void {
  const { line } = reader;
  if (reader.take('create')) {
    reader.take('or', 'replace');
    const isAggregation = reader.take('aggregation', 'policy');
    if (isAggregation || reader.take('projection', 'policy')) {
      reader.take('if', 'not', 'exists');
      const name = lastOf(reader);
      reader.demand('as');
      reader.demand('(');
      reader.demand(')');
      reader.demand('returns', isAggregation ? 'aggregation_constraint' : 'projection_constraint');
      reader.demand('->');
      if (isAggregation) found.aggregation.set(name, minimumOf(name, reader.rest(), losses));
      else {
        projectionOf(name, reader.rest(), losses);
        found.projection.add(name);
      }
      return;
    }
    reader.take('transient');
    if (reader.take('table')) {
      reader.take('if', 'not', 'exists');
      const name = lastOf(reader);
      found.columns.set(name, columnNames(reader, line));
      return;
    }
  } else if (reader.take('alter', 'table') || reader.take('alter', 'view')) {
    const table = lastOf(reader);
    if (reader.take('set', 'aggregation', 'policy')) {
      const policy = lastOf(reader);
      const entityKeys: (readonly string[])[] = [];
      while (reader.take('entity', 'key')) entityKeys.push(reader.names());
      reader.take('force');
      if (reader.isDone) return void found.set.push({ table, policy, entityKeys });
    } else if (reader.take('modify') || reader.take('alter')) {
      reader.take('column');
      const column = reader.name().toLowerCase();
      if (reader.take('set', 'projection', 'policy')) {
        const policy = lastOf(reader);
        reader.take('force');
        if (reader.isDone) return void found.projected.push({ table, column, policy });
      }
    }
  }
  // A statement that is left out might take something away or forbid something.
  refuseImport(
    `line ${line}: only CREATE TABLE, CREATE AGGREGATION POLICY, CREATE PROJECTION POLICY and ALTER TABLE … SET … POLICY are read`,
  );
}

/** The strictest constraint of the body; exceptions for roles are not taken over. */
function minimumOf(name: string, body: readonly DdlToken[], losses: Loss[]): number {
  const line = body[0]?.line ?? 1;
  const sizes: number[] = [];
  let isConditional = false;
  for (const [index, { kind, text }] of body.entries()) {
    if (kind === 'text') {
      // $$ … $$: the body as a text; it is SQL like the rest.
      if (index === 0) return minimumOf(name, statementsOf(text)[0] ?? [], losses);
      continue;
    }
    if (text === 'case' || text === 'no_aggregation_constraint') isConditional = true;
    if (!['min_group_size', 'min_entity_count', 'min_row_count'].includes(text) || body[index + 1]?.text !== '=>')
      continue;
    const value = Number(body[index + 2]?.text);
    if (body[index + 2]?.kind !== 'number' || !Number.isSafeInteger(value))
      return refuseImport(`line ${line}: ${text} is not a whole number`);
    if (text === 'min_row_count')
      losses.push({
        at: `line ${line}`,
        said: `at least ${value} rows in a group`,
        becomes: 'left out: units are counted',
      });
    else sizes.push(value);
  }
  if (sizes.length === 0)
    return refuseImport(`line ${line}: the policy \`${name}\` has no MIN_GROUP_SIZE and no MIN_ENTITY_COUNT`);
  if (isConditional)
    losses.push({
      at: `line ${line}`,
      said: `\`${name}\` makes exceptions`,
      becomes: `none is taken over: the largest minimum, ${Math.max(...sizes)}, holds for everybody`,
    });
  return Math.max(...sizes);
}

function projectionOf(name: string, body: readonly DdlToken[], losses: Loss[]): void {
  const line = body[0]?.line ?? 1;
  const allows = body.flatMap(({ text }, index) =>
    text === 'allow' && body[index + 1]?.text === '=>' ? [body[index + 2]?.text] : [],
  );
  if (allows.length === 0) return refuseImport(`line ${line}: the policy \`${name}\` has no ALLOW`);
  if (allows.includes('true'))
    losses.push({ at: `line ${line}`, said: `\`${name}\` lets some see the column`, becomes: 'nobody does' });
  if (body.some(({ text }) => text === 'nullify'))
    losses.push({ at: `line ${line}`, said: `\`${name}\` shows NULL`, becomes: 'the query is refused' });
}

const CONSTRAINTS: ReadonlySet<string> = new Set(['primary', 'constraint', 'unique', 'foreign', 'check']);

/** Names of the columns of a CREATE TABLE, without types and constraints. */
function columnNames(reader: DdlReader, line: number): readonly string[] {
  reader.demand('(');
  const names: string[] = [];
  let depth = 0;
  let isStart = true;
  for (let token = reader.next(); token !== undefined; token = reader.next()) {
    if (isStart && (token.kind === 'word' || token.kind === 'name')) {
      if (!CONSTRAINTS.has(token.text)) names.push(token.written);
      isStart = false;
    }
    if (token.kind !== 'mark') continue;
    if (token.text === '(') depth++;
    if (token.text === ')' && depth-- === 0) return names;
    if (token.text === ',' && depth === 0) isStart = true;
  }
  return refuseImport(`line ${line}: the columns of the table do not end`);
}
