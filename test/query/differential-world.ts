/** A small hospital in real layout files: visits reach their patient by a path, wards and prices are public. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { makeLayout } from '../../runtime/dataset/make-layout.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../runtime/dataset/engine.ts';
import type { ColumnGrant, DifferentialPrivacyRelease, PrivacyUnit } from '../../runtime/policy/model.ts';
import type { CatalogueTable, QueryContext } from '../../runtime/query/catalogue.ts';
import type { SqlType } from '../../runtime/query/types.ts';
import { compileDifferential } from '../../runtime/query/differential/compile.ts';
import type { NoisyBlock } from '../../runtime/query/differential/noisy-block.ts';
import type { EnforcedQuery } from '../../runtime/query/enforced.ts';
import { resultSchemaOf } from '../../runtime/dataset/run-enforced.ts';
import type { Execution } from '../../runtime/job/prepare.ts';
import type { ColumnBatch } from '../../runtime/release/columns.ts';
import { batchFromRows, type Cell } from '../../runtime/release/column-values.ts';
import { parseLossless } from '../../runtime/query/lossless-json.ts';
import { UNIT_HASH, UNIT_ONE_HOT } from '../../runtime/query/layout.ts';
import { exactId, type ReadExact } from '../../runtime/release/mechanisms/mechanism.ts';
import type { ExactGroup } from '../../runtime/release/release-noised.ts';

export interface Visit {
  readonly patient: number | null;
  readonly ward: string;
  readonly cost: number | null;
  readonly stay: number;
}

export interface World {
  readonly visits: readonly Visit[];
  readonly patients: readonly { readonly id: number; readonly age: number; readonly town: string }[];
}

const INTEGER: SqlType = { kind: 'integer', bits: 32, isSigned: true };
const TEXT: SqlType = { kind: 'text' };
const DOUBLE: SqlType = { kind: 'double' };
const TYPES: Readonly<Record<string, Readonly<Record<string, SqlType>>>> = {
  visits: { patient: INTEGER, ward: TEXT, cost: DOUBLE, stay: INTEGER },
  patients: { id: INTEGER, age: INTEGER, town: TEXT },
  wards: { ward: TEXT, floor: INTEGER },
  prices: { ward: TEXT, price: INTEGER },
};
const BOUNDS: Readonly<Record<string, Readonly<Record<string, { low: number; high: number }>>>> = {
  visits: { cost: { low: 0, high: 1000 }, stay: { low: -5, high: 30 } },
  patients: { age: { low: 0, high: 100 } },
};
const UNITS: Readonly<Record<string, readonly PrivacyUnit[]>> = {
  visits: [{ columns: ['id'], via: [{ from: 'patient', table: 'patients', to: 'id' }] }],
  patients: [{ columns: ['id'], via: [] }],
  wards: [],
  prices: [],
};
const FUNCTIONS: ColumnGrant['functions'] = [
  'sum',
  'avg',
  'count',
  'variance',
  'stddev',
  'quantile',
  'histogram',
  'correlation',
  'regressionSlope',
];

export const RELEASE: DifferentialPrivacyRelease = {
  mode: 'differentialPrivacy',
  microEpsilonPerJob: 1_000_000,
  microEpsilonTotal: 4_000_000,
  microEpsilonDataset: null,
  accounting: 'pure',
  deltaTotal: null,
  delta: 1e-6,
  maxRowsPerUnit: 2,
  minUnits: null,
  noise: 'laplace',
  budgetPeriodMs: null,
  maxRows: 100,
};

const SETUP = `
CREATE TABLE wards AS SELECT * FROM (VALUES ('north', 1::INTEGER), ('south', 2), ('east', 2)) AS t(ward, floor);
CREATE TABLE prices AS SELECT * FROM (VALUES ('north', 10::INTEGER), ('north', 20), ('south', 7)) AS t(ward, price);`;

/** An engine over the layout of a world, and the catalogue that a consumer sees. Close it when done. */
export class Hospital {
  readonly #folder: string;
  readonly #instance: DuckDBInstance;
  readonly #connection: DuckDBConnection;
  readonly tables: readonly CatalogueTable[];

  private constructor(
    folder: string,
    instance: DuckDBInstance,
    connection: DuckDBConnection,
    tables: readonly CatalogueTable[],
  ) {
    this.#folder = folder;
    this.#instance = instance;
    this.#connection = connection;
    this.tables = tables;
  }

  static async open(world: World, release: DifferentialPrivacyRelease = RELEASE): Promise<Hospital> {
    const folder = mkdtempSync(join(tmpdir(), 'glovebox-dp-'));
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    for (const statement of SETUP.split(';').filter((one) => one.trim() !== '')) await connection.run(statement);
    await connection.run('CREATE TABLE visits(patient INTEGER, ward VARCHAR, cost DOUBLE, stay INTEGER)');
    await connection.run('CREATE TABLE patients(id INTEGER, age INTEGER, town VARCHAR)');
    const literal = (value: number | string | null): string =>
      value === null ? 'NULL' : typeof value === 'string' ? `'${value}'` : `'${value}'::DOUBLE`;
    if (world.visits.length > 0) {
      const rows = world.visits.map(
        ({ patient, ward, cost, stay }) => `(${[patient, ward, cost, stay].map(literal).join(',')})`,
      );
      await connection.run(`INSERT INTO visits VALUES ${rows.join(',')}`);
    }
    if (world.patients.length > 0) {
      const rows = world.patients.map(({ id, age, town }) => `(${[id, age, town].map(literal).join(',')})`);
      await connection.run(`INSERT INTO patients VALUES ${rows.join(',')}`);
    }
    const records = [];
    for (const [name, columns] of Object.entries(TYPES)) {
      const path = join(folder, `${name}.parquet`);
      await connection.run(`COPY ${name} TO '${path}' (FORMAT parquet)`);
      records.push({
        name,
        path,
        columns: Object.entries(columns).map(([column, type]) => ({ name: column, type, nullable: true })),
      });
    }
    const outFile = join(folder, 'layout.duckdb');
    const laidOut = await makeLayout({
      spec: {
        tables: Object.entries(TYPES).map(([name, columns]) => ({
          name,
          columns: Object.keys(columns),
          units: UNITS[name] ?? [],
          rows: null,
          bounds: BOUNDS[name] ?? {},
          maxRowsPerUnit: (UNITS[name] ?? []).length === 0 ? null : release.maxRowsPerUnit,
          isTagged: false,
        })),
      },
      scopes: Object.keys(TYPES).map(() => null),
      records: records as Parameters<typeof makeLayout>[0]['records'],
      hashKeyHex: '7'.repeat(64),
      outFile,
      limits: DEFAULT_ENGINE_LIMITS,
    });
    await connection.run(`ATTACH '${outFile}' AS d0 (READ_ONLY)`);
    const tables = laidOut.tables.map((table) => catalogueTable(table.name, table));
    return new Hospital(folder, instance, connection, tables);
  }

  async compile(
    sql: string,
    release: DifferentialPrivacyRelease = RELEASE,
  ): Promise<ReturnType<typeof compileDifferential>> {
    const reader = await this.#connection.runAndReadAll('select json_serialize_sql($1::varchar)', [sql]);
    return compileDifferential(parseLossless(String(reader.getRows()[0]?.[0])), sql, this.context(release));
  }

  context(release: DifferentialPrivacyRelease = RELEASE): QueryContext {
    return { consumer: 'acme', tables: this.tables, release, clause: 'hospital allow[private]', parameters: {} };
  }

  /** The exact part, as the worker would answer it. */
  async exact(query: NoisyBlock): Promise<readonly ExactGroup[]> {
    const rows = (await this.#connection.runAndReadAll(query.enforced.result)).getRows();
    const width = query.keys.length;
    return rows.map((row) => ({
      key: row.slice(0, width) as ExactGroup['key'],
      values: new Map(query.exact.map((one, index) => [exactId(one), (row[width + index] as { value: bigint }).value])),
    }));
  }

  /** Runs a statement of ours as a worker would. */
  execution(enforced: EnforcedQuery): Execution {
    const connect = (): Promise<DuckDBConnection> => this.#instance.connect();
    const schema = resultSchemaOf(enforced);
    async function* batches(): AsyncGenerator<ColumnBatch, void, void> {
      const connection = await connect();
      try {
        for (const statement of enforced.setup) await connection.run(statement);
        const rows = (await connection.runAndReadAll(enforced.result)).getRows();
        if (rows.length > 0)
          yield batchFromRows(
            schema,
            rows.map((row) => row.map(cellOf)),
          );
      } finally {
        connection.closeSync();
      }
    }
    const summary = { kind: 'done', rowsScanned: 9, cpuMs: 1, withheld: { cells: null, reasons: [] } } as const;
    return { batches: batches(), summary: () => summary };
  }

  /** Rows that plain DuckDB answers over the layout's own tables. */
  async plainly(sql: string): Promise<readonly (readonly Cell[])[]> {
    const connection = await this.#instance.connect();
    try {
      await connection.run('USE d0');
      return (await connection.runAndReadAll(sql)).getRows().map((row) => row.map(cellOf));
    } finally {
      connection.closeSync();
    }
  }

  async plan(sql: string): Promise<unknown> {
    const reader = await this.#connection.runAndReadAll('select json_serialize_plan($1::varchar)', [sql]);
    return parseLossless(String(reader.getRows()[0]?.[0]));
  }

  close(): void {
    this.#connection.closeSync();
    this.#instance.closeSync();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export const readerOf =
  (group: ExactGroup | undefined): ReadExact =>
  (column) =>
    group?.values.get(exactId(column)) ?? 0n;

function cellOf(value: unknown): Cell {
  if (typeof value !== 'object' || value === null) return (value ?? null) as Cell;
  if ('micros' in value) return value.micros as bigint;
  return 'days' in value ? Number(value.days) : (value as { readonly value: bigint }).value;
}

function catalogueTable(
  name: string,
  laidOut: Awaited<ReturnType<typeof makeLayout>>['tables'][number],
): CatalogueTable {
  const units = UNITS[name] ?? [];
  return {
    dataset: 'hospital',
    names: [name],
    physical: `"d0"."${name}"`,
    isPublic: units.length === 0,
    columns: Object.entries(TYPES[name] ?? {}).map(([column, type]) => {
      const bounds = BOUNDS[name]?.[column] ?? null;
      const isWard = name === 'visits' && column === 'ward';
      const grant: ColumnGrant = {
        consumers: null,
        rights: [
          'group',
          'filter',
          'join',
          'compare',
          'countDistinct',
          ...(bounds === null ? [] : ['aggregate' as const]),
        ],
        functions: bounds === null ? [] : FUNCTIONS,
        bounds,
        values: isWard ? ['north', 'south', 'east'].map((value) => ({ kind: 'text' as const, value })) : null,
        bins: column === 'age' ? [20, 40, 60] : null,
      };
      const facts = laidOut.columns[column];
      return { name: column, type, grants: [grant], ...(facts === undefined ? {} : { facts }) };
    }),
    units: units.map((unit, index) => ({
      keyColumns: unit.via.length > 0 ? ['patient'] : unit.columns,
      domain: 'hospital:id',
      hash: UNIT_HASH(index),
      oneHot: UNIT_ONE_HOT(index),
      ...(unit.via.length > 0 ? { path: unit.via } : {}),
    })),
    joins: 'allowed',
    rowCount: BigInt(laidOut.rowCount),
  };
}
