import { sign } from 'node:crypto';
import { checkpointOf } from './checkpoint.ts';
import { isConsistent, sameDigest, type Digest } from './merkle.ts';
import { ED25519_COSIGNATURE, formatNote, isSignedBy, parseNote, verifyEd25519 } from './note.ts';
import type { Note, NoteSignature, NoteSigner, VerifierKey } from './note.ts';

/** What a witness remembers about a log: the largest tree that it has seen and found consistent. */
export interface Witnessed {
  readonly size: number;
  readonly root: Digest;
}

export type WitnessAnswer =
  | { readonly kind: 'cosigned'; readonly note: string; readonly seen: Witnessed }
  | { readonly kind: 'refused'; readonly reason: string };

/**
 * Cosigns a log's checkpoint (C2SP tlog-cosignature v1) after checking that the log only grew since `seen`.
 * The counterparty's runtime does this, so that a log which shows two parties two histories is caught.
 */
export function cosign(
  witness: NoteSigner,
  log: VerifierKey,
  request: {
    readonly checkpoint: string;
    readonly proof: readonly Digest[];
    readonly seen: Witnessed | undefined;
    readonly atSeconds: number;
  },
): WitnessAnswer {
  const note = parseNote(request.checkpoint);
  if (note === undefined || !isSignedBy(note, log)) return refused('the checkpoint is not signed by the log');
  const checkpoint = checkpointOf(note);
  if (checkpoint === undefined || checkpoint.origin !== log.name) return refused('the checkpoint is not of this log');
  const { seen } = request;
  if (seen !== undefined && seen.size > 0 && !grewFrom(seen, checkpoint, request.proof)) {
    return refused(`the log of ${checkpoint.size} entries is not a continuation of the ${seen.size} seen before`);
  }
  const cosignature = signCosignature(note.text, witness, request.atSeconds);
  const others = note.signatures.filter((one) => one.name !== cosignature.name || one.id !== cosignature.id);
  return {
    kind: 'cosigned',
    note: formatNote({ text: note.text, signatures: [...others, cosignature] }),
    seen: { size: checkpoint.size, root: checkpoint.root },
  };
}

/** The time (seconds since 1970) at which this witness cosigned the note; undefined when it did not, validly. */
export function cosignedAt(note: Note, witness: VerifierKey): number | undefined {
  if (witness.kind !== ED25519_COSIGNATURE) return undefined;
  for (const one of note.signatures) {
    if (one.name !== witness.name || one.id !== witness.id || one.bytes.length !== 72) continue;
    const seconds = Buffer.from(one.bytes.subarray(0, 8)).readBigUInt64BE();
    if (seconds > BigInt(Number.MAX_SAFE_INTEGER)) continue;
    const message = cosignedMessage(note.text, Number(seconds));
    if (verifyEd25519(message, one.bytes.subarray(8), witness.publicKey)) return Number(seconds);
  }
  return undefined;
}

function signCosignature(text: string, witness: NoteSigner, atSeconds: number): NoteSignature {
  const { name, id, kind } = witness.verifier;
  if (kind !== ED25519_COSIGNATURE) throw new RangeError(`key '${name}' is not a witness key`);
  if (!Number.isSafeInteger(atSeconds) || atSeconds < 0) throw new RangeError(`${atSeconds} is not a time in seconds`);
  const time = Buffer.alloc(8);
  time.writeBigUInt64BE(BigInt(atSeconds));
  return { name, id, bytes: Buffer.concat([time, sign(null, cosignedMessage(text, atSeconds), witness.privateKey)]) };
}

function cosignedMessage(text: string, atSeconds: number): Uint8Array {
  return Buffer.from(`cosignature/v1\ntime ${atSeconds}\n${text}`, 'utf8');
}

function grewFrom(seen: Witnessed, now: Witnessed, proof: readonly Digest[]): boolean {
  if (now.size === seen.size) return sameDigest(now.root, seen.root);
  return isConsistent(seen, now, proof);
}

function refused(reason: string): WitnessAnswer {
  return { kind: 'refused', reason };
}
