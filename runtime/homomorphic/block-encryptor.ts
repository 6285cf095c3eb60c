import type { Backend, BackendContext, Plaintext } from './backend.ts';
import { channelShapes } from './column-file.ts';
import { type Channel, type ColumnHeader, magnitudeOf } from './column.ts';
import type { BlockEncryptor } from './encryption-run.ts';
import { HomomorphicFault } from './fault.ts';
import type { RowBlock } from './open-block.ts';
import { PROFILES } from './profiles.ts';

/** Ciphertexts of one block, one for each channel of the header: of the key holder's backend, in this thread. */
export function blockEncryptor(backend: Backend, header: ColumnHeader): BlockEncryptor {
  const encoders = header.channels.map((channel) => channelEncoder(backend, header, channel));
  return (block) => encoders.map((encode) => encode(block));
}

function channelEncoder(backend: Backend, header: ColumnHeader, channel: Channel): (block: RowBlock) => Uint8Array {
  const context = backend.open(PROFILES[channel.profile]);
  const shape = channelShapes({ channels: [channel], form: header.form })[0];
  if (shape === undefined) throw new HomomorphicFault('bad-column', 'a column needs a channel');
  return (block) => {
    if (header.mode === 'publicKey') {
      using plain = encoded(context, block, header, channel);
      using ciphertext = context.encryptWithPublicKey(plain);
      return context.save(ciphertext);
    }
    const seeded = encryptSeeded(context, block, header, channel);
    if (header.form === 'seeded') return seeded;
    using ciphertext = context.load({ ...shape, isSeeded: true }, seeded);
    return context.save(ciphertext);
  };
}

function encryptSeeded(context: BackendContext, block: RowBlock, header: ColumnHeader, channel: Channel): Uint8Array {
  if (context.profile.scheme !== 'ckks') return context.encryptIntegersSeeded(slotsOf(block, header, channel, context));
  using plain = encoded(context, block, header, channel);
  return context.encryptSeeded(plain);
}

function encoded(context: BackendContext, block: RowBlock, header: ColumnHeader, channel: Channel): Plaintext {
  return context.profile.scheme === 'ckks'
    ? context.encodeReals(block.reals)
    : context.encodeIntegers(slotsOf(block, header, channel, context));
}

function slotsOf(block: RowBlock, header: ColumnHeader, channel: Channel, context: BackendContext): BigInt64Array {
  switch (channel.role) {
    case 'value':
      return centred(block.integers, magnitudeOf(header), context.profile.plainModulus);
    case 'square': {
      const squares = new BigInt64Array(block.integers.length);
      const t = context.profile.plainModulus;
      // reduced before it is stored: a square of a 35-bit value does not fit 64 bits with a CRT pair of 72
      for (let i = 0; i < block.count; i++)
        squares[i] = centre(((block.integers[i] ?? 0n) * (block.integers[i] ?? 0n)) % t, t);
      return squares;
    }
    case 'valid':
      return flags(block, (i) => block.present[i] ?? 0);
    case 'category': {
      const wanted = header.categories[channel.category ?? 0] ?? 0;
      const halves = new Int32Array(block.integers.buffer);
      const [low, high] = [wanted | 0, Math.floor(wanted / 4294967296)];
      return flags(block, (i) => (halves[2 * i] === low && halves[2 * i + 1] === high ? (block.present[i] ?? 0) : 0));
    }
  }
}

/** Zeros and ones as 64-bit integers, by halves: BigInts are many times slower. */
function flags(block: RowBlock, at: (index: number) => number): BigInt64Array {
  const slots = new BigInt64Array(block.integers.length);
  const halves = new Int32Array(slots.buffer);
  for (let i = 0; i < block.count; i++) halves[2 * i] = at(i);
  return slots;
}

/** Values as residues nearest zero; untouched when they fit anyway. */
function centred(values: BigInt64Array, magnitude: bigint, t: bigint): BigInt64Array {
  return magnitude <= t / 2n ? values : values.map((value) => centre(value % t, t));
}

function centre(residue: bigint, t: bigint): bigint {
  if (residue > t / 2n) return residue - t;
  return residue < -(t / 2n) ? residue + t : residue;
}
