import { reason, type Reason } from '../policy/reason.ts';
import type { Admission, Caller, PartyRecord, PresentedCredential } from './party.ts';

/** What can happen to a party. */
export type AdmissionEvent = 'admit' | 'suspend' | 'resume' | 'exit';

const TRANSITIONS: Readonly<Record<Admission, Partial<Record<AdmissionEvent, Admission>>>> = {
  applied: { admit: 'admitted', exit: 'exited' },
  admitted: { suspend: 'suspended', exit: 'exited' },
  suspended: { resume: 'admitted', exit: 'exited' },
  exited: {},
};

/** The state after an event, or why the event is not possible now. */
export function admissionAfter(
  party: { readonly name: string; readonly admission: Admission },
  event: AdmissionEvent,
): { readonly kind: 'ok'; readonly admission: Admission } | { readonly kind: 'denied'; readonly reasons: Reason[] } {
  const admission = TRANSITIONS[party.admission][event];
  if (admission !== undefined) return { kind: 'ok', admission };
  const possible = Object.keys(TRANSITIONS[party.admission]);
  return {
    kind: 'denied',
    reasons: [
      reason('wrong-state', `cannot ${event} party \`${party.name}\`: it is ${party.admission}`, {
        remedy: possible.length === 0 ? null : `possible now: ${possible.join(', ')}`,
      }),
    ],
  };
}

export type Identification =
  | { readonly kind: 'known'; readonly caller: Caller }
  | { readonly kind: 'unknown'; readonly reason: Reason }
  | { readonly kind: 'notAdmitted'; readonly reason: Reason };

/**
 * Who is behind a certificate: `party` is the record found by its fingerprint, null when there is none. The URI name
 * must be the one of the record, so that a certificate cannot be moved to another party by editing the record alone.
 */
export function identify(party: PartyRecord | null, credential: PresentedCredential, nowMs: number): Identification {
  if (
    party === null ||
    party.spiffeId !== credential.spiffeId ||
    !party.fingerprints.includes(credential.fingerprint)
  ) {
    return {
      kind: 'unknown',
      reason: reason('credential-unknown', 'the certificate belongs to no party of this runtime', {
        remedy: 'ask the operator for a credential: `glovebox party add`',
      }),
    };
  }
  if (credential.notAfterMs <= nowMs) {
    return {
      kind: 'unknown',
      reason: reason('credential-expired', `the certificate of party \`${party.name}\` has expired`, {
        remedy: 'ask the operator for a new credential',
      }),
    };
  }
  if (party.admission !== 'admitted') {
    return {
      kind: 'notAdmitted',
      reason: reason('party-not-admitted', `party \`${party.name}\` is ${party.admission}`, {
        remedy: party.admission === 'exited' ? null : 'ask the operator to admit or resume the party',
      }),
    };
  }
  return {
    kind: 'known',
    caller: {
      party: party.name,
      roles: party.roles,
      credentialFingerprint: credential.fingerprint,
      signingPublicKey: party.signingPublicKey,
      jurisdiction: party.jurisdiction,
      isInsecureLoopback: false,
    },
  };
}
