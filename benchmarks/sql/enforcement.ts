import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { catalogueTables } from '../../runtime/dataset/catalogue.ts';
import { DEFAULT_ENGINE_LIMITS, openSealedEngine } from '../../runtime/dataset/engine.ts';
import { readManifest } from '../../runtime/dataset/ingest.ts';
import { groupBitsFor } from '../../runtime/dataset/group-bits.ts';
import { buildLayout } from '../../runtime/dataset/layout.ts';
import { resultSchemaOf } from '../../runtime/dataset/run-enforced.ts';
import type { SqlJob } from '../../runtime/dataset/sql-job.ts';
import { FileGuard } from '../../runtime/dataset/verify.ts';
import { executeJob } from '../../runtime/dataset/worker/execute-job.ts';
import { ReadyConnections } from '../../runtime/dataset/worker/job-connections.ts';
import { openDataDirectory, openSecret } from '../../runtime/gateway/data-directory.ts';
import { layoutSpecFor } from '../../runtime/gateway/jobs/sql-engine.ts';
import { parsePolicy } from '../../runtime/policy-file/parse-policy.ts';
import type { QueryContext } from '../../runtime/query/catalogue.ts';
import { compileQuery } from '../../runtime/query/compile.ts';
import type { EnforcedQuery } from '../../runtime/query/enforced.ts';
import { parseLossless } from '../../runtime/query/lossless-json.ts';
import { sortedRows } from '../world/plain-duckdb.ts';
import { LARGE, policyOf } from '../world/setup.ts';

/** The engine part of a job in this process: the same layout, the same compiler, the same statements, nothing around. */
export class Enforcement implements Disposable {
  readonly #context: QueryContext;
  readonly #parser: DuckDBConnection;
  readonly #instance: DuckDBInstance;
  readonly #engine: Pick<SqlJob, 'databases' | 'limits'>;

  private constructor(
    context: QueryContext,
    parser: DuckDBConnection,
    instance: DuckDBInstance,
    engine: Pick<SqlJob, 'databases' | 'limits'>,
  ) {
    this.#context = context;
    this.#parser = parser;
    this.#instance = instance;
    this.#engine = engine;
  }

  /** Opens the large dataset of a prepared data directory. */
  static async open(directory: string): Promise<Enforcement> {
    const parsed = parsePolicy(policyOf(LARGE), 'bench.yaml');
    if (parsed.kind === 'complaints') throw new Error('the policy of the benchmark is not valid');
    const { policy } = parsed;
    const release = policy.allow[0]?.release;
    if (release === undefined) throw new Error('the policy of the benchmark allows nothing');
    const manifest = await readManifest(directory, LARGE, 1);
    const layout = await buildLayout(
      {
        root: directory,
        parse: () => Promise.reject(new Error('the policy of the benchmark has no row scope')),
        limits: DEFAULT_ENGINE_LIMITS,
        guard: new FileGuard(),
        hashKey: await openSecret(await openDataDirectory(directory), 'units'),
      },
      manifest,
      layoutSpecFor(manifest, policy),
    );
    const tables = catalogueTables({
      manifest,
      policies: policy.tables,
      consumer: 'bench',
      alias: 'd0',
      rowCounts: new Map(layout.tables.map(({ name, rowCount }) => [name, rowCount])),
      facts: new Map(layout.tables.map(({ name, columns }) => [name, columns])),
      cuboids: new Map(layout.tables.map(({ name, cuboids = [] }) => [name, cuboids])),
    });
    const parsing = await DuckDBInstance.create(':memory:', { threads: '1' });
    const databases = [{ alias: 'd0', path: layout.path }];
    // The limits that the runtime gives the engine for a job over so many rows.
    const limits = {
      ...DEFAULT_ENGINE_LIMITS,
      groupBits: groupBitsFor(
        layout.tables.reduce((sum, { rowCount }) => sum + rowCount, 0),
        [],
      ),
    };
    const instance = await openSealedEngine(databases, limits);
    const context = { consumer: 'bench', tables, release, clause: 'bench', parameters: {} };
    return new Enforcement(context, await parsing.connect(), instance, { databases, limits });
  }

  /** Parses, checks and rewrites a query; throws when it is refused. */
  async compile(sql: string, { isGuarded = false } = {}): Promise<EnforcedQuery> {
    const reader = await this.#parser.runAndReadAll(`SELECT json_serialize_sql('${sql.replaceAll("'", "''")}')`);
    const tree = reader.getRowsJson()[0]?.[0];
    if (typeof tree !== 'string') throw new TypeError('the engine answered no tree');
    const { release } = this.#context;
    const guarded = release.mode === 'aggregate' ? { ...release, differencingGuard: isGuarded } : release;
    const compiled = compileQuery(parseLossless(tree), sql, { ...this.#context, release: guarded });
    if (compiled.kind === 'denied') throw new Error(`refused: ${compiled.reasons[0]?.message ?? ''}`);
    return compiled.enforced;
  }

  /** Runs the job as a worker does, from the first statement to the summary; a guard finds nothing to withhold. */
  async run(enforced: EnforcedQuery): Promise<void> {
    const { setup, gates = [], guard, result, summary } = enforced;
    const guarded = guard === undefined ? {} : { guard };
    const job = { ...this.#engine, setup, gates, ...guarded, result, summary, columns: resultSchemaOf(enforced) };
    const never = { isStopped: false, using: (): void => undefined };
    const send = async (): Promise<void> => undefined;
    await executeJob(new ReadyConnections(this.#instance), job, never, send, async () => []);
  }

  /** The rows of the answer without certificates; of statements behind a gate none is left out. */
  async answer({ setup, result, outputs }: EnforcedQuery): Promise<readonly string[]> {
    const connection = await this.#instance.connect();
    try {
      for (const statement of setup) await connection.run(statement);
      const reader = await connection.runAndReadAll(result);
      return sortedRows(reader.getRowsJson().map((row) => row.slice(0, outputs.length)));
    } finally {
      connection.closeSync();
    }
  }

  /** Runs any text on the layout; the database is called d0. */
  async query(sql: string): Promise<void> {
    const connection = await this.#instance.connect();
    try {
      (await connection.runAndReadAll(sql)).getColumns();
    } finally {
      connection.closeSync();
    }
  }

  [Symbol.dispose](): void {
    this.#parser.closeSync();
    this.#instance.closeSync();
  }
}
