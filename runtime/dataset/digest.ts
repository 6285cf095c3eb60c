/** Content digests of dataset files and of whole dataset versions. */
import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import type { DatasetManifest } from './metadata.ts';
import { openRegularFile } from './regular-file.ts';

/** `sha256:<hex>` of a file's bytes, and how many there are. Throws `NotRegularFile` when it is none. */
export async function digestFile(path: string): Promise<{ readonly digest: string; readonly bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of (await openRegularFile(path)).createReadStream({ highWaterMark: 1 << 20 })) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { digest: `sha256:${hash.digest('hex')}`, bytes };
}

/** `sha256:<hex>` of a value's canonical JSON (RFC 8785). */
export function digestValue(value: unknown): string {
  return `sha256:${createHash('sha256')
    .update(canonicalize(value) ?? '')
    .digest('hex')}`;
}

/** The digest that a manifest should carry: over everything in it but itself. */
export function manifestDigest(manifest: Omit<DatasetManifest, 'digest'>): string {
  const { dataset, version, tables, notes } = manifest;
  return digestValue({ dataset, version, tables, notes });
}
