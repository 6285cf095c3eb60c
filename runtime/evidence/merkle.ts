import { hash } from 'node:crypto';

/** A SHA-256 digest: 32 bytes. */
export type Digest = Uint8Array;
export const DIGEST_BYTES = 32;

/** Hash of a log entry: SHA-256(0x00 ‖ entry), RFC 6962 §2.1. */
export function leafHash(entry: Uint8Array): Digest {
  return hash('sha256', Buffer.concat([LEAF_PREFIX, entry]), 'buffer');
}

/** Hash of an inner node: SHA-256(0x01 ‖ left ‖ right), RFC 6962 §2.1. */
export function nodeHash(left: Digest, right: Digest): Digest {
  scratch.set(left, 1);
  scratch.set(right, 1 + DIGEST_BYTES);
  return hash('sha256', scratch, 'buffer');
}

/** Root of the empty tree. */
export function emptyRoot(): Digest {
  return hash('sha256', new Uint8Array(0), 'buffer');
}

/**
 * An append-only Merkle tree (RFC 6962) that keeps every complete subtree's hash in memory: 64 bytes per entry.
 * `truncate` exists because an append belongs to a database transaction that can still roll back.
 */
export class MerkleTree {
  #size = 0;
  /** #levels[k] holds the hashes of the complete subtrees of 2^k leaves, side by side. */
  readonly #levels: Buffer[] = [];

  get size(): number {
    return this.#size;
  }

  /** Appends a leaf hash and returns its index. */
  append(leaf: Digest): number {
    const index = this.#size;
    this.#put(0, index, leaf);
    let complete = leaf;
    for (let level = 0, at = index; at % 2 === 1; level += 1, at = (at - 1) / 2) {
      complete = nodeHash(this.#get(level, at - 1), complete);
      this.#put(level + 1, (at - 1) / 2, complete);
    }
    this.#size = index + 1;
    return index;
  }

  /** Forgets every leaf from `size` on. */
  truncate(size: number): void {
    if (!Number.isSafeInteger(size) || size < 0 || size > this.#size) {
      throw new RangeError(`cannot truncate a tree of ${this.#size} leaves to ${size}`);
    }
    this.#size = size;
  }

  /** Root hash of the first `size` leaves. */
  root(size: number = this.#size): Digest {
    this.#checkSize(size);
    return size === 0 ? emptyRoot() : this.#rangeHash(0, size);
  }

  /** Inclusion proof of leaf `index` in the tree of the first `size` leaves, leaf's sibling first (RFC 6962 §2.1.1). */
  inclusionProof(index: number, size: number = this.#size): Digest[] {
    this.#checkSize(size);
    if (!Number.isSafeInteger(index) || index < 0 || index >= size) throw new RangeError(`no leaf ${index} in ${size}`);
    const path: Digest[] = [];
    let [low, high] = [0, size];
    while (high - low > 1) {
      const middle = low + splitOf(high - low);
      if (index < middle) {
        path.push(this.#rangeHash(middle, high));
        high = middle;
      } else {
        path.push(this.#rangeHash(low, middle));
        low = middle;
      }
    }
    return path.toReversed();
  }

  /** Proof that the first `from` leaves are a prefix of the first `size` (RFC 6962 §2.1.2). */
  consistencyProof(from: number, size: number = this.#size): Digest[] {
    this.#checkSize(size);
    if (!Number.isSafeInteger(from) || from < 1 || from > size)
      throw new RangeError(`no proof from ${from} to ${size}`);
    const path: Digest[] = [];
    let [low, high] = [0, size];
    let startsAtZero = true;
    while (high !== from) {
      const middle = low + splitOf(high - low);
      if (from <= middle) {
        path.push(this.#rangeHash(middle, high));
        high = middle;
      } else {
        path.push(this.#rangeHash(low, middle));
        low = middle;
        startsAtZero = false;
      }
    }
    if (!startsAtZero) path.push(this.#rangeHash(low, high));
    return path.toReversed();
  }

  /** Hashes `from`…`to` (exclusive) of complete subtrees of 2^level leaves, concatenated. */
  hashes(level: number, from: number, to: number): Uint8Array {
    const complete = Math.floor(this.#size / 2 ** level);
    if (from < 0 || to < from || to > complete) throw new RangeError(`no hashes ${from}…${to} on level ${level}`);
    const bytes = this.#levels[level] ?? Buffer.alloc(0);
    return Buffer.from(bytes.subarray(from * DIGEST_BYTES, to * DIGEST_BYTES));
  }

  /** Hash of the leaves low…high, which is always an RFC 6962 subtree: complete ones are looked up. */
  #rangeHash(low: number, high: number): Digest {
    const count = high - low;
    if (isPowerOfTwo(count)) return this.#get(Math.log2(count), low / count);
    const middle = low + splitOf(count);
    return nodeHash(this.#rangeHash(low, middle), this.#rangeHash(middle, high));
  }

  #checkSize(size: number): void {
    if (!Number.isSafeInteger(size) || size < 0 || size > this.#size) {
      throw new RangeError(`no tree of ${size} leaves in a log of ${this.#size}`);
    }
  }

  #get(level: number, at: number): Digest {
    const bytes = this.#levels[level];
    if (bytes === undefined) throw new RangeError(`no level ${level}`);
    return bytes.subarray(at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES);
  }

  #put(level: number, at: number, value: Digest): void {
    const needed = (at + 1) * DIGEST_BYTES;
    let bytes = this.#levels[level];
    if (bytes === undefined || bytes.length < needed) {
      const grown = Buffer.alloc(Math.max(needed, (bytes?.length ?? DIGEST_BYTES * 128) * 2));
      bytes?.copy(grown);
      this.#levels[level] = bytes = grown;
    }
    bytes.set(value, at * DIGEST_BYTES);
  }
}

/** Whether `path` proves that `leaf` is entry `index` of the tree with this size and root (RFC 9162 §2.1.3.2). */
export function isIncluded(
  leaf: Digest,
  index: number,
  path: readonly Digest[],
  tree: { readonly size: number; readonly root: Digest },
): boolean {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(tree.size) || index < 0 || index >= tree.size) return false;
  let node = index;
  let last = tree.size - 1;
  let result = leaf;
  for (const sibling of path) {
    if (last === 0 || sibling.length !== DIGEST_BYTES) return false;
    if (node % 2 === 1 || node === last) {
      result = nodeHash(sibling, result);
      while (node % 2 === 0 && node !== 0) [node, last] = [half(node), half(last)];
    } else {
      result = nodeHash(result, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 && sameDigest(result, tree.root);
}

/** Whether `path` proves that `older` is a prefix of `newer` (RFC 9162 §2.1.4.2). An empty older tree proves nothing. */
export function isConsistent(
  older: { readonly size: number; readonly root: Digest },
  newer: { readonly size: number; readonly root: Digest },
  path: readonly Digest[],
): boolean {
  if (!Number.isSafeInteger(older.size) || !Number.isSafeInteger(newer.size)) return false;
  if (older.size < 1 || older.size > newer.size) return false;
  if (older.size === newer.size) return path.length === 0 && sameDigest(older.root, newer.root);
  const rest = isPowerOfTwo(older.size) ? [older.root, ...path] : [...path];
  const first = rest.shift();
  if (first === undefined || first.length !== DIGEST_BYTES) return false;
  let node = older.size - 1;
  let last = newer.size - 1;
  while (node % 2 === 1) [node, last] = [half(node), half(last)];
  let [oldRoot, newRoot] = [first, first];
  for (const sibling of rest) {
    if (last === 0 || sibling.length !== DIGEST_BYTES) return false;
    if (node % 2 === 1 || node === last) {
      oldRoot = nodeHash(sibling, oldRoot);
      newRoot = nodeHash(sibling, newRoot);
      while (node % 2 === 0 && node !== 0) [node, last] = [half(node), half(last)];
    } else {
      newRoot = nodeHash(newRoot, sibling);
    }
    [node, last] = [half(node), half(last)];
  }
  return last === 0 && sameDigest(oldRoot, older.root) && sameDigest(newRoot, newer.root);
}

/** Whether two digests are the same bytes. Not constant-time: log hashes are public. */
export function sameDigest(one: Digest, other: Digest): boolean {
  return one.length === other.length && Buffer.compare(one, other) === 0;
}

const LEAF_PREFIX = new Uint8Array([0]);
const scratch = new Uint8Array(1 + 2 * DIGEST_BYTES).fill(1, 0, 1);

/** Leaves in the left half of a tree of `count`: the largest power of two below it. */
function splitOf(count: number): number {
  let split = 1;
  while (split * 2 < count) split *= 2;
  return split;
}

function isPowerOfTwo(count: number): boolean {
  return count > 0 && Number.isInteger(Math.log2(count));
}

// Not >> 1: a log can have more than 2^31 entries.
function half(value: number): number {
  return Math.floor(value / 2);
}
