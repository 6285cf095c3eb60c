import { randomBytes } from 'node:crypto';
import { chmod, mkdir, open, rename, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { NotRegularFile, readRegularText } from '../dataset/regular-file.ts';
import { StoreFault } from '../store/fault.ts';
import { type Authority, createAuthority } from '../rpc/authority.ts';

/** Where everything lies in a data directory. All of it is private to the user that runs the gateway. */
export interface DataDirectory {
  readonly path: string;
  readonly results: string;
  readonly uploads: string;
  /** Copies of the state that `glovebox backup` takes away. */
  readonly backups: string;
  /** Uploaded keys, encrypted columns and encrypted queries. */
  readonly ciphertexts: string;
  /** Root of `datasets/` and `layouts/`. */
  readonly data: string;
  /** The same for tables that consumers brought. */
  readonly tables: string;
  readonly authorityFile: string;
  readonly operatorCredential: string;
  readonly localCredential: string;
}

export async function openDataDirectory(path: string): Promise<DataDirectory> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  // A worker's user must be able to pass through to its own files, and to nothing else: see docs/security-model.md.
  await chmod(path, 0o700);
  const directory: DataDirectory = {
    path,
    results: join(path, 'results'),
    uploads: join(path, 'uploads'),
    backups: join(path, 'backups'),
    ciphertexts: join(path, 'ciphertexts'),
    data: path,
    tables: join(path, 'tables'),
    authorityFile: join(path, 'keys', 'authority.json'),
    operatorCredential: join(path, 'operator.credential.json'),
    localCredential: join(path, 'local.credential.json'),
  };
  const { results, uploads, backups, ciphertexts, tables, authorityFile } = directory;
  for (const folder of [results, uploads, backups, ciphertexts, tables, dirname(authorityFile)])
    await mkdir(folder, { recursive: true, mode: 0o700 }).catch((cause: NodeJS.ErrnoException) => {
      throw cause.code === 'EEXIST' || cause.code === 'ENOTDIR' ? noFolder(folder, cause) : cause;
    });
  // The others make theirs themselves, when they are first needed.
  for (const folder of OTHERS.map((name) => join(path, name)))
    if ((await stat(folder).catch(absent))?.isDirectory() === false) throw noFolder(folder);
  return directory;
}

const OTHERS = ['state', 'evidence', 'evidence/tile', 'datasets', 'layouts', 'tables/datasets', 'tables/layouts'];

const noFolder = (folder: string, cause?: unknown): StoreFault =>
  new StoreFault('state-tampered', `\`${folder}\` is no folder: move away what is there, or restore a backup`, {
    cause,
  });

/** The runtime's certificate authority: made at the first start, read afterwards. */
export async function openAuthority(directory: DataDirectory, nowMs: number): Promise<Authority> {
  const existing = await readKeyFile(directory.authorityFile);
  if (existing !== null) {
    try {
      return JSON.parse(existing) as Authority;
    } catch (cause) {
      throw new StoreFault('state-key', `\`${directory.authorityFile}\` is damaged: restore it from a backup`, {
        cause,
      });
    }
  }
  const authority = await createAuthority(nowMs);
  await writePrivate(directory.authorityFile, `${JSON.stringify(authority, null, 2)}\n`);
  return authority;
}

/** A secret of the runtime by name: made once, 32 random bytes, mode 0600. */
export async function openSecret(directory: DataDirectory, name: string): Promise<Uint8Array> {
  const file = join(directory.path, 'keys', `${name}.key`);
  const existing = await readKeyFile(file);
  if (existing !== null) {
    const secret = Buffer.from(existing.trim(), 'hex');
    if (secret.length !== 32) throw new StoreFault('state-key', `\`${file}\` is damaged: restore it from a backup`);
    return secret;
  }
  const secret = randomBytes(32);
  await writePrivate(file, `${secret.toString('hex')}\n`);
  return secret;
}

/** The text of a key file, null when there is none. A start waits for no pipe and reads no device. */
async function readKeyFile(file: string): Promise<string | null> {
  return readRegularText(file).catch((cause: unknown) => {
    if (!(cause instanceof NotRegularFile)) return absent(cause);
    throw new StoreFault('state-key', `\`${file}\` is no file: restore it from a backup`, { cause });
  });
}

/** Writes a file that only its owner can read: whole or not at all, on disk when this answers. */
export async function writePrivate(file: string, text: string): Promise<void> {
  const temporary = `${file}.new`;
  const handle = await open(temporary, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
  const folder = await open(dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function absent(error: unknown): null {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
  throw error;
}
