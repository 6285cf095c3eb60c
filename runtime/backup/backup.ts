import { copyFile, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { checkCopiedState } from '../store/copied-state.ts';
import { layoutOf } from '../store/database.ts';
import { openStore } from '../store/store.ts';
import { BackupRefusal, copyTree, digestsOf, syncTree, writeManifest } from './files.ts';

/** What is copied besides the state; the rest of a data directory is made from it or short-lived. */
const FOLDERS = ['keys', 'datasets', 'ciphertexts'] as const;
const FILES = ['operator.credential.json', 'local.credential.json'] as const;

export interface BackupNeeds {
  readonly dataDirectory: string;
  /** A folder that does not exist. */
  readonly target: string;
  readonly version: string;
  readonly nowMs: () => number;
  /**
   * Asks the running runtime for a copy of its state; answers the copy's path from the root of the data directory, or
   * null when no runtime runs, so that the state can be opened here.
   */
  readonly copyState: () => Promise<string | null>;
  readonly progress: (text: string) => void;
}

export interface Backup {
  readonly target: string;
  readonly files: number;
  readonly bytes: number;
  readonly logSize: number;
}

/**
 * Copies a data directory, also while a runtime works on it. The state first: whatever it names is written before it is
 * named and never changed, so that what is copied afterwards holds at least that. The folder appears under its name only
 * when all of it is on the disk and checked.
 */
export async function backUp(needs: BackupNeeds): Promise<Backup> {
  const { dataDirectory, target, progress } = needs;
  if (await exists(target)) throw new BackupRefusal(`\`${target}\` exists already: name a new folder`);
  if (!relative(dataDirectory, target).startsWith('..'))
    throw new BackupRefusal(`\`${target}\` lies in the data directory: what is lost with it is no backup`);
  if (!(await exists(layoutOf(dataDirectory).database)))
    throw new BackupRefusal(`\`${dataDirectory}\` is no data directory: it has no state`);
  const filling = `${target}.partial`;
  await rm(filling, { recursive: true, force: true });
  await mkdir(join(filling, 'state'), { recursive: true, mode: 0o700 });
  try {
    progress('copying the state');
    const { database, key } = layoutOf(filling);
    const copied = await needs.copyState();
    if (copied === null) {
      await using store = await openStore({ path: dataDirectory, clock: needs.nowMs });
      await store.backup(database);
    } else {
      await copyFile(join(dataDirectory, copied), database);
      await rm(join(dataDirectory, copied), { force: true });
    }
    for (const name of FOLDERS) {
      progress(`copying ${name}`);
      await copyTree(join(dataDirectory, name), join(filling, name));
    }
    for (const name of FILES)
      if (await exists(join(dataDirectory, name))) await copyFile(join(dataDirectory, name), join(filling, name));
    progress('checking the copy');
    const { logSize, checkpoint, latestMs } = checkCopiedState(database, key);
    const files = await digestsOf(filling);
    await writeManifest(filling, {
      format: 1,
      version: needs.version,
      takenAtMs: latestMs,
      logSize,
      checkpoint,
      files,
    });
    await syncTree(filling);
    await rename(filling, target);
    await syncTree(dirname(target), 0);
    return { target, files: files.length, bytes: files.reduce((sum, one) => sum + one.bytes, 0), logSize };
  } catch (error) {
    await rm(filling, { recursive: true, force: true });
    throw error;
  }
}

/** Whether a folder is empty or absent. */
export async function isVacant(path: string): Promise<boolean> {
  return (await readdir(path).catch(absent))?.length === 0 || !(await exists(path));
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(absent)) !== null;
}

function absent(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
  throw error;
}
