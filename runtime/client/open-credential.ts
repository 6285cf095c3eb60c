import { createPrivateKey, X509Certificate } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { type CredentialBundle, parseCredential } from '../identity/credential.ts';
import { GloveboxError } from './error.ts';
import { readText } from './read-text.ts';

/**
 * The credential in a file. Throws `GloveboxError` `file`, which names the file and the part of it that cannot be used:
 * a bundle that was cut short or edited would otherwise be a failure of TLS, or a call that nobody believes.
 */
export function openCredential(file: string): CredentialBundle {
  const text = readText(file);
  try {
    const bundle = parseCredential(text);
    read('ca', () => new X509Certificate(bundle.ca));
    const certificate = read('certificate', () => new X509Certificate(bundle.certificate));
    const key = read('key', () => createPrivateKey(bundle.key));
    read('signingKey', () => createPrivateKey(bundle.signingKey));
    if (!certificate.checkPrivateKey(key)) throw new Error("the credential's `key` is not that of its `certificate`");
    return bundle;
  } catch (cause) {
    const message = `${file}: ${(cause as Error).message}`;
    throw new GloveboxError(message, { status: status.INVALID_ARGUMENT, code: 'file' }, cause);
  }
}

/** The words of OpenSSL say neither which part is meant nor what to do. */
function read<Part>(name: string, parse: () => Part): Part {
  try {
    return parse();
  } catch (cause) {
    throw new Error(`the credential's \`${name}\` is damaged; take the file that \`party add\` wrote`, { cause });
  }
}
