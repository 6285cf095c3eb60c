import { createHash, X509Certificate } from 'node:crypto';
import { isAuthorityName } from './names.ts';

/** What a runtime tells about itself, so that another one can recognise its parties and its receipts. Nothing secret. */
export interface RuntimeCard {
  /** Trust domain of the URI names that it certifies. */
  readonly authority: string;
  /** Its authority's own certificate, PEM: exactly one. */
  readonly certificate: string;
  /** Verifier key of its log, as `evidence key` prints it. */
  readonly verifierKey: string;
  /** Where it answers, `host:port`. */
  readonly server: string;
}

const FORMAT = 'glovebox-runtime/1';
export const MAX_CARD_CHARACTERS = 16 * 1024;

export const runtimeCardText = ({ authority, certificate, verifierKey, server }: RuntimeCard): string =>
  `${JSON.stringify({ format: FORMAT, authority, certificate, verifierKey, server }, null, 2)}\n`;

/** Reads a card from its JSON text. Throws an error that says what is wrong with it. */
export function parseRuntimeCard(text: string): RuntimeCard {
  if (text.length > MAX_CARD_CHARACTERS) throw new Error(`the card is longer than ${MAX_CARD_CHARACTERS} characters`);
  const { format, authority, certificate, verifierKey, server } = objectOf(text);
  if (format !== FORMAT) throw new Error(`the card does not have the format \`${FORMAT}\``);
  if (typeof authority !== 'string' || !isAuthorityName(authority)) throw new Error('the card names no authority');
  if (typeof certificate !== 'string' || typeof verifierKey !== 'string' || typeof server !== 'string')
    throw new Error('the card lacks the certificate, the verifier key or the address');
  const read = certificateOf(certificate);
  if (read === undefined) throw new Error('the card holds no certificate');
  // INVARIANT: the name, the subject and the key are one: a card cannot bring a key under the name of another runtime.
  if (!read.ca || read.subject !== `CN=${authority}` || !read.checkIssued(read) || !read.verify(read.publicKey))
    throw new Error(`the certificate is not that of the authority \`${authority}\` by itself`);
  if (server.length > 256) throw new Error('the address is too long');
  return { authority, certificate: read.toString(), verifierKey, server };
}

/** SHA-256 of a certificate's public key (SubjectPublicKeyInfo), 64 hex digits: what is pinned. */
export function keyPinOf(certificate: string): string {
  const key = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(key).digest('hex');
}

/** The one certificate in a PEM text; undefined when there is none, several, or anything beside it. */
export function certificateOf(pem: string): X509Certificate | undefined {
  if (!/^\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*$/.test(pem)) return undefined;
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

/** A JSON object; throws for anything else. */
export function objectOf(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('the text is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('the text is no JSON object');
  return value as Readonly<Record<string, unknown>>;
}
