import { createHash } from 'node:crypto';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { layoutSpecOf } from '../../dataset/catalogue.ts';
import { DatasetError } from '../../dataset/dataset-error.ts';
import { datasetFolder, readManifest, registerDataset, removeUnfinished, versionFolder } from '../../dataset/ingest.ts';
import type { SourceReader } from '../../dataset/ingest-events.ts';
import { buildLayout, type Layout, layoutIdOf, type LayoutNeeds } from '../../dataset/layout.ts';
import type { DatasetManifest } from '../../dataset/metadata.ts';
import type { SourceFile } from '../../dataset/source.ts';
import type { TablePolicy } from '../../policy/model.ts';
import type { LayoutSpec } from '../../query/layout.ts';
import { printType } from '../../query/types.ts';
import type { ColumnBatch } from '../../release/columns.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { evidence, type GatewayNeeds } from '../needs.ts';
import { type ConsumerTableBody, objectId } from '../records.ts';

/** What a consumer may bring; small on purpose: it is a list of labels, not a dataset. */
export const TABLE_LIMITS = {
  maxTables: 16,
  /** bytes of one uploaded file */
  maxUploadBytes: 64 * 2 ** 20,
  /** bytes of all stored tables of one party */
  maxStoredBytes: 128 * 2 ** 20,
  maxRows: 1_000_000,
  maxColumns: 32,
  /** bytes of one table once it was read: a small file can unfold to a large one */
  maxUnpackedBytes: 256 * 2 ** 20,
  maxDays: 365,
  defaultDays: 30,
} as const;

const DAY_MS = 86_400_000;
const NAME = /^[a-z][a-z0-9_]{0,62}$/;
/** Every such table is called so in its file: under which name its owner knows it is nobody else's business. */
export const STORED_NAME = 'rows';

export interface ConsumerTablesNeeds extends Pick<
  GatewayNeeds,
  'store' | 'nowMs' | 'randomBytes' | 'pseudonymOf' | 'log'
> {
  /** Layouts below a root of their own. */
  readonly layout: LayoutNeeds;
  /** Reads foreign bytes in the jail, for a party. */
  readonly reader: (party: string) => SourceReader;
}

type TableRecord = StoredRecord<ConsumerTableBody>;

/** A table of a consumer's, ready to be mounted by a worker. */
export interface OpenedTable {
  readonly record: TableRecord;
  readonly manifest: DatasetManifest;
  readonly spec: LayoutSpec;
  readonly layout: Layout;
}

/** Tables that consumers brought: stored, found for their owners alone, deleted in time. */
export class ConsumerTables {
  readonly #needs: ConsumerTablesNeeds;
  readonly #busy = new Set<string>();

  private constructor(needs: ConsumerTablesNeeds) {
    this.#needs = needs;
  }

  /** Opens the folder; removes what no record names, and records whose files are gone. */
  static async open(needs: ConsumerTablesNeeds): Promise<ConsumerTables> {
    const tables = new ConsumerTables(needs);
    const { root } = needs.layout;
    await mkdir(join(root, 'layouts'), { recursive: true, mode: 0o700 });
    await mkdir(join(root, 'datasets'), { recursive: true, mode: 0o700 });
    // What no record names goes below, whether it was marked or not.
    await removeUnfinished(root, () => Number.MAX_SAFE_INTEGER);
    await tables.#removeUnknown();
    await tables.sweep();
    return tables;
  }

  list(party: string): readonly TableRecord[] {
    return this.#all()
      .filter((record) => record.owner === party && this.#isAlive(record))
      .toSorted((a, b) => (a.body.name < b.body.name ? -1 : 1));
  }

  /** Stores a file as the party's table of that name; the party has to be occupied. Throws a `Fault` or `DatasetError` that speaks of the party's own file. */
  async upload(
    party: string,
    { name, days, source }: { readonly name: string; readonly days: number; readonly source: SourceFile },
  ): Promise<TableRecord> {
    checkName(name);
    if (days > TABLE_LIMITS.maxDays)
      throw new Fault('argument-not-valid', `a table is kept for 1 to ${TABLE_LIMITS.maxDays} days`);
    if (source.format === 'duckdb')
      throw new Fault('argument-not-valid', 'a table is uploaded as CSV, Parquet or Arrow IPC');
    await this.sweep();
    return this.#store(party, name, days === 0 ? TABLE_LIMITS.defaultDays : days, source);
  }

  /**
   * Lets a party change its tables until what is answered is called: one change at a time, so that uploads neither pile up
   * on the disk nor fit both into what is left of a quota.
   */
  occupy(party: string): () => void {
    if (this.#busy.has(party)) throw new Fault('conflict', 'another table of yours is being uploaded: wait for it');
    this.#busy.add(party);
    return () => void this.#busy.delete(party);
  }

  /** Deletes a table and its bytes; false when the party has none of that name. */
  async remove(party: string, name: string): Promise<boolean> {
    const record = this.list(party).find(({ body }) => body.name === name);
    if (record === undefined) return false;
    const release = this.occupy(party);
    try {
      await this.#drop(record, 'removed');
    } finally {
      release();
    }
    return true;
  }

  /** Deletes what has expired. */
  async sweep(): Promise<void> {
    for (const record of this.#all()) if (!this.#isAlive(record)) await this.#drop(record, 'expired');
  }

  /** The party's table of a name, checked and laid out; null when it has none. Throws `DatasetError` when its bytes changed. */
  async find(party: string, name: string): Promise<OpenedTable | null> {
    const record = this.list(party).find(({ body }) => body.name === name);
    if (record === undefined) return null;
    const manifest = await readManifest(this.#needs.layout.root, record.body.stored, record.body.version);
    if (manifest.digest !== record.body.manifest)
      throw new DatasetError('changed', `table \`${name}\` is not what was uploaded`);
    const spec = specOf(manifest);
    return { record, manifest, spec, layout: await buildLayout(this.#needs.layout, manifest, spec) };
  }

  async #store(party: string, name: string, days: number, source: SourceFile): Promise<TableRecord> {
    const others = this.list(party).filter(({ body }) => body.name !== name);
    if (others.length >= TABLE_LIMITS.maxTables)
      throw new Fault(
        'message-too-large',
        `you have ${others.length} tables, at most ${TABLE_LIMITS.maxTables} are kept: remove one with \`table remove\``,
      );
    const { layout: needs, nowMs, store } = this.#needs;
    const replaced = store.peek<ConsumerTableBody>('consumerTable', objectId(party, name));
    const { manifest, settle } = await registerDataset(
      { root: needs.root, reader: bounded(this.#needs.reader(party), source.label), limits: needs.limits },
      storedNameOf(party, name),
      [{ ...source, table: STORED_NAME, sourceTable: null }],
    );
    try {
      const [table] = manifest.tables;
      if (table === undefined || manifest.tables.length > 1) throw new Error('an upload made no single table');
      const taken = others.reduce((sum, { body }) => sum + body.bytes, 0);
      if (taken + table.bytes > TABLE_LIMITS.maxStoredBytes)
        throw new Fault(
          'message-too-large',
          `your tables would take ${taken + table.bytes} bytes, at most ${TABLE_LIMITS.maxStoredBytes} are kept: remove one with \`table remove\``,
        );
      const layout = await buildLayout(needs, manifest, specOf(manifest));
      const learnt = layout.tables[0]?.columns ?? {};
      const atMs = nowMs();
      const record: TableRecord = {
        table: 'consumerTable',
        id: objectId(party, name),
        owner: party,
        // The version: whether it is still this one is asked in the transaction that changes it.
        state: `v${manifest.version}`,
        atMs,
        body: {
          name,
          stored: manifest.dataset,
          version: manifest.version,
          manifest: manifest.digest,
          digest: table.digest.replace('sha256:', ''),
          bytes: table.bytes,
          rows: table.rowCount,
          columns: table.columns.map((column) => ({
            name: column.name,
            type: printType(column.type),
            isKey: (learnt[column.name]?.mostRepeats ?? 2) <= 1,
          })),
          uploadedAtMs: atMs,
          expiresAtMs: atMs + days * DAY_MS,
        },
      };
      const facts = { party: this.#needs.pseudonymOf(party), columns: table.columns.length, days };
      const outcome = await store.transact([
        { do: 'expect', table: 'consumerTable', id: record.id, state: replaced?.state ?? null },
        { do: 'put', record },
        { do: 'record', event: evidence(this.#needs, 'table.uploaded', [subjectOf(record)], facts) },
      ]);
      if (outcome.kind === 'refused') throw new Fault('conflict', `table \`${name}\` was changed meanwhile: try again`);
      await settle(true);
      if (replaced !== undefined) await this.#removeFiles(replaced.body);
      return record;
    } catch (error) {
      await this.#removeFiles({ stored: manifest.dataset, version: manifest.version });
      throw error;
    }
  }

  #all(): readonly TableRecord[] {
    return this.#needs.store.peekAll<ConsumerTableBody>('consumerTable');
  }

  #isAlive({ body }: TableRecord): boolean {
    return body.expiresAtMs > this.#needs.nowMs();
  }

  /** The record first: what has none is no table any more, and its files are removed at the next start at the latest. */
  async #drop(record: TableRecord, why: 'removed' | 'expired' | 'lost'): Promise<void> {
    const facts = { party: this.#needs.pseudonymOf(record.owner), why };
    const outcome = await this.#needs.store.transact([
      { do: 'expect', table: 'consumerTable', id: record.id, state: record.state },
      { do: 'remove', table: 'consumerTable', id: record.id },
      { do: 'record', event: evidence(this.#needs, 'table.removed', [subjectOf(record)], facts) },
    ]);
    // Somebody else removed or replaced it meanwhile, and its files with it.
    if (outcome.kind !== 'refused') await this.#removeFiles(record.body);
  }

  async #removeFiles({ stored, version }: Pick<ConsumerTableBody, 'stored' | 'version'>): Promise<void> {
    const { root, hashKey } = this.#needs.layout;
    const manifest = await readManifest(root, stored, version).catch(() => null);
    if (manifest !== null) {
      const id = layoutIdOf(manifest, specOf(manifest), hashKey).replace('sha256:', '');
      await rm(join(root, 'layouts', id), { recursive: true, force: true });
    }
    await rm(versionFolder(root, stored, version), { recursive: true, force: true });
  }

  async #removeUnknown(): Promise<void> {
    const { root } = this.#needs.layout;
    const known = new Map(this.#all().map((record) => [record.body.stored, record]));
    const keptLayouts = new Set<string>();
    for (const folder of await readdir(join(root, 'datasets'))) {
      const record = known.get(decodeURIComponent(folder));
      for (const version of await readdir(join(root, 'datasets', folder)))
        if (record === undefined || version !== `v${record.body.version}`)
          await rm(join(root, 'datasets', folder, version), { recursive: true, force: true });
      if (record === undefined) await rm(join(root, 'datasets', folder), { recursive: true, force: true });
    }
    for (const record of known.values()) {
      const { stored, version } = record.body;
      const manifest = await readManifest(root, stored, version).catch(() => null);
      // A backup holds no such tables: they are their owners' copies.
      if (manifest === null) await this.#drop(record, 'lost');
      else keptLayouts.add(layoutIdOf(manifest, specOf(manifest), this.#needs.layout.hashKey).replace('sha256:', ''));
    }
    for (const layout of await readdir(join(root, 'layouts')))
      if (!keptLayouts.has(layout)) await rm(join(root, 'layouts', layout), { recursive: true, force: true });
  }
}

function checkName(name: string): void {
  if (!NAME.test(name))
    throw new Fault(
      'argument-not-valid',
      'a table name has lower-case letters, digits and `_`, begins with a letter, and is at most 63 long',
    );
}

/** Parties and tables have names of several alphabets; on disk they are told apart by a digest. */
function storedNameOf(party: string, name: string): string {
  return `t-${createHash('sha256')
    .update(JSON.stringify([party, name]))
    .digest('hex')
    .slice(0, 40)}`;
}

export const subjectOf = ({ body }: TableRecord): { readonly name: string; readonly sha256: string } =>
  tableSubject(body.digest);

const tableSubject = (digest: string): { readonly name: string; readonly sha256: string } => ({
  name: `consumer-table/${digest.slice(0, 16)}`,
  sha256: digest,
});

/** Laid out as a public table: it protects nobody, least of all from its owner. */
function specOf(manifest: DatasetManifest): LayoutSpec {
  const policy: TablePolicy = {
    name: STORED_NAME,
    isPublic: true,
    privacyUnits: [],
    columns: (manifest.tables[0]?.columns ?? []).map(({ name }) => ({ name, grants: [], grade: null })),
    rows: null,
    joins: 'allowed',
    consumerTables: false,
  };
  return layoutSpecOf(manifest, [policy], null);
}

/** Ends the reading of a file as soon as it holds more than a table may: its size on the wire says little. */
function bounded(reader: SourceReader, label: string): SourceReader {
  return {
    async *read(request) {
      let rows = 0;
      let bytes = 0;
      const tooMuch = (what: string, most: number): never => {
        throw new DatasetError('too-large', `${label}: a table of yours has at most ${most} ${what}`);
      };
      for await (const event of reader.read(request)) {
        if (event.kind === 'table' && event.columns.length > TABLE_LIMITS.maxColumns)
          tooMuch('columns', TABLE_LIMITS.maxColumns);
        if (event.kind === 'batch') {
          rows += event.batch.rowCount;
          bytes += bytesOf(event.batch);
          if (rows > TABLE_LIMITS.maxRows) tooMuch('rows', TABLE_LIMITS.maxRows);
          if (bytes > TABLE_LIMITS.maxUnpackedBytes) tooMuch('bytes when it is read', TABLE_LIMITS.maxUnpackedBytes);
        }
        yield event;
      }
    },
  };
}

function bytesOf(batch: ColumnBatch): number {
  return batch.columns.reduce(
    (sum, column) =>
      sum +
      Object.values(column as object).reduce<number>(
        (own, part: unknown) => (ArrayBuffer.isView(part) ? own + part.byteLength : own),
        0,
      ),
    0,
  );
}

/** Where the files of one table lie; for tests that damage them. */
export function tableFolder(root: string, party: string, name: string): string {
  return datasetFolder(root, storedNameOf(party, name));
}
