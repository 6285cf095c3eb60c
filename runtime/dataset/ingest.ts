/** Registration of a dataset version: provider files in, a verified read-only folder out, or nothing at all. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatasetError } from './dataset-error.ts';
import type { DatasetWork } from './dataset-work.ts';
import { digestFile, manifestDigest } from './digest.ts';
import { createFolder } from './durable-folder.ts';
import type { EngineLimits } from './engine.ts';
import { DATASET_LIMITS } from './limits.ts';
import type { DatasetManifest, StoredTable, TableStatistics } from './metadata.ts';
import { checkDatasetName, checkNames } from './names.ts';
import type { SourceFile } from './source.ts';
import type { IngestProgress, IngestResult } from './worker/ingest-tables.ts';

export interface RegisterNeeds {
  /** Folder that holds all datasets, owned by the runtime. */
  readonly root: string;
  readonly work: DatasetWork;
  readonly limits: EngineLimits;
}

export interface Registered {
  readonly manifest: DatasetManifest;
  /** For the provider only. */
  readonly statistics: readonly TableStatistics[];
  readonly folder: string;
}

export const MANIFEST_FILE = 'manifest.json';
export const STATISTICS_FILE = 'statistics.json';

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
  await mkdir(parent, { recursive: true, mode: 0o700 });
  const version = ((await versionsOf(needs.root, dataset)).at(-1) ?? 0) + 1;
  const folder = versionFolder(needs.root, dataset, version);
  try {
    return await createFolder(folder, async (temporary) => {
      const result = await needs.work.ingest({ sources, outFolder: temporary, limits: needs.limits }, onProgress);
      const tables = await checkResult(result, temporary);
      const unsigned = { dataset, version, tables };
      const manifest: DatasetManifest = { ...unsigned, digest: manifestDigest(unsigned) };
      await writeFile(join(temporary, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`, { mode: 0o600 });
      await writeFile(join(temporary, STATISTICS_FILE), `${JSON.stringify(result.statistics)}\n`, { mode: 0o600 });
      return { manifest, statistics: result.statistics, folder };
    });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code !== 'EEXIST' && code !== 'ENOTEMPTY') throw cause;
    throw new DatasetError(
      'conflict',
      `dataset \`${dataset}\`: version ${version} was registered meanwhile; try again`,
      { cause },
    );
  }
}

/** The worker parsed foreign bytes: its account of the files is compared with the files themselves. */
async function checkResult(result: IngestResult, folder: string): Promise<StoredTable[]> {
  checkNames(
    result.tables.map(({ name }) => name),
    'table',
    'the ingest worker',
  );
  const expected = result.tables.map((_, i) => `t${i}.parquet`);
  const there = (await readdir(folder)).toSorted();
  if (there.join() !== expected.toSorted().join()) throw new Error('the ingest worker left other files than it should');
  const tables: StoredTable[] = [];
  for (const [i, table] of result.tables.entries()) {
    const file = expected[i] ?? '';
    checkNames(
      table.columns.map(({ name }) => name),
      'column',
      table.name,
    );
    if (!Number.isSafeInteger(table.rowCount) || table.rowCount < 0)
      throw new Error('the ingest worker sent no row count');
    const { digest, bytes } = await digestFile(join(folder, file));
    const columns = table.columns.map(({ name, type }) => ({ name, type }));
    tables.push({ name: table.name, file, columns, rowCount: table.rowCount, bytes, digest });
  }
  return tables;
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

/** Reads a version's manifest; throws `DatasetError` when it is missing or was changed. */
export async function readManifest(root: string, dataset: string, version: number): Promise<DatasetManifest> {
  const folder = versionFolder(root, dataset, version);
  const text = await readFile(join(folder, MANIFEST_FILE), 'utf8').catch((cause: unknown) => {
    throw new DatasetError('not-found', `dataset \`${dataset}\` has no version ${version}`, { cause });
  });
  try {
    const manifest = JSON.parse(text) as DatasetManifest;
    if (manifest.digest === manifestDigest(manifest) && manifest.dataset === dataset && manifest.version === version)
      return manifest;
  } catch {
    // falls through: not JSON is as changed as a wrong digest
  }
  throw new DatasetError('changed', `dataset \`${dataset}\` version ${version}: ${MANIFEST_FILE} was changed`);
}
