/** CPU of enforced queries against the same queries on the bare engine, over one file, in interleaved pairs. */
import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { learnColumns, type LearntColumn } from '../../runtime/dataset/column-facts.ts';
import { openSealedEngine } from '../../runtime/dataset/engine.ts';
import { groupBitsFor } from '../../runtime/dataset/group-bits.ts';
import { resultSchemaOf } from '../../runtime/dataset/run-enforced.ts';
import type { SqlJob } from '../../runtime/dataset/sql-job.ts';
import { executeJob } from '../../runtime/dataset/worker/execute-job.ts';
import { ReadyConnections } from '../../runtime/dataset/worker/job-connections.ts';
import type { AggregateRelease } from '../../runtime/policy/model.ts';
import type { QueryContext, TableCuboid } from '../../runtime/query/catalogue.ts';
import { CUBOID_SUM, RESERVED_PREFIX } from '../../runtime/query/layout.ts';
import { compileQuery } from '../../runtime/query/compile.ts';
import type { EnforcedQuery } from '../../runtime/query/enforced.ts';
import { parseLossless } from '../../runtime/query/lossless-json.ts';
import { benchFile } from './data.ts';
import { BENCH_QUERIES, benchTables, type BenchQuery } from './queries.ts';

export interface SqlBenchOptions {
  /** Rows of the large tables. */
  readonly rows: number;
  /** Where generated files are kept between runs. */
  readonly folder: string;
  /** Pairs of runs per query; medians are told. */
  readonly repeats: number;
  readonly threads: number;
  /** Part of a query's name; all queries when empty. */
  readonly only?: string;
}

export interface SqlFigure {
  readonly query: string;
  readonly data: 'large' | 'small';
  readonly rows: number;
  readonly statements: number;
  /** CPU of the whole process, milliseconds. */
  readonly plainCpuMs: number;
  readonly enforcedCpuMs: number;
  /** Median of the pairs' own ratios. */
  readonly ratio: number;
  /** With the differencing guard, nothing withheld: against the plain query, and against the enforced one. */
  readonly guardedCpuMs: number;
  readonly guardedRatio: number;
  readonly guardRatio: number;
}

const TERMS: AggregateRelease = {
  mode: 'aggregate',
  minUnits: 10,
  smallGroups: 'drop',
  dominance: null,
  maxRows: 100_000,
  maxBytes: 1 << 26,
  differencingGuard: false,
};
const NEVER = { isStopped: false, using: () => undefined };

/** One figure per query. Making the tables takes about a minute per ten million rows, once. */
export async function measureSql(options: SqlBenchOptions): Promise<readonly SqlFigure[]> {
  const path = await benchFile(options);
  const databases = [{ alias: 'd0', path }];
  const limits = { threads: options.threads, memoryMiB: 2048 };
  // Engines of their own: the plain one as it comes, ours as a worker opens it.
  const bare = await openSealedEngine(databases, limits);
  const connection = await bare.connect();
  await connection.run('USE d0');
  const wanted = BENCH_QUERIES.filter(({ name }) => name.includes(options.only ?? ''));
  const context = await contextOf(connection);
  const figures: SqlFigure[] = [];
  for (const query of wanted) {
    const enforced = await enforcedOf(connection, query, context);
    const { setup } = enforced;
    const engine = { ...limits, groupBits: groupBitsFor(options.rows, setup) };
    const instance = await openSealedEngine(databases, engine);
    const job: SqlJob = { ...jobOf(enforced), databases, limits: engine };
    const pairs = await runPairs(instance, connection, query, job, options.repeats);
    const guardedQuery = await enforcedOf(connection, query, {
      ...context,
      release: { ...TERMS, differencingGuard: true },
    });
    const guarded: SqlJob = { ...jobOf(guardedQuery), databases, limits: engine };
    const guardedPairs = await runPairs(instance, connection, query, guarded, options.repeats);
    instance.closeSync();
    figures.push({
      query: query.name,
      data: query.data,
      rows: options.rows,
      statements: setup.length + 2,
      plainCpuMs: median(pairs.map(([plain]) => plain)),
      enforcedCpuMs: median(pairs.map(([, ours]) => ours)),
      ratio: median(pairs.map(([plain, ours]) => ours / plain)),
      guardedCpuMs: median(guardedPairs.map(([, ours]) => ours)),
      guardedRatio: median(guardedPairs.map(([plain, ours]) => ours / plain)),
      guardRatio: median(guardedPairs.map(([, ours]) => ours)) / median(pairs.map(([, ours]) => ours)),
    });
  }
  connection.closeSync();
  bare.closeSync();
  return figures;
}

function jobOf(enforced: EnforcedQuery): Omit<SqlJob, 'databases' | 'limits'> {
  const { setup, gates = [], guard, result, summary } = enforced;
  const guarded = guard === undefined ? {} : { guard };
  return { setup, gates, ...guarded, result, summary, columns: resultSchemaOf(enforced) };
}

async function runPairs(
  instance: DuckDBInstance,
  connection: DuckDBConnection,
  query: BenchQuery,
  job: SqlJob,
  repeats: number,
): Promise<readonly (readonly [number, number])[]> {
  const plain = async (): Promise<void> => void (await connection.runAndReadAll(query.sql));
  const ours = async (): Promise<void> =>
    void (await executeJob(
      new ReadyConnections(instance),
      job,
      NEVER,
      async () => undefined,
      async () => [],
    ));
  const pairs: (readonly [number, number])[] = [];
  for (let i = -1; i < repeats; i++) {
    // Who goes first alternates, so that neither side always finds a warmer cache.
    const isPlainFirst = i % 2 === 0;
    const first = await cpuMs(isPlainFirst ? plain : ours);
    const second = await cpuMs(isPlainFirst ? ours : plain);
    if (i >= 0) pairs.push(isPlainFirst ? [first, second] : [second, first]);
  }
  return pairs;
}

const SUM = CUBOID_SUM('');

/** The cuboids that were made beside the tables, by table. */
async function cuboidsIn(
  connection: DuckDBConnection,
  rowCounts: ReadonlyMap<string, bigint>,
): Promise<ReadonlyMap<string, readonly TableCuboid[]>> {
  const found = new Map<string, TableCuboid[]>();
  for (const [name, rowCount] of rowCounts) {
    const [, table] = /^__gb_c\d_(.+)$/.exec(name) ?? [];
    if (table === undefined) continue;
    const described = (await connection.runAndReadAll(`DESCRIBE "${name}"`))
      .getRows()
      .map(([column]) => String(column));
    const columns = described.filter((column) => !column.startsWith(RESERVED_PREFIX));
    const sums = described.flatMap((column) => (column.startsWith(SUM) ? [column.slice(SUM.length)] : []));
    const cuboid = { physical: `"d0"."${name}"`, columns, sums, rowCount: Number(rowCount) };
    found.set(table, [...(found.get(table) ?? []), cuboid]);
  }
  return found;
}

async function contextOf(connection: DuckDBConnection): Promise<QueryContext> {
  const reader = await connection.runAndReadAll(
    "SELECT table_name, estimated_size FROM duckdb_tables() WHERE database_name = 'd0'",
  );
  const counts = new Map(reader.getRows().map(([name, size]) => [String(name), BigInt(String(size))]));
  const facts = new Map<string, Readonly<Record<string, LearntColumn>>>();
  for (const { names, columns, isPublic, units } of benchTables(counts, new Map())) {
    const [name = ''] = names;
    facts.set(
      name,
      await learnColumns(
        connection,
        `d0."${name}"`,
        columns.map((column) => column.name),
        { isPublic, keys: units.flatMap(({ keyColumns }) => keyColumns) },
      ),
    );
  }
  const tables = benchTables(counts, facts, await cuboidsIn(connection, counts));
  return { consumer: 'bench', tables, release: TERMS, clause: 'bench', parameters: {} };
}

async function enforcedOf(
  connection: DuckDBConnection,
  query: BenchQuery,
  context: QueryContext,
): Promise<EnforcedQuery> {
  const reader = await connection.runAndReadAll('SELECT json_serialize_sql($1::VARCHAR)', [query.sql]);
  const compiled = compileQuery(parseLossless(String(reader.getRows()[0]?.[0])), query.sql, context);
  if (compiled.kind === 'denied') throw new Error(`${query.name}: ${compiled.reasons[0]?.message}`);
  return compiled.enforced;
}

async function cpuMs(work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
