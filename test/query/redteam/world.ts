import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeBatch } from '../../../runtime/dataset/batch-frame.ts';
import { catalogueTables, layoutSpecOf } from '../../../runtime/dataset/catalogue.ts';
import { layoutStatements } from '../../../runtime/dataset/layout-sql.ts';
import { learnColumns, type LearntColumn } from '../../../runtime/dataset/column-facts.ts';
import { makeCuboids } from '../../../runtime/dataset/cuboids.ts';
import type { DatasetManifest, StoredTable } from '../../../runtime/dataset/metadata.ts';
import { resultSchemaOf } from '../../../runtime/dataset/run-enforced.ts';
import { executeJob } from '../../../runtime/dataset/worker/execute-job.ts';
import { ReadyConnections } from '../../../runtime/dataset/worker/job-connections.ts';
import { GUARD_COLUMNS } from '../../../runtime/dataset/sql-job.ts';
import { guardCells } from '../../../runtime/job/guard-cells.ts';
import { Histories } from '../../../runtime/job/histories.ts';
import { parsePolicy } from '../../../runtime/policy-file/parse-policy.ts';
import type { AggregateRelease, UsagePolicy } from '../../../runtime/policy/model.ts';
import type { CatalogueTable, QueryContext } from '../../../runtime/query/catalogue.ts';
import type { SqlType } from '../../../runtime/query/types.ts';
import type { Cuboid } from '../../../runtime/query/layout.ts';
import { compileQuery } from '../../../runtime/query/compile.ts';
import { parseLossless } from '../../../runtime/query/lossless-json.ts';
import { type Cell, rowsOf } from '../../../runtime/release/column-values.ts';
import { type ColumnBatch, DEFAULT_COLUMN_LIMITS } from '../../../runtime/release/columns.ts';
import type { LabelledSketch } from '../../../runtime/release/judge-cells.ts';
import { passGate } from '../../../runtime/release/gate.ts';
import { termsOf } from '../../../runtime/release/terms.ts';

/** A dataset of one provider under one policy: the policy's text and the statement that makes each table. */
export interface World {
  readonly name: string;
  readonly policy: string;
  readonly consumer: string;
  /** CREATE TABLE AS bodies, by table. */
  readonly tables: Readonly<Record<string, string>>;
}

/** What a consumer sees of one job; `failed` stands for the one generic run-time error. */
export type Seen =
  | { readonly kind: 'denied'; readonly code: string; readonly message: string }
  | { readonly kind: 'failed'; readonly cause: string }
  | {
      readonly kind: 'answer';
      readonly names: readonly string[];
      readonly types: readonly string[];
      readonly rows: readonly (readonly Cell[])[];
      readonly withheld: string | null;
    };

export class OpenWorld {
  readonly context: QueryContext;
  readonly policy: UsagePolicy;
  readonly #instance: DuckDBInstance;
  readonly #plain: DuckDBConnection;
  readonly #folder: string;
  readonly #world: World;

  private constructor(
    world: World,
    parts: {
      readonly instance: DuckDBInstance;
      readonly plain: DuckDBConnection;
      readonly folder: string;
      readonly policy: UsagePolicy;
      readonly context: QueryContext;
    },
  ) {
    this.#world = world;
    this.#instance = parts.instance;
    this.#plain = parts.plain;
    this.#folder = parts.folder;
    this.policy = parts.policy;
    this.context = parts.context;
  }

  /** `rowCount`: what the compiler takes the tables' number of rows for. */
  static async open(world: World, terms: Partial<AggregateRelease> = {}, rowCount = 0): Promise<OpenWorld> {
    const parsed = parsePolicy(world.policy, `${world.name}.yaml`);
    if (parsed.kind !== 'policy') throw new Error(JSON.stringify(parsed.complaints));
    const { policy } = parsed;
    const folder = await mkdtemp(join(tmpdir(), 'glovebox-world-'));
    const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
    const plain = await instance.connect();
    await plain.run("ATTACH ':memory:' AS d0");
    for (const [name, body] of Object.entries(world.tables)) await plain.run(`CREATE TABLE "${name}" AS ${body}`);
    const stored: StoredTable[] = [];
    for (const name of Object.keys(world.tables)) {
      const described = (await plain.runAndReadAll(`DESCRIBE "${name}"`)).getRows();
      stored.push({
        name,
        file: `${name}.parquet`,
        columns: described.map((row) => ({ name: String(row[0]), type: typeOf(String(row[1])) })),
        rowCount,
        bytes: 0,
        digest: '',
      });
    }
    const manifest: DatasetManifest = { dataset: policy.dataset, version: 1, tables: stored, notes: [], digest: '' };
    const release = policy.allow.find(({ mode }) => mode === 'aggregate')?.release;
    if (release?.mode !== 'aggregate') throw new Error('the policy has no aggregate rule');
    const spec = layoutSpecOf(manifest, policy.tables, null);
    // Always the same ones: what they are is learnt of all rows, as which columns go together is.
    const cuboids = new Map<string, readonly Cuboid[]>();
    const learnt = new Map<string, Readonly<Record<string, LearntColumn>>>();
    for (const { name, dimensions } of spec.tables)
      if (dimensions !== undefined) learnt.set(name, await learnColumns(plain, `"${name}"`, dimensions.flat()));
    const layOut = async (name: string, source: string): Promise<void> => {
      const table = spec.tables.find((one) => one.name === name);
      if (table === undefined) return;
      const records = stored.map((one) => ({ ...one, path: join(folder, one.file) }));
      await plain.run(`COPY (${source}) TO '${join(folder, `${name}.parquet`)}' (FORMAT parquet)`);
      const { create } = layoutStatements(
        table,
        records,
        table.rows === null ? null : `(${table.rows})`,
        '5a'.repeat(32),
      );
      await plain.run('USE d0');
      await plain.run(create.replace('CREATE TABLE', 'CREATE OR REPLACE TABLE'));
      for (const { name: cuboid } of cuboids.get(name) ?? []) await plain.run(`DROP TABLE "${cuboid}"`);
      cuboids.set(name, await makeCuboids(plain, table, { columns: learnt.get(name) ?? {}, rowCount }));
      await plain.run('USE memory');
    };
    // Of public tables alone: attacks leave rows of private ones out, of which nothing may then be known.
    const facts = new Map(
      await Promise.all(
        spec.tables
          .filter(({ units }) => units.length === 0)
          .map(async ({ name, columns }) => {
            return [name, await learnColumns(plain, `"${name}"`, columns, { isPublic: true })] as const;
          }),
      ),
    );
    for (const one of stored) await plain.run(`COPY "${one.name}" TO '${join(folder, one.file)}' (FORMAT parquet)`);
    for (const one of stored) await layOut(one.name, `SELECT * FROM "${one.name}"`);
    const tables = catalogueTables({
      facts,
      cuboids,
      manifest,
      policies: policy.tables,
      consumer: world.consumer,
      alias: 'd0',
      rowCounts: new Map(stored.map(({ name }) => [name, rowCount])),
    });
    const context: QueryContext = {
      consumer: world.consumer,
      tables,
      release: { ...release, ...terms },
      clause: `${policy.dataset} v1 allow[statistics]`,
      parameters: {},
    };
    const open = new OpenWorld(world, { instance, plain, folder, policy, context });
    open.#layOut = layOut;
    await open.reset();
    return open;
  }

  /** What the guard remembered of the last answer that it was asked about. */
  shown: readonly LabelledSketch[] = [];

  readonly #brought: CatalogueTable[] = [];

  /** A table that the consumer uploaded; the last of a name counts. `body` is what CREATE TABLE AS takes. */
  async bring(name: string, body: string): Promise<void> {
    const at = this.#brought.findIndex((one) => one.names[0] === name);
    if (at !== -1) this.#brought.splice(at, 1);
    const database = `b${this.#databases++}`;
    await this.#plain.run(`ATTACH ':memory:' AS ${database}`);
    await this.#plain.run(`CREATE TABLE ${database}."rows" AS ${body}`);
    await this.#plain.run(`CREATE OR REPLACE TABLE d0."${name}" AS FROM ${database}."rows"`);
    const described = (await this.#plain.runAndReadAll(`DESCRIBE ${database}."rows"`)).getRows();
    const facts = await learnColumns(
      this.#plain,
      `${database}."rows"`,
      described.map((row) => String(row[0])),
      { isPublic: true },
    );
    this.#brought.push({
      dataset: `brought/${name}`,
      names: [name, `my.${name}`],
      physical: `"${database}"."rows"`,
      isPublic: true,
      brought: true,
      columns: described.map((row) => ({
        name: String(row[0]),
        type: typeOf(String(row[1])),
        grants: [],
        ...(facts[String(row[0])] === undefined ? {} : { facts: facts[String(row[0])] }),
      })),
      units: [],
      joins: 'allowed',
      rowCount: 0n,
    });
  }
  #databases = 0;

  #histories = new Histories(() => Promise.resolve([]));

  /** Forgets what was answered, as for another consumer. */
  forget(): void {
    this.#histories = new Histories(() => Promise.resolve([]));
  }

  #layOut: (table: string, source: string) => Promise<void> = () => Promise.resolve();
  readonly #laid = new Map<string, string>();
  readonly #kept = new Map<string, string>();

  /** The same rows are laid out once and copied from then on: attacks leave the same people out again and again. */
  async #show(name: string, source: string): Promise<void> {
    if (this.#laid.get(name) === source) return;
    const id = JSON.stringify([name, source]);
    const kept = this.#kept.get(id);
    if (kept === undefined) {
      await this.#layOut(name, source);
      const copy = `memory."__kept_${this.#kept.size}"`;
      if (this.context.tables.some(({ physical }) => physical === `"d0"."${name}"`)) {
        await this.#plain.run(`CREATE TABLE ${copy} AS FROM d0."${name}"`);
        this.#kept.set(id, copy);
      }
    } else await this.#plain.run(`CREATE OR REPLACE TABLE d0."${name}" AS FROM ${kept}`);
    this.#laid.set(name, source);
  }

  /** Lays the tables out as the world says. */
  async reset(): Promise<void> {
    for (const name of Object.keys(this.#world.tables)) await this.#show(name, `SELECT * FROM "${name}"`);
  }

  /** Lays the tables out without the rows that meet a table's condition. */
  async without(conditions: Readonly<Record<string, string>>): Promise<void> {
    for (const name of Object.keys(this.#world.tables)) {
      const condition = conditions[name];
      const where = condition === undefined ? '' : ` WHERE (${condition}) IS NOT TRUE`;
      await this.#show(name, `SELECT * FROM "${name}"${where}`);
    }
  }

  async ast(sql: string): Promise<unknown> {
    const reader = await this.#plain.runAndReadAll('SELECT json_serialize_sql($1::VARCHAR)', [sql]);
    return parseLossless(String(reader.getRows()[0]?.[0]));
  }

  /** One job as a consumer lives it: compile, run as the worker does, gate. */
  async ask(
    sql: string,
    terms: Partial<AggregateRelease> = {},
    parameters: QueryContext['parameters'] = {},
  ): Promise<Seen> {
    const release = { ...(this.context.release as AggregateRelease), ...terms };
    let ast: unknown;
    try {
      ast = await this.ast(sql);
    } catch (error) {
      if (error instanceof SyntaxError) return { kind: 'denied', code: 'sql-syntax', message: 'not JSON' };
      throw error;
    }
    const tables = [...this.context.tables, ...this.#brought];
    const compiled = compileQuery(ast, sql, { ...this.context, tables, release, parameters });
    if (compiled.kind === 'denied') {
      const [first] = compiled.reasons;
      return { kind: 'denied', code: first?.code ?? '', message: first?.message ?? '' };
    }
    const { enforced } = compiled;
    const schema = resultSchemaOf(enforced);
    const batches: ColumnBatch[] = [];
    const sketched: ColumnBatch[] = [];
    const { guard } = enforced;
    let isSketching = guard !== undefined;
    let removed = 0n;
    const job = {
      databases: [],
      setup: enforced.setup,
      ...(enforced.gates === undefined ? {} : { gates: enforced.gates }),
      ...(guard === undefined ? {} : { guard }),
      result: enforced.result,
      columns: schema,
      summary: enforced.summary,
    };
    let withheld: string | null;
    try {
      const done = await executeJob(
        new ReadyConnections(this.#instance),
        // As the gateway runs jobs over tables as small as these.
        { ...job, limits: { threads: 1, memoryMiB: 512 }, isFewCells: true },
        { isStopped: false, using: () => undefined },
        (frame) => {
          const decoded = decodeBatch(isSketching ? GUARD_COLUMNS : schema, frame, DEFAULT_COLUMN_LIMITS);
          if (decoded.kind === 'bad') throw new Error(decoded.problem);
          (isSketching ? sketched : batches).push(decoded.batch);
          return Promise.resolve();
        },
        async () => {
          if (guard === undefined) throw new Error('asked without a guard');
          isSketching = false;
          const owners = release.differencingGuard ? ['consumer'] : [];
          const { verdict } = await this.#histories.judge(owners, guard.buckets, (known) =>
            guardCells(guard, release.minUnits, sketched, known),
          );
          this.shown = verdict.shown;
          removed = verdict.withheldCells;
          return verdict.hide;
        },
      );
      withheld = removed === 0n ? done.withheldCells : String(BigInt(done.withheldCells ?? 0) + removed);
    } catch (error) {
      return { kind: 'failed', cause: String(error) };
    }
    const units = [...new Set(enforced.certificates.map(({ unit }) => unit))];
    const outputs = enforced.outputs.map((output, index) => {
      const column = schema[index];
      if (column === undefined) throw new Error('no column');
      return { ...column, role: output.role };
    });
    const terms_ = termsOf(release, { clause: '', units, outputs, mediaTypes: [], isDominanceApplied: true });
    const certificates = enforced.certificates.map((one) => ({
      kind: 'units' as const,
      column: one.name,
      unit: one.unit,
      cells: null,
    }));
    const basis = units.length === 0 ? ({ kind: 'public' } as const) : ({ kind: 'certified' } as const);
    const released = passGate({ kind: 'table', basis, schema, certificates, batches, isOrdered: true }, terms_);
    if (released.kind === 'denied') {
      return { kind: 'denied', code: released.reasons[0]?.code ?? '', message: released.reasons[0]?.message ?? '' };
    }
    if (released.content !== 'table') throw new Error('not a table');
    return {
      kind: 'answer',
      names: released.schema.map(({ name }) => name),
      types: released.schema.map(({ type }) => JSON.stringify(type)),
      rows: released.batches.flatMap((batch) => rowsOf(released.schema, batch)).map((row) => [...row]),
      withheld,
    };
  }

  /** The statements that would run; for looking at them. */
  async enforced(sql: string): Promise<unknown> {
    return compileQuery(await this.ast(sql), sql, this.context);
  }

  /** DuckDB's own answer over the rows that the policy lets anyone see (scope and bounds applied). */
  async plain(
    sql: string,
  ): Promise<{ readonly names: readonly string[]; readonly rows: readonly (readonly unknown[])[] }> {
    await this.#plain.run('USE d0');
    try {
      const reader = await this.#plain.runAndReadAll(sql);
      return { names: reader.columnNames(), rows: reader.getRows() };
    } finally {
      await this.#plain.run('USE memory');
    }
  }

  async close(): Promise<void> {
    this.#plain.closeSync();
    this.#instance.closeSync();
    await rm(this.#folder, { recursive: true });
  }
}

export function tablesOf(world: OpenWorld): readonly CatalogueTable[] {
  return world.context.tables;
}

export function typeOf(text: string): SqlType {
  const decimal = /^DECIMAL\((\d+),(\d+)\)$/.exec(text);
  if (decimal !== null) return { kind: 'decimal', width: Number(decimal[1]), scale: Number(decimal[2]) };
  const integer = /^(U?)(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)$/.exec(text);
  if (integer !== null) {
    const bits = { TINYINT: 8, SMALLINT: 16, INTEGER: 32, BIGINT: 64, HUGEINT: 128 }[integer[2] ?? ''] as
      | 8
      | 16
      | 32
      | 64
      | 128;
    return { kind: 'integer', bits, isSigned: integer[1] === '' };
  }
  const kinds = {
    VARCHAR: 'text',
    DOUBLE: 'double',
    FLOAT: 'float',
    BOOLEAN: 'boolean',
    DATE: 'date',
    TIMESTAMP: 'timestamp',
  } as const;
  const kind = kinds[text as keyof typeof kinds];
  if (kind === undefined) throw new Error(`no type for ${text}`);
  return { kind };
}
