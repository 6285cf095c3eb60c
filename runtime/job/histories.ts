import type { UsagePolicy } from '../policy/model.ts';
import { MAX_GUARDED_CELLS } from '../release/differencing.ts';
import type { History, LabelledSketch } from '../release/judge-cells.ts';
import { ReleasedCells } from '../release/released-cells.ts';
import { LANE_WORDS } from '../release/lanes.ts';
import { BUCKET_WORDS, PARTITIONS } from '../release/sketch.ts';
import type { Sketch } from '../release/cell-guard.ts';
import type { Asker } from './job.ts';

/** Sketches of released cells as they are stored with the release. */
export interface StoredSketches {
  readonly owner: string;
  readonly body: SketchesBody;
  /** The sketches of each label back to back, little-endian words. */
  readonly bytes: Uint8Array;
}
export type SketchesBody = {
  readonly buckets: number;
  /** `words` of each sketch; absent: as many as the buckets make. */
  readonly labels: readonly { readonly label: string; readonly cells: number; readonly words?: number }[];
};

/** Most bytes of one stored record. */
const MAX_BYTES_PER_RECORD = 8 * 1024 * 1024;
/** Room that a history must have left before a job starts, cells. */
const ROOM = 10_000;

/**
 * What was released so far, to whom and about which dataset. A cell is remembered from the moment it may leave, before it
 * is stored: two jobs that run at once see each other. A job that then fails leaves its cells here until the next start,
 * which can only withhold more.
 */
export class Histories {
  readonly #load: (owner: string) => Promise<readonly StoredSketches[]>;
  readonly #known = new Map<string, Promise<ReleasedCells>>();

  /** `load` answers everything that was stored under an owner. */
  constructor(load: (owner: string) => Promise<readonly StoredSketches[]>) {
    this.#load = load;
  }

  /**
   * Lets `judge` look at the histories of several owners and remembers what it would show under each of them, without a
   * pause in between: of two jobs that run at once, one is judged after the other. Answers the verdict and the records to
   * store when its answer leaves.
   */
  async judge<Verdict extends { readonly shown: readonly LabelledSketch[] }>(
    owners: readonly string[],
    buckets: number,
    judge: (histories: readonly History[]) => Verdict,
  ): Promise<{ readonly verdict: Verdict; readonly records: readonly StoredSketches[] }> {
    const all = await Promise.all(owners.map((owner) => this.#opened(owner)));
    const verdict = judge(all.map((known) => known.seenBy({ buckets })));
    for (const known of all) for (const cell of verdict.shown) known.add(cell, { buckets });
    return { verdict, records: owners.flatMap((owner) => packed(owner, buckets, verdict.shown)) };
  }

  /** Whether a history has no room left; what comes next could not be compared with everything. */
  async isFull(owners: readonly string[]): Promise<boolean> {
    const all = await Promise.all(owners.map((owner) => this.#opened(owner)));
    return all.some(({ most }) => most + ROOM > MAX_GUARDED_CELLS);
  }

  #opened(owner: string): Promise<ReleasedCells> {
    const known = this.#known.get(owner);
    if (known !== undefined) return known;
    const opening = this.#open(owner);
    this.#known.set(owner, opening);
    // A history that could not be read is no empty one: the job fails, and the next one tries again.
    opening.catch(() => this.#known.delete(owner));
    return opening;
  }

  async #open(owner: string): Promise<ReleasedCells> {
    const known = new ReleasedCells();
    for (const stored of await this.#load(owner))
      for (const cell of unpacked(stored)) known.add(cell, { buckets: stored.body.buckets });
    return known;
  }
}

/**
 * Whose answers are taken together: the party's own, and those of every group that it belongs to and that one of the
 * policies names, for each dataset that is read.
 */
export function ownersOf(asker: Asker, policies: readonly UsagePolicy[]): readonly string[] {
  const named = new Set(
    policies.flatMap(({ defaults, allow }) =>
      [defaults.consumers, ...allow.map(({ when }) => when.consumers)].flatMap((one) => one ?? []),
    ),
  );
  const groups = asker.groups.map((group) => `group:${group}`).filter((group) => named.has(group));
  const datasets = [...new Set(policies.map(({ dataset }) => dataset))];
  return [asker.party, ...groups].flatMap((who) =>
    datasets.map((dataset) => `${encodeURIComponent(who)}/${encodeURIComponent(dataset)}`),
  );
}

function packed(owner: string, buckets: number, cells: readonly LabelledSketch[]): StoredSketches[] {
  const full = PARTITIONS * buckets * BUCKET_WORDS;
  const most = Math.max(1, Math.floor(MAX_BYTES_PER_RECORD / (full * 4)));
  const sorted = cells.toSorted((a, b) => (a.label < b.label ? -1 : a.label > b.label ? 1 : 0));
  const records: StoredSketches[] = [];
  for (let from = 0; from < sorted.length; from += most) {
    const part = sorted.slice(from, from + most);
    const bytes = new Uint8Array(part.reduce((sum, { sketch }) => sum + sketch.length * 4, 0));
    const view = new DataView(bytes.buffer);
    const labels = new Map<string, { label: string; cells: number; words?: number }>();
    let at = 0;
    for (const { label, sketch } of part) {
      for (const word of sketch) {
        view.setUint32(at, word, true);
        at += 4;
      }
      const known = labels.get(label);
      if (known !== undefined) known.cells += 1;
      else labels.set(label, { label, cells: 1, ...(sketch.length === full ? {} : { words: sketch.length }) });
    }
    records.push({ owner, body: { buckets, labels: [...labels.values()] }, bytes });
  }
  return records;
}

/** Throws `RangeError` for what `packed` did not make: a history that forgot must not look like a short one. */
export function unpacked({ body, bytes }: StoredSketches): LabelledSketch[] {
  const { buckets, labels } = body;
  const full = PARTITIONS * buckets * BUCKET_WORDS;
  const isForm = ({ words = full }: { readonly words?: number }): boolean =>
    words === full || words === LANE_WORDS || words === FORMER_LANE_WORDS;
  const cells = labels.flatMap(({ label, cells: count, words = full }) =>
    Array.from({ length: count }, () => ({ label, words })),
  );
  const expected = cells.reduce((sum, { words }) => sum + words * 4, 0);
  if (!Number.isInteger(buckets) || buckets < 1 || !labels.every(isForm) || bytes.byteLength !== expected)
    throw new RangeError('stored sketches are damaged');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const found = cells.map(({ label, words }) => {
    const sketch: Sketch = new Uint32Array(words);
    for (let i = 0; i < words; i++, at += 4) sketch[i] = view.getUint32(at, true);
    return { label, sketch };
  });
  return found.filter(({ sketch }) => sketch.length !== FORMER_LANE_WORDS);
}

/** Sketches of large tables had as many words until rows added two: nothing can be compared with those. */
const FORMER_LANE_WORDS = 7;
