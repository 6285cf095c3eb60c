/** A world of rows asked under differential privacy as a consumer asks: compiled, run, noised, printed with its intervals. */
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { createCipheriv } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { catalogueTables, layoutSpecOf } from '../../../runtime/dataset/catalogue.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../../runtime/dataset/engine.ts';
import { makeLayout } from '../../../runtime/dataset/make-layout.ts';
import type { DatasetManifest, StoredTable } from '../../../runtime/dataset/metadata.ts';
import { resultSchemaOf } from '../../../runtime/dataset/run-enforced.ts';
import { prepareComposed } from '../../../runtime/job/prepare-composed.ts';
import { prepareDifferential } from '../../../runtime/job/prepare-differential.ts';
import type { ColumnAccuracy, Execution } from '../../../runtime/job/prepare.ts';
import { parsePolicy } from '../../../runtime/policy-file/parse-policy.ts';
import type { DifferentialPrivacyRelease } from '../../../runtime/policy/model.ts';
import type { CatalogueTable, QueryContext } from '../../../runtime/query/catalogue.ts';
import { compileDifferential } from '../../../runtime/query/differential/compile.ts';
import type { EnforcedQuery } from '../../../runtime/query/enforced.ts';
import { parseLossless } from '../../../runtime/query/lossless-json.ts';
import { batchFromRows, type Cell, rowsOf } from '../../../runtime/release/column-values.ts';
import type { Entropy } from '../../../runtime/release/entropy.ts';
import { typeOf, type World } from '../redteam/world.ts';

export type NoisySeen =
  | { readonly kind: 'denied'; readonly code: string; readonly message: string; readonly remedy: string }
  | { readonly kind: 'failed' }
  | {
      readonly kind: 'answer';
      readonly names: readonly string[];
      readonly types: readonly string[];
      readonly rows: readonly (readonly Cell[])[];
      readonly errors: readonly ColumnAccuracy[];
    };

export class NoisyWorld {
  readonly #instance: DuckDBInstance;
  readonly #connection: DuckDBConnection;
  readonly #folder: string;
  readonly #exact = new Map<string, readonly (readonly Cell[])[]>();
  readonly tables: readonly CatalogueTable[];
  readonly release: DifferentialPrivacyRelease;

  private constructor(parts: {
    readonly instance: DuckDBInstance;
    readonly connection: DuckDBConnection;
    readonly folder: string;
    readonly tables: readonly CatalogueTable[];
    readonly release: DifferentialPrivacyRelease;
  }) {
    this.#instance = parts.instance;
    this.#connection = parts.connection;
    this.#folder = parts.folder;
    this.tables = parts.tables;
    this.release = parts.release;
  }

  /** The world under its policy with a rule `private` besides. `without`: conditions of rows that are left out, by table. */
  static async open(world: World, without: Readonly<Record<string, string>> = {}): Promise<NoisyWorld> {
    const parsed = parsePolicy(world.policy, `${world.name}.yaml`);
    if (parsed.kind !== 'policy') throw new Error(JSON.stringify(parsed.complaints));
    const { policy } = parsed;
    const release = policy.allow.find(({ mode }) => mode === 'differentialPrivacy')?.release;
    if (release?.mode !== 'differentialPrivacy') throw new Error('the policy has no rule with noise');
    const folder = await mkdtemp(join(tmpdir(), 'glovebox-noisy-'));
    const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
    const connection = await instance.connect();
    const stored: StoredTable[] = [];
    for (const [name, body] of Object.entries(world.tables)) {
      const left = without[name] === undefined ? '' : ` WHERE (${without[name]}) IS NOT TRUE`;
      await connection.run(`CREATE TABLE "${name}" AS SELECT * FROM (${body})${left}`);
      const file = join(folder, `${name}.parquet`);
      await connection.run(`COPY "${name}" TO '${file}' (FORMAT parquet)`);
      const described = (await connection.runAndReadAll(`DESCRIBE "${name}"`)).getRows();
      stored.push({
        name,
        file,
        columns: described.map((row) => ({ name: String(row[0]), type: typeOf(String(row[1])) })),
        rowCount: 0,
        bytes: 0,
        digest: '',
      });
    }
    const manifest: DatasetManifest = { dataset: policy.dataset, version: 1, tables: stored, notes: [], digest: '' };
    const outFile = join(folder, 'layout.duckdb');
    const laidOut = await makeLayout({
      spec: layoutSpecOf(manifest, policy.tables, release.maxRowsPerUnit, false),
      scopes: policy.tables.map(() => null),
      records: stored.map((one) => ({ ...one, path: one.file })),
      hashKeyHex: '5a'.repeat(32),
      outFile,
      limits: DEFAULT_ENGINE_LIMITS,
    });
    await connection.run(`ATTACH '${outFile}' AS d0 (READ_ONLY)`);
    const tables = catalogueTables({
      manifest,
      policies: policy.tables,
      consumer: world.consumer,
      alias: 'd0',
      rowCounts: new Map(laidOut.tables.map(({ name, rowCount }) => [name, rowCount])),
      facts: new Map(laidOut.tables.map(({ name, columns }) => [name, columns])),
    });
    return new NoisyWorld({ instance, connection, folder, tables, release });
  }

  context(release: DifferentialPrivacyRelease = this.release): QueryContext {
    return { consumer: 'acme', tables: this.tables, release, clause: 'allow[private]', parameters: {} };
  }

  async compile(sql: string, release: DifferentialPrivacyRelease): Promise<ReturnType<typeof compileDifferential>> {
    const reader = await this.#connection.runAndReadAll('SELECT json_serialize_sql($1::VARCHAR)', [sql]);
    return compileDifferential(parseLossless(String(reader.getRows()[0]?.[0])), sql, this.context(release));
  }

  async ask(sql: string, entropy: Entropy, terms: Partial<DifferentialPrivacyRelease> = {}): Promise<NoisySeen> {
    const release = { ...this.release, ...terms };
    const compiled = await this.compile(sql, release);
    const needs = {
      sha256: (text: string) => text,
      entropy,
      image: 'test',
      schemaOf: (one: EnforcedQuery | { readonly enforced: EnforcedQuery }) =>
        resultSchemaOf('enforced' in one ? one.enforced : one),
      run: (one: EnforcedQuery | { readonly enforced: EnforcedQuery }) =>
        this.#run('enforced' in one ? one.enforced : one),
    };
    const input = { consumer: 'acme', release, clause: 'test', permits: [], datasets: [] };
    const prepared =
      compiled.kind === 'denied'
        ? compiled
        : compiled.kind === 'composed'
          ? prepareComposed(needs, compiled, input)
          : prepareDifferential(needs, compiled, input);
    if (prepared.kind === 'denied') {
      const [first] = prepared.reasons;
      return { kind: 'denied', code: first?.code ?? '', message: first?.message ?? '', remedy: first?.remedy ?? '' };
    }
    const { batches, summary } = prepared.execute(AbortSignal.timeout(20_000));
    const rows: Cell[][] = [];
    for await (const batch of batches) rows.push(...rowsOf(prepared.schema, batch));
    const ended = summary();
    if (ended.kind !== 'done') return { kind: 'failed' };
    return {
      kind: 'answer',
      names: prepared.schema.map(({ name }) => name),
      types: prepared.schema.map(({ type }) => JSON.stringify(type)),
      rows,
      errors: ended.errors ?? [],
    };
  }

  /** As a worker would; what rests on stored rows alone is computed once. */
  #run(enforced: EnforcedQuery): Execution {
    const schema = resultSchemaOf(enforced);
    const [instance, known] = [this.#instance, this.#exact];
    async function* batches(): AsyncGenerator<ReturnType<typeof batchFromRows>, void, void> {
      const id = JSON.stringify([enforced.setup, enforced.result]);
      const kept = known.get(id);
      const connection = kept === undefined ? await instance.connect() : null;
      try {
        for (const statement of connection === null ? [] : enforced.setup) await connection?.run(statement);
        const rows =
          kept ?? ((await connection?.runAndReadAll(enforced.result))?.getRows() ?? []).map((row) => row.map(cellOf));
        if (enforced.setup.length === 0) known.set(id, rows);
        if (rows.length > 0) yield batchFromRows(schema, rows);
      } finally {
        connection?.closeSync();
      }
    }
    const summary = { kind: 'done', rowsScanned: 9, cpuMs: 1, withheld: { cells: null, reasons: [] } } as const;
    return { batches: batches(), summary: () => summary };
  }

  /** What DuckDB says of the tables as they are. */
  async plain(sql: string): Promise<readonly (readonly unknown[])[]> {
    return (await this.#connection.runAndReadAll(sql)).getRows();
  }

  async close(): Promise<void> {
    this.#connection.closeSync();
    this.#instance.closeSync();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

function cellOf(value: unknown): Cell {
  if (typeof value !== 'object' || value === null) return (value ?? null) as Cell;
  if ('micros' in value) return value.micros as bigint;
  return 'days' in value ? Number(value.days) : (value as { readonly value: bigint }).value;
}

/** Bytes that look random and are the same in every run. */
export function seeded(seed: number): Entropy {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, seed + 1), Buffer.alloc(16, seed >> 8));
  return { bytes: (count) => cipher.update(Buffer.alloc(count)) };
}
