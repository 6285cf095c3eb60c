import { dataPrimeCount, modulusAt, type Profile } from './profiles.ts';

/*
 * Static noise bounds. SEAL 4 draws errors from a centred binomial distribution with |e| <= 21 and ternary secrets.
 * Encryption under the secret key therefore has an absolute bound; encryption under a public key (and the products
 * u*e, e*s in it) has a subgaussian tail, bounded here with failure probability below 2^-128 per ciphertext.
 * From there everything grows linearly, never by a square root: an adversary may add a ciphertext to itself.
 */
const ERROR_BOUND = 21n;
/** sqrt(2 ln 2^140): covers all 2*8192 coefficients of a ciphertext at 2^-128. */
const TAIL = 14;

/** How a column was encrypted: under the secret key (small noise) or under somebody's public key. */
export type EncryptionMode = 'secretKey' | 'publicKey';

/** Bound on |m + t e| / t (BGV), or on the error in units of q/t (BFV), of one fresh ciphertext. */
export function freshNoise(profile: Profile, mode: EncryptionMode): bigint {
  if (mode === 'secretKey') return ERROR_BOUND + 2n;
  const variance = 10.5;
  const sigma = Math.sqrt(2 * profile.degree * (2 / 3) * variance + variance);
  return BigInt(Math.ceil(sigma * TAIL)) + 2n;
}

/** Largest total of absolute weights whose sum still decrypts, for columns encrypted in the given way. */
export function weightCapacity(profile: Profile, mode: EncryptionMode): bigint {
  const q = modulusAt(profile, dataPrimeCount(profile));
  return q / (2n * profile.plainModulus * freshNoise(profile, mode));
}

/** Most products of two fresh ciphertexts that may be added before decryption could fail (BGV). */
export function productCapacity(profile: Profile, mode: EncryptionMode): bigint {
  const q = modulusAt(profile, dataPrimeCount(profile));
  const one = profile.plainModulus * freshNoise(profile, mode);
  return q / (2n * BigInt(profile.degree) * one * one);
}

/** Statistical distance, in bits, that flooding an encrypted query's result must reach. */
export const FLOODING_BITS = 40;

/**
 * Bits of the flooding noise of a query result: up to half of what decryption tolerates, whatever the honest noise is.
 * Filling the room to the brim matters more than the statistical distance: a consumer that hides a second message in
 * inflated noise finds no room left above the flood.
 */
export function floodBits(profile: Profile): number {
  const q = modulusAt(profile, dataPrimeCount(profile));
  // centred, so t times the flood reaches at most q/4 either side: decryption tolerates q/2
  return (q / (2n * profile.plainModulus)).toString(2).length - 1;
}

/** Most products of an encrypted weight with a plaintext that one result may add up under the flood. */
export function queryCapacity(profile: Profile): bigint {
  const honest = freshNoise(profile, 'publicKey') * (profile.plainModulus / 2n + 1n) * BigInt(profile.degree);
  return (1n << BigInt(floodBits(profile) - FLOODING_BITS)) / honest;
}

/** Whole bits between a used part and a limit; negative when it does not fit. */
export function bitsLeft(used: bigint, limit: bigint): number {
  if (used <= 0n) return limit.toString(2).length;
  return limit >= used ? (limit / used).toString(2).length - 1 : -(used / (limit > 0n ? limit : 1n)).toString(2).length;
}
