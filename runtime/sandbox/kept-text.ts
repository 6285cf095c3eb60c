/**
 * Texts that take long to make and follow from others alone, kept beside what Node.js has compiled (`NODE_COMPILE_CACHE`).
 * Without that folder nothing is kept. Trusted as far as that folder is: who can write there already chooses what the
 * runtime executes. The digest in each file is against files that a power loss cut off, not against that person.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { getCompileCacheDir } from 'node:module';
import { join } from 'node:path';

const digestHex = 64;

/** Returns `make()`, or what it returned for the same inputs before. `kind` names what is made, with its version. */
export function keptText(kind: string, inputs: readonly string[], make: () => string): string {
  const folder = folderOf();
  if (folder === undefined) return make();
  const file = join(folder, sha256Of(JSON.stringify([kind, process.version, ...inputs])));
  const kept = read(file);
  if (kept !== undefined) return kept;
  const text = make();
  write(folder, file, text);
  return text;
}

function folderOf(): string | undefined {
  const compiled = getCompileCacheDir();
  return compiled === undefined ? undefined : join(compiled, 'glovebox-workers');
}

function read(file: string): string | undefined {
  try {
    const content = readFileSync(file, 'utf8');
    const text = content.slice(digestHex);
    return sha256Of(text) === content.slice(0, digestHex) ? text : undefined;
  } catch {
    return undefined; // not there
  }
}

function write(folder: string, file: string, text: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const part = `${file}.${randomBytes(6).toString('hex')}`;
    writeFileSync(part, sha256Of(text) + text, { mode: 0o600, flag: 'wx' });
    renameSync(part, file);
  } catch {
    // A folder that cannot be written keeps nothing.
  }
}

function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
