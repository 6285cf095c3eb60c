import type { PartyServiceHandlers } from '../../gen/services.ts';
import { isPartyName } from '../../identity/names.ts';
import type { Caller, PartyRole, PresentedCredential } from '../../identity/party.ts';
import { reason } from '../../policy/reason.ts';
import type { Identified } from '../../rpc/application.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { pageOf, requireRole } from '../access.ts';
import { admissionHandlers } from './admission-steps.ts';
import { erasureHandlers } from './erase-party.ts';
import { mandateHandlers } from './mandates.ts';
import { evidence, type GatewayNeeds, type IssuedCredential } from '../needs.ts';
import { groupsOf, jurisdictionOf, rolesOf, RUNTIME_PARTY } from './party-fields.ts';
import { partyMessage, partySubject } from './party-record.ts';
import { isTrusted, trustHandlers } from './trust-list.ts';
import type { CredentialBody, PartyBody } from '../records.ts';

/** Days a credential is valid when the operator names none, and at most. */
export const DEFAULT_CREDENTIAL_DAYS = 365;
export const MAX_CREDENTIAL_DAYS = 3650;
/** Most credentials of one party that can be used at once. */
export const MAX_VALID_CREDENTIALS = 32;

/** Who is behind a certificate of our authority: a look-up in memory, made for every call. */
export function identify(needs: GatewayNeeds, credential: PresentedCredential): Identified {
  const known = needs.store.peek<CredentialBody>('credential', credential.fingerprint);
  const party = known === undefined ? undefined : needs.store.peek<PartyBody>('party', known.body.party);
  if (known === undefined || party === undefined || known.state !== 'valid') {
    return {
      kind: 'unknown',
      reason: reason('credential-unknown', 'no party is known by this certificate', {
        remedy: 'ask the operator for a credential',
      }),
    };
  }
  // INVARIANT: another runtime's certificate counts only under the name that was recognised, while it is trusted.
  const { authority, spiffeId } = party.body;
  if (authority !== undefined && (spiffeId !== credential.spiffeId || !isTrusted(needs, authority))) {
    return {
      kind: 'notAdmitted',
      reason: reason('party-not-admitted', `party \`${party.id}\` is of a runtime that is not trusted any more`, {
        remedy: 'ask the operator',
      }),
    };
  }
  if (party.state !== 'admitted') {
    return {
      kind: 'notAdmitted',
      reason: reason('party-not-admitted', `party \`${party.id}\` is ${party.state}`, { remedy: 'ask the operator' }),
    };
  }
  return { kind: 'known', caller: callerOf(party, credential.fingerprint) };
}

function callerOf(party: StoredRecord<PartyBody>, fingerprint: string): Caller {
  const { roles, signingPublicKey, jurisdiction } = party.body;
  return {
    party: party.id,
    roles,
    credentialFingerprint: fingerprint,
    signingPublicKey,
    jurisdiction,
    isInsecureLoopback: false,
  };
}

export function partyService(needs: GatewayNeeds): PartyServiceHandlers {
  const find = (name: string): StoredRecord<PartyBody> => {
    const party = needs.store.peek<PartyBody>('party', name);
    if (party === undefined) throw new Fault('not-found', `no party \`${name}\``);
    return party;
  };
  return {
    ...admissionHandlers(needs),
    ...erasureHandlers(needs),
    ...mandateHandlers(needs),
    ...trustHandlers(needs),
    add: async (caller, request) => {
      requireRole(caller, 'add parties', 'operator');
      const roles = rolesOf(request.roles);
      if (request.name === RUNTIME_PARTY)
        throw new Fault('argument-not-valid', `the name \`${RUNTIME_PARTY}\` is the runtime's own`);
      if (!isPartyName(request.name)) {
        throw new Fault(
          'argument-not-valid',
          `\`${request.name}\` is not a party name: lower-case letters, digits and \`-\`, at most 63, a letter first and no \`-\` last`,
        );
      }
      if (needs.store.peek('party', request.name) !== undefined)
        throw new Fault('already-exists', `party \`${request.name}\` exists`);
      const { party, bundle } = await admitParty(needs, {
        name: request.name,
        roles,
        days: daysOf(request.days),
        jurisdiction: jurisdictionOf(request.jurisdiction),
        groups: groupsOf(request.groups),
        isApplication: request.isApplication,
      });
      return { party: partyMessage(party), credential: bundle, reasons: [] };
    },
    renew: async (caller, request) => {
      const name = request.name === '' ? caller.party : request.name;
      if (caller.party !== name) requireRole(caller, 'renew the credentials of others', 'operator');
      const party = find(name);
      if (party.body.authority !== undefined)
        throw new Fault(
          'wrong-state',
          `party \`${party.id}\` is certified by \`${party.body.authority}\`: it renews there and introduces itself again`,
        );
      // Each is kept in memory for as long as it can be used.
      const valid = needs.store
        .peekAll<CredentialBody>('credential')
        .filter(
          ({ owner, state, body }) => owner === party.id && state === 'valid' && body.expiresAtMs > needs.nowMs(),
        );
      if (valid.length >= MAX_VALID_CREDENTIALS && !request.revokeOld)
        throw new Fault(
          'wrong-state',
          `party \`${party.id}\` has ${valid.length} valid credentials: renew with revokeOld, or wait for one to expire`,
        );
      const issued = await needs.issueCredential({
        party: party.id,
        roles: party.body.roles,
        days: daysOf(request.days),
      });
      const renewed = { ...party, body: { ...party.body, ...credentialPart(issued) } };
      const outcome = await needs.store.transact([
        // A renewal that was begun before a suspension must not undo it.
        { do: 'expect', table: 'party', id: party.id, state: party.state },
        { do: 'put', record: renewed },
        { do: 'put', record: credentialRecord(needs, party.id, issued) },
        // All of them: a stolen one need not be the latest.
        ...(request.revokeOld
          ? valid.map((old) => ({ do: 'put' as const, record: { ...old, state: 'revoked' } }))
          : []),
        {
          do: 'record',
          event: evidence(needs, 'party.admitted', [partySubject(needs, renewed)], {
            party: needs.pseudonymOf(party.id),
            renewed: true,
          }),
        },
      ]);
      if (outcome.kind === 'refused') throw changedMeanwhile(party.id);
      return { party: partyMessage(renewed), credential: issued.bundle, reasons: [] };
    },
    list: (caller, request) => {
      requireRole(caller, 'list parties', 'operator', 'auditor', 'provider');
      const all = needs.store.peekAll<PartyBody>('party').toSorted((a, b) => (a.id < b.id ? -1 : 1));
      const { items, nextPageToken } = pageOf(all, request.page);
      return Promise.resolve({ parties: items.map(partyMessage), nextPageToken });
    },
    whoAmI: (caller) => {
      const party = needs.store.peek<PartyBody>('party', caller.party);
      return Promise.resolve({
        party: party === undefined ? null : partyMessage(party),
        authority: needs.authority,
        runtimeVersion: needs.version,
        isolation: needs.isolation,
        isInsecure: caller.isInsecureLoopback,
      });
    },
  };
}

/** Admits a party and issues its first credential; durable with its evidence when it answers. */
export async function admitParty(
  needs: Pick<GatewayNeeds, 'store' | 'nowMs' | 'pseudonyms' | 'issueCredential'>,
  request: {
    readonly name: string;
    readonly roles: readonly PartyRole[];
    readonly days: number;
    readonly jurisdiction: string | null;
    readonly groups?: readonly string[];
    /** Only recorded as having applied: its credential works once it is admitted. */
    readonly isApplication?: boolean;
  },
): Promise<{ readonly party: StoredRecord<PartyBody>; readonly bundle: string }> {
  const { name, roles, days, jurisdiction, groups = [], isApplication = false } = request;
  const issued = await needs.issueCredential({ party: name, roles, days });
  const party: StoredRecord<PartyBody> = {
    table: 'party',
    id: name,
    owner: '',
    state: isApplication ? 'applied' : 'admitted',
    atMs: needs.nowMs(),
    body: { roles, groups, ...credentialPart(issued), jurisdiction, note: '' },
  };
  const salt = needs.pseudonyms.give(name, needs.nowMs());
  const admission = needs.store.transact([
    { do: 'expect', table: 'party', id: name, state: null },
    ...salt,
    { do: 'put', record: party },
    { do: 'put', record: credentialRecord(needs, name, issued) },
    {
      do: 'record',
      event: evidence(needs, isApplication ? 'party.applied' : 'party.admitted', [partySubject(needs, party)], {
        party: needs.pseudonyms.of(name),
        roles,
      }),
    },
  ]);
  const outcome = await admission.finally(() => needs.pseudonyms.given(name));
  if (outcome.kind === 'refused') throw new Fault('already-exists', `party \`${name}\` exists`);
  return { party, bundle: issued.bundle };
}

const changedMeanwhile = (name: string): Fault =>
  new Fault('conflict', `party \`${name}\` was changed meanwhile: look at it again`);

function credentialPart(
  issued: IssuedCredential,
): Pick<PartyBody, 'spiffeId' | 'fingerprint' | 'credentialExpiresAtMs' | 'signingPublicKey'> {
  const { spiffeId, fingerprint, expiresAtMs, signingPublicKey } = issued;
  return { spiffeId, fingerprint, credentialExpiresAtMs: expiresAtMs, signingPublicKey };
}

function credentialRecord(
  needs: Pick<GatewayNeeds, 'nowMs'>,
  party: string,
  issued: IssuedCredential,
): StoredRecord<CredentialBody> {
  return {
    table: 'credential',
    id: issued.fingerprint,
    owner: party,
    state: 'valid',
    atMs: needs.nowMs(),
    body: { party, expiresAtMs: issued.expiresAtMs },
  };
}

function daysOf(days: number): number {
  if (days === 0) return DEFAULT_CREDENTIAL_DAYS;
  if (!Number.isInteger(days) || days < 1 || days > MAX_CREDENTIAL_DAYS)
    throw new Fault('argument-not-valid', `a credential is valid for 1 to ${MAX_CREDENTIAL_DAYS} days`);
  return days;
}
