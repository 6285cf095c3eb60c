import { generateKeyPairSync } from 'node:crypto';
import { signCheckpoint } from '../../runtime/evidence/checkpoint.ts';
import { encodeEntry, sha256Hex, type EvidenceEvent } from '../../runtime/evidence/entry.ts';
import { leafHash, MerkleTree } from '../../runtime/evidence/merkle.ts';
import { formatVerifierKey, noteSigner, type NoteSigner, type SignatureKind } from '../../runtime/evidence/note.ts';
import { formatReceipt } from '../../runtime/evidence/receipt.ts';
import type { LogFile } from '../../runtime/evidence/tiles.ts';
import { exportLog, type ReadLogFile } from '../../runtime/evidence/verify-log.ts';

export const ORIGIN = 'hospital.example/evidence';

export function newSigner(name: string = ORIGIN, kind?: SignatureKind): NoteSigner {
  return noteSigner(name, generateKeyPairSync('ed25519').privateKey, kind);
}

export function eventOf(index: number): EvidenceEvent {
  return {
    kind: index % 7 === 0 ? 'release' : 'decision',
    atMs: Date.UTC(2026, 0, 1) + index,
    subjects: [{ name: `job/${index}`, sha256: sha256Hex(String(index)) }],
    facts: { verdict: 'permit', rule: 'statistics', cells: index, party: 'p:00112233445566778899aabbccddeeff' },
  };
}

export interface SmallLog {
  readonly signer: NoteSigner;
  readonly entries: readonly Uint8Array[];
  readonly tree: MerkleTree;
  readonly checkpoint: string;
}

/** A log of `count` entries in memory; `entryOf` can make plain ones where only the tree is looked at. */
export function logOf(
  count: number,
  signer: NoteSigner = newSigner(),
  entryOf: (index: number) => Uint8Array = (index) => encodeEntry(eventOf(index)),
): SmallLog {
  const entries = Array.from({ length: count }, (_, index) => entryOf(index));
  const tree = new MerkleTree();
  for (const entry of entries) tree.append(leafHash(entry));
  const checkpoint = signCheckpoint({ origin: signer.verifier.name, size: count, root: tree.root() }, signer);
  return { signer, entries, tree, checkpoint };
}

export function receiptOf(log: SmallLog, index: number): string {
  const entry = log.entries[index] ?? new Uint8Array();
  return formatReceipt({ entry, index, path: log.tree.inclusionProof(index), checkpoint: log.checkpoint });
}

export function filesOf(log: SmallLog): LogFile[] {
  const slice = (from: number, to: number): readonly Uint8Array[] => log.entries.slice(from, to);
  const checkpoint = { size: log.entries.length, note: log.checkpoint };
  return exportLog(log.tree, slice, checkpoint, formatVerifierKey(log.signer.verifier));
}

export function readerOf(files: readonly LogFile[]): ReadLogFile {
  const byPath = new Map(files.map((file) => [file.path, file.bytes]));
  return (path) => byPath.get(path);
}
