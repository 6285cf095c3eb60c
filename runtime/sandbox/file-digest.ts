import { createHash } from 'node:crypto';
import { type BigIntStats, closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

/** Read at once, so that a large add-on does not hold up the event loop. */
const PIECE_BYTES = 256 * 1024;

/** How many digests are kept. */
const MAX_KEPT = 20_000;

/** A file that changed less long ago could change again without another time, which the kernel counts in steps. */
const SETTLED_MS = 2000;

/** Several images hold the same packages, and their add-ons are large: each file is read once while nobody touches it. */
const kept = new Map<string, Promise<string>>();

/** SHA-256 of a file as lower-case hex; rejects with the system's error when it cannot be read. */
export async function sha256OfFile(path: string): Promise<string> {
  return ofSmallFile(path) ?? (await ofLargeFile(path));
}

/** Most files of a package are small, and each asynchronous call costs more than reading one; null: it is large. */
function ofSmallFile(path: string): string | null {
  const file = openSync(path, 'r');
  try {
    if (fstatSync(file).size > PIECE_BYTES) return null;
    return createHash('sha256').update(readFileSync(file)).digest('hex');
  } finally {
    closeSync(file);
  }
}

async function ofLargeFile(path: string): Promise<string> {
  await using file = await open(path, 'r');
  const before = await file.stat({ bigint: true });
  const stamp = stampOf(before);
  const known = kept.get(stamp);
  if (known !== undefined) return await known;
  const digest = digestOf(file, Number(before.size));
  const isSettled = Date.now() - Number(before.ctimeMs) > SETTLED_MS;
  if (!isSettled || kept.size >= MAX_KEPT) return await digest;
  kept.set(stamp, digest);
  try {
    await digest;
    if (stampOf(await file.stat({ bigint: true })) !== stamp) kept.delete(stamp);
  } catch (error) {
    kept.delete(stamp);
    throw error;
  }
  return await digest;
}

async function digestOf(file: FileHandle, size: number): Promise<string> {
  const hash = createHash('sha256');
  // One buffer for all pieces: a stream makes a new one for each, and collecting them costs more than the digest.
  const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, size + 1));
  for (;;) {
    const { bytesRead } = await file.read(piece, 0, piece.length, null);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(piece.subarray(0, bytesRead));
  }
}

/** Changes with every write, also with one that puts the time of modification back. */
function stampOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join();
}
