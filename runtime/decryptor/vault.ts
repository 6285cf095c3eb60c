import { createReadStream } from 'node:fs';
import { chmod, copyFile, mkdir, open, readdir, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { columnHeaderText, parseColumnHeader } from '../homomorphic/column.ts';
import type { PinnedColumn } from '../homomorphic/decryptor.ts';
import { createAuthority, issueServerCertificate, type Authority, type ServerCertificate } from '../rpc/authority.ts';

/** What a key holder keeps of a column that it encrypted: the facts that a result is checked against. */
export interface Pin {
  readonly dataset: string;
  /** Programs that the key holder meant the column for: no other one is decrypted. */
  readonly programs: readonly string[];
  readonly column: PinnedColumn;
}

/**
 * The key holder's folder: columns as they were uploaded, one pin for each, the list of decrypted jobs, and the
 * decryptor's own certificate. Everything in it is for its owner only; the secret key lies elsewhere.
 */
export class Vault {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async open(folder: string): Promise<Vault> {
    for (const name of ['', 'columns', 'pins']) await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
    await chmod(folder, 0o700);
    return new Vault(folder);
  }

  get claims(): string {
    return join(this.#folder, 'claims');
  }

  /** Jobs of which an approximate result left: they are counted for as long as the key lives. */
  get approximateClaims(): string {
    return join(this.#folder, 'approximate-claims');
  }

  /** Where the certificate lies that the runtime is told: public. */
  get certificateFile(): string {
    return join(this.#folder, 'decryptor.pem');
  }

  /** Keeps a column and what is known about it; the pin is written last, so that a pinned column is whole. */
  async pin(pin: Pin, file: string): Promise<void> {
    const name = hexOf(pin.column.totals.digest);
    await copyFile(file, join(this.#folder, 'columns', name));
    await writeWhole(join(this.#folder, 'pins', `${name}.json`), `${JSON.stringify(pin, null, 1)}\n`);
  }

  /** The pin of a column, or null. */
  async find(digest: string): Promise<Pin | null> {
    let text: string;
    try {
      text = await readFile(join(this.#folder, 'pins', `${hexOf(digest)}.json`), 'utf8');
    } catch {
      return null;
    }
    const pin = JSON.parse(text) as Pin;
    const header = parseColumnHeader(columnHeaderText(pin.column.header));
    if (pin.column.totals.digest !== digest) throw new Error('a pin is damaged: it names another column');
    return { ...pin, column: { ...pin.column, header } };
  }

  /** Pins of a dataset, in no order. */
  async pinsOf(dataset: string): Promise<readonly Pin[]> {
    const names = (await readdir(join(this.#folder, 'pins'))).filter((name) => /^[0-9a-f]{64}\.json$/.test(name));
    const pins = await Promise.all(names.map((name) => this.find(`sha256:${name.slice(0, 64)}`)));
    return pins.filter((pin) => pin !== null && pin.dataset === dataset) as readonly Pin[];
  }

  /** The bytes of a pinned column. */
  read(digest: string): AsyncIterable<Uint8Array> {
    return createReadStream(join(this.#folder, 'columns', hexOf(digest)), { highWaterMark: 1 << 20 });
  }

  /** The decryptor's certificate, from an authority of its own that is made at the first start. */
  async certificate(hosts: readonly string[], nowMs: number): Promise<ServerCertificate> {
    const file = join(this.#folder, 'authority.json');
    const existing = await readFile(file, 'utf8').catch(() => null);
    const authority = existing === null ? await createAuthority(nowMs) : (JSON.parse(existing) as Authority);
    if (existing === null) await writeWhole(file, `${JSON.stringify(authority)}\n`);
    await writeWhole(this.certificateFile, authority.certificate);
    return issueServerCertificate(authority, { hosts, nowMs });
  }

  /** The runtime's transcript key: what was seen first stays; a runtime with another key is not believed. */
  async pinRuntimeKey(seen: string | null): Promise<string> {
    const file = join(this.#folder, 'runtime-key');
    const known = (await readFile(file, 'utf8').catch(() => null))?.trim() ?? null;
    if (known === null && seen === null)
      throw new Error('the runtime’s key is not known yet: start once while it runs');
    if (known !== null && seen !== null && known !== seen)
      throw new Error(`the runtime has another signing key than the one in ${file}: remove the file if you know why`);
    if (known === null) await writeWhole(file, `${seen}\n`);
    return known ?? seen ?? '';
  }
}

async function writeWhole(file: string, text: string): Promise<void> {
  const handle = await open(`${file}.new`, 'w', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.new`, file);
  const folder = await open(dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function hexOf(digest: string): string {
  const match = /^sha256:([0-9a-f]{64})$/.exec(digest);
  if (match?.[1] === undefined) throw new RangeError('not a digest');
  return match[1];
}
