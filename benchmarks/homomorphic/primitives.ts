import type { Backend } from '../../runtime/homomorphic/backend.ts';
import { freshShape } from '../../runtime/homomorphic/layout.ts';
import { PROFILES, slotCount, type ProfileId } from '../../runtime/homomorphic/profiles.ts';
import { timed } from './measure.ts';

/** One primitive operation of the encryption library: the floor under every program. */
export interface PrimitiveRow {
  readonly kind: 'primitive';
  readonly profile: ProfileId;
  readonly operation: string;
  readonly medianMicroseconds: number;
  readonly valuesPerSecond: number;
}

/** Measures the primitive operations of a profile; `iterations` of each make one run. */
export function primitiveRows(
  backend: Backend,
  id: ProfileId,
  runs: number,
  iterations: number,
): readonly PrimitiveRow[] {
  const profile = PROFILES[id];
  const he = backend.open(profile);
  const keys = he.generateKeys();
  he.useSecretKey(keys.secretKey);
  if (keys.relinearisationKey !== null) he.useRelinearisationKey(keys.relinearisationKey);
  const isReal = profile.scheme === 'ckks';
  const integers = BigInt64Array.from({ length: profile.degree }, (_, i) => BigInt(i % 1000));
  const reals = Float64Array.from({ length: slotCount(profile) }, (_, i) => (i % 1000) / 1000);
  const encode = () => (isReal ? he.encodeReals(reals) : he.encodeIntegers(integers));
  using owned = new DisposableStack();
  const plain = owned.use(encode());
  const seeded = he.encryptSeeded(plain);
  const a = owned.use(he.load(freshShape(profile, 'seeded'), seeded));
  const b = owned.use(he.copy(a));
  const full = he.save(a).slice();
  const steps: (readonly [string, () => void])[] = [
    ['encode', () => encode()[Symbol.dispose]()],
    ['encrypt under the secret key, seeded', () => void he.encryptSeeded(plain)],
    ['encrypt under the public key', () => he.encryptWithPublicKey(plain)[Symbol.dispose]()],
    ['load seeded (validate, expand)', () => he.load(freshShape(profile, 'seeded'), seeded)[Symbol.dispose]()],
    ['load full (validate)', () => he.load(freshShape(profile, 'full'), full)[Symbol.dispose]()],
    ['add', () => he.addTo(a, b)],
    ['multiply by a plaintext', () => he.multiplyPlain(b, plain)[Symbol.dispose]()],
    ['decrypt and decode', () => void (isReal ? he.decryptReals(b) : he.decryptIntegers(b))],
  ];
  if (profile.primes.length > 1 && profile.id !== 'bgv-wide') {
    he.makeRotationKeys([1]);
    const rotating = owned.use(he.copy(b));
    steps.push(
      ['multiply', () => he.multiply(b, b)[Symbol.dispose]()],
      ['rotate', () => he.rotate(rotating, 1)],
      [
        'multiply and relinearise',
        () => {
          using product = he.multiply(b, b);
          he.relinearise(product);
        },
      ],
    );
  }
  return steps.map(([operation, step]) => {
    const { medianMs } = timed(runs, () => {
      for (let i = 0; i < iterations; i++) step();
    });
    const micro = (medianMs * 1000) / iterations;
    return {
      kind: 'primitive',
      profile: id,
      operation,
      medianMicroseconds: micro,
      valuesPerSecond: (slotCount(profile) / micro) * 1e6,
    };
  });
}
