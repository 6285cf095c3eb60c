import type { Party as PartyMessage } from '../../gen/messages.ts';
import type { StoredRecord } from '../../store/records.ts';
import type { GatewayNeeds } from '../needs.ts';
import type { PartyBody, PartyState } from '../records.ts';

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

/**
 * What a party is in the log: a pseudonym, and a salted digest of its certificate's fingerprint. Certificates are seen by
 * others: without the salt a plain digest would still name the party when it is erased.
 */
export function partySubject(
  needs: Pick<GatewayNeeds, 'pseudonyms'>,
  party: StoredRecord<PartyBody>,
): { readonly name: string; readonly sha256: string } {
  const { pseudonyms } = needs;
  return { name: `party/${pseudonyms.of(party.id)}`, sha256: pseudonyms.commitment(party.id, party.body.fingerprint) };
}
