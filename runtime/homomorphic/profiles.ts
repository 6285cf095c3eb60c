import type { SecurityBits } from './security-level.ts';

/** BGV and BFV compute exactly on integers modulo `plainModulus`; CKKS computes approximately on reals. */
export type Scheme = 'bgv' | 'bfv' | 'ckks';

/** Names of the published parameter profiles; a caller can name one, never bring its own parameters. */
export type ProfileId =
  | 'bgv-add-a'
  | 'bgv-add-b'
  | 'bfv-add-a'
  | 'bfv-add-b'
  | 'bgv-wide'
  | 'bgv-product'
  | 'bgv-query'
  | 'ckks-deep';

/** One published, immutable parameter set. `parmsIds[k]` is SEAL's 32-byte digest (hex) with the first `k` primes. */
export interface Profile {
  readonly id: ProfileId;
  readonly scheme: Scheme;
  /** Ring degree N. */
  readonly degree: number;
  /** Coefficient primes; with more than one, SEAL keeps the last for key switching. */
  readonly primes: readonly bigint[];
  /** Plaintext modulus of the exact schemes; 0n for CKKS. */
  readonly plainModulus: bigint;
  /** Encoding scale of CKKS; 1 for the exact schemes. */
  readonly scale: number;
  readonly securityBits: SecurityBits;
  readonly parmsIds: Readonly<Record<number, string>>;
  /** What the profile is for, in words an operator reads. */
  readonly use: string;
}

const PRIME_54 = 18014398509309953n;
const PRODUCT_PRIMES = [268091393n, 268189697n, 268238849n, 268271617n, 268369921n] as const;

/**
 * All profiles. Ring degree and total modulus meet the Homomorphic Encryption Standard's table at `securityBits`
 * (asserted by a test); the digests pin SEAL's own view of each set, checked whenever a context is made.
 */
export const PROFILES: Readonly<Record<ProfileId, Profile>> = {
  'bgv-add-a': {
    id: 'bgv-add-a',
    scheme: 'bgv',
    degree: 4096,
    primes: [PRIME_54],
    plainModulus: 68719230977n,
    scale: 1,
    securityBits: 256,
    parmsIds: { 1: '80b82d6eb9f37d1bf448d504e44dd19a8ec5b5f598b9054b4c294aad86b447e9' },
    use: 'exact sums, means, counts and weighted sums at 16 bytes a value',
  },
  'bgv-add-b': {
    id: 'bgv-add-b',
    scheme: 'bgv',
    degree: 4096,
    primes: [PRIME_54],
    plainModulus: 68719403009n,
    scale: 1,
    securityBits: 256,
    parmsIds: { 1: '5ac7eaf6defa119a3885f86bf9fe25bd956f79d3aae70e6a58dca68421c13ad5' },
    use: 'the second plaintext modulus that makes sums of 64-bit integers exact',
  },
  'bfv-add-a': {
    id: 'bfv-add-a',
    scheme: 'bfv',
    degree: 4096,
    primes: [PRIME_54],
    plainModulus: 68719230977n,
    scale: 1,
    securityBits: 256,
    parmsIds: { 1: '48afd024541a31a95881de68669649bdc131a99eebc97bf9a15573ec79bf7b09' },
    use: 'as bgv-add-a for parties that must use BFV; encrypts about three times slower',
  },
  'bfv-add-b': {
    id: 'bfv-add-b',
    scheme: 'bfv',
    degree: 4096,
    primes: [PRIME_54],
    plainModulus: 68719403009n,
    scale: 1,
    securityBits: 256,
    parmsIds: { 1: 'f519748ae986328ec5e46358e63677329996ae7bf986f60566e4c88604788cc0' },
    use: 'as bgv-add-b for parties that must use BFV',
  },
  'bgv-wide': {
    id: 'bgv-wide',
    scheme: 'bgv',
    degree: 4096,
    primes: [35184371884033n, 17592186028033n, 1032193n],
    plainModulus: 4398046240769n,
    scale: 1,
    securityBits: 128,
    parmsIds: {
      2: '10e3f419d2ae44144f73ef32597e6f236abe763d0e943b62cb5114167e917fec',
      1: '20a05ea08ae24e73a1ff2f559c7518c75c1f5c82b8978729b9ed211436fb0868',
      3: '3e1f30523d26e31860c5950eb477ee0215d97018e874662c480efcb847563427',
    },
    use: 'weighted sums with large weights, and columns encrypted under another party’s public key, at 32 bytes a value',
  },
  'bgv-product': {
    id: 'bgv-product',
    scheme: 'bgv',
    degree: 8192,
    primes: PRODUCT_PRIMES,
    plainModulus: 68718428161n,
    scale: 1,
    securityBits: 192,
    parmsIds: {
      5: '0deb5df0341187bb4f5549f61ac801c3b0209a85e88e5e075587439d3e143bee',
      4: 'cf1f9d41f596df47f63dae4fd2892782d76c986c180e227fe921d4212c2c6b2b',
      3: 'f56e6f277e9e59a1abfe75498b1bdfad7cda29362637c2b586db6007961a515d',
      2: 'f93c71fe59c761cf6048073e90738f1129fac210f2c5a9c430816e1351d4e5a2',
    },
    use: 'one multiplication of encrypted columns: variance, covariance, dot product, at 64 bytes a value',
  },
  'bgv-query': {
    id: 'bgv-query',
    scheme: 'bgv',
    degree: 8192,
    primes: [267943937n, 268042241n, ...PRODUCT_PRIMES],
    plainModulus: 68718428161n,
    scale: 1,
    securityBits: 128,
    parmsIds: {
      7: 'b41813dd28dc7e745d9a29d82ac9d2efeb159e8e198659f76fd4d58fbfef9c4b',
      6: 'cf48edde8e959f993d2ecf70b1de19434d9d6ba4bd333feb83c22d5a974a562d',
      5: 'aee5b590b71430e8852bafec27ace6533a7652cc9e58b5082b112472d96e443b',
      4: '35fcfbd7349a430bb012c80a36f2c8160254eb6fed76d10a77bfdce8de46a4ff',
      3: 'd1943a4254369ca89472a969bf3eff0608a8471820b4f96ff61568cb6e9bc49a',
      2: '294722c6021ab61d52b77b4c7e7d9d2ad41326e8d9d974cb2670dfa8432ae21c',
    },
    use: 'an encrypted query or model against plaintext columns, with room for 40-bit statistical noise flooding',
  },
  'ckks-deep': {
    id: 'ckks-deep',
    scheme: 'ckks',
    degree: 8192,
    primes: [562949952798721n, 1099510824961n, 1099510890497n, 1099511480321n, 562949952847873n],
    plainModulus: 0n,
    scale: 2 ** 40,
    securityBits: 128,
    parmsIds: {
      5: 'fdb0855a5b8170d1b41a5400749f4aecdb2c90f367aec5c68fb125edc923152f',
      4: 'c20a8067d096b54c04433d6bb1b9a755dbd2d0037958fae413574c73fd31e2b9',
      3: '86a6a3202a56179219939f6c5ae01efb76eacf720cdbf3284b21112d2ba99fba',
      2: 'a2e24f2a896196d38469f916980c88ffd5d52dc907e126f5ead7413d6fea1a20',
      1: 'cb9715f14e0c76da6a0dfaf1989d21b1a48787263a3109a92a89fe3b62166a57',
    },
    use: 'approximate work three multiplications deep: logistic scoring by a declared cubic',
  },
};

/** Whether a name from outside is one of the published profiles. */
export function isProfileId(name: unknown): name is ProfileId {
  return typeof name === 'string' && Object.hasOwn(PROFILES, name);
}

/** Number of primes a fresh ciphertext has: all but the key-switching prime. */
export function dataPrimeCount(profile: Profile): number {
  return profile.primes.length === 1 ? 1 : profile.primes.length - 1;
}

/** Values that one ciphertext holds: N for the exact schemes, N/2 for CKKS. */
export function slotCount(profile: Profile): number {
  return profile.scheme === 'ckks' ? profile.degree / 2 : profile.degree;
}

/** Product of the first `primeCount` primes: the modulus q of a ciphertext at that level. */
export function modulusAt(profile: Profile, primeCount: number): bigint {
  return profile.primes.slice(0, primeCount).reduce((product, prime) => product * prime, 1n);
}

/** Total modulus in bits, key-switching prime included: what the security table is read with. */
export function totalModulusBits(profile: Profile): number {
  return modulusAt(profile, profile.primes.length).toString(2).length;
}
