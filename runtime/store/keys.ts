import { createPrivateKey, createPublicKey, generateKeyPairSync, hkdfSync, type KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { noteSigner, rawPublicKey, type NoteSigner } from '../evidence/note.ts';
import { sha256Hex } from '../evidence/entry.ts';
import { makePrivateFolder } from './database.ts';
import { writeDurably } from './durable-file.ts';
import { StoreFault } from './fault.ts';

/** The Ed25519 key that signs the log, from its file; created (mode 0600) when there is none and `mayCreate`. */
export function loadSigningKey(file: string, mayCreate: boolean): KeyObject {
  const existing = readKey(file);
  if (existing !== undefined) return existing;
  if (!mayCreate)
    throw new StoreFault('state-key', `the evidence key '${file}' is missing, and the state was signed with it`);
  makePrivateFolder(dirname(file));
  const { privateKey } = generateKeyPairSync('ed25519');
  writeDurably(file, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  return privateKey;
}

/** The log's signer. Its default name carries the key's digest, so that two logs never share a name by accident. */
export function signerOf(privateKey: KeyObject, origin: string | undefined): NoteSigner {
  const digest = sha256Hex(rawPublicKey(createPublicKey(privateKey)));
  return noteSigner(origin ?? `glovebox.local/${digest.slice(0, 16)}`, privateKey);
}

/** The key of the state's seal, derived so that there is one secret to keep, not two (HKDF, RFC 5869). */
export function sealKeyOf(privateKey: KeyObject): Buffer {
  const secret = privateKey.export({ type: 'pkcs8', format: 'der' });
  return Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), 'glovebox state seal v1', 32));
}

function readKey(file: string): KeyObject | undefined {
  let text: string;
  try {
    // A pipe or a device would hold the start for ever.
    if (!statSync(file).isFile()) throw new Error('it is no file');
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new StoreFault('state-key', `the evidence key '${file}' cannot be read`, { cause: error });
  }
  try {
    const key = createPrivateKey(text);
    rawPublicKey(createPublicKey(key));
    return key;
  } catch (error) {
    throw new StoreFault('state-key', `'${file}' does not hold an Ed25519 private key`, { cause: error });
  }
}
