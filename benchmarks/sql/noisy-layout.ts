import { join } from 'node:path';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { catalogueTables, layoutSpecOf } from '../../runtime/dataset/catalogue.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../runtime/dataset/engine.ts';
import { makeLayout } from '../../runtime/dataset/make-layout.ts';
import type { DatasetManifest } from '../../runtime/dataset/metadata.ts';
import { parsePolicy } from '../../runtime/policy-file/parse-policy.ts';
import type { QueryContext } from '../../runtime/query/catalogue.ts';
import { compileDifferential } from '../../runtime/query/differential/compile.ts';
import { parseLossless } from '../../runtime/query/lossless-json.ts';

const LIMITS = { ...DEFAULT_ENGINE_LIMITS, memoryMiB: Math.max(DEFAULT_ENGINE_LIMITS.memoryMiB, 4096) };
const MAX_ROWS_PER_UNIT = 10;

/** Wall and CPU time, milliseconds; CPU is of this process, which does nothing else meanwhile. */
export interface Spent {
  readonly ms: number;
  readonly cpuMs: number;
}

export async function spentOn(work: () => Promise<unknown>): Promise<Spent> {
  const before = process.cpuUsage();
  const start = performance.now();
  await work();
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(before);
  return { ms, cpuMs: (user + system) / 1000 };
}

/** Tables under differential privacy, and a plain copy of them in the same engine: what noise costs beyond the cells. */
export class NoisyLayout implements Disposable {
  readonly #instance: DuckDBInstance;
  readonly #connection: DuckDBConnection;
  readonly #context: QueryContext;
  /** A copy of the files into the engine's own format. */
  readonly copied: Spent;
  /** The layout that the runtime makes of them: bounded rows, clipped fixed-point numbers, hashes of units. */
  readonly laidOut: Spent;

  private constructor(
    engine: readonly [DuckDBInstance, DuckDBConnection],
    context: QueryContext,
    { copied, laidOut }: { readonly copied: Spent; readonly laidOut: Spent },
  ) {
    [this.#instance, this.#connection] = engine;
    this.#context = context;
    this.copied = copied;
    this.laidOut = laidOut;
  }

  /**
   * @param files the Parquet file of each table; the first one is the large one.
   * @param folder for the copy and the layout; the caller deletes it.
   * @param yaml a policy of which the first rule is differentialPrivacy with 10 rows of each unit.
   */
  static async make(files: Readonly<Record<string, string>>, folder: string, yaml: string): Promise<NoisyLayout> {
    const parsed = parsePolicy(yaml, 'bench.yaml');
    if (parsed.kind === 'complaints') throw new Error(`the policy is not valid: ${JSON.stringify(parsed.complaints)}`);
    const { policy } = parsed;
    const release = policy.allow[0]?.release;
    if (release === undefined) throw new Error('the policy allows nothing');
    const threads = { threads: String(LIMITS.threads) };
    const instance = await DuckDBInstance.create(join(folder, 'plain.duckdb'), threads);
    const connection = await instance.connect();
    const copied = await spentOn(async () => {
      for (const [name, path] of Object.entries(files))
        await connection.run(`CREATE TABLE "${name}" AS SELECT * FROM read_parquet('${path.replaceAll("'", "''")}')`);
      await connection.run('CHECKPOINT');
    });
    const manifest = await manifestOf(connection, files);
    const spec = layoutSpecOf(manifest, policy.tables, MAX_ROWS_PER_UNIT, false);
    const outFile = join(folder, 'layout.duckdb');
    const records = manifest.tables.map(({ name, columns }) => ({ name, columns, path: files[name] ?? '' }));
    const scopes = manifest.tables.map(() => null);
    const made: Awaited<ReturnType<typeof makeLayout>>[] = [];
    const laidOut = await spentOn(async () => {
      made.push(await makeLayout({ spec, scopes, records, hashKeyHex: '5'.repeat(64), outFile, limits: LIMITS }));
    });
    await connection.run(`ATTACH '${outFile.replaceAll("'", "''")}' AS d0 (READ_ONLY)`);
    const tables = catalogueTables({
      manifest,
      policies: policy.tables,
      consumer: 'bench',
      alias: 'd0',
      rowCounts: new Map(manifest.tables.map(({ name, rowCount }) => [name, rowCount])),
      facts: new Map((made[0]?.tables ?? []).map(({ name, columns }) => [name, columns])),
    });
    const context = { consumer: 'bench', tables, release, clause: 'bench', parameters: {} };
    return new NoisyLayout([instance, connection], context, { copied, laidOut });
  }

  /** Runs a query on the plain copy. */
  async plain(sql: string): Promise<Spent> {
    return await spentOn(async () => (await this.#connection.runAndReadAll(sql)).getColumns());
  }

  /** What runs the exact part of a noisy query: noise is drawn for each released cell, whatever the rows. */
  async exactPartOf(
    sql: string,
  ): Promise<{ readonly run: () => Promise<Spent>; readonly groups: () => Promise<number> }> {
    const tree = (await this.#connection.runAndReadAll('select json_serialize_sql($1::varchar)', [sql])).getRows();
    const query = compileDifferential(parseLossless(String(tree[0]?.[0])), sql, this.#context);
    if (query.kind === 'denied') throw new Error(`refused: ${query.reasons[0]?.message ?? ''}`);
    const blocks = query.kind === 'composed' ? query.blocks : [query];
    const results = blocks.map(({ enforced }) => enforced.result);
    const run = async (): Promise<Spent> =>
      await spentOn(async () => {
        for (const result of results) (await this.#connection.runAndReadAll(result)).getColumns();
      });
    return { run, groups: async () => await this.#rowsOf(results[0] ?? '') };
  }

  /** Rows that a query has on the plain copy. */
  async groupsOf(sql: string): Promise<number> {
    return await this.#rowsOf(sql);
  }

  async #rowsOf(sql: string): Promise<number> {
    return (await this.#connection.runAndReadAll(sql)).currentRowCount;
  }

  [Symbol.dispose](): void {
    this.#connection.closeSync();
    this.#instance.closeSync();
  }
}

async function manifestOf(
  connection: DuckDBConnection,
  files: Readonly<Record<string, string>>,
): Promise<DatasetManifest> {
  const tables = [];
  for (const name of Object.keys(files)) {
    const described = (await connection.runAndReadAll(`DESCRIBE "${name}"`)).getRows();
    const columns = described.map(([column, type]) => ({
      name: String(column),
      type: String(type) === 'VARCHAR' ? { kind: 'text' } : { kind: 'integer', bits: 32, isSigned: true },
      nullable: true,
    }));
    const rowCount = Number((await connection.runAndReadAll(`SELECT count(*) FROM "${name}"`)).getRows()[0]?.[0]);
    tables.push({ name, file: `${name}.parquet`, digest: '', columns, rowCount });
  }
  return { dataset: 'bench', version: 1, digest: '', tables } as unknown as DatasetManifest;
}
