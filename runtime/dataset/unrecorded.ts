/**
 * Versions that are on disk and not yet in the catalogue. A marker beside a version says so from before it appears until
 * its registration is on record; what a killed process leaves marked and unrecorded goes at the next start. Only marked
 * versions ever go: a catalogue that was lost must not take the data with it.
 */
import { randomBytes } from 'node:crypto';
import { open, readdir, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';

const MARKER = /^\.unrecorded-v([1-9]\d{0,8})-[0-9a-f]{12}$/;

/** Marks a version that is about to appear, durable; answers what takes the mark away. */
export async function markUnrecorded(parent: string, version: number): Promise<() => Promise<void>> {
  // A name of its own: two registrations may be after the same version, and only one gets it.
  const marker = join(parent, `.unrecorded-v${version}-${randomBytes(6).toString('hex')}`);
  const file = await open(marker, 'wx', 0o600);
  await file.close();
  await syncFolder(parent);
  return async () => {
    await rm(marker, { force: true });
  };
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
