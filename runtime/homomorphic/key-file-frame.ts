import { CHECK_DIGITS, checkOf } from './key-file-check.ts';
import { ciphertextBytes, ciphertextHeader, keyShape, relinearisationHead } from './layout.ts';
import { dataPrimeCount, isProfileId, PROFILES, type Profile, type ProfileId } from './profiles.ts';

/** Characters of a key that are decoded for a first look: the fixed head of every object lies within them. */
const LOOK_CHARACTERS = 152;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const QUOTE = '"'.charCodeAt(0);

/** A public key file cut into its parts; keys are base64 of the right length with the right head, not decoded yet. */
export interface KeyFileFrame {
  readonly keyId: string;
  readonly keys: readonly {
    readonly profile: ProfileId;
    readonly publicKey: Uint8Array;
    readonly relinearisationKey: Uint8Array | null;
  }[];
}

/**
 * Cuts a public key file as `writeBundle` writes it; a text says what is wrong: field names in their order, one of the
 * two lengths that a key of its profile has, the head of each key, nothing behind the end. Looks at some hundred bytes of
 * a file of megabytes, then at its check, so what cannot be one, or was damaged, is refused before anything is decoded;
 * there is nothing to parse. Files of version 1 have no check.
 */
export function cutKeyFile(bytes: Uint8Array): KeyFileFrame | string {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const take = (literal: string): boolean => {
    if (file.toString('latin1', at, at + literal.length) !== literal) return false;
    at += literal.length;
    return true;
  };
  /** The text up to the next quotation mark, which must come within `most` characters. */
  const short = (most: number): string | null => {
    const text = file.toString('latin1', at, at + most + 1);
    const end = text.indexOf('"');
    if (end < 0) return null;
    at += end;
    return text.slice(0, end);
  };
  /** A key that has one of these lengths in bytes and one of these heads. */
  const key = (forms: readonly { readonly bytes: number; readonly head: Uint8Array }[]): Uint8Array | null => {
    const form = forms.find((one) => file[at + base64Length(one.bytes)] === QUOTE);
    if (form === undefined) return null;
    const look = Buffer.from(file.toString('latin1', at, at + LOOK_CHARACTERS), 'base64');
    const found = file.subarray(at, (at += base64Length(form.bytes)));
    return Buffer.compare(look.subarray(0, form.head.byteLength), form.head) === 0 ? found : null;
  };
  const keys: KeyFileFrame['keys'][number][] = [];
  if (!take('{\n "format": "glovebox-homomorphic-public/')) return 'it does not begin like one';
  const hasCheck = take('2",\n "check": "');
  const check = hasCheck ? short(CHECK_DIGITS) : null;
  if (!take(hasCheck ? '",\n' : '1",\n')) return 'its version is unknown';
  const checkedFrom = at;
  if (!take(' "keyId": "')) return 'it does not begin like one';
  const keyId = short(71) ?? '';
  if (!DIGEST.test(keyId)) return 'it has no name';
  if (!take('",\n "keys": [')) return 'it has no keys';
  for (;;) {
    if (!take('\n  {\n   "profile": "')) return 'an entry has other fields than a key has';
    const id = short(32);
    if (!isProfileId(id)) return 'it names a profile that is not published';
    if (keys.some(({ profile }) => profile === id)) return 'a profile has two keys';
    const publicKey = take('",\n   "publicKey": "') ? key(publicForms(PROFILES[id])) : null;
    if (publicKey === null || !take('",\n   "relinearisationKey": '))
      return `the public key of ${id} has another length or head than such a key has`;
    const hasRelinearisationKey = take('"');
    const relinearisationKey = hasRelinearisationKey ? key(relinearisationForms(PROFILES[id])) : null;
    const isWhole = hasRelinearisationKey === (relinearisationKey !== null);
    if (!isWhole || !take(hasRelinearisationKey ? '"' : 'null'))
      return `the relinearisation key of ${id} has another length or head than such a key has`;
    if (!take('\n  }')) return 'an entry has other fields than a key has';
    keys.push({ profile: id, publicKey, relinearisationKey });
    if (take(',')) continue;
    if (!take('\n ]\n}\n') || at !== file.byteLength) return 'something follows its end';
    if (hasCheck && checkOf(file.subarray(checkedFrom)) !== check) return 'it was damaged: its check is wrong';
    return { keyId, keys };
  }
}

const base64Length = (bytes: number): number => Math.ceil(bytes / 3) * 4;

function publicForms(profile: Profile): readonly { readonly bytes: number; readonly head: Uint8Array }[] {
  return (['seeded', 'full'] as const).map((form) => {
    const shape = keyShape(profile, form);
    return { bytes: ciphertextBytes(shape), head: ciphertextHeader(shape) };
  });
}

function relinearisationForms(profile: Profile): readonly { readonly bytes: number; readonly head: Uint8Array }[] {
  if (profile.primes.length < 2) return [];
  return (['seeded', 'full'] as const).map((form) => ({
    bytes: 64 + dataPrimeCount(profile) * ciphertextBytes(keyShape(profile, form)),
    head: relinearisationHead(profile, form),
  }));
}
