import { PARTY_ROLES, type PartyRole } from './party.ts';
import { isPartyName } from './names.ts';

/** The file that makes its holder a party: private keys included, so it is kept with mode 0600. */
export interface CredentialBundle {
  readonly format: 'glovebox-credential/1';
  readonly party: string;
  readonly roles: readonly PartyRole[];
  /** `host:port` of the runtime. */
  readonly server: string;
  /** DNS name in the server's certificate, whatever address it is reached at. */
  readonly serverName: string;
  /** Certificate of the authority, PEM. */
  readonly ca: string;
  /** Client certificate, PEM. */
  readonly certificate: string;
  /** Private key of the client certificate, PKCS #8 PEM. */
  readonly key: string;
  /** Ed25519 private key for signatures on agreements and job requests, PKCS #8 PEM. */
  readonly signingKey: string;
  /** Its public key: 32 raw bytes, base64url. */
  readonly signingPublicKey: string;
}

const TEXT_FIELDS = ['server', 'serverName', 'ca', 'certificate', 'key', 'signingKey', 'signingPublicKey'] as const;
const MAX_BUNDLE_LENGTH = 64 * 1024;

/** Reads a bundle from its JSON text; throws an error that says which field is wrong and never quotes a value. */
export function parseCredential(text: string): CredentialBundle {
  if (text.length > MAX_BUNDLE_LENGTH) throw new Error('the credential is larger than 64 KiB');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('the credential is not JSON');
  }
  if (typeof value !== 'object' || value === null) throw new Error('the credential is not a JSON object');
  const fields = value as Readonly<Record<string, unknown>>;
  if (fields['format'] !== 'glovebox-credential/1') {
    throw new Error('the credential does not have the format `glovebox-credential/1`');
  }
  const party = fields['party'];
  if (typeof party !== 'string' || !isPartyName(party)) throw new Error('the credential names no party');
  const roles = fields['roles'];
  if (!Array.isArray(roles) || !roles.every((role) => PARTY_ROLES.includes(role as PartyRole))) {
    throw new Error('the credential names an unknown role');
  }
  const texts = Object.fromEntries(
    TEXT_FIELDS.map((name) => {
      const field = fields[name];
      if (typeof field !== 'string' || field === '') throw new Error(`the credential has no \`${name}\``);
      return [name, field];
    }),
  ) as Record<(typeof TEXT_FIELDS)[number], string>;
  return { format: 'glovebox-credential/1', party, roles: roles as PartyRole[], ...texts };
}
