import { checkpointOf, type Checkpoint } from './checkpoint.ts';
import { cosignedAt } from './cosignature.ts';
import { readEntry, type EvidenceEvent } from './entry.ts';
import { DIGEST_BYTES, isIncluded, leafHash, type Digest } from './merkle.ts';
import { decodeBase64, isSignedBy, MAX_NOTE_BYTES, parseNote, type VerifierKey } from './note.ts';

/** A log of 2^53 entries needs no longer path. */
const MAX_PATH = 53;
/** An entry in base64, a path, and a checkpoint with its signatures. */
export const MAX_RECEIPT_CHARACTERS = 262_144;
const HEADER = 'c2sp.org/tlog-proof@v1';

/** The parts of a receipt, before anything about them is believed. */
export interface Proof {
  /** The log entry: carried as the proof's `extra`, because the record hash can only be computed from it. */
  readonly entry: Uint8Array;
  readonly index: number;
  readonly path: readonly Digest[];
  /** The signed checkpoint, verbatim. */
  readonly checkpoint: string;
}

export type ReceiptVerdict =
  | {
      readonly kind: 'verified';
      readonly index: number;
      readonly checkpoint: Checkpoint;
      readonly event: EvidenceEvent;
      readonly entry: Uint8Array;
      /** Witnesses whose cosignature was valid, with the time (seconds since 1970) they vouch for. */
      readonly witnesses: readonly { readonly name: string; readonly atSeconds: number }[];
    }
  | { readonly kind: 'refused'; readonly reason: string };

/** A receipt as text: a C2SP tlog-proof whose extra data is the entry itself, so that it needs no other file. */
export function formatReceipt(proof: Proof): string {
  const path = proof.path.map((digest) => `${Buffer.from(digest).toString('base64')}\n`).join('');
  const extra = Buffer.from(proof.entry).toString('base64');
  return `${HEADER}\nextra ${extra}\nindex ${proof.index}\n${path}\n${proof.checkpoint}`;
}

/** Reads a receipt's text; undefined when it is not a tlog-proof that carries its entry. */
export function parseReceipt(text: string): Proof | undefined {
  if (text.length > MAX_RECEIPT_CHARACTERS) return undefined;
  const end = text.indexOf('\n\n');
  if (end < 0) return undefined;
  const [header, extra, index, ...lines] = text.slice(0, end).split('\n');
  const checkpoint = text.slice(end + 2);
  if (header !== HEADER || !extra?.startsWith('extra ') || checkpoint.length > MAX_NOTE_BYTES) return undefined;
  const [, digits] = /^index (0|[1-9][0-9]{0,15})$/.exec(index ?? '') ?? [];
  const entry = decodeBase64(extra.slice('extra '.length));
  if (digits === undefined || entry === undefined || lines.length > MAX_PATH) return undefined;
  const path: Digest[] = [];
  for (const line of lines) {
    const digest = decodeBase64(line);
    if (digest?.length !== DIGEST_BYTES) return undefined;
    path.push(digest);
  }
  return { entry, index: Number(digits), path, checkpoint };
}

/**
 * Verifies a receipt offline, with nothing but the log's verifier key: format, checkpoint signature, inclusion of the
 * entry, and the entry's form. With `witnesses`, at least `quorum` of them must have cosigned.
 */
export function verifyReceipt(
  receipt: string,
  log: VerifierKey,
  trust: { readonly witnesses: readonly VerifierKey[]; readonly quorum: number } = { witnesses: [], quorum: 0 },
): ReceiptVerdict {
  const proof = parseReceipt(receipt);
  if (proof === undefined) return refused('the text is not a receipt');
  const note = parseNote(proof.checkpoint);
  if (note === undefined) return refused('the checkpoint is not a signed note');
  if (!isSignedBy(note, log)) return refused(`the checkpoint is not signed by ${log.name}+${log.id}`);
  const checkpoint = checkpointOf(note);
  if (checkpoint === undefined || checkpoint.origin !== log.name) return refused('the checkpoint is of another log');
  if (!isIncluded(leafHash(proof.entry), proof.index, proof.path, checkpoint)) {
    return refused(`the entry is not number ${proof.index} of the signed log of ${checkpoint.size} entries`);
  }
  const opened = readEntry(proof.entry);
  if (opened.kind === 'invalid') return refused(`the entry is not evidence: ${opened.reason}`);
  const witnesses: { name: string; atSeconds: number }[] = [];
  for (const witness of trust.witnesses) {
    const atSeconds = cosignedAt(note, witness);
    if (atSeconds !== undefined) witnesses.push({ name: witness.name, atSeconds });
  }
  if (witnesses.length < trust.quorum)
    return refused(`${witnesses.length} of ${trust.quorum} needed witnesses cosigned`);
  return { kind: 'verified', index: proof.index, checkpoint, event: opened.event, entry: proof.entry, witnesses };
}

function refused(reason: string): ReceiptVerdict {
  return { kind: 'refused', reason };
}
