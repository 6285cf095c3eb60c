import { channelMagnitude, COLUMN_LIMITS, magnitudeOf, type Channel, type ColumnHeader } from './column.ts';
import { HomomorphicFault } from './fault.ts';
import { ciphertextBytes, freshShape } from './layout.ts';
import { weightCapacity, type EncryptionMode } from './noise.ts';
import { PROFILES, slotCount, totalModulusBits, type ProfileId } from './profiles.ts';
import type { HomomorphicProgram } from './program.ts';

/** What a column will be used for; parameters are chosen once, when it is encrypted. */
export interface ColumnIntent {
  readonly column: string;
  readonly programs: readonly HomomorphicProgram['name'][];
  /** Bounds of the plain values. */
  readonly low: number | bigint;
  readonly high: number | bigint;
  /** Digits after the point that are kept exactly. */
  readonly decimals: number;
  readonly rows: number;
  /** Whether values can be missing. */
  readonly isNullable?: boolean;
  /** Public values of a category column. */
  readonly categories?: readonly number[];
  readonly groups?: readonly string[];
  /** Largest sum of absolute integer weights of a weighted sum; 1024 when not said. */
  readonly weightTotal?: number;
  readonly mode?: EncryptionMode;
  /** Whether it is to be computed on with columns of other providers: those have the noise of a public key. */
  readonly isShared?: boolean;
  /** Force BFV for exact work. */
  readonly scheme?: 'bgv' | 'bfv' | 'ckks';
  /** Least security in bits; 128 when not said. */
  readonly securityBits?: number;
  readonly alignment?: string;
}

/** The parameters of one column, with the reasons. */
export interface ParameterChoice {
  /** Everything of the header but the key. */
  readonly header: Omit<ColumnHeader, 'keyId'>;
  readonly profiles: readonly ProfileId[];
  readonly securityBits: number;
  readonly storedBytesPerValue: number;
  readonly uploadedBytesPerValue: number;
  readonly explanation: readonly string[];
}

/**
 * Chooses scheme, ring, moduli and packing for a column among the published profiles; throws `no-parameters` when the
 * programs, the bounds or the asked security cannot be met, and says which.
 */
export function chooseParameters(intent: ColumnIntent): ParameterChoice {
  if (!Number.isInteger(intent.decimals) || intent.decimals < 0 || intent.decimals > COLUMN_LIMITS.decimals) {
    refuse(intent, `decimals is a whole number from 0 to ${COLUMN_LIMITS.decimals}`);
  }
  const explanation: string[] = [];
  const isReal = intent.programs.includes('logistic');
  if (isReal && intent.programs.length > 1)
    refuse(intent, 'logistic needs CKKS: encrypt the column a second time for exact programs');
  if (intent.scheme === 'ckks' && !isReal)
    refuse(intent, 'CKKS is used for logistic only: exact programs keep decimals exactly in BGV');
  const decimals = isReal ? 0 : intent.decimals;
  const low = scaled(intent, intent.low, decimals, isReal ? 'floor' : 'round');
  const high = scaled(intent, intent.high, decimals, isReal ? 'ceil' : 'round');
  if (low > high) refuse(intent, 'its lower bound is above its upper bound');
  const base = { low: String(low), high: String(high) };
  const channels = isReal ? realChannels(explanation) : integerChannels(intent, base, explanation);
  const profiles = [...new Set(channels.map((channel) => channel.profile))];
  const security = Math.min(...profiles.map((id) => PROFILES[id].securityBits));
  const least = Math.max(128, intent.securityBits ?? 128);
  if (security < least)
    refuse(intent, `its programs run at ${security}-bit security here, ${least} bits are asked for`);
  const mode = intent.mode ?? 'secretKey';
  const form = mode === 'publicKey' ? 'full' : 'seeded';
  const perValue = (as: 'seeded' | 'full'): number =>
    channels.reduce(
      (sum, { profile }) => sum + ciphertextBytes(freshShape(PROFILES[profile], as)) / slotCount(PROFILES[profile]),
      0,
    );
  for (const id of profiles) {
    const profile = PROFILES[id];
    explanation.push(
      `${id}: ${profile.scheme.toUpperCase()}, N = ${profile.degree}, ${totalModulusBits(profile)}-bit modulus, ` +
        `${profile.securityBits}-bit security by the homomorphicencryption.org table; ${profile.use}`,
    );
  }
  return {
    header: {
      format: 'glovebox-encrypted-column/1',
      column: intent.column,
      form,
      mode,
      decimals,
      ...base,
      channels,
      categories: intent.categories ?? [],
      groups: intent.groups ?? [],
      alignment: intent.alignment ?? null,
    },
    profiles,
    securityBits: security,
    storedBytesPerValue: perValue('full'),
    uploadedBytesPerValue: perValue(form),
    explanation,
  };
}

function realChannels(explanation: string[]): readonly Channel[] {
  explanation.push('logistic scores are approximate: CKKS, three multiplications deep');
  return [{ role: 'value', profile: 'ckks-deep', category: null }];
}

function integerChannels(
  intent: ColumnIntent,
  bounds: Pick<ColumnHeader, 'low' | 'high'>,
  explanation: string[],
): readonly Channel[] {
  const { programs } = intent;
  if ((intent.categories?.length ?? 0) > 0) {
    if ((intent.categories?.length ?? 0) > COLUMN_LIMITS.categories)
      refuse(intent, `a column has at most ${COLUMN_LIMITS.categories} categories`);
    const profile = additive(intent);
    explanation.push('one encrypted indicator per public category: counts are sums, and the runtime sees no frequency');
    return (intent.categories ?? []).map((_, category): Channel => ({ role: 'category', profile, category }));
  }
  const valid = (profile: ProfileId): readonly Channel[] =>
    intent.isNullable === true ? [{ role: 'valid', profile, category: null }] : [];
  const magnitude = magnitudeOf(bounds);
  if (programs.includes('dot') || programs.includes('covariance')) {
    if (intent.scheme === 'bfv') refuse(intent, 'products of encrypted columns run in BGV here');
    const { plainModulus } = PROFILES['bgv-product'];
    if (2n * magnitude * magnitude >= plainModulus) {
      refuse(
        intent,
        `products of values up to ${magnitude} do not fit ${plainModulus}: narrow the bounds or keep fewer decimals`,
      );
    }
    explanation.push('products of encrypted columns: one level of BGV multiplication, no key material at the runtime');
    return [{ role: 'value', profile: 'bgv-product', category: null }, ...valid('bgv-product')];
  }
  const single = additive(intent);
  const isSquared = programs.includes('variance');
  const roles = isSquared ? (['value', 'square'] as const) : (['value'] as const);
  const blocks = BigInt(Math.max(1, Math.min(64, Math.ceil(intent.rows / slotCount(PROFILES[single])))));
  const weight = programs.includes('linear') ? BigInt(Math.ceil(intent.weightTotal ?? 1024)) : 1n;
  const channels = roles.flatMap((role): readonly Channel[] => {
    const largest = channelMagnitude(bounds, role) * blocks * (role === 'value' ? weight : 1n);
    if (2n * largest < PROFILES[single].plainModulus) return [{ role, profile: single, category: null }];
    const pair = pairOf(single);
    if (pair === null)
      return refuse(intent, `values up to ${magnitude} with these weights do not fit profile ${single}`);
    const modulus = PROFILES[single].plainModulus * PROFILES[pair].plainModulus;
    const alone = channelMagnitude(bounds, role);
    if (2n * alone >= modulus)
      refuse(
        intent,
        `${role === 'square' ? 'squares of ' : ''}values up to ${magnitude} do not fit two moduli of 36 bits`,
      );
    explanation.push(
      `${role}s up to ${alone} need two plaintext moduli joined by the Chinese remainder theorem: exact to ${modulus.toString(2).length - 1} bits`,
    );
    return [
      { role, profile: single, category: null },
      { role, profile: pair, category: null },
    ];
  });
  if (isSquared)
    explanation.push(
      'squares are encrypted beside the values: a variance is then a sum, a thousand times faster than multiplying',
    );
  return [...channels, ...valid(single)];
}

/** The cheapest additive profile whose noise room holds the weights. */
function additive(intent: ColumnIntent): ProfileId {
  const mode = intent.mode ?? 'secretKey';
  const weight = intent.programs.includes('linear') ? BigInt(Math.ceil(intent.weightTotal ?? 1024)) : 1n;
  const narrow: ProfileId = intent.scheme === 'bfv' ? 'bfv-add-a' : 'bgv-add-a';
  if (mode === 'secretKey' && intent.isShared !== true && weightCapacity(PROFILES[narrow], mode) >= weight)
    return narrow;
  if (intent.scheme === 'bfv') refuse(intent, 'these weights need profile bgv-wide, which is BGV');
  if (weightCapacity(PROFILES['bgv-wide'], mode) < weight) refuse(intent, 'no profile has room for such large weights');
  return 'bgv-wide';
}

function pairOf(profile: ProfileId): ProfileId | null {
  if (profile === 'bgv-add-a') return 'bgv-add-b';
  return profile === 'bfv-add-a' ? 'bfv-add-b' : null;
}

function scaled(
  intent: ColumnIntent,
  bound: number | bigint,
  decimals: number,
  rounding: 'floor' | 'ceil' | 'round',
): bigint {
  if (typeof bound === 'bigint') {
    const value = bound * 10n ** BigInt(decimals);
    if (value < -(1n << 63n) || value >= 1n << 63n) refuse(intent, 'its bounds do not fit 64 bits');
    return value;
  }
  const value = Math[rounding](bound * 10 ** decimals);
  if (!Number.isSafeInteger(value)) refuse(intent, 'its bounds are not exact numbers: give them as 64-bit integers');
  return BigInt(value);
}

function refuse(intent: ColumnIntent, complaint: string): never {
  throw new HomomorphicFault('no-parameters', `cannot choose parameters for column ${intent.column}: ${complaint}`);
}
