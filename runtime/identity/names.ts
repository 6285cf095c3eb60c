/** Names that identify parties outside of the runtime, in the form of SPIFFE ids: `spiffe://<authority>/party/<name>`. */

const PARTY_NAME = /^[a-z][a-z0-9-]{0,62}$/;
const AUTHORITY_NAME = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;

/** Whether `name` can be the name of a party: lower-case letters, digits and `-`, starting with a letter, at most 63. */
export function isPartyName(name: string): boolean {
  return PARTY_NAME.test(name) && !name.endsWith('-');
}

/** Whether `name` can be the name of an authority: letters, digits, `-` and dots, at most 63. */
export function isAuthorityName(name: string): boolean {
  return AUTHORITY_NAME.test(name);
}

/** The URI name of a party; throws when a part is not well-formed. */
export function spiffeIdOf(parts: { readonly authority: string; readonly party: string }): string {
  if (!AUTHORITY_NAME.test(parts.authority)) throw new RangeError('the authority is not a trust domain name');
  if (!isPartyName(parts.party)) throw new RangeError('the party name is not well-formed');
  return `spiffe://${parts.authority}/party/${parts.party}`;
}

/** The parts of a URI name; null when it is anything else. */
export function parseSpiffeId(uri: string): { readonly authority: string; readonly party: string } | null {
  const match = /^spiffe:\/\/([^/]+)\/party\/([^/]+)$/.exec(uri);
  const authority = match?.[1] ?? '';
  const party = match?.[2] ?? '';
  return AUTHORITY_NAME.test(authority) && isPartyName(party) ? { authority, party } : null;
}
