/** Whether the files of a dataset version are still the bytes that were registered. */
import { join } from 'node:path';
import { digestFile } from './digest.ts';
import { DatasetError } from './dataset-error.ts';
import { stampOf } from './file-stamp.ts';
import { readManifest, versionFolder } from './ingest.ts';
import type { DatasetManifest } from './metadata.ts';
import { NotRegularFile } from './regular-file.ts';

export type Verification =
  | { readonly kind: 'intact'; readonly manifest: DatasetManifest }
  /** `files` names each file that was changed or is gone, and how. */
  | { readonly kind: 'changed'; readonly files: readonly { readonly file: string; readonly problem: string }[] };

/**
 * Reads every byte of a version and compares. `expectedDigest`, kept elsewhere (state or evidence), catches a manifest
 * that was rewritten along with its files. Throws `DatasetError` `not-found` when there is no such version.
 */
export async function verifyDataset(
  root: string,
  dataset: string,
  version: number,
  expectedDigest: string | null = null,
): Promise<Verification> {
  let manifest: DatasetManifest;
  try {
    manifest = await readManifest(root, dataset, version);
  } catch (error) {
    if (error instanceof DatasetError && error.code === 'changed')
      return changed('manifest.json', 'its content was changed');
    if (error instanceof DatasetError && error.code === 'not-found' && expectedDigest !== null)
      return changed('manifest.json', 'it is gone');
    throw error;
  }
  if (expectedDigest !== null && manifest.digest !== expectedDigest) {
    return changed('manifest.json', 'it is not the manifest that was registered');
  }
  const files: { file: string; problem: string }[] = [];
  for (const { file, digest, bytes } of [...manifest.tables, ...manifest.notes]) {
    const problem = await fileProblem(join(versionFolder(root, dataset, version), file), digest, bytes);
    if (problem !== null) files.push({ file, problem });
  }
  return files.length === 0 ? { kind: 'intact', manifest } : { kind: 'changed', files };
}

const changed = (file: string, problem: string): Verification => ({ kind: 'changed', files: [{ file, problem }] });

async function fileProblem(path: string, digest: string, bytes: number): Promise<string | null> {
  try {
    const actual = await digestFile(path);
    if (actual.bytes !== bytes) return `it has ${actual.bytes} bytes and was registered with ${bytes}`;
    return actual.digest === digest ? null : 'its bytes were changed';
  } catch (error) {
    if (error instanceof NotRegularFile) return 'something else than a file is in its place';
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'it is gone' : 'it cannot be read';
  }
}

/**
 * The cheap check before each job: while size, times and inode of a file are those of its last full check, its bytes
 * are not read again. Anything else is re-read. One instance lives as long as the gateway.
 */
export class FileGuard {
  readonly #seen = new Map<string, string>();

  /** Throws `DatasetError` `changed`, naming the file, when its bytes are not those of `digest`. */
  async check(path: string, digest: string, label: string): Promise<void> {
    const before = stampFor(path, label);
    if (this.#seen.get(path) === `${digest} ${before}`) return;
    this.#seen.delete(path);
    const actual = await digestFile(path).catch((cause: unknown) => {
      if (!(cause instanceof NotRegularFile)) throw cause;
      throw new DatasetError('changed', `${label} is no file any more`, { cause });
    });
    // A file that changes while it is read has no digest: the stamp must be the same before and after.
    if (actual.digest !== digest || stampFor(path, label) !== before) {
      throw new DatasetError('changed', `${label} was changed since it was registered`);
    }
    this.#seen.set(path, `${digest} ${before}`);
  }
}

function stampFor(path: string, label: string): string {
  try {
    return stampOf(path);
  } catch (cause) {
    throw new DatasetError('changed', `${label} is gone or cannot be read`, { cause });
  }
}
