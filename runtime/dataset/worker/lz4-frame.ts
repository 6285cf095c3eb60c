/**
 * LZ4 frames, as Arrow packs buffers with them: what data frames write unless they are told otherwise. Every length is
 * looked at before it is followed; what comes out is never more than was announced. Checksums are not compared: a changed
 * buffer that still unpacks to its length is a changed value, as in a file without compression.
 *
 * Source: LZ4 Frame Format 1.6 and LZ4 Block Format of the LZ4 project.
 */

const MAGIC = 0x184d2204;
const FLAG = { version: 0xc0, version1: 0x40, blockChecksum: 0x10, contentSize: 0x08, dictionary: 0x01 } as const;
const IS_PLAIN = 0x8000_0000;
const LEAST_MATCH = 4;
const CHECKSUM_BYTES = 4;

/** The content of a frame, at most `maxBytes` of it. Throws `RangeError` when it is damaged or longer. */
export function unpackLz4(packed: Uint8Array, maxBytes: number): Uint8Array<ArrayBuffer> {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const flags = packed[4] ?? 0;
  if (view.getUint32(0, true) !== MAGIC || (flags & FLAG.version) !== FLAG.version1)
    throw new RangeError('it is no LZ4 frame');
  if ((flags & FLAG.dictionary) !== 0) throw new RangeError('an LZ4 frame that needs a dictionary');
  // A byte of a length stands for 255 bytes at most.
  const out = new Uint8Array(Math.min(maxBytes, 255 * packed.length));
  // Magic, flags, block size, perhaps the size of the content, and a byte of checksum.
  let at = 7 + ((flags & FLAG.contentSize) === 0 ? 0 : 8);
  for (let written = 0; ;) {
    const size = view.getUint32(at, true);
    at += 4;
    if (size === 0) return out.subarray(0, written);
    const length = size & ~IS_PLAIN;
    if (at + length > packed.length) throw new RangeError('an LZ4 block longer than its frame');
    const block = packed.subarray(at, at + length);
    written = size >= IS_PLAIN ? copyPlain(block, out, written) : unpackBlock(block, out, written);
    at += length + ((flags & FLAG.blockChecksum) === 0 ? 0 : CHECKSUM_BYTES);
  }
}

function copyPlain(block: Uint8Array, out: Uint8Array, written: number): number {
  if (written + block.length > out.length) throw new RangeError('LZ4 holds more than was announced');
  out.set(block, written);
  return written + block.length;
}

/** Unpacks a block behind what is written already, which its matches may point into; answers how much is written then. */
function unpackBlock(block: Uint8Array, out: Uint8Array, from: number): number {
  let written = from;
  let at = 0;
  const next = (): number => {
    const byte = block[at++];
    if (byte === undefined) throw new RangeError('an LZ4 block that breaks off');
    return byte;
  };
  /** A length of fifteen goes on in further bytes. */
  const lengthFrom = (half: number): number => {
    let length = half;
    if (half === 15)
      for (let byte = 255; byte === 255;) {
        byte = next();
        length += byte;
      }
    return length;
  };
  for (;;) {
    const token = next();
    const literals = lengthFrom(token >> 4);
    if (at + literals > block.length) throw new RangeError('an LZ4 block that breaks off');
    written = copyPlain(block.subarray(at, at + literals), out, written);
    at += literals;
    // The last sequence has no match.
    if (at === block.length) return written;
    const distance = next() | (next() << 8);
    const length = lengthFrom(token & 15) + LEAST_MATCH;
    if (distance === 0 || distance > written) throw new RangeError('an LZ4 match before the beginning');
    if (written + length > out.length) throw new RangeError('LZ4 holds more than was announced');
    // A match may reach into what it writes itself: then its bytes repeat.
    if (distance >= length) out.copyWithin(written, written - distance, written - distance + length);
    else for (let i = 0; i < length; i++) out[written + i] = out[written + i - distance] ?? 0;
    written += length;
  }
}
