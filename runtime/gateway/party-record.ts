import type { Party as PartyMessage } from '../gen/messages.ts';
import type { StoredRecord } from '../store/records.ts';
import type { GatewayNeeds } from './needs.ts';
import type { PartyBody, PartyState } from './records.ts';

/** How a party is told. */
export function partyMessage(party: StoredRecord<PartyBody>): PartyMessage {
  const { roles, spiffeId, fingerprint, credentialExpiresAtMs, signingPublicKey, jurisdiction, note } = party.body;
  return {
    name: party.id,
    roles,
    state: party.state as PartyState,
    spiffeId,
    credentialFingerprint: fingerprint,
    credentialExpiresAtMs,
    signingPublicKey,
    jurisdiction: jurisdiction ?? '',
    admittedAtMs: party.atMs,
    note,
    groups: party.body.groups,
    authority: party.body.authority ?? '',
  };
}

/** What a party is in the log: a pseudonym and the digest of its certificate's fingerprint. */
export function partySubject(
  needs: Pick<GatewayNeeds, 'sha256' | 'pseudonymOf'>,
  party: StoredRecord<PartyBody>,
): { readonly name: string; readonly sha256: string } {
  return { name: `party/${needs.pseudonymOf(party.id)}`, sha256: needs.sha256(party.body.fingerprint) };
}
