/**
 * Versions that are on disk and not yet in the catalogue. A marker beside a version says so from before it appears until
 * its registration is on record; what a killed process leaves marked and unrecorded goes at the next start. Only marked
 * versions ever go: a catalogue that was lost must not take the data with it.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';

const MARKER = /^\.unrecorded-v([1-9]\d{0,8})-[0-9a-f]{12}$/;

/** How often a folder may go under the hands of whoever makes it: each time, another registration of its name failed. */
const MAX_TRIES = 10;

/** Makes a dataset's folder and marks a version that is about to appear in it, durable; answers what takes the mark away. */
export async function markUnrecorded(parent: string, version: number): Promise<() => Promise<void>> {
  // A name of its own: two registrations may be after the same version, and only one gets it.
  const marker = join(parent, `.unrecorded-v${version}-${randomBytes(6).toString('hex')}`);
  for (let left = MAX_TRIES; ; left--) {
    await mkdir(parent, { recursive: true, mode: 0o700 });
    try {
      const file = await open(marker, 'wx', 0o600);
      await file.close();
      break;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT' || left === 0) throw cause;
    }
  }
  await syncFolder(parent);
  return async () => {
    await rm(marker, { force: true });
  };
}

/** Removes a dataset's folder when nothing is in it: a name whose only registration failed leaves nothing. */
export async function removeIfEmpty(parent: string): Promise<void> {
  try {
    await rmdir(parent);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOENT') throw cause;
  }
}

/** Removes a version that was not recorded. */
export async function removeVersion(parent: string, version: number): Promise<void> {
  await rm(join(parent, `v${version}`), { recursive: true, force: true });
  await syncFolder(parent);
}

/**
 * Settles the marks of a dataset's folder at start: versions after `recorded` go, and the folder with them when nothing
 * else is in it. Answers how many versions went.
 */
export async function settleUnrecorded(parent: string, recorded: number): Promise<number> {
  let removed = 0;
  for (const name of await readdir(parent)) {
    const version = Number(MARKER.exec(name)?.[1] ?? 0);
    if (version === 0) continue;
    if (version > recorded && (await readdir(parent)).includes(`v${version}`)) {
      await removeVersion(parent, version);
      removed += 1;
    }
    await rm(join(parent, name));
  }
  if (recorded === 0 && (await readdir(parent)).length === 0) await rmdir(parent);
  return removed;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
