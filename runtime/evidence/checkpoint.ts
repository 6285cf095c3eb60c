import { DIGEST_BYTES, type Digest } from './merkle.ts';
import { decodeBase64, formatNote, isSignedBy, parseNote, signNote } from './note.ts';
import type { Note, NoteSigner, VerifierKey } from './note.ts';

/** What a log says about itself at one moment (C2SP tlog-checkpoint). */
export interface Checkpoint {
  /** The log's name: `host/path`, no scheme. */
  readonly origin: string;
  /** How many entries the log has. */
  readonly size: number;
  readonly root: Digest;
}

/** The log's signed statement of its size and root, as text. */
export function signCheckpoint(checkpoint: Checkpoint, signer: NoteSigner): string {
  const text = checkpointText(checkpoint);
  return formatNote({ text, signatures: [signNote(text, signer)] });
}

/** The checkpoint in a note's text; undefined when the text is not one. */
export function checkpointOf(note: Note): Checkpoint | undefined {
  const [origin, size, root, ...rest] = note.text.split('\n');
  if (origin === undefined || size === undefined || root === undefined || rest.length === 0) return undefined;
  if (origin === '' || !/^(0|[1-9][0-9]{0,15})$/.test(size) || !Number.isSafeInteger(Number(size))) return undefined;
  const digest = decodeBase64(root);
  if (digest?.length !== DIGEST_BYTES) return undefined;
  return { origin, size: Number(size), root: digest };
}

/** The checkpoint of a signed note, only when this log key signed it and the origin is the key's name. */
export function openCheckpoint(text: string, key: VerifierKey): Checkpoint | undefined {
  const note = parseNote(text);
  if (note === undefined || !isSignedBy(note, key)) return undefined;
  const checkpoint = checkpointOf(note);
  return checkpoint?.origin === key.name ? checkpoint : undefined;
}

function checkpointText(checkpoint: Checkpoint): string {
  return `${checkpoint.origin}\n${checkpoint.size}\n${Buffer.from(checkpoint.root).toString('base64')}\n`;
}
