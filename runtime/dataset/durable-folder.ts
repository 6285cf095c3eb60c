/** A folder that appears whole or not at all, even when the machine stops in between. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

const TEMPORARY = '.incoming-';

/**
 * Makes a temporary folder beside `target`, lets `fill` put files into it, flushes them to disk, makes them read-only
 * and renames the folder to `target`. When `fill` fails nothing stays. Throws `EEXIST` or `ENOTEMPTY` when `target` is
 * already there.
 */
export async function createFolder<T>(target: string, fill: (folder: string) => Promise<T>): Promise<T> {
  const parent = dirname(target);
  await mkdir(parent, { recursive: true, mode: 0o700 });
  const folder = join(parent, TEMPORARY + process.pid + '-' + randomBytes(6).toString('hex'));
  await mkdir(folder, { mode: 0o700 });
  try {
    const result = await fill(folder);
    for (const name of await readdir(folder)) {
      await syncFile(join(folder, name));
      await chmod(join(folder, name), 0o444);
    }
    await syncFile(folder);
    await rename(folder, target);
    await syncFile(parent);
    return result;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Removes what a process left that was killed while it filled folders below `parent`. Call it before any `createFolder`. */
export async function removeLeftovers(parent: string): Promise<number> {
  const entries = await readdir(parent, { withFileTypes: true }).catch(() => []);
  const left = entries.filter((entry) => entry.isDirectory() && entry.name.startsWith(TEMPORARY));
  for (const { name } of left) await rm(join(parent, name), { recursive: true, force: true });
  return left.length;
}

async function syncFile(path: string): Promise<void> {
  const file = await open(path, constants.O_RDONLY);
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
