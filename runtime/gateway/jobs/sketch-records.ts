import { Histories, type SketchesBody, type StoredSketches } from '../../job/histories.ts';
import { MAX_PAGE, type StoredRecord } from '../../store/records.ts';
import type { Store } from '../../store/store.ts';

/** Sketches of released cells as records of the store, to be written in the transaction of the release. */
export function sketchRecords(jobId: string, sketches: readonly StoredSketches[], nowMs: number): StoredRecord[] {
  return sketches.map(({ owner, body, bytes }, index) => ({
    table: 'sketch',
    id: `${jobId}/${index}`,
    owner,
    state: 'released',
    atMs: nowMs,
    body,
    bytes,
  }));
}

/** The histories of what was released, read from the store when they are first needed. */
export function historiesIn(store: Pick<Store, 'list'>): Histories {
  return new Histories(async (owner) => {
    const all: StoredSketches[] = [];
    let before: { readonly atMs: number; readonly id: string } | undefined;
    for (;;) {
      const filter = { owner, limit: PAGE, ...(before === undefined ? {} : { before }) };
      const page = await store.list<SketchesBody>('sketch', filter);
      for (const { body, bytes } of page) all.push({ owner, body, bytes: bytes ?? new Uint8Array(0) });
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) return all;
      before = { atMs: last.atMs, id: last.id };
    }
  });
}

/** Records are large. */
const PAGE = Math.min(50, MAX_PAGE);
