import { readEntry } from '../../evidence/entry.ts';
import type { Store } from '../../store/store.ts';

/** Entries that are read at once. */
const PAGE = 1000;

/**
 * Where in the log alerts were raised, by id: for records that a crash left between their entry and its place. Looks
 * from the end, where they are, and no further than to the last of them.
 */
export async function placesOf(
  store: Pick<Store, 'checkpoint' | 'entries'>,
  ids: ReadonlySet<string>,
): Promise<ReadonlyMap<string, number>> {
  const places = new Map<string, number>();
  if (ids.size === 0) return places;
  const size = Number((await store.checkpoint()).split('\n')[1] ?? '0');
  for (let end = size; end > 0 && places.size < ids.size; end -= PAGE) {
    const start = Math.max(0, end - PAGE);
    for (const [index, bytes] of (await store.entries(start, end)).entries()) {
      const opened = readEntry(bytes);
      if (opened.kind !== 'entry' || opened.event.kind !== 'alert' || 'state' in opened.event.facts) continue;
      const subject = opened.event.subjects.find(({ name }) => name.startsWith('alert/'));
      const id = subject?.name.slice('alert/'.length) ?? '';
      if (ids.has(id)) places.set(id, start + index);
    }
  }
  return places;
}
