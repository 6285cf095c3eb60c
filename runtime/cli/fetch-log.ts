import { checkpointOf } from '../evidence/checkpoint.ts';
import { parseNote } from '../evidence/note.ts';
import { logPaths } from '../evidence/tiles.ts';
import type { ReadLogFile } from '../evidence/verify-log.ts';
import { UsageError } from './output.ts';

const TIMEOUT_MS = 30_000;
/** A bundle of 256 of the longest entries. */
const MAX_FILE_BYTES = 256 * 65_537;
const AT_ONCE = 8;
/** Entries of the largest log that is read over a network. */
const MAX_ENTRIES = 50_000_000;

/** A log that is served over HTTP (`--evidence-http`), every file of its checkpoint. Nothing of it is believed yet. */
export async function fetchLog(address: string): Promise<ReadLogFile> {
  const base = address.endsWith('/') ? address : `${address}/`;
  const files = new Map<string, Uint8Array>();
  const get = async (path: string): Promise<Uint8Array | undefined> => {
    const answer = await fetch(new URL(path, base), { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (answer.status !== 200) {
      await answer.body?.cancel();
      return undefined;
    }
    const parts: Uint8Array[] = [];
    let length = 0;
    for await (const part of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
      length += part.length;
      if (length > MAX_FILE_BYTES) throw new UsageError(`\`${path}\` of the log is too long`);
      parts.push(part);
    }
    return Buffer.concat(parts);
  };
  // The checkpoint first: what it covers is there then, and stays while the log grows.
  for (const path of ['checkpoint', 'vkey']) {
    const found = await get(path).catch((cause: unknown) => {
      throw new UsageError(
        `there is no log at \`${address}\`: ${cause instanceof Error ? cause.message : 'no answer'}`,
      );
    });
    if (found !== undefined) files.set(path, found);
  }
  const note = parseNote(Buffer.from(files.get('checkpoint') ?? []).toString('utf8'));
  const size = (note === undefined ? undefined : checkpointOf(note))?.size;
  if (size === undefined || size > MAX_ENTRIES) throw new UsageError(`there is no log at \`${address}\``);
  const paths = logPaths(size);
  const lane = async (): Promise<void> => {
    for (let path = paths.pop(); path !== undefined; path = paths.pop()) {
      // A partial file is replaced by the full one when the log grows past it.
      const full = path.replace(/\.p\/\d+$/, '');
      const found = (await get(path)) ?? (full === path ? undefined : await get(full));
      if (found !== undefined) files.set(path, found);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return (path) => files.get(path);
}
