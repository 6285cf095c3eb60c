import { isPlain, readsRows } from '../../runtime/dataset/worker/execute-job.ts';
import assert from 'node:assert/strict';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import type { AggregateFunction, AggregateRelease, ColumnGrant, ColumnRight } from '../../runtime/policy/model.ts';
import type { Denied } from '../../runtime/policy/reason.ts';
import type { CatalogueColumn, CatalogueTable, QueryContext } from '../../runtime/query/catalogue.ts';
import type { SqlType } from '../../runtime/query/types.ts';
import { checkPlan, statementsToPlan } from '../../runtime/query/check-plan.ts';
import { compileQuery, type Permitted } from '../../runtime/query/compile.ts';
import type { EnforcedQuery } from '../../runtime/query/enforced.ts';
import { sketchWords, UNIT_WORDS } from '../../runtime/query/layout.ts';
import { parseLossless } from '../../runtime/query/lossless-json.ts';

/** A small hospital: visits of patients, the patients, and a public list of wards. */
export const INTEGER: SqlType = { kind: 'integer', bits: 32, isSigned: true };
export const TEXT: SqlType = { kind: 'text' };
export const DOUBLE: SqlType = { kind: 'double' };
export const DATE: SqlType = { kind: 'date' };

export function grant(rights: readonly ColumnRight[], more: Partial<ColumnGrant> = {}): ColumnGrant {
  return { consumers: null, rights, functions: [], bounds: null, values: null, bins: null, ...more };
}

export function measure(functions: readonly AggregateFunction[], bounds: ColumnGrant['bounds'] = null): ColumnGrant {
  return grant(['aggregate'], { functions, bounds });
}

export function column(name: string, type: SqlType, ...grants: readonly ColumnGrant[]): CatalogueColumn {
  return { name, type, grants };
}

const ALL: readonly AggregateFunction[] = [
  'sum',
  'avg',
  'count',
  'variance',
  'stddev',
  'correlation',
  'regressionSlope',
  'quantile',
  'histogram',
];

export const VISITS: CatalogueTable = {
  dataset: 'hospital/visits',
  names: ['visits', 'hospital.visits'],
  physical: '"main"."visits"',
  isPublic: false,
  columns: [
    column('patient', INTEGER, grant(['join', 'countDistinct'])),
    column('ward', TEXT, grant(['group', 'filter', 'join', 'order'])),
    column(
      'diagnosis',
      TEXT,
      grant(['group', 'filter'], {
        values: [
          { kind: 'text', value: 'flu' },
          { kind: 'text', value: 'asthma' },
          { kind: 'text', value: 'rare' },
        ],
      }),
    ),
    column('age', INTEGER, grant(['filter', 'group'])),
    column('admitted', DATE, grant(['filter', 'group', 'compare'])),
    column('discharged', DATE, grant(['compare'])),
    column('cost', INTEGER, measure(ALL, { low: 0, high: 3000 })),
    column('score', DOUBLE, measure(['sum', 'avg', 'stddev', 'correlation'])),
    column('urgent', { kind: 'boolean' }, grant(['filter'])),
    column('smoker', INTEGER, measure(['sum'])),
  ],
  units: [{ keyColumns: ['patient'], domain: 'patient', hash: '__gb_u0', oneHot: '__gb_b0' }],
  joins: 'allowed',
  rowCount: 0n,
};

export const PATIENTS: CatalogueTable = {
  dataset: 'registry/patients',
  names: ['patients'],
  physical: '"main"."patients"',
  isPublic: false,
  columns: [
    column('id', INTEGER, grant(['join', 'countDistinct'])),
    column('sex', TEXT, grant(['group', 'filter'])),
    column('income', INTEGER, measure(['sum', 'avg']), grant(['extremum'])),
  ],
  units: [{ keyColumns: ['id'], domain: 'patient', hash: '__gb_u0', oneHot: '__gb_b0' }],
  joins: 'allowed',
  rowCount: 0n,
};

export const WARDS: CatalogueTable = {
  dataset: 'hospital/wards',
  names: ['wards'],
  physical: '"main"."wards"',
  isPublic: true,
  columns: [
    column('ward', TEXT, grant(['join'])),
    column('floor', INTEGER, grant([])),
    column('kind', TEXT, grant([])),
  ],
  units: [],
  joins: 'allowed',
  rowCount: 3n,
};

export const TERMS: AggregateRelease = {
  mode: 'aggregate',
  minUnits: 5,
  smallGroups: 'drop',
  dominance: null,
  maxRows: 1000,
  maxBytes: 1 << 20,
  differencingGuard: false,
};

export function contextOf(terms: Partial<AggregateRelease> = {}, more: Partial<QueryContext> = {}): QueryContext {
  return {
    consumer: 'acme',
    tables: [VISITS, PATIENTS, WARDS],
    release: { ...TERMS, ...terms },
    clause: 'hospital/visits v3 allow[statistics]',
    parameters: {},
    ...more,
  };
}

/** Columns that the layout adds: a hash per unit and its one bit. */
export const UNIT_COLUMNS = (key: string): string =>
  // The engine's hash of 0 is 0, which is nobody's.
  `hash(${key}, 'unit') AS __gb_u0, (1::UBIGINT << (hash(${key}, 'unit') & 63)) AS __gb_b0`;

/** What the layout adds to rows of a large table, for the first unit; a tag of the row has to be there. */
export const SKETCH_COLUMNS = (unit = 0): string =>
  sketchWords(`__gb_t${unit}`, `__gb_u${unit}`)
    .map((word, i) => `${word} AS ${UNIT_WORDS(unit)[i]}`)
    .join(', ');

const CLINIC = `
CREATE TABLE visits AS SELECT *, ${UNIT_COLUMNS('patient')} FROM (
  SELECT (i % 60)::INTEGER AS patient,
    CASE WHEN i % 60 < 30 THEN 'north' WHEN i % 60 < 57 THEN 'south' ELSE 'tiny' END AS ward,
    CASE WHEN i % 60 = 7 THEN 'rare' WHEN i % 3 = 0 THEN 'flu' ELSE 'asthma' END AS diagnosis,
    (20 + i % 60 + (i // 60) % 2)::INTEGER AS age,
    DATE '2024-01-01' + (i % 300)::INTEGER AS admitted,
    DATE '2024-01-02' + (i % 300 + i % 7)::INTEGER AS discharged,
    CASE WHEN i % 60 = 11 THEN NULL ELSE ((i * 37) % 2900)::INTEGER END AS cost,
    ((i * 13) % 100) / 8.0::DOUBLE AS score,
    i % 4 = 0 AS urgent,
    (CASE WHEN i % 60 = 3 THEN 1 ELSE 0 END)::INTEGER AS smoker
  FROM range(600) r(i));
CREATE TABLE patients AS SELECT *, ${UNIT_COLUMNS('id')} FROM (
  SELECT i::INTEGER AS id, CASE WHEN i % 2 = 0 THEN 'f' ELSE 'm' END AS sex, (1000 + i * 10)::INTEGER AS income FROM range(70) r(i));
CREATE TABLE wards AS SELECT * FROM (VALUES ('north', 1, 'big'), ('south', 2, 'big'), ('tiny', 3, 'small')) t(ward, floor, kind);
`;

export async function openClinic(more = CLINIC): Promise<DuckDBConnection> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  await connection.run(more);
  return connection;
}

export async function astOf(connection: DuckDBConnection, sql: string): Promise<unknown> {
  const reader = await connection.runAndReadAll('SELECT json_serialize_sql($1::VARCHAR)', [sql]);
  return parseLossless(String(reader.getRows()[0]?.[0]));
}

export async function compileText(
  connection: DuckDBConnection,
  sql: string,
  context: QueryContext,
): Promise<Permitted | Denied> {
  return compileQuery(await astOf(connection, sql), sql, context);
}

export interface Answer {
  readonly kind: 'answer';
  readonly names: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  readonly certificates: readonly (readonly unknown[])[];
  readonly withheld: unknown;
}

/** Compiles and runs a query as the worker does: setup, result, summary; then clears the temporary tables. */
export async function ask(
  connection: DuckDBConnection,
  sql: string,
  context: QueryContext = contextOf(),
): Promise<Answer | Denied> {
  const compiled = await compileText(connection, sql, context);
  if (compiled.kind === 'denied') return compiled;
  const { enforced } = compiled;
  // An assertion that failed before left its tables behind.
  await dropTables(connection, enforced);
  const plans: unknown[] = [];
  for (const { sql: statement, isRun } of statementsToPlan(enforced)) {
    plans.push(await planOf(connection, statement));
    if (isRun) await connection.run(statement);
  }
  const checked = checkPlan(plans, enforced, context);
  if (checked.kind === 'denied') throw new Error(`${checked.reasons[0]?.message} for ${sql}`);
  const result = (await connection.runAndReadAll(enforced.result)).getRows();
  const summary = (await connection.runAndReadAll(enforced.summary)).getRows();
  await dropTables(connection, enforced);
  await assertSameByShortWay(connection, enforced, result, summary, sql);
  const width = enforced.outputs.length;
  return {
    kind: 'answer',
    names: enforced.outputs.map((output) => output.name),
    rows: result.map((row) => row.slice(0, width)),
    certificates: result.map((row) => row.slice(width)),
    withheld: summary[0]?.[0] ?? null,
  };
}

/** Plans take longer to make than to run, and properties ask the same text over many rows. */
const plansOf = new WeakMap<DuckDBConnection, Map<string, unknown>>();
async function planOf(connection: DuckDBConnection, statement: string): Promise<unknown> {
  const known = plansOf.get(connection) ?? new Map<string, unknown>();
  plansOf.set(connection, known);
  if (known.has(statement)) return known.get(statement);
  const reader = await connection.runAndReadAll('SELECT json_serialize_plan($1::VARCHAR)', [statement]);
  const plan = parseLossless(String(reader.getRows()[0]?.[0]));
  known.set(statement, plan);
  return plan;
}

async function dropTables(connection: DuckDBConnection, { setup, guard }: EnforcedQuery): Promise<void> {
  for (const statement of [...setup, ...(guard?.setup ?? []), ...(guard?.apply ?? [])]) {
    const name = /^CREATE (?:OR REPLACE )?TEMP TABLE ("[a-z0-9_]+")/.exec(statement)?.[1];
    if (name !== undefined) await connection.run(`DROP TABLE IF EXISTS temp.${name}`);
  }
}

/** Every question of every test is asked a second time the way the worker does, which leaves out what is decided. */
async function assertSameByShortWay(
  connection: DuckDBConnection,
  enforced: EnforcedQuery,
  result: readonly (readonly unknown[])[],
  summary: readonly (readonly unknown[])[],
  sql: string,
): Promise<void> {
  const gates = enforced.gates ?? [];
  for (let i = 0; i < enforced.setup.length; i++) {
    const gate = gates.find(({ from }) => from === i);
    if (gate !== undefined) {
      const open = await connection.runAndReadAll(`SELECT 1 FROM temp."${gate.table}" WHERE open LIMIT 1`);
      if (open.currentRowCount === 0) {
        shortWays.taken++;
        i = gate.to - 1;
        continue;
      }
      shortWays.refused++;
    }
    const statement = enforced.setup[i] ?? '';
    const isAsked = gates.some(({ from }) => from === i + 1);
    await connection.run(`PRAGMA ${isAsked && !readsRows(statement) ? 'disable' : 'enable'}_optimizer`);
    await connection.run(statement);
  }
  if (isPlain(enforced)) await connection.run('PRAGMA disable_optimizer');
  try {
    const short = (await connection.runAndReadAll(enforced.result)).getRows();
    assert.deepEqual(comparable(short).toSorted(), comparable(result).toSorted(), sql);
    assert.deepEqual((await connection.runAndReadAll(enforced.summary)).getRows(), summary, sql);
  } finally {
    await connection.run('PRAGMA enable_optimizer');
  }
  await dropTables(connection, enforced);
}

/** How often the short way was open in this process: both ways must have been walked. */
export const shortWays = { taken: 0, refused: 0 };

export async function plain(connection: DuckDBConnection, sql: string): Promise<readonly (readonly unknown[])[]> {
  return (await connection.runAndReadAll(sql)).getRows();
}

/** Values as text that compares across types of the same number. */
export function comparable(rows: readonly (readonly unknown[])[]): string[] {
  return rows.map((row) => row.map(one).join(' | '));
}

function one(value: unknown): string {
  if (value === null || value === undefined) return 'NULL';
  if (typeof value === 'number') return Number(value.toPrecision(12)).toString();
  const text = (value as { toString(): string }).toString();
  return /^-?\d+\.\d+$/.test(text) ? Number(Number(text).toPrecision(12)).toString() : text;
}
