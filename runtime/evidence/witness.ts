import { checkpointOf } from './checkpoint.ts';
import { cosign, type Witnessed } from './cosignature.ts';
import { DIGEST_BYTES, type Digest } from './merkle.ts';
import { decodeBase64, formatNote, isSignedBy, MAX_NOTE_BYTES, parseNote } from './note.ts';
import type { NoteSigner, VerifierKey } from './note.ts';

/** A log of 2^53 entries needs no longer proof; the format's own limit is 63. */
const MAX_PROOF = 63;
/** Old size, proof and checkpoint. */
export const MAX_ADD_CHECKPOINT_BYTES = MAX_NOTE_BYTES + 8192;

/** A request to cosign a checkpoint (C2SP tlog-witness `add-checkpoint`). */
export interface AddCheckpoint {
  /** Size of the checkpoint that the witness cosigned last, as far as the log knows. */
  readonly old: number;
  readonly proof: readonly Digest[];
  readonly checkpoint: string;
}

/** What a witness answers, as HTTP; `seen` is to be made durable before the answer leaves. */
export type AddCheckpointAnswer =
  | { readonly status: 200; readonly body: string; readonly origin: string; readonly seen: Witnessed }
  | { readonly status: 400 | 403 | 404 | 409 | 422; readonly body: string };

export function formatAddCheckpoint({ old, proof, checkpoint }: AddCheckpoint): string {
  return `old ${old}\n${proof.map((digest) => `${Buffer.from(digest).toString('base64')}\n`).join('')}\n${checkpoint}`;
}

/** Reads a request; undefined when it is not one. */
export function parseAddCheckpoint(text: string): AddCheckpoint | undefined {
  if (text.length > MAX_ADD_CHECKPOINT_BYTES) return undefined;
  const end = text.indexOf('\n\n');
  if (end < 0) return undefined;
  const [first = '', ...lines] = text.slice(0, end).split('\n');
  const [, old] = /^old (0|[1-9][0-9]{0,15})$/.exec(first) ?? [];
  if (old === undefined || !Number.isSafeInteger(Number(old)) || lines.length > MAX_PROOF) return undefined;
  const proof: Digest[] = [];
  for (const line of lines) {
    const digest = decodeBase64(line);
    if (digest?.length !== DIGEST_BYTES) return undefined;
    proof.push(digest);
  }
  return { old: Number(old), proof, checkpoint: text.slice(end + 2) };
}

/**
 * The witness's side of `add-checkpoint`: cosigns when the checkpoint is of a log it watches, signed by that log, and the
 * log only grew since what was seen. `seenOf` tells what was cosigned last for an origin; `atSeconds` is the time now.
 */
export function answerAddCheckpoint(
  witness: NoteSigner,
  logs: readonly VerifierKey[],
  seenOf: (origin: string) => Witnessed | undefined,
  body: string,
  atSeconds: number,
): AddCheckpointAnswer {
  const request = parseAddCheckpoint(body);
  const note = request === undefined ? undefined : parseNote(request.checkpoint);
  const checkpoint = note === undefined ? undefined : checkpointOf(note);
  if (request === undefined || note === undefined || checkpoint === undefined)
    return { status: 400, body: 'not an add-checkpoint request\n' };
  const keys = logs.filter(({ name }) => name === checkpoint.origin);
  if (keys.length === 0) return { status: 404, body: 'a log that is not watched here\n' };
  const key = keys.find((one) => isSignedBy(note, one));
  if (key === undefined) return { status: 403, body: 'not signed by the log\n' };
  if (request.old > checkpoint.size) return { status: 400, body: 'the old size is above the new one\n' };
  const seen = seenOf(checkpoint.origin);
  const size = seen?.size ?? 0;
  if (request.old !== size) return { status: 409, body: `${size}\n` };
  const answer = cosign(witness, key, { checkpoint: request.checkpoint, proof: request.proof, seen, atSeconds });
  if (answer.kind === 'refused') {
    // The same size with another root: the log shows two histories, which is what witnesses are for.
    return checkpoint.size === size ? { status: 409, body: `${size}\n` } : { status: 422, body: 'not consistent\n' };
  }
  const mine = parseNote(answer.note)?.signatures.filter(
    ({ name, id }) => name === witness.verifier.name && id === witness.verifier.id,
  );
  const lines = formatNote({ text: '', signatures: mine ?? [] }).slice(1);
  return { status: 200, body: lines, origin: checkpoint.origin, seen: answer.seen };
}

/** A checkpoint with further cosignature lines; undefined when the lines are not signature lines. */
export function withCosignatures(checkpoint: string, lines: string): string | undefined {
  const note = parseNote(checkpoint);
  const joined = parseNote(`${checkpoint}${lines}`);
  return note === undefined || joined === undefined || joined.text !== note.text ? undefined : formatNote(joined);
}
