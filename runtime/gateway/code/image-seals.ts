/**
 * The sandbox images that this runtime runs, signed by it when the operator first ran them (trust at installation). A shipped
 * image cannot carry a signature that means anything: its key would have to be in the installation that is to be distrusted.
 * So the first start signs what is there; every later start refuses anything else until the operator says it is wanted, or
 * it carries the signature of the operator's own image key, as the image before it did.
 */
import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { join } from 'node:path';
import { NotRegularFile, readRegularText } from '../../dataset/regular-file.ts';
import type { SandboxImage } from '../../sandbox/image.ts';
import { StoreFault } from '../../store/fault.ts';
import { type DataDirectory, openSecret, writePrivate } from '../data-directory.ts';
import { keyOfSeed } from '../homomorphic/transcript-key.ts';

/** What was signed of an image: its digest, and the public key (base64) of whoever signed it before it came here. */
export interface ImageSeal {
  readonly digest: string;
  readonly signer: string | null;
  /** base64, Ed25519 (RFC 8032) */
  readonly signature: string;
}

/** An image that is not the one that was signed. */
export interface ChangedImage {
  readonly name: string;
  readonly problem: string;
}

type Sealed = Pick<SandboxImage, 'manifest' | 'digest' | 'signature'>;

const MAX_BYTES = 1_000_000;
const fileOf = ({ path }: Pick<DataDirectory, 'path'>): string => join(path, 'keys', 'images.json');

/**
 * Signs the images at the first start, and checks them at every later one. Throws `StoreFault` when an image, or the file of
 * seals, is not what this runtime signed.
 */
export async function checkImages(directory: DataDirectory, images: readonly Sealed[]): Promise<'signed' | 'intact'> {
  const key = await imageKey(directory);
  const seals = await readSeals(directory);
  if (seals === null) {
    await writeSeals(directory, key, images, {});
    return 'signed';
  }
  const changed = changedImages(seals, key, images);
  const [first] = changed;
  if (first !== undefined) {
    const names = changed.map(({ name }) => name).join(' ');
    throw new StoreFault(
      'state-tampered',
      `sandbox image \`${first.name}\`: ${first.problem}; if you updated or changed it yourself: glovebox image trust ${names}`,
    );
  }
  const isUpdated = images.some(({ manifest, digest }) => seals[manifest.name]?.digest !== digest);
  if (isUpdated) await writeSeals(directory, key, images, seals);
  return 'intact';
}

/** Which images are not as signed; null when nothing was signed in this data directory yet. */
export async function imagesChangedSince(
  directory: DataDirectory,
  images: readonly Sealed[],
): Promise<readonly ChangedImage[] | null> {
  const seals = await readSeals(directory);
  return seals === null ? null : changedImages(seals, await imageKey(directory), images);
}

/** Signs images as they are now, on the word of the operator; those that are not named keep their seal. */
export async function trustImages(directory: DataDirectory, images: readonly Sealed[]): Promise<void> {
  // A file of seals that is damaged is made anew: whoever may say this may also remove it.
  const seals = await readSeals(directory).catch(() => null);
  await writeSeals(directory, await imageKey(directory), images, seals ?? {});
}

function changedImages(
  seals: Readonly<Record<string, ImageSeal>>,
  key: KeyObject,
  images: readonly Sealed[],
): readonly ChangedImage[] {
  const ours = createPublicKey(key);
  return images.flatMap(({ manifest: { name }, digest, signature }): readonly ChangedImage[] => {
    const seal = Object.hasOwn(seals, name) ? seals[name] : undefined;
    if (seal === undefined) return [{ name, problem: 'was not there when this runtime signed its images' }];
    if (!verify(null, sealed(name, seal), ours, Buffer.from(seal.signature, 'base64')))
      return [{ name, problem: 'the seal in keys/images.json is not this runtime’s' }];
    const signer = signature.kind === 'signed' ? signature.key : null;
    if (seal.signer !== null && signer !== seal.signer)
      return [{ name, problem: `is no longer signed by the image key ${seal.signer}` }];
    // A new version that the same operator's key signed is wanted.
    if (seal.digest === digest || seal.signer !== null) return [];
    return [{ name, problem: `has digest ${digest}, this runtime signed ${seal.digest}` }];
  });
}

async function imageKey(directory: DataDirectory): Promise<KeyObject> {
  return keyOfSeed(await openSecret(directory, 'images'));
}

async function readSeals(directory: DataDirectory): Promise<Readonly<Record<string, ImageSeal>> | null> {
  const file = fileOf(directory);
  const damaged = (): StoreFault =>
    new StoreFault('state-tampered', `\`${file}\` is damaged: check the images, then glovebox image trust`);
  const text = await readRegularText(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error instanceof NotRegularFile ? damaged() : error;
  });
  if (text === null) return null;
  if (text.length > MAX_BYTES) throw damaged();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw damaged();
  }
  if (!isObject(value) || !Object.values(value).every(isSeal)) throw damaged();
  return value as Record<string, ImageSeal>;
}

function isSeal(value: unknown): value is ImageSeal {
  if (!isObject(value)) return false;
  const { digest, signer, signature } = value;
  return typeof digest === 'string' && typeof signature === 'string' && (signer === null || typeof signer === 'string');
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

async function writeSeals(
  directory: DataDirectory,
  key: KeyObject,
  images: readonly Sealed[],
  others: Readonly<Record<string, ImageSeal>>,
): Promise<void> {
  const made = images.map(({ manifest: { name }, digest, signature }): [string, ImageSeal] => {
    const what = { digest, signer: signature.kind === 'signed' ? signature.key : null };
    return [name, { ...what, signature: sign(null, sealed(name, what), key).toString('base64') }];
  });
  const seals = { ...others, ...Object.fromEntries(made) };
  await writePrivate(fileOf(directory), `${JSON.stringify(seals, null, 2)}\n`);
}

/** No part can run into the next: a name has no line break, a digest and a key have none either once they were signed. */
const sealed = (name: string, { digest, signer }: Pick<ImageSeal, 'digest' | 'signer'>): Buffer =>
  Buffer.from(JSON.stringify(['glovebox/image-seal/1', name, digest, signer]));
