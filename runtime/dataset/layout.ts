/** Layout files: made once per (dataset version, layout spec, hash key), read-only afterwards, rebuilt when missing. */
import { rm, writeFile } from 'node:fs/promises';
import { createHash, createHmac } from 'node:crypto';
import { join } from 'node:path';
import type { LayoutSpec } from '../query/layout.ts';
import { DatasetError } from './dataset-error.ts';
import { digestFile, digestValue } from './digest.ts';
import { createFolder } from './durable-folder.ts';
import type { EngineLimits } from './engine.ts';
import { versionFolder } from './ingest.ts';
import type { DatasetManifest } from './metadata.ts';
import { type LaidOutTable, makeLayout } from './make-layout.ts';
import { readRegularText } from './regular-file.ts';
import { printRowScope, rowScopeStatement } from './row-scope.ts';
import { StampedContents } from './file-stamp.ts';
import type { FileGuard } from './verify.ts';

export interface LayoutNeeds {
  readonly root: string;
  /** The tree of a statement as `json_serialize_sql` prints it: a data-free parser worker (parse-in-worker.ts). */
  readonly parse: (statement: string) => Promise<string>;
  readonly limits: EngineLimits;
  readonly guard: FileGuard;
  /** 32 secret bytes of the unit hash: of the runtime, never given to a SQL worker. */
  readonly hashKey: Uint8Array;
}

export interface Layout {
  /** What evidence names: the digest of the spec, the dataset version and the layout's form. */
  readonly id: string;
  /** The file that SQL workers mount. */
  readonly path: string;
  readonly digest: string;
  readonly bytes: number;
  readonly tables: readonly LaidOutTable[];
}

/** Raised whenever the statements change what a layout holds: old files are then rebuilt. */
const LAYOUT_FORM = 10;
const LAYOUT_FILE = 'layout.duckdb';
const RECORD_FILE = 'layout.json';

/** Identity of a layout. The hash key enters through a one-way digest, so that a new key makes new files. */
export function layoutIdOf(manifest: DatasetManifest, spec: LayoutSpec, hashKey: Uint8Array): string {
  const keyId = createHash('sha256').update('glovebox layout key\0').update(hashKey).digest('hex').slice(0, 16);
  return digestValue({ form: LAYOUT_FORM, dataset: manifest.digest, spec, keyId });
}

/**
 * The layout for a spec: the existing file when it is intact, else built from the files of record. Those are checked
 * each time (cheaply while nothing was touched), so no job runs on a changed dataset. Throws `DatasetError` when those were changed or the spec does not fit the dataset.
 */
export async function buildLayout(needs: LayoutNeeds, manifest: DatasetManifest, spec: LayoutSpec): Promise<Layout> {
  const id = layoutIdOf(manifest, spec, needs.hashKey);
  const folder = join(needs.root, 'layouts', id.replace('sha256:', ''));
  await checkRecords(needs, manifest);
  const existing = await readLayout(needs, folder, id);
  if (existing !== null) return existing;
  const builds = buildsOf(needs.guard);
  const known = builds.get(folder);
  if (known !== undefined) return known;
  const build = makeAnew(needs, { manifest, spec, id, folder }).finally(() => builds.delete(folder));
  builds.set(folder, build);
  return build;
}

/** Layouts that are being built: whoever asks for one meanwhile waits for it, and takes nothing away from under it. */
const underWay = new WeakMap<FileGuard, Map<string, Promise<Layout>>>();

function buildsOf(guard: FileGuard): Map<string, Promise<Layout>> {
  let builds = underWay.get(guard);
  if (builds === undefined) underWay.set(guard, (builds = new Map()));
  return builds;
}

async function makeAnew(
  needs: LayoutNeeds,
  {
    manifest,
    spec,
    id,
    folder,
  }: { readonly manifest: DatasetManifest; readonly spec: LayoutSpec; readonly id: string; readonly folder: string },
): Promise<Layout> {
  // It may have come to its end since this caller looked.
  const existing = await readLayout(needs, folder, id);
  if (existing !== null) return existing;
  const scopes = await printScopes(needs, manifest, spec);
  await rm(folder, { recursive: true, force: true });
  const source = versionFolder(needs.root, manifest.dataset, manifest.version);
  const records = manifest.tables.map(({ name, file, columns }) => ({ name, path: join(source, file), columns }));
  try {
    await createFolder(folder, async (temporary) => {
      const outFile = join(temporary, LAYOUT_FILE);
      const hashKeyHex = Buffer.from(needs.hashKey).toString('hex');
      const { tables } = await makeLayout({ spec, scopes, records, hashKeyHex, outFile, limits: needs.limits });
      const { digest, bytes } = await digestFile(outFile);
      const record = { id, digest, bytes, tables };
      await writeFile(join(temporary, RECORD_FILE), JSON.stringify({ record, mac: macOf(needs.hashKey, record) }), {
        mode: 0o600,
      });
    });
  } catch (error) {
    // Another job built the same layout meanwhile: theirs is as good.
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'EEXIST' && code !== 'ENOTEMPTY') throw error;
  }
  const built = await readLayout(needs, folder, id);
  if (built === null) throw new Error('a layout vanished while it was built');
  return built;
}

/** Ties a layout's record to the runtime's secret: a layout that somebody else put there is not taken. */
function macOf(hashKey: Uint8Array, record: Omit<Layout, 'path'>): string {
  return createHmac('sha256', hashKey).update('glovebox layout record\0').update(JSON.stringify(record)).digest('hex');
}

/** Row scopes in our own words, one per table of the spec. */
async function printScopes(
  needs: LayoutNeeds,
  manifest: DatasetManifest,
  spec: LayoutSpec,
): Promise<(string | null)[]> {
  return Promise.all(
    spec.tables.map(async ({ name, rows }) => {
      if (rows === null) return null;
      const columns = manifest.tables.find((table) => table.name === name)?.columns ?? [];
      return printRowScope(
        await needs.parse(rowScopeStatement(rows)),
        columns.map((column) => column.name),
      );
    }),
  );
}

/** Throws `DatasetError` `changed` when any file of record is not what was registered; cheap while nothing was touched. */
export async function checkRecords(
  needs: Pick<LayoutNeeds, 'root' | 'guard'>,
  manifest: DatasetManifest,
): Promise<void> {
  const folder = versionFolder(needs.root, manifest.dataset, manifest.version);
  for (const { file, digest } of manifest.tables) {
    await needs.guard.check(
      join(folder, file),
      digest,
      `dataset \`${manifest.dataset}\` version ${manifest.version}: ${file}`,
    );
  }
}

type LayoutRecord = Omit<Layout, 'path'>;

/** Records that were read and whose code was checked, for as long as their guard lives. */
const checkedRecords = new WeakMap<FileGuard, StampedContents<LayoutRecord | null>>();

function recordsOf(guard: FileGuard): StampedContents<LayoutRecord | null> {
  let records = checkedRecords.get(guard);
  if (records === undefined) checkedRecords.set(guard, (records = new StampedContents()));
  return records;
}

async function readRecord(file: string, hashKey: Uint8Array): Promise<LayoutRecord | null> {
  try {
    const written = JSON.parse(await readRegularText(file)) as { record: LayoutRecord; mac: string };
    return written.mac === macOf(hashKey, written.record) ? written.record : null;
  } catch {
    return null;
  }
}

async function readLayout(needs: LayoutNeeds, folder: string, id: string): Promise<Layout | null> {
  const file = join(folder, RECORD_FILE);
  const record = await recordsOf(needs.guard).get(file, () => readRecord(file, needs.hashKey));
  if (record === null) return null;
  const path = join(folder, LAYOUT_FILE);
  if (record.id !== id) return null;
  try {
    await needs.guard.check(path, record.digest, 'layout');
  } catch (error) {
    // A layout is a cache: a damaged one is made again from the files of record.
    if (error instanceof DatasetError) return null;
    throw error;
  }
  return { ...record, path };
}
