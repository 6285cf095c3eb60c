/**
 * Pins the files of sandbox images in their `image.json`, or says which are not as pinned:
 *
 *     node runtime/sandbox/build-images.ts            writes the digests of every image's own files
 *     node runtime/sandbox/build-images.ts --check    changes nothing; exit code 1 when an image does not load
 *
 * Only files of an image's own folder are pinned. Its worker's sources and packages change with every commit and with the
 * lockfile, which pin them already; pinning them a second time would make everybody's commit fail for nothing. They are
 * digested when an image is loaded, and the signature of a released image is over that digest, which covers all of it.
 */
import type { KeyObject } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256OfFile } from './file-digest.ts';
import { listImages, loadImage } from './image.ts';
import { parseManifest, signDigest } from './manifest.ts';

/** Writes the digests of an image's own files into its manifest and drops a signature that no longer fits; true when something changed. */
export async function pinImage(root: string, name: string): Promise<boolean> {
  const { file, json } = await readManifest(root, name);
  const { files } = parseManifest(JSON.stringify(json), file);
  const pinned = await Promise.all(
    files.map(async ({ path }) => ({ path, sha256: await sha256OfFile(join(root, 'sandbox-images', name, path)) })),
  );
  if (JSON.stringify(pinned) === JSON.stringify(files)) return false;
  const { signature: _, ...rest } = json;
  await writeManifest(file, { ...rest, files: pinned });
  return true;
}

/** Signs an image as it is now with an Ed25519 private key, and returns the digest that was signed. */
export async function signImage(root: string, name: string, privateKey: KeyObject): Promise<string> {
  const { file, json } = await readManifest(root, name);
  const { signature: _, ...rest } = json;
  await writeManifest(file, rest);
  const { digest } = await loadImage(root, name);
  await writeManifest(file, { ...rest, signature: signDigest(digest, privateKey) });
  return digest;
}

async function readManifest(root: string, name: string): Promise<{ file: string; json: Record<string, unknown> }> {
  const file = join(root, 'sandbox-images', name, 'image.json');
  return { file, json: JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown> };
}

function writeManifest(file: string, json: object): Promise<void> {
  return writeFile(file, `${JSON.stringify(json, null, 2)}\n`);
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..', '..');
  for (const name of await listImages(root)) {
    try {
      const isChanged = process.argv.includes('--check') ? false : await pinImage(root, name);
      const { digest, signature, files } = await loadImage(root, name);
      console.log(`${name}  ${digest}  ${files.length} files  ${signature.kind}${isChanged ? '  pinned anew' : ''}`);
    } catch (error) {
      console.error(`${name}  ${(error as Error).message}`);
      process.exitCode = 1;
    }
  }
}
