import { createHash } from 'node:crypto';
import type { Backend } from './backend.ts';
import { HomomorphicFault } from './fault.ts';
import { CHECK_DIGITS, checkOf } from './key-file-check.ts';
import { cutKeyFile } from './key-file-frame.ts';
import { PROFILES, isProfileId, type ProfileId } from './profiles.ts';
import { checkPublicKey, checkRelinearisationKey, checkSecretKey } from './validate.ts';

/** Public keys of one key holder: what may leave, be uploaded and be stored. Bytes are SEAL's uncompressed, seeded form. */
export interface PublicBundle {
  readonly format: 'glovebox-homomorphic-public/2';
  /** `sha256:` of the keys in order of profile: the name of the key everywhere else. */
  readonly keyId: string;
  readonly keys: readonly {
    readonly profile: ProfileId;
    readonly publicKey: Uint8Array;
    readonly relinearisationKey: Uint8Array | null;
  }[];
}

/** Secret keys of one key holder; stays in its own process and its own file with owner-only permissions. */
export interface SecretBundle {
  readonly format: 'glovebox-homomorphic-secret/2';
  readonly keyId: string;
  readonly keys: readonly { readonly profile: ProfileId; readonly secretKey: Uint8Array }[];
}

/** Largest bundle file that is read: every profile with relinearisation keys fits several times. */
export const BUNDLE_LIMIT_BYTES = 32 * 1024 * 1024;

/** Makes a key pair for the given profiles on a backend of the key holder; randomness is SEAL's own. */
export function generateKeyBundles(
  backend: Backend,
  profiles: readonly ProfileId[],
): { readonly open: PublicBundle; readonly secret: SecretBundle } {
  const materials = [...new Set(profiles)].toSorted().map((id) => backend.open(PROFILES[id]).generateKeys());
  const keys = materials.map(({ profile, publicKey, relinearisationKey }) => ({
    profile,
    publicKey,
    relinearisationKey,
  }));
  const keyId = keyIdOf(keys);
  return {
    open: { format: 'glovebox-homomorphic-public/2', keyId, keys },
    secret: {
      format: 'glovebox-homomorphic-secret/2',
      keyId,
      keys: materials.map(({ profile, secretKey }) => ({ profile, secretKey })),
    },
  };
}

/** The bundle as a file: JSON with base64 keys, and behind its format a check over all that follows. */
export function writeBundle({ format, ...bundle }: PublicBundle | SecretBundle): string {
  const inBase64 = (_: string, value: unknown): unknown =>
    value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
  const rest = `${JSON.stringify(bundle, inBase64, 1).slice('{\n'.length)}\n`;
  return `{\n "format": "${format}",\n "check": "${checkOf(Buffer.from(rest))}",\n${rest}`;
}

/** Reads a public bundle from untrusted bytes; every key is validated byte for byte and the name is recomputed. */
export function readPublicBundle(bytes: Uint8Array): PublicBundle {
  // frame and check first: decoding and hashing megabytes costs many times as much
  const file =
    bytes.byteLength > BUNDLE_LIMIT_BYTES ? `it is larger than ${BUNDLE_LIMIT_BYTES} bytes` : cutKeyFile(bytes);
  if (typeof file === 'string') return refuse(file);
  const decoded = (base64: Uint8Array): Uint8Array =>
    bytesOf(Buffer.from(base64.buffer, base64.byteOffset, base64.byteLength).toString('latin1'));
  const keys = file.keys.map(({ profile, ...key }) => {
    const publicKey = decoded(key.publicKey);
    checkPublicKey(PROFILES[profile], publicKey);
    const relinearisationKey = key.relinearisationKey === null ? null : decoded(key.relinearisationKey);
    if (relinearisationKey !== null) checkRelinearisationKey(PROFILES[profile], relinearisationKey);
    return { profile, publicKey, relinearisationKey };
  });
  const keyId = keyIdOf(keys);
  if (keyId !== file.keyId) refuse('its name is not the digest of its keys');
  return { format: 'glovebox-homomorphic-public/2', keyId, keys };
}

const SECRET_HEAD = /^\{\n "format": "glovebox-homomorphic-secret\/2",\n "check": "([0-9a-f]{32})",\n/;

/** Reads the key holder's secret bundle; a damaged key would decrypt to wrong numbers, so its check is looked at. */
export function readSecretBundle(text: string): SecretBundle {
  const bundle = parse(text);
  const isChecked = bundle['format'] === 'glovebox-homomorphic-secret/2';
  if (isChecked) {
    const [head = '', check] = SECRET_HEAD.exec(text.slice(0, 64 + CHECK_DIGITS + 32)) ?? [];
    if (check === undefined || checkOf(Buffer.from(text.slice(head.length))) !== check)
      refuse('it was damaged: its check is wrong');
  }
  const format = isChecked ? 'glovebox-homomorphic-secret/2' : 'glovebox-homomorphic-secret/1';
  const keys = readKeys(bundle, { format, fields: isChecked ? 4 : 3 }).map((entry) => {
    const profile = profileOf(entry);
    const secretKey = bytesOf(entry['secretKey']);
    checkSecretKey(PROFILES[profile], secretKey);
    return { profile, secretKey };
  });
  return { format: 'glovebox-homomorphic-secret/2', keyId: nameOf(bundle), keys };
}

function keyIdOf(keys: PublicBundle['keys']): string {
  const hash = createHash('sha256');
  for (const key of keys) {
    hash.update(`${key.profile}\n${key.publicKey.byteLength}\n`).update(key.publicKey);
    hash.update(`${key.relinearisationKey?.byteLength ?? 0}\n`).update(key.relinearisationKey ?? new Uint8Array(0));
  }
  return `sha256:${hash.digest('hex')}`;
}

function readKeys(
  bundle: Readonly<Record<string, unknown>>,
  { format, fields }: { readonly format: string; readonly fields: number },
): readonly Record<string, unknown>[] {
  const keys = bundle['keys'];
  const isWhole = bundle['format'] === format && Object.keys(bundle).length === fields && Array.isArray(keys);
  if (!isWhole || keys.length === 0 || keys.length > Object.keys(PROFILES).length)
    refuse(`it is not a file of format ${format}`);
  const entries = keys as unknown[];
  const seen = new Set<unknown>();
  for (const entry of entries) {
    const isEntry =
      typeof entry === 'object' && entry !== null && Object.keys(entry).toSorted().join() === 'profile,secretKey';
    if (!isEntry) refuse('an entry has other fields than a key has');
    seen.add((entry as Record<string, unknown>)['profile']);
  }
  if (seen.size !== entries.length) refuse('a profile has two keys');
  return entries as Record<string, unknown>[];
}

function parse(text: string): Record<string, unknown> {
  if (text.length > BUNDLE_LIMIT_BYTES) refuse(`it is larger than ${BUNDLE_LIMIT_BYTES} bytes`);
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // said below, without the parser's excerpt of what may be a secret
  }
  return refuse('it is not JSON');
}

function nameOf(bundle: Readonly<Record<string, unknown>>): string {
  const name = bundle['keyId'];
  if (typeof name === 'string' && /^sha256:[0-9a-f]{64}$/.test(name)) return name;
  return refuse('it has no name');
}

function profileOf(entry: Record<string, unknown>): ProfileId {
  const id = entry['profile'];
  return isProfileId(id) ? id : refuse('it names a profile that is not published');
}

function bytesOf(value: unknown): Uint8Array {
  if (typeof value !== 'string') return refuse('a key is missing');
  const bytes = Buffer.from(value, 'base64');
  // what is not base64 is skipped, so it shows in the length; encoding again to compare would double the work
  if (base64Length(bytes.byteLength) !== value.length) refuse('a key is not base64');
  // a view, not a copy: key files are megabytes
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const base64Length = (bytes: number): number => Math.ceil(bytes / 3) * 4;

function refuse(complaint: string): never {
  throw new HomomorphicFault('bad-key', `cannot read this key file: ${complaint}`);
}
