/** What a party may do; a party has at least one role. */
export type PartyRole = 'provider' | 'consumer' | 'operator' | 'auditor' | 'clearing' | 'reviewer' | 'custodian';

export const PARTY_ROLES: readonly PartyRole[] = [
  'provider',
  'consumer',
  'operator',
  'auditor',
  'clearing',
  'reviewer',
  'custodian',
];

/** Where a party is in its admission: `exited` is final, only `admitted` may act. */
export type Admission = 'applied' | 'admitted' | 'suspended' | 'exited';

/** A participant, known by the fingerprint of its certificate and never by a bare name. */
export interface PartyRecord {
  readonly name: string;
  readonly roles: readonly PartyRole[];
  readonly admission: Admission;
  readonly spiffeId: string;
  /** SHA-256 of the DER certificates that prove this party, lower-case hex, newest first. */
  readonly fingerprints: readonly string[];
  /** 32 raw bytes of its Ed25519 key for signatures, base64url; null when it has none. */
  readonly signingPublicKey: string | null;
  /** ISO 3166-1 alpha-2; null counts as foreign. */
  readonly jurisdiction: string | null;
  readonly note: string | null;
}

/** What the transport proved about a caller. */
export interface PresentedCredential {
  /** SHA-256 of the DER certificate, lower-case hex. */
  readonly fingerprint: string;
  /** The certificate's URI name. */
  readonly spiffeId: string;
  /** When the certificate ends, milliseconds since the epoch. */
  readonly notAfterMs: number;
}

/** The party behind a call, with what was proved about it. */
export interface Caller {
  readonly party: string;
  readonly roles: readonly PartyRole[];
  /** SHA-256 of the client certificate; empty on an insecure loopback connection. */
  readonly credentialFingerprint: string;
  /** 32 raw bytes, base64url; null when the party has no key for signatures. */
  readonly signingPublicKey: string | null;
  readonly jurisdiction: string | null;
  /** True when nothing was proved: `--insecure` on a loopback address. */
  readonly isInsecureLoopback: boolean;
}

/** Whether the caller has at least one of `roles`. */
export function hasRole(caller: Caller, ...roles: readonly PartyRole[]): boolean {
  return roles.some((role) => caller.roles.includes(role));
}
