import { createHash } from 'node:crypto';
import { rename, rm, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { openStore } from '../store/store.ts';
import { isVacant } from './backup.ts';
import { BackupRefusal, copyTree, readBackup, syncTree } from './files.ts';

export interface RestoreNeeds {
  /** A folder that `backUp` made. */
  readonly source: string;
  /** Empty or absent. */
  readonly dataDirectory: string;
  readonly nowMs: () => number;
  readonly progress: (text: string) => void;
}

export interface Restored {
  readonly takenAtMs: number;
  readonly logSize: number;
}

/** The kill switch for everything, as operator-service.ts knows it. */
const EVERYTHING = 'all';

/**
 * Makes a data directory from a backup. What was spent and released since the backup is not in it, and nobody here can
 * know it: so the restored state says in its evidence that it was restored, and its kill switch is thrown. Nothing is
 * released before an operator, who has looked at what may have happened since, lifts it with a note.
 */
export async function restore(needs: RestoreNeeds): Promise<Restored> {
  const { source, dataDirectory, progress } = needs;
  if (!(await isVacant(dataDirectory)))
    throw new BackupRefusal(`\`${dataDirectory}\` is not empty: move it away first; budgets in it may be newer`);
  progress('checking the backup');
  const manifest = await readBackup(source);
  const filling = `${dataDirectory}.restoring`;
  await rm(filling, { recursive: true, force: true });
  try {
    progress('copying');
    await copyTree(source, filling);
    await rm(`${filling}/backup.json`);
    progress('checking the state');
    {
      await using store = await openStore({ path: filling, clock: needs.nowMs });
      const atMs = needs.nowMs();
      const note = `restored from a backup of ${new Date(manifest.takenAtMs).toISOString()}; what was spent since is not known`;
      const digest = createHash('sha256').update(manifest.checkpoint).digest('hex');
      const outcome = await store.transact([
        {
          do: 'put',
          record: { table: 'switch', id: EVERYTHING, owner: 'operator', state: 'on', atMs, body: { note } },
        },
        {
          do: 'record',
          event: {
            kind: 'store.recovered',
            atMs,
            subjects: [{ name: 'state', sha256: digest }],
            facts: { reason: 'restored-from-backup', entries: manifest.logSize, takenAtMs: manifest.takenAtMs },
          },
        },
      ]);
      if (outcome.kind !== 'done')
        throw new BackupRefusal('the restored state did not take the record of its restoring');
    }
    await syncTree(filling);
    await rmdir(dataDirectory).catch(() => undefined);
    await rename(filling, dataDirectory);
    await syncTree(dirname(dataDirectory), 0);
    return { takenAtMs: manifest.takenAtMs, logSize: manifest.logSize };
  } catch (error) {
    await rm(filling, { recursive: true, force: true });
    throw error;
  }
}
