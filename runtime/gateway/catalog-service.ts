import { createHash } from 'node:crypto';
import { mkdir, open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type {
  Dataset as DatasetMessage,
  DatasetTable,
  RegisterDatasetRequest,
  RegisterDatasetResponse,
} from '../gen/messages.ts';
import type { CatalogServiceHandlers } from '../gen/services.ts';
import { DatasetError } from '../dataset/dataset-error.ts';
import type { Registered } from '../dataset/ingest.ts';
import type { DatasetManifest } from '../dataset/metadata.ts';
import {
  DEFAULT_CSV_OPTIONS,
  FORMAT_HEAD_BYTES,
  formatOf,
  type SourceFile,
  type SourceFormat,
} from '../dataset/source.ts';
import type { Verification } from '../dataset/verify.ts';
import { type Caller, hasRole } from '../identity/party.ts';
import type { TablePolicy } from '../policy/model.ts';
import { reason } from '../policy/reason.ts';
import { grantsFor } from '../policy/rights.ts';
import { Fault } from '../rpc/fault.ts';
import { ipcStream } from '../rpc/ipc-stream.ts';
import type { StoredRecord } from '../store/records.ts';
import { isOpenTo } from './agreement-record.ts';
import { pinnedPolicy } from './agreement-service.ts';
import { pageOf, requireRole } from './access.ts';
import { tableFor } from './fit-policy.ts';
import { evidence, type GatewayNeeds, newId } from './needs.ts';
import { twinTables } from './twin-tables.ts';
import { versionsOf } from './policy-service.ts';
import { type AgreementBody, type DatasetBody, type PartyBody, type PolicyBody, policyOf } from './records.ts';

export interface CatalogNeeds extends GatewayNeeds {
  readonly uploads: string;
  readonly register: (
    dataset: string,
    sources: readonly SourceFile[],
    onProgress: (progress: IngestStep) => void,
  ) => Promise<Registered>;
  readonly manifestOf: (dataset: string, version: number) => Promise<DatasetManifest>;
  readonly verify: (dataset: string, version: number, digest: string) => Promise<Verification>;
}

export interface IngestStep {
  readonly step: string;
  readonly done: number;
  readonly total: number;
  readonly subject: string;
}

/** Largest upload of one dataset, bytes; most files of one dataset. */
export const MAX_UPLOAD_BYTES = 256 * 2 ** 30;
export const MAX_UPLOAD_FILES = 256;
const PROGRESS_EVERY_BYTES = 8 << 20;

/** The catalogue: schema and policy to whom they concern, rows to nobody. */
export function catalogService(needs: CatalogNeeds): Partial<CatalogServiceHandlers> {
  /** Datasets whose new version is on its way into the store. */
  const recording = new Set<string>();
  const find = (caller: Caller, name: string): StoredRecord<DatasetBody> => {
    const dataset = needs.store.peek<DatasetBody>('dataset', name);
    if (dataset === undefined || !maySee(needs, caller, dataset))
      throw new Fault('not-found', `no dataset \`${name}\` that you may know of`);
    return dataset;
  };
  return {
    registerDataset: (caller, request, call) => register(needs, recording, caller, request, call.signal),
    list: async (caller, request) => {
      const seen = needs.store
        .peekAll<DatasetBody>('dataset')
        .filter((dataset) => maySee(needs, caller, dataset))
        .toSorted((a, b) => (a.id < b.id ? -1 : 1));
      const { items, nextPageToken } = pageOf(seen, request.page);
      return { datasets: await Promise.all(items.map((dataset) => messageOf(needs, caller, dataset))), nextPageToken };
    },
    get: async (caller, request) => ({
      dataset: await messageOf(needs, caller, find(caller, request.name), request.version),
    }),
    twin: async function* (caller, request) {
      const dataset = find(caller, request.name);
      const record = isInsider(caller, dataset)
        ? versionsOf(needs, dataset.id)[0]
        : policySeenBy(needs, caller, dataset.id);
      if (record === undefined)
        throw new Fault(
          'not-found',
          `dataset \`${request.name}\` has no policy yet: there is nothing to make a twin of`,
        );
      const manifest = await needs.manifestOf(request.name, dataset.body.version);
      const groups = needs.store.peek<PartyBody>('party', caller.party)?.body.groups ?? [];
      const tables = twinTables(manifest, policyOf(record.body), {
        rows: request.rows,
        seed: Number(request.seed % 2n ** 31n),
        // The provider sees every column that its policy names, a consumer those that it grants.
        mayRead: isInsider(caller, dataset)
          ? () => true
          : (column) => grantsFor(column, caller.party, groups).length > 0,
      });
      const twin =
        request.table === '' && tables.length === 1 ? tables[0] : tables.find(({ name }) => name === request.table);
      if (twin === undefined)
        throw new Fault('argument-not-valid', `name one of the tables ${tables.map(({ name }) => name).join(', ')}`);
      for (const chunk of ipcStream(twin.schema, [twin.batch])) yield { chunk };
    },
    verify: async function* (caller, request) {
      const dataset = find(caller, request.name);
      if (!isInsider(caller, dataset))
        throw new Fault('role-missing', 'only its provider, operators and auditors verify a dataset');
      const version = request.version === 0 ? dataset.body.version : request.version;
      const digest = version === dataset.body.version ? dataset.body.digest : '';
      const verdict = await needs.verify(request.name, version, digest).catch((error: unknown) => {
        throw faultOf(error);
      });
      const manifest = await needs.manifestOf(request.name, version).catch(() => null);
      const bytes = manifest?.tables.reduce((sum, table) => sum + table.bytes, 0) ?? 0;
      await needs.store.transact([
        {
          do: 'record',
          event: evidence(
            needs,
            'dataset.verified',
            [{ name: `dataset/${request.name}@${version}`, sha256: dataset.body.digest.replace('sha256:', '') }],
            { intact: verdict.kind === 'intact' },
          ),
        },
      ]);
      yield {
        event: {
          kind: 'verdict',
          verdict: {
            isIntact: verdict.kind === 'intact',
            bytes: BigInt(bytes),
            reasons:
              verdict.kind === 'intact'
                ? []
                : verdict.files.map(({ file, problem }) =>
                    reason(
                      'dataset-changed',
                      `\`${file}\` of dataset \`${request.name}\` version ${version}: ${problem}`,
                      { remedy: 'restore the file from a backup, or register the dataset again' },
                    ),
                  ),
          },
        },
      };
    },
  };
}

async function* register(
  needs: CatalogNeeds,
  recording: Set<string>,
  caller: Caller,
  request: AsyncIterable<RegisterDatasetRequest>,
  signal: AbortSignal,
): AsyncGenerator<RegisterDatasetResponse, void, void> {
  requireRole(caller, 'register datasets', 'provider');
  const folder = join(needs.uploads, newId(needs, 'upload'));
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const spool = new Spool(folder);
  try {
    let total = 0;
    let told = 0;
    for await (const { part } of request) {
      signal.throwIfAborted();
      total += await spool.take(part);
      if (total - told >= PROGRESS_EVERY_BYTES) {
        told = total;
        yield progress({ step: 'upload', done: total, total: 0, subject: spool.current });
      }
    }
    const { header, sources } = spool.finish();
    const existing = needs.store.peek<DatasetBody>('dataset', header.name);
    if (existing !== undefined && existing.owner !== caller.party)
      throw new Fault('already-exists', `the name \`${header.name}\` is taken`);

    if (existing?.body.encrypted !== undefined)
      throw new Fault('conflict', `dataset \`${header.name}\` is one of ciphertext: choose another name`);

    const steps: IngestStep[] = [];
    let moved = Promise.withResolvers<void>();
    const registering = needs.register(header.name, sources, (step) => {
      steps.push(step);
      moved.resolve();
    });
    const over = registering.then(
      () => 'over' as const,
      () => 'over' as const,
    );
    for (;;) {
      for (const step of steps.splice(0)) yield progress(step);
      moved = Promise.withResolvers<void>();
      if (steps.length > 0) continue;
      if ((await Promise.race([over, moved.promise])) === 'over') break;
    }
    const { manifest, findings } = await registering;
    const record: StoredRecord<DatasetBody> = {
      table: 'dataset',
      id: manifest.dataset,
      owner: caller.party,
      state: 'registered',
      atMs: needs.nowMs(),
      body: {
        version: manifest.version,
        digest: manifest.digest,
        description: header.description,
        grade: header.grade === 'unspecified' ? null : header.grade,
        registeredAtMs: needs.nowMs(),
        findings: findingTexts(findings),
      },
    };
    const event = evidence(
      needs,
      'dataset.registered',
      [{ name: `dataset/${manifest.dataset}@${manifest.version}`, sha256: manifest.digest.replace('sha256:', '') }],
      { provider: needs.pseudonymOf(caller.party), tables: manifest.tables.length },
    );
    // Two registrations of one provider may end in another order than they began: the newer version stays.
    const latest = needs.store.peek<DatasetBody>('dataset', manifest.dataset)?.body.version ?? 0;
    if (latest >= manifest.version || recording.has(manifest.dataset))
      throw new Fault('conflict', `dataset \`${manifest.dataset}\` was registered meanwhile: look at it again`);
    recording.add(manifest.dataset);
    const recorded = await needs.store
      .transact([
        // Two providers may have begun a dataset of this name at once: it belongs to the one that ended first.
        {
          do: 'expect',
          table: 'dataset',
          id: manifest.dataset,
          state: existing === undefined ? null : existing.state,
        },
        { do: 'put', record },
        { do: 'record', event },
      ])
      .finally(() => recording.delete(manifest.dataset));
    if (recorded.kind === 'refused')
      throw new Fault('conflict', `dataset \`${manifest.dataset}\` was registered meanwhile: look at it again`);
    yield { reasons: [], event: { kind: 'dataset', dataset: await messageOf(needs, caller, record) } };
  } catch (error) {
    throw faultOf(error);
  } finally {
    await spool.abandon();
    await rm(folder, { recursive: true, force: true });
  }
}

/** `visits.phone: mobileNumber (asks for grade important)`, for the provider alone. */
function findingTexts(tables: Registered['findings']): readonly string[] {
  return tables.flatMap(({ table, columns }) =>
    columns.flatMap(({ column, findings, suggestedGrade }) =>
      findings.map(({ finding }) => `${table}.${column}: ${finding} (asks for grade ${suggestedGrade})`),
    ),
  );
}

const progress = ({ step, done, total, subject }: IngestStep): RegisterDatasetResponse => ({
  reasons: [],
  event: {
    kind: 'progress',
    progress: { step, done: BigInt(Math.floor(done)), total: BigInt(Math.floor(total)), subject },
  },
});

/** What a provider did wrong is told in full: it is the provider's own data. */
function faultOf(error: unknown): unknown {
  if (!(error instanceof DatasetError)) return error;
  const code = { conflict: 'conflict', 'not-found': 'not-found', changed: 'dataset-changed' } as const;
  return new Fault(error.code in code ? code[error.code as keyof typeof code] : 'argument-not-valid', error.message, {
    cause: error,
  });
}

type Header = Extract<NonNullable<RegisterDatasetRequest['part']>, { kind: 'header' }>['header'];
type FilePart = Extract<NonNullable<RegisterDatasetRequest['part']>, { kind: 'file' }>['file'];

/** Takes an upload apart into files, and checks that it came whole: header, then each file with its chunks, then the end. */
class Spool {
  readonly #folder: string;
  readonly #sources: SourceFile[] = [];
  readonly #hash = createHash('sha256');
  #header: Header | null = null;
  #file: {
    readonly part: FilePart;
    readonly handle: FileHandle;
    readonly path: string;
    head: Buffer;
    bytes: number;
  } | null = null;
  #total = 0;
  #isWhole = false;

  constructor(folder: string) {
    this.#folder = folder;
  }

  get current(): string {
    return this.#file?.part.name ?? '';
  }

  /** Answers the bytes of data that the part brought. */
  async take(part: RegisterDatasetRequest['part']): Promise<number> {
    if (this.#isWhole) throw new Fault('argument-not-valid', 'the upload goes on after its end');
    if (part === null) throw new Fault('argument-not-valid', 'a part of the upload is empty');
    switch (part.kind) {
      case 'header':
        if (this.#header !== null) throw new Fault('argument-not-valid', 'the upload has two headers');
        this.#header = part.header;
        return 0;
      case 'file':
        if (this.#header === null) throw new Fault('argument-not-valid', 'the upload begins with a header');
        await this.#closeFile();
        if (this.#sources.length >= MAX_UPLOAD_FILES)
          throw new Fault('argument-not-valid', `a dataset has at most ${MAX_UPLOAD_FILES} files`);
        await this.#openFile(part.file);
        return 0;
      case 'chunk': {
        const file = this.#file;
        if (file === null) throw new Fault('argument-not-valid', 'a chunk belongs to no file');
        this.#total += part.chunk.byteLength;
        if (this.#total > MAX_UPLOAD_BYTES)
          throw new Fault('message-too-large', `an upload has at most ${MAX_UPLOAD_BYTES} bytes`);
        if (file.head.length < FORMAT_HEAD_BYTES)
          file.head = Buffer.concat([file.head, part.chunk.subarray(0, FORMAT_HEAD_BYTES)]);
        this.#hash.update(part.chunk);
        file.bytes += part.chunk.byteLength;
        await file.handle.writeFile(part.chunk);
        return part.chunk.byteLength;
      }
      case 'end': {
        await this.#closeFile();
        const digest = this.#hash.digest('hex');
        if (part.end.digest !== '' && part.end.digest.replace('sha256:', '') !== digest) {
          throw new Fault('argument-not-valid', 'the upload did not arrive as it was sent: its digest differs');
        }
        this.#isWhole = true;
        return 0;
      }
    }
  }

  finish(): { readonly header: Header; readonly sources: readonly SourceFile[] } {
    if (!this.#isWhole || this.#header === null)
      throw new Fault('argument-not-valid', 'the upload ended before it was whole');
    if (this.#sources.length === 0) throw new Fault('argument-not-valid', 'the upload holds no file');
    return { header: this.#header, sources: this.#sources };
  }

  /** Closes what is open, after a failure. */
  async abandon(): Promise<void> {
    await this.#file?.handle.close().catch(() => undefined);
    this.#file = null;
  }

  async #openFile(part: FilePart): Promise<void> {
    const path = join(this.#folder, `f${this.#sources.length}`);
    this.#file = { part, path, handle: await open(path, 'w', 0o600), head: Buffer.alloc(0), bytes: 0 };
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    if (file === null) return;
    this.#file = null;
    await file.handle.close();
    const { part, path, head, bytes } = file;
    if (part.size !== 0n && part.size !== BigInt(bytes))
      throw new Fault(
        'argument-not-valid',
        `file \`${part.name}\` was announced with ${part.size} bytes and has ${bytes}`,
      );
    this.#sources.push({
      path,
      label: part.name,
      bytes,
      format: part.format === '' ? formatOf(head.subarray(0, FORMAT_HEAD_BYTES)) : formatNamed(part.format),
      table: part.table === '' ? null : part.table,
      sourceTable: part.sourceTable === '' ? null : part.sourceTable,
      csv: DEFAULT_CSV_OPTIONS,
    });
  }
}

const FORMATS: readonly SourceFormat[] = ['parquet', 'csv', 'arrow-file', 'arrow-stream', 'duckdb'];

function formatNamed(name: string): SourceFormat {
  const format = FORMATS.find((one) => one === name);
  if (format === undefined) throw new Fault('argument-not-valid', `\`${name}\` is not a format: ${FORMATS.join(', ')}`);
  return format;
}

const isInsider = (caller: Caller, dataset: StoredRecord<DatasetBody>): boolean =>
  dataset.owner === caller.party || hasRole(caller, 'operator', 'auditor');

/** Consumers see what they have an offer of or an agreement for. */
function maySee(needs: GatewayNeeds, caller: Caller, dataset: StoredRecord<DatasetBody>): boolean {
  return isInsider(caller, dataset) || policySeenBy(needs, caller, dataset.id) !== undefined;
}

function policySeenBy(needs: GatewayNeeds, caller: Caller, dataset: string): StoredRecord<PolicyBody> | undefined {
  const agreement = needs.store
    .peekAll<AgreementBody>('agreement')
    .filter((record) => record.body.dataset === dataset && isOpenTo(caller.party, record, needs.nowMs()))
    .toSorted((a, b) => b.body.policyVersion - a.body.policyVersion)[0];
  return agreement === undefined ? undefined : pinnedPolicy(needs, agreement.body);
}

/** A consumer is shown the columns that its policy names, with their rights, and no exact counts of rows or bytes. */
async function messageOf(
  needs: CatalogNeeds,
  caller: Caller,
  dataset: StoredRecord<DatasetBody>,
  version = 0,
): Promise<DatasetMessage> {
  const inside = isInsider(caller, dataset);
  const { body } = dataset;
  const shown = version === 0 || !inside ? body.version : version;
  const manifest = await needs.manifestOf(dataset.id, shown).catch((error: unknown) => {
    throw faultOf(error);
  });
  const record = inside ? versionsOf(needs, dataset.id)[0] : policySeenBy(needs, caller, dataset.id);
  const policy = record === undefined ? null : policyOf(record.body);
  const tables = manifest.tables.flatMap((table): readonly DatasetTable[] => {
    const ruled = policy?.tables.find((one) => tableFor(one, manifest)?.name === table.name);
    if (!inside && ruled === undefined) return [];
    const columns = table.columns
      .filter(({ name }) => inside || ruled?.columns.some((column) => column.name === name) === true)
      .map(({ name, type }) => ({
        name,
        type:
          type.kind === 'integer'
            ? `integer${type.bits}`
            : type.kind === 'decimal'
              ? `decimal(${type.width},${type.scale})`
              : type.kind,
        nullable: true,
        rights: rightsOf(ruled, name),
        suggestedGrade: 'unspecified' as const,
        recognisedAs: inside
          ? (body.findings.find((finding) => finding.startsWith(`${table.name}.${name}: `))?.split(': ')[1] ?? '')
          : '',
      }));
    return [
      {
        name: table.name,
        columns,
        rowCount: inside ? BigInt(table.rowCount) : null,
        bytes: inside ? BigInt(table.bytes) : null,
        digest: inside ? table.digest : '',
        privacyUnit:
          ruled?.privacyUnits.map(({ columns: keys }) => (keys.length === 0 ? 'row' : keys.join(' + '))) ?? [],
      },
    ];
  });
  return {
    name: dataset.id,
    version: shown,
    description: body.description,
    provider: dataset.owner,
    grade: body.grade ?? policy?.grade ?? 'unspecified',
    digest: manifest.digest,
    registeredAtMs: body.registeredAtMs,
    tables,
    policyVersion: record?.body.version ?? 0,
    policyDigest: record === undefined ? '' : `sha256:${record.body.digest}`,
    findings: inside ? body.findings : [],
  };
}

function rightsOf(table: TablePolicy | undefined, column: string): readonly string[] {
  return [...new Set(table?.columns.find(({ name }) => name === column)?.grants.flatMap(({ rights }) => rights))];
}
