import { HomomorphicFault } from './fault.ts';
import type { EncryptionMode } from './noise.ts';
import { isProfileId, PROFILES, slotCount, type ProfileId } from './profiles.ts';

/** What one ciphertext of a block holds for its rows. */
export type ChannelRole = 'value' | 'square' | 'valid' | 'category';

/** One ciphertext per block: a role under one profile; two `value` channels with different moduli are a CRT pair. */
export interface Channel {
  readonly role: ChannelRole;
  readonly profile: ProfileId;
  /** Index into `categories` for role `category`, null otherwise. */
  readonly category: number | null;
}

/** Everything public about an encrypted column: the first record of its file. */
export interface ColumnHeader {
  readonly format: 'glovebox-encrypted-column/1';
  readonly column: string;
  /** Half-size as uploaded, or expanded as stored for computing. */
  readonly form: 'seeded' | 'full';
  readonly mode: EncryptionMode;
  /** Name of the key pair, `sha256:…`. */
  readonly keyId: string;
  /** Values are integers: the plaintext value times 10^decimals (for CKKS: 0). */
  readonly decimals: number;
  /** Declared bounds of the scaled values, decimal integers as text; enforced when encrypting. */
  readonly low: string;
  readonly high: string;
  readonly channels: readonly Channel[];
  /** Public values of a category column. */
  readonly categories: readonly number[];
  /** Public keys of the groups that blocks belong to; empty when the column is not partitioned. */
  readonly groups: readonly string[];
  /** Digest over the unit tags in row order; columns with the same one are aligned. Null when unknown. */
  readonly alignment: string | null;
}

/** One block: up to `slotCount` rows of one group, one ciphertext per channel. */
export interface ColumnBlock {
  /** Index into `groups`; 0 when there are none. */
  readonly group: number;
  readonly rows: number;
  readonly channels: readonly Uint8Array[];
}

/** Totals at the end of a column file. */
export interface ColumnTotals {
  readonly rows: number;
  readonly blocks: number;
  /** `sha256:` of the whole file: the name of the column in catalogue, transcript and receipt. */
  readonly digest: string;
}

/** Named limits of an encrypted column. */
export const COLUMN_LIMITS = {
  headerBytes: 64 * 1024,
  channels: 64,
  categories: 60,
  groups: 256,
  blocks: 1 << 22,
  nameLength: 128,
  decimals: 12,
} as const;

const HEADER_KEYS = [
  'format',
  'column',
  'form',
  'mode',
  'keyId',
  'decimals',
  'low',
  'high',
  'channels',
  'categories',
  'groups',
  'alignment',
] as const;

/** Reads a column header from untrusted text; anything unexpected throws `bad-column`. */
export function parseColumnHeader(text: string): ColumnHeader {
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch {
    return refuse('its header is not JSON');
  }
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return refuse('its header is not an object');
  const header = input as Record<(typeof HEADER_KEYS)[number], unknown>;
  if (Object.keys(header).join() !== HEADER_KEYS.join()) return refuse('its header has other fields than a column has');
  const { format, column, form, mode, keyId, decimals, low, high, channels, categories, groups, alignment } = header;
  if (format !== 'glovebox-encrypted-column/1') return refuse('its format is unknown');
  if (!isText(column)) return refuse('its name is missing or too long');
  if (form !== 'seeded' && form !== 'full') return refuse('its form is neither seeded nor full');
  if (mode !== 'secretKey' && mode !== 'publicKey') return refuse('its encryption mode is unknown');
  if (mode === 'publicKey' && form !== 'full') return refuse('public-key ciphertexts have no seeded form');
  if (!isDigest(keyId)) return refuse('it names no key');
  if (!isCount(decimals, COLUMN_LIMITS.decimals)) return refuse('its decimals are out of range');
  if (!isInteger(low) || !isInteger(high) || BigInt(low) > BigInt(high))
    return refuse('its bounds are not an interval');
  if (alignment !== null && !isDigest(alignment)) return refuse('its alignment is not a digest');
  const valuesOf = readCategories(categories);
  return {
    format,
    column,
    form,
    mode,
    keyId,
    decimals,
    low,
    high,
    channels: readChannels(channels, valuesOf.length),
    categories: valuesOf,
    groups: readGroups(groups),
    alignment,
  };
}

/** The header as text, keys in the one order that `parseColumnHeader` takes. */
export function columnHeaderText(header: ColumnHeader): string {
  return JSON.stringify(Object.fromEntries(HEADER_KEYS.map((key) => [key, header[key]])));
}

/** Rows that one block of the column can hold: the slots of its profiles, which all agree. */
export function rowsPerBlock(header: Pick<ColumnHeader, 'channels'>): number {
  const first = header.channels[0];
  return first === undefined ? 0 : slotCount(PROFILES[first.profile]);
}

/** Largest magnitude that a value of the column can have, in scaled units. */
export function magnitudeOf(header: Pick<ColumnHeader, 'low' | 'high'>): bigint {
  const low = BigInt(header.low);
  const high = BigInt(header.high);
  return -low > high ? -low : high;
}

/** Largest magnitude in a slot of a channel. */
export function channelMagnitude(header: Pick<ColumnHeader, 'low' | 'high'>, role: ChannelRole): bigint {
  const magnitude = magnitudeOf(header);
  switch (role) {
    case 'value':
      return magnitude;
    case 'square':
      return magnitude * magnitude;
    case 'valid':
    case 'category':
      return 1n;
  }
}

function readChannels(input: unknown, categoryCount: number): readonly Channel[] {
  if (!Array.isArray(input) || input.length === 0 || input.length > COLUMN_LIMITS.channels)
    return refuse('it has no channels');
  const seen = new Set<string>();
  const slots = new Set<number>();
  const channels = (input as unknown[]).map((item): Channel => {
    if (typeof item !== 'object' || item === null || Object.keys(item).join() !== 'role,profile,category') {
      return refuse('a channel is malformed');
    }
    const { role, profile, category } = item as Record<string, unknown>;
    if (role !== 'value' && role !== 'square' && role !== 'valid' && role !== 'category')
      return refuse('a channel has no role');
    if (!isProfileId(profile)) return refuse('a channel names a profile that is not published');
    const isIndexed = role === 'category' ? isCount(category, categoryCount - 1) : category === null;
    if (!isIndexed) return refuse('a channel names a category that does not exist');
    seen.add(`${role} ${profile} ${String(category)}`);
    slots.add(slotCount(PROFILES[profile]));
    return { role, profile, category: category as number | null };
  });
  if (seen.size !== channels.length) return refuse('a channel appears twice');
  if (slots.size !== 1) return refuse('its channels hold different numbers of rows');
  return channels;
}

function readCategories(input: unknown): readonly number[] {
  if (!Array.isArray(input) || input.length > COLUMN_LIMITS.categories) return refuse('it has too many categories');
  const values = input as unknown[];
  if (
    !values.every((value) => typeof value === 'number' && Number.isSafeInteger(value)) ||
    new Set(values).size !== values.length
  ) {
    return refuse('its categories are not distinct whole numbers');
  }
  return values as number[];
}

function readGroups(input: unknown): readonly string[] {
  if (!Array.isArray(input) || input.length > COLUMN_LIMITS.groups) return refuse('it has too many groups');
  const groups = input as unknown[];
  if (!groups.every((group) => isText(group)) || new Set(groups).size !== groups.length)
    return refuse('its groups are not distinct names');
  return groups as string[];
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= COLUMN_LIMITS.nameLength;
}

function isDigest(value: unknown): value is string {
  return typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value);
}

function isInteger(value: unknown): value is string {
  return typeof value === 'string' && /^(0|-?[1-9][0-9]{0,18})$/.test(value);
}

function isCount(value: unknown, most: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most;
}

function refuse(complaint: string): never {
  throw new HomomorphicFault('bad-column', `cannot read this encrypted column: ${complaint}`);
}
