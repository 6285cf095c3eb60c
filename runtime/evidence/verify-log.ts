import { openCheckpoint, type Checkpoint } from './checkpoint.ts';
import { readEntry, type EvidenceEvent } from './entry.ts';
import { leafHash, MerkleTree, sameDigest } from './merkle.ts';
import type { VerifierKey } from './note.ts';
import {
  bundlePath,
  decodeBundle,
  encodeBundle,
  piecesBetween,
  TILE_WIDTH,
  tilesBetween,
  type LogFile,
} from './tiles.ts';

/** Reads one file of a log, by its path inside the log's folder; undefined when there is none. */
export type ReadLogFile = (path: string) => Uint8Array | undefined;

export type LogVerdict =
  | { readonly kind: 'verified'; readonly checkpoint: Checkpoint; readonly entries: number }
  | { readonly kind: 'refused'; readonly path: string; readonly reason: string };

/**
 * Verifies a whole log from its files: the checkpoint's signature, every entry against the signed root, every entry's
 * form, and every hash tile. `visit` sees each entry, in order, after the root matched: the root's
 * signature is what makes them authentic.
 */
export function verifyLog(
  read: ReadLogFile,
  log: VerifierKey,
  visit?: (event: EvidenceEvent, index: number) => void,
): LogVerdict {
  const text = read('checkpoint');
  if (text === undefined) return refused('checkpoint', 'missing');
  const checkpoint = openCheckpoint(Buffer.from(text).toString('utf8'), log);
  if (checkpoint === undefined) return refused('checkpoint', `not a checkpoint signed by ${log.name}+${log.id}`);

  const tree = new MerkleTree();
  const pieces = piecesBetween(0, checkpoint.size);
  for (const { index, width } of pieces) {
    const path = bundlePath(index, width);
    const entries = readBundle(read, index, width);
    if (entries === undefined) return refused(path, 'missing, cut short or malformed');
    for (const entry of entries) tree.append(leafHash(entry));
  }
  if (!sameDigest(tree.root(), checkpoint.root))
    return refused('tile/entries', 'the entries do not give the signed root');
  for (const tile of tilesBetween(tree, 0, checkpoint.size)) {
    const found = read(tile.path) ?? wholeTile(read, tile);
    if (found === undefined) return refused(tile.path, 'missing');
    if (!sameDigest(found, tile.bytes)) return refused(tile.path, 'the hashes are not those of the entries');
  }
  for (const { index, width } of pieces) {
    for (const [at, entry] of (readBundle(read, index, width) ?? []).entries()) {
      const opened = readEntry(entry);
      if (opened.kind === 'invalid') return refused(bundlePath(index, width), `entry ${at}: ${opened.reason}`);
      visit?.(opened.event, index * TILE_WIDTH + at);
    }
  }
  return { kind: 'verified', checkpoint, entries: checkpoint.size };
}

/**
 * The files of a log of the first `size` entries, for a supervisor's bundle. The bundle is a log folder like any
 * other: the same verifier, ours or an outside one, checks it.
 */
export function exportLog(
  tree: MerkleTree,
  entries: (from: number, to: number) => readonly Uint8Array[],
  checkpoint: { readonly size: number; readonly note: string },
  verifierKey: string,
): LogFile[] {
  const bundles = piecesBetween(0, checkpoint.size).map(({ index, width }) => ({
    path: bundlePath(index, width),
    bytes: encodeBundle(entries(index * TILE_WIDTH, index * TILE_WIDTH + width)),
  }));
  return [
    { path: 'vkey', bytes: Buffer.from(`${verifierKey}\n`) },
    ...bundles,
    ...tilesBetween(tree, 0, checkpoint.size),
    { path: 'checkpoint', bytes: Buffer.from(checkpoint.note) },
  ];
}

/** A reader may come between two writes: a full bundle then holds what the partial one of the checkpoint held. */
function readBundle(read: ReadLogFile, index: number, width: number): readonly Uint8Array[] | undefined {
  const bytes = read(bundlePath(index, width)) ?? read(bundlePath(index));
  const entries = bytes === undefined ? undefined : decodeBundle(bytes);
  return entries !== undefined && entries.length >= width ? entries.slice(0, width) : undefined;
}

function wholeTile(read: ReadLogFile, tile: LogFile): Uint8Array | undefined {
  const full = read(tile.path.replace(/\.p\/\d+$/, ''));
  return full?.subarray(0, tile.bytes.length);
}

function refused(path: string, reason: string): LogVerdict {
  return { kind: 'refused', path, reason };
}
