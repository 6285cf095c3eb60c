import { createHash, createHmac, type Hash } from 'node:crypto';

/** Bytes of a unit tag: 128 bits of HMAC-SHA-256, so tags of different units do not meet. */
export const UNIT_TAG_BYTES = 16;

/**
 * The keyed hash that stands for a privacy unit in an encrypted dataset: who has no key can count and match units, but
 * not name them. Several key columns are joined with their lengths, so ("ab","c") and ("a","bc") differ.
 */
export function unitTag(key: Uint8Array, unit: readonly (string | number)[]): Uint8Array {
  const hmac = createHmac('sha256', key).update('glovebox-unit/1\n');
  for (const part of unit) {
    const text = String(part);
    hmac.update(`${typeof part} ${Buffer.byteLength(text)}\n`).update(text);
  }
  return hmac.digest().subarray(0, UNIT_TAG_BYTES);
}

/** What is known about the units behind a column's rows. */
export interface UnitCounts {
  readonly rows: number;
  readonly units: number;
  /** By group index, for partitioned columns. */
  readonly groupUnits: readonly number[];
  readonly maxRowsPerUnit: number;
  /** `sha256:` over groups and tags in row order: columns with the same one are aligned. */
  readonly alignment: string;
}

/** Counts units from tags in the order of the rows; memory grows with the number of distinct units. */
export class UnitCounter {
  readonly #hash: Hash = createHash('sha256');
  readonly #rowsOf = new Map<string, number>();
  readonly #groups: Set<string>[] = [];
  #rows = 0;

  /** One row's tag and group index (0 when the column is not partitioned). */
  add(tag: Uint8Array, group = 0): void {
    if (tag.byteLength !== UNIT_TAG_BYTES) throw new RangeError(`a unit tag has ${UNIT_TAG_BYTES} bytes`);
    const name = Buffer.from(tag.buffer, tag.byteOffset, tag.byteLength).toString('latin1');
    this.#rowsOf.set(name, (this.#rowsOf.get(name) ?? 0) + 1);
    (this.#groups[group] ??= new Set()).add(name);
    this.#hash.update(Uint8Array.of(group & 255, group >> 8)).update(tag);
    this.#rows++;
  }

  /** The counts so far; further rows may follow. */
  counts(): UnitCounts {
    let most = 0;
    for (const rows of this.#rowsOf.values()) most = Math.max(most, rows);
    return {
      rows: this.#rows,
      units: this.#rowsOf.size,
      groupUnits: Array.from(this.#groups, (group) => group?.size ?? 0),
      maxRowsPerUnit: most,
      alignment: `sha256:${this.#hash.copy().digest('hex')}`,
    };
  }
}
