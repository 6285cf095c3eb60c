/** Which uids and gids workers may get on this machine. */
import { readFile } from 'node:fs/promises';

export interface IdRange {
  readonly first: number;
  readonly count: number;
}

/** 60706…61183: systemd's table of uids leaves it to nobody, so no account and no service has one of them. */
export const defaultWorkerIds: IdRange = { first: 60_706, count: 478 };

interface MapLine {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

/** Parses `/proc/self/uid_map` or `gid_map`: which ids exist in this user namespace, and what they are outside. */
export function parseIdMap(text: string): readonly MapLine[] {
  return text
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter((numbers) => numbers.length === 3)
    .map(([inside, outside, count]) => ({ inside: inside!, outside: outside!, count: count! }));
}

/**
 * Returns the ids to give workers: the wanted range where it is mapped, else (a rootless container with a small range)
 * the upper half of the largest range that is; undefined when there is nobody but ourselves to become.
 */
export function usableIds(
  uidMap: readonly MapLine[],
  gidMap: readonly MapLine[],
  wanted: IdRange,
): IdRange | undefined {
  const holds = (map: readonly MapLine[], range: IdRange): boolean =>
    map.some(({ inside, count }) => inside <= range.first && range.first + range.count <= inside + count);
  if (holds(uidMap, wanted) && holds(gidMap, wanted)) return wanted;
  const largest = uidMap.toSorted((a, b) => b.count - a.count)[0];
  if (largest === undefined || largest.count < 8) return undefined;
  const count = Math.min(wanted.count, Math.floor(largest.count / 2));
  const range = { first: largest.inside + largest.count - count, count };
  return holds(gidMap, range) ? range : undefined;
}

/** The ids for workers of this process: undefined when it is not root or can become nobody else. */
export async function workerIds(wanted: IdRange = defaultWorkerIds): Promise<IdRange | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const [uids, gids] = await Promise.all(['uid_map', 'gid_map'].map(readMap));
  return usableIds(uids ?? [], gids ?? [], wanted);
}

/** The uid outside this user namespace of a uid inside it, as far as can be told; undefined when it is not mapped. */
export async function outerUid(uid: number): Promise<number | undefined> {
  const line = (await readMap('uid_map')).find(({ inside, count }) => inside <= uid && uid < inside + count);
  return line === undefined ? undefined : line.outside + (uid - line.inside);
}

async function readMap(name: string): Promise<readonly MapLine[]> {
  return parseIdMap(await readFile(`/proc/self/${name}`, 'utf8').catch(() => '0 0 4294967295'));
}
