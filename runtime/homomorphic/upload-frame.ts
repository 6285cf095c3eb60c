import { HomomorphicFault } from './fault.ts';
import { UNIT_TAG_BYTES } from './units.ts';

/** Kinds of objects that a party uploads. */
export type UploadKind = 'publicKey' | 'column' | 'query' | 'unitTags';

const MAGIC_BYTES = 8;
const MAGIC: Readonly<Record<Exclude<UploadKind, 'publicKey'>, Uint8Array>> = {
  column: Buffer.from('GBHEC\0\0\u0001', 'latin1'),
  query: Buffer.from('GBHEQ\0\0\u0001', 'latin1'),
  unitTags: Buffer.from('GBHEU\0\0\u0001', 'latin1'),
};
const UNIT_RECORD_BYTES = 2 + UNIT_TAG_BYTES;
/** Bytes from the front that `checkFrame` wants. */
export const FRAME_BYTES = MAGIC_BYTES;

/**
 * A first look at an upload: its first bytes and its length, nothing that is parsed. It spares a worker for what cannot
 * be right; everything deeper than this is the jailed worker's.
 */
export function checkFrame(kind: UploadKind, head: Uint8Array, size: number): void {
  if (kind === 'publicKey') {
    if (head[0] !== '{'.charCodeAt(0))
      throw new HomomorphicFault('bad-key', 'cannot read this key file: it is not JSON');
    return;
  }
  const magic = MAGIC[kind];
  const isWhole = kind !== 'unitTags' || (size > MAGIC_BYTES && (size - MAGIC_BYTES) % UNIT_RECORD_BYTES === 0);
  if (isWhole && Buffer.compare(head.subarray(0, magic.byteLength), magic) === 0) return;
  throw new HomomorphicFault(
    kind === 'query' ? 'bad-ciphertext' : 'bad-column',
    `cannot take in this upload: it does not begin, or end, like what it is said to be (${kind})`,
  );
}
