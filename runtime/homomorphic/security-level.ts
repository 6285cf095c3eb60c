/**
 * Largest total coefficient modulus in bits for a ring degree, ternary secrets, classical attacks: the tables of the
 * Homomorphic Encryption Standard (Albrecht et al., homomorphicencryption.org, 2018, table 1).
 */
const MAX_MODULUS_BITS: ReadonlyMap<number, Readonly<Record<SecurityBits, number>>> = new Map([
  [1024, { 128: 27, 192: 19, 256: 14 }],
  [2048, { 128: 54, 192: 37, 256: 29 }],
  [4096, { 128: 109, 192: 75, 256: 58 }],
  [8192, { 128: 218, 192: 152, 256: 118 }],
  [16384, { 128: 438, 192: 305, 256: 237 }],
  [32768, { 128: 881, 192: 611, 256: 476 }],
]);

/** Security levels the standard tabulates; less than 128 is never accepted. */
export type SecurityBits = 128 | 192 | 256;

/** The highest tabulated security level of a ring degree and total modulus (key-switching prime included), or null below 128. */
export function securityBitsOf(degree: number, modulusBits: number): SecurityBits | null {
  const row = MAX_MODULUS_BITS.get(degree);
  if (row === undefined) return null;
  for (const bits of [256, 192, 128] as const) if (modulusBits <= row[bits]) return bits;
  return null;
}
