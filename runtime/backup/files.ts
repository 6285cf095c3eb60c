import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, copyFile, lstat, mkdir, open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** A backup or restore that must not go on, for the person at the keyboard. */
export class BackupRefusal extends Error {
  override readonly name = 'BackupRefusal';
}

export interface BackedUpFile {
  /** From the root of the backup, with `/`. */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** `backup.json`: what a backup holds. Written last, so that a folder without it is no backup. */
export interface BackupManifest {
  readonly format: 1;
  readonly version: string;
  /** The latest time that the copied state has seen, milliseconds since 1970. */
  readonly takenAtMs: number;
  readonly logSize: number;
  readonly checkpoint: string;
  readonly files: readonly BackedUpFile[];
}

const MANIFEST = 'backup.json';
/** Depth and number of files of a data directory are ours; a backup that has more is not one. */
const MAX_DEPTH = 32;
const MAX_FILES = 1_000_000;
const MAX_MANIFEST_BYTES = 512 << 20;

/** Copies a folder with its modes; nothing when it does not exist. Half-written files (`.new`, `.partial`) stay behind. */
export async function copyTree(from: string, to: string, depth = 0): Promise<void> {
  if (depth > MAX_DEPTH) throw new BackupRefusal(`\`${from}\` is deeper than ${MAX_DEPTH} folders`);
  const names = await readdir(from).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (names === null) return;
  await mkdir(to, { recursive: true, mode: 0o700 });
  for (const name of names) {
    if (name.endsWith('.new') || name.endsWith('.partial')) continue;
    // A file may be removed while others are copied (a retired dataset): then the state, which is older, says so too late.
    const found = await lstat(join(from, name)).catch(() => null);
    if (found === null) continue;
    if (found.isDirectory()) await copyTree(join(from, name), join(to, name), depth + 1);
    else if (found.isFile()) await copyFile(join(from, name), join(to, name));
    else throw new BackupRefusal(`\`${join(from, name)}\` is neither a file nor a folder`);
  }
  await chmod(to, (await stat(from)).mode & 0o777);
}

/** Digests of every file below a folder but its manifest, in the order of their paths. */
export async function digestsOf(folder: string): Promise<readonly BackedUpFile[]> {
  const files: BackedUpFile[] = [];
  const walk = async (below: string, depth: number): Promise<void> => {
    if (depth > MAX_DEPTH || files.length > MAX_FILES) throw new BackupRefusal(`\`${folder}\` holds too much`);
    for (const name of (await readdir(join(folder, below))).toSorted()) {
      const path = below === '' ? name : `${below}/${name}`;
      if (path === MANIFEST) continue;
      const found = await lstat(join(folder, path));
      if (found.isDirectory()) await walk(path, depth + 1);
      else if (found.isFile()) files.push({ path, bytes: found.size, sha256: await sha256Of(join(folder, path)) });
      else throw new BackupRefusal(`\`${path}\` is neither a file nor a folder`);
    }
  };
  await walk('', 0);
  return files;
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Uint8Array);
  return hash.digest('hex');
}

export async function writeManifest(folder: string, manifest: BackupManifest): Promise<void> {
  const handle = await open(join(folder, MANIFEST), 'wx', 0o600);
  try {
    await handle.writeFile(`${JSON.stringify(manifest, null, 1)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The manifest of a backup whose files are exactly those that it lists; refuses everything else. */
export async function readBackup(folder: string): Promise<BackupManifest> {
  const file = join(folder, MANIFEST);
  const found = await stat(file).catch(() => null);
  if (found === null) throw new BackupRefusal(`\`${folder}\` is no whole backup: it has no ${MANIFEST}`);
  if (found.size > MAX_MANIFEST_BYTES) throw new BackupRefusal(`\`${file}\` is too large`);
  const manifest = parse(await readFile(file, 'utf8'));
  if (manifest === null) throw new BackupRefusal(`\`${file}\` is not the list of a backup that this version knows`);
  const listed = new Map(manifest.files.map((one) => [one.path, one]));
  const present = await digestsOf(folder);
  for (const { path, sha256 } of present) {
    if (!listed.has(path)) throw new BackupRefusal(`\`${path}\` is not in the list of the backup`);
    if (listed.get(path)?.sha256 !== sha256) throw new BackupRefusal(`\`${path}\` is not what was backed up`);
    listed.delete(path);
  }
  const [missing] = listed.keys();
  if (missing !== undefined) throw new BackupRefusal(`\`${missing}\` is missing from the backup`);
  return manifest;
}

function parse(text: string): BackupManifest | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { format, version, takenAtMs, logSize, checkpoint, files } = value as Partial<BackupManifest>;
  const isSound =
    format === 1 &&
    typeof version === 'string' &&
    Number.isSafeInteger(takenAtMs) &&
    Number.isSafeInteger(logSize) &&
    typeof checkpoint === 'string' &&
    Array.isArray(files) &&
    (files as readonly Partial<BackedUpFile>[]).every(
      (one) => typeof one?.path === 'string' && typeof one.sha256 === 'string' && Number.isSafeInteger(one.bytes),
    );
  return isSound ? (value as BackupManifest) : null;
}

/** Brings a folder's files and names to the disk. */
export async function syncTree(folder: string, depth: number = MAX_DEPTH): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (depth <= 0) return;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await syncTree(path, depth - 1);
    else {
      const file = await open(path, 'r');
      try {
        await file.sync();
      } finally {
        await file.close();
      }
    }
  }
}
