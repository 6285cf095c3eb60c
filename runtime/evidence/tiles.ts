import type { MerkleTree } from './merkle.ts';

/** Hashes or entries in a full tile (C2SP tlog-tiles: tile height 8). */
export const TILE_WIDTH = 256;
/** A bundle stores an entry's length in two bytes. */
export const MAX_ENTRY_BYTES = 65_535;

/** A file of the log, relative to the log's folder. */
export interface LogFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** Where one tile lies: `tile/0/x001/234`, or `tile/0/x001/234.p/17` when it has only 17 hashes. */
export function tilePath(level: number, index: number, width: number = TILE_WIDTH): string {
  return `tile/${level}/${indexPath(index)}${partialSuffix(width)}`;
}

/** Where one bundle of entries lies: `tile/entries/x001/234[.p/W]`. */
export function bundlePath(index: number, width: number = TILE_WIDTH): string {
  return `tile/entries/${indexPath(index)}${partialSuffix(width)}`;
}

/** Entries as a bundle: each with its length in two bytes, big-endian. */
export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    if (entry.length > MAX_ENTRY_BYTES)
      throw new RangeError(`entry of ${entry.length} bytes is above ${MAX_ENTRY_BYTES}`);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(entry.length);
    parts.push(length, entry);
  }
  return Buffer.concat(parts);
}

/** The entries of a bundle, or undefined when the bytes are cut short or hold more than a tile's width. */
export function decodeBundle(bundle: Uint8Array): Uint8Array[] | undefined {
  const entries: Uint8Array[] = [];
  const bytes = Buffer.from(bundle.buffer, bundle.byteOffset, bundle.length);
  for (let at = 0; at < bytes.length;) {
    if (at + 2 > bytes.length || entries.length === TILE_WIDTH) return undefined;
    const end = at + 2 + bytes.readUInt16BE(at);
    if (end > bytes.length) return undefined;
    entries.push(bytes.subarray(at + 2, end));
    at = end;
  }
  return entries;
}

/** The hash tiles that differ between the tree at `from` leaves and at `to` leaves; `from` 0 gives all. */
export function tilesBetween(tree: MerkleTree, from: number, to: number): LogFile[] {
  const files: LogFile[] = [];
  for (let level = 0; ; level += 1) {
    const leaves = TILE_WIDTH ** level;
    const [before, now] = [Math.floor(from / leaves), Math.floor(to / leaves)];
    if (now === 0) return files;
    for (const { index, width } of piecesBetween(before, now)) {
      const start = index * TILE_WIDTH;
      files.push({ path: tilePath(level, index, width), bytes: tree.hashes(level * 8, start, start + width) });
    }
  }
}

/** Every bundle and hash tile of a log of `size` entries. */
export function logPaths(size: number): string[] {
  const paths = piecesBetween(0, size).map(({ index, width }) => bundlePath(index, width));
  for (let level = 0, hashes = size; hashes > 0; level += 1, hashes = Math.floor(hashes / TILE_WIDTH))
    for (const { index, width } of piecesBetween(0, hashes)) paths.push(tilePath(level, index, width));
  return paths;
}

/** Which tiles change when a level grows from `before` to `now` hashes. */
export function piecesBetween(before: number, now: number): { readonly index: number; readonly width: number }[] {
  const pieces: { index: number; width: number }[] = [];
  if (now <= before) return pieces;
  for (let index = Math.floor(before / TILE_WIDTH); index * TILE_WIDTH < now; index += 1) {
    pieces.push({ index, width: Math.min(TILE_WIDTH, now - index * TILE_WIDTH) });
  }
  return pieces;
}

function partialSuffix(width: number): string {
  return width === TILE_WIDTH ? '' : `.p/${width}`;
}

/** 1234067 → `x001/x234/067` */
function indexPath(index: number): string {
  let path = String(index % 1000).padStart(3, '0');
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) {
    path = `x${String(rest % 1000).padStart(3, '0')}/${path}`;
  }
  return path;
}
