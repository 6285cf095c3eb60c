/** Registration of a dataset version: provider files in, a verified read-only folder out, or nothing at all. */
import { randomBytes } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkBatch, type Schema } from '../release/columns.ts';
import { DatasetError } from './dataset-error.ts';
import { digestFile, manifestDigest } from './digest.ts';
import { asDiskFault } from './disk-fault.ts';
import { createFolder, removeLeftovers } from './durable-folder.ts';
import type { EngineLimits } from './engine.ts';
import { transportSchema, type SourceReader } from './ingest-events.ts';
import { DATASET_LIMITS } from './limits.ts';
import type { DatasetManifest, StoredTable, TableStatistics } from './metadata.ts';
import { checkDatasetName, checkNames } from './names.ts';
import { NotRegularFile, readRegularText } from './regular-file.ts';
import type { SourceFile } from './source.ts';
import { TableWriter, type TableFindings } from './table-writer.ts';
import { markUnrecorded, removeIfEmpty, removeVersion, settleUnrecorded } from './unrecorded.ts';

export interface RegisterNeeds {
  /** Folder that holds all datasets, owned by the runtime. */
  readonly root: string;
  readonly reader: SourceReader;
  readonly limits: EngineLimits;
}

/** Told after every batch and at the end of every table. */
export interface IngestProgress {
  readonly table: string;
  readonly rows: number;
  readonly isTableDone: boolean;
}

export interface Registered {
  readonly manifest: DatasetManifest;
  /** For the provider only. */
  readonly statistics: readonly TableStatistics[];
  /** Advice on what the columns are and which grade they ask for; a person confirms it. */
  readonly findings: readonly TableFindings[];
  readonly folder: string;
  /**
   * To be called when it is known whether the registration is on record: one that is not leaves nothing. Until then a
   * start after a kill removes the version.
   */
  readonly settle: (isRecorded: boolean) => Promise<void>;
}

export const MANIFEST_FILE = 'manifest.json';
export const STATISTICS_FILE = 'statistics.json';
export const FINDINGS_FILE = 'findings.json';
/**
 * Nothing but chance. The digest of a version is shown to consumers and stands in the log; without this, whoever knows all
 * rows but one could register guesses at the last one elsewhere until the digest is the same.
 */
const BLIND_FILE = 'blind.json';

/**
 * Registers the next version of a dataset. Throws `DatasetError` with file, place and reason; nothing is left behind
 * then. Concurrent registrations of one dataset get different versions or one fails with `conflict`.
 */
export async function registerDataset(
  needs: RegisterNeeds,
  dataset: string,
  sources: readonly SourceFile[],
  onProgress: (progress: IngestProgress) => void = () => undefined,
): Promise<Registered> {
  checkDatasetName(dataset);
  if (sources.length === 0) throw new DatasetError('invalid-file', `dataset \`${dataset}\`: no file was given`);
  if (sources.length > DATASET_LIMITS.maxTables)
    throw new DatasetError(
      'too-large',
      `dataset \`${dataset}\`: ${sources.length} files, at most ${DATASET_LIMITS.maxTables} are allowed`,
    );
  const parent = datasetFolder(needs.root, dataset);
  const version = ((await versionsOf(needs.root, dataset)).at(-1) ?? 0) + 1;
  const folder = versionFolder(needs.root, dataset, version);
  const unmark = await markUnrecorded(parent, version);
  const settle = async (isRecorded: boolean): Promise<void> => {
    if (!isRecorded) await removeVersion(parent, version);
    await unmark();
    if (!isRecorded) await removeIfEmpty(parent);
  };
  try {
    return await createFolder(folder, async (temporary) => {
      const { tables, statistics, findings } = await writeTables(needs, sources, temporary, onProgress);
      const notes = [
        await writeNote(temporary, STATISTICS_FILE, statistics),
        await writeNote(temporary, FINDINGS_FILE, findings),
        await writeNote(temporary, BLIND_FILE, { random: randomBytes(32).toString('hex') }),
      ];
      const unsigned = { dataset, version, tables, notes };
      const manifest: DatasetManifest = { ...unsigned, digest: manifestDigest(unsigned) };
      await writeFile(join(temporary, MANIFEST_FILE), manifestText(manifest), { mode: 0o600 });
      return { manifest, statistics, findings, folder, settle };
    });
  } catch (cause) {
    await unmark();
    await removeIfEmpty(parent);
    const code = (cause as NodeJS.ErrnoException).code;
    if (code !== 'EEXIST' && code !== 'ENOTEMPTY') throw asDiskFault(asTooLarge(cause, sources, needs.limits));
    throw new DatasetError(
      'conflict',
      `dataset \`${dataset}\`: version ${version} was registered meanwhile; try again`,
      { cause },
    );
  }
}

/** Rows wait in memory until there are many of them: of a very wide table that is more than the engine may have. */
function asTooLarge(cause: unknown, sources: readonly SourceFile[], { memoryMiB }: EngineLimits): unknown {
  if (!(cause instanceof Error) || cause instanceof DatasetError || !OUT_OF_MEMORY.test(cause.message)) return cause;
  const labels = sources.map(({ label }) => label).join(', ');
  return new DatasetError(
    'too-large',
    `${labels}: a table needs more than ${memoryMiB} MiB of memory at once; split it into tables of fewer columns`,
    { cause },
  );
}

const OUT_OF_MEMORY = /could not allocate block|failed to pin block|Out of Memory/;

async function writeNote(folder: string, file: string, value: unknown): Promise<DatasetManifest['notes'][number]> {
  await writeFile(join(folder, file), `${JSON.stringify(value)}\n`, { mode: 0o600 });
  return { file, ...(await digestFile(join(folder, file))) };
}

function manifestText(manifest: DatasetManifest): string {
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

/** The reader met foreign bytes: names, counts and every batch are checked here before the engine sees them. */
async function writeTables(
  needs: RegisterNeeds,
  sources: readonly SourceFile[],
  folder: string,
  onProgress: (progress: IngestProgress) => void,
): Promise<{ tables: StoredTable[]; statistics: TableStatistics[]; findings: TableFindings[] }> {
  const tables: StoredTable[] = [];
  const statistics: TableStatistics[] = [];
  const findings: TableFindings[] = [];
  const labels = sources.map(({ label }) => label).join(', ');
  await using writer = await TableWriter.create(folder, needs.limits);
  let open: { name: string; label: string; schema: Schema; rows: number } | null = null;
  for await (const event of needs.reader.read({ sources, limits: needs.limits })) {
    if (event.kind === 'table') {
      if (open !== null) throw new Error('the reader began a table inside another');
      checkNames([...tables.map(({ name }) => name), event.name], 'table', labels);
      checkNames(
        event.columns.map(({ name }) => name),
        'column',
        event.label,
      );
      open = { name: event.name, label: event.label, schema: transportSchema(event.columns), rows: 0 };
      await writer.begin(event.name, event.columns);
      continue;
    }
    if (open === null) throw new Error('the reader sent rows outside of a table');
    if (event.kind === 'batch') {
      const check = checkBatch(open.schema, event.batch);
      if (check.kind === 'bad')
        throw new DatasetError('invalid-file', `${open.label}: ${check.problem} after row ${open.rows}`);
      writer.append(event.batch);
      open.rows += event.batch.rowCount;
      if (open.rows > DATASET_LIMITS.maxRows)
        throw new DatasetError('too-large', `${open.label}: more than ${DATASET_LIMITS.maxRows} rows`);
      onProgress({ table: open.name, rows: open.rows, isTableDone: false });
    } else {
      if (event.rows !== open.rows) throw new Error('the reader counts other rows than it sent');
      const finished = await writer.finish();
      tables.push(finished.table);
      statistics.push(finished.statistics);
      findings.push(finished.findings);
      onProgress({ table: open.name, rows: open.rows, isTableDone: true });
      open = null;
    }
  }
  if (open !== null) throw new Error('the reader did not finish a table');
  if (tables.length === 0) throw new DatasetError('invalid-file', `${labels}: there is no table`);
  return { tables, statistics, findings };
}

/** Folder of all versions of a dataset. */
export function datasetFolder(root: string, dataset: string): string {
  checkDatasetName(dataset);
  return join(root, 'datasets', encodeURIComponent(dataset));
}

/** Folder of one version's files of record. */
export function versionFolder(root: string, dataset: string, version: number): string {
  return join(datasetFolder(root, dataset), `v${version}`);
}

/** File of one version's manifest. */
export function manifestFile(root: string, dataset: string, version: number): string {
  return join(versionFolder(root, dataset, version), MANIFEST_FILE);
}

/** Registered versions of a dataset, ascending; empty when there is none. */
export async function versionsOf(root: string, dataset: string): Promise<readonly number[]> {
  const names = await readdir(datasetFolder(root, dataset)).catch(() => []);
  return names
    .flatMap((name) => (/^v[1-9]\d{0,8}$/.test(name) ? [Number(name.slice(1))] : []))
    .toSorted((a, b) => a - b);
}

/** Names of all registered datasets. */
export async function listDatasets(root: string): Promise<readonly string[]> {
  const names = await readdir(join(root, 'datasets')).catch(() => []);
  return names
    .filter((name) => !name.startsWith('.'))
    .map((name) => decodeURIComponent(name))
    .toSorted();
}

/**
 * Removes what registrations and layouts left that were killed; call it at start, before any other. `recordedVersion`:
 * the newest version of a dataset that is on record, 0 for none. Answers how many things went.
 */
export async function removeUnfinished(root: string, recordedVersion: (dataset: string) => number): Promise<number> {
  let removed = await removeLeftovers(join(root, 'layouts'));
  for (const dataset of await listDatasets(root)) {
    const folder = datasetFolder(root, dataset);
    removed += await removeLeftovers(folder);
    removed += await settleUnrecorded(folder, recordedVersion(dataset));
  }
  return removed;
}

/** Reads a version's manifest; throws `DatasetError` when it is missing or was changed. */
export async function readManifest(root: string, dataset: string, version: number): Promise<DatasetManifest> {
  const folder = versionFolder(root, dataset, version);
  const text = await readRegularText(join(folder, MANIFEST_FILE)).catch((cause: unknown) => {
    if (cause instanceof NotRegularFile) throw changedManifest(dataset, version);
    throw new DatasetError('not-found', `dataset \`${dataset}\` has no version ${version}`, { cause });
  });
  try {
    const manifest = JSON.parse(text) as DatasetManifest;
    const isWhole = manifest.digest === manifestDigest(manifest) && text === manifestText(manifest);
    if (isWhole && manifest.dataset === dataset && manifest.version === version) return manifest;
  } catch {
    // falls through: not JSON is as changed as a wrong digest
  }
  throw changedManifest(dataset, version);
}

const changedManifest = (dataset: string, version: number): DatasetError =>
  new DatasetError('changed', `dataset \`${dataset}\` version ${version}: ${MANIFEST_FILE} was changed`);
