import { X509Certificate } from 'node:crypto';
import type { KnownLog, LogOwner } from '../../evidence/known-logs.ts';
import { parseVerifierKey } from '../../evidence/note.ts';
import type { TrustedRuntime } from '../../gen/messages.ts';
import type { PartyServiceHandlers } from '../../gen/services.ts';
import { verifyIntroduction } from '../../identity/introduction.ts';
import { keyPinOf, parseRuntimeCard, type RuntimeCard } from '../../identity/runtime-card.ts';
import { Fault } from '../../rpc/fault.ts';
import type { Step } from '../../store/jobs.ts';
import type { StoredRecord } from '../../store/records.ts';
import { checkNote, requireRole } from '../access.ts';
import { evidence, type GatewayNeeds } from '../needs.ts';
import { groupsOf, jurisdictionOf, rolesOf, RUNTIME_PARTY } from './party-fields.ts';
import { partyMessage, partySubject } from './party-record.ts';
import type { CredentialBody, PartyBody, TrustBody } from '../records.ts';

type Trusted = StoredRecord<TrustBody>;
type TrustHandlers = Pick<PartyServiceHandlers, 'trust' | 'revokeTrust' | 'listTrust' | 'recognise'>;

/** Most runtimes on the list: every connection is checked against all of their authorities. */
export const MAX_TRUSTED = 64;

/**
 * The trust list. To trust a runtime pins its authority's key and admits nobody: each of its parties introduces itself,
 * and an operator admits it by that, under a name and with roles of this runtime. A certificate of a trusted authority
 * that was not introduced opens a connection and nothing else.
 */
export function trustHandlers(needs: GatewayNeeds): TrustHandlers {
  const { store } = needs;
  return {
    trust: async (caller, request) => {
      requireRole(caller, 'trust other runtimes', 'operator');
      checkNote(request.note);
      const { authority, ...card } = cardOf(request.card);
      const keyPin = keyPinOf(card.certificate);
      if (needs.nowMs() >= Date.parse(new X509Certificate(card.certificate).validTo))
        throw new Fault('argument-not-valid', 'the certificate of the card has expired');
      if (authority === needs.authority) throw new Fault('argument-not-valid', 'that is this runtime itself');
      if (request.keyPin !== '' && request.keyPin !== keyPin)
        throw new Fault('argument-not-valid', `the key of the card is \`${keyPin}\`, not the one you were told`);
      const logKey = parseVerifierKey(card.verifierKey);
      if (logKey === undefined) throw new Fault('argument-not-valid', 'the card holds no verifier key of a log');
      // Else its receipts would be told as those of our own log.
      if (logKey.name === store.verifierKey.name)
        throw new Fault('argument-not-valid', 'the card names the log of this runtime itself');
      const before = store.peek<TrustBody>('trust', authority);
      if (before?.state === 'trusted' && before.body.keyPin !== keyPin)
        throw new Fault('conflict', `\`${authority}\` is trusted with another key: revoke that first`);
      if (before === undefined && store.peekAll('trust').length >= MAX_TRUSTED)
        throw new Fault('wrong-state', `the trust list holds ${MAX_TRUSTED} runtimes already`);
      const body: TrustBody = { ...card, keyPin, note: request.note };
      const record: Trusted = { table: 'trust', id: authority, owner: '', state: 'trusted', atMs: needs.nowMs(), body };
      await durably(needs, authority, [
        { do: 'expect', table: 'trust', id: authority, state: before?.state ?? null },
        { do: 'put', record },
        eventOf(needs, 'trust.added', record, caller.party),
      ]);
      needs.trustChanged();
      return { runtime: messageOf(needs, record) };
    },
    revokeTrust: async (caller, request) => {
      requireRole(caller, 'end the trust in other runtimes', 'operator');
      checkNote(request.note);
      const found = store.peek<TrustBody>('trust', request.authority);
      if (found?.state !== 'trusted') throw new Fault('not-found', `\`${request.authority}\` is not trusted`);
      const revoked: Trusted = {
        ...found,
        state: 'revoked',
        atMs: needs.nowMs(),
        body: { ...found.body, note: request.note },
      };
      const parties = partiesOf(needs, found.id);
      // In one transaction: the ledger then refuses what jobs of these parties would release.
      const suspensions = parties.flatMap((party): readonly Step[] => [
        { do: 'expect', table: 'party', id: party.id, state: 'admitted' },
        {
          do: 'put',
          record: { ...party, state: 'suspended', body: { ...party.body, note: 'its runtime is not trusted' } },
        },
        {
          do: 'record',
          event: evidence(needs, 'party.suspended', [partySubject(needs, party)], {
            party: needs.pseudonymOf(party.id),
          }),
        },
      ]);
      await durably(needs, found.id, [
        { do: 'expect', table: 'trust', id: found.id, state: 'trusted' },
        { do: 'put', record: revoked },
        eventOf(needs, 'trust.revoked', revoked, caller.party),
        ...suspensions,
      ]);
      needs.trustChanged();
      const suspendedParties = parties.map(({ id }) => id);
      const stoppedJobs = needs.live.stop(
        (job) => suspendedParties.includes(job.party) || (job.actor !== null && suspendedParties.includes(job.actor)),
      );
      return { runtime: messageOf(needs, revoked), suspendedParties, stoppedJobs };
    },
    listTrust: (caller) => {
      requireRole(caller, 'read the trust list', 'operator', 'auditor', 'provider');
      const runtimes = store.peekAll<TrustBody>('trust').toSorted((a, b) => (a.id < b.id ? -1 : 1));
      return Promise.resolve({ runtimes: runtimes.map((one) => messageOf(needs, one)) });
    },
    recognise: async (caller, request) => {
      requireRole(caller, 'recognise parties', 'operator');
      const roles = rolesOf(request.roles);
      if (roles.includes('operator'))
        throw new Fault('argument-not-valid', 'a party of another runtime cannot be an operator of this one');
      const jurisdiction = jurisdictionOf(request.jurisdiction);
      const groups = groupsOf(request.groups);
      const verdict = verifyIntroduction(request.introduction, {
        authority: needs.authority,
        nowMs: needs.nowMs(),
        authorityOf: (name) =>
          isTrusted(needs, name) ? store.peek<TrustBody>('trust', name)?.body.certificate : undefined,
      });
      if (verdict.kind === 'refused')
        throw new Fault('argument-not-valid', `the introduction is not one: ${verdict.reason}`);
      const { authority, spiffeId, fingerprint, notAfterMs, introduction } = verdict;
      const { name, signingPublicKey } = introduction;
      if (name === RUNTIME_PARTY)
        throw new Fault('argument-not-valid', `the name \`${RUNTIME_PARTY}\` is the runtime's own`);
      const before = store.peek<PartyBody>('party', name);
      // The same party again, with a renewed certificate; every other one has a name of its own.
      const isSame = before?.body.authority === authority && before.body.spiffeId === spiffeId;
      if (before !== undefined && (!isSame || before.state === 'exited'))
        throw new Fault('already-exists', `party \`${name}\` exists: it has to introduce itself by another name`);
      const old = before === undefined ? undefined : store.peek<CredentialBody>('credential', before.body.fingerprint);
      const known = store.peek<CredentialBody>('credential', fingerprint);
      if (known !== undefined && known.owner !== name)
        throw new Fault('already-exists', 'the certificate belongs to another party already');
      const party: StoredRecord<PartyBody> = {
        table: 'party',
        id: name,
        owner: '',
        // To introduce itself again does not lift a suspension.
        state: before?.state ?? 'admitted',
        atMs: before?.atMs ?? needs.nowMs(),
        body: {
          roles,
          groups,
          spiffeId,
          fingerprint,
          credentialExpiresAtMs: notAfterMs,
          signingPublicKey,
          jurisdiction,
          note: before?.body.note ?? '',
          authority,
        },
      };
      const credential: StoredRecord<CredentialBody> = {
        table: 'credential',
        id: fingerprint,
        owner: name,
        state: 'valid',
        atMs: needs.nowMs(),
        body: { party: name, expiresAtMs: notAfterMs },
      };
      const recognised = durably(needs, authority, [
        ...needs.pseudonyms.give(name, needs.nowMs()),
        { do: 'expect', table: 'trust', id: authority, state: 'trusted' },
        { do: 'expect', table: 'party', id: name, state: before?.state ?? null },
        { do: 'expect', table: 'credential', id: fingerprint, state: known?.state ?? null },
        { do: 'put', record: party },
        ...(old === undefined || old.id === fingerprint
          ? []
          : [{ do: 'put' as const, record: { ...old, state: 'revoked' } }]),
        { do: 'put', record: credential },
        {
          do: 'record',
          event: evidence(needs, 'party.admitted', [partySubject(needs, party)], {
            party: needs.pseudonymOf(name),
            roles,
            authority,
          }),
        },
      ]);
      await recognised.finally(() => needs.pseudonyms.given(name));
      return { party: partyMessage(party) };
    },
  };
}

/** Whether a runtime is on the trust list now. */
export const isTrusted = (needs: TrustNeeds, authority: string): boolean => {
  const record = needs.store.peek<TrustBody>('trust', authority);
  return record !== undefined && isInForce(needs, record);
};

/** Trust ends when it is revoked and, whatever else holds, with the certificate that was trusted. */
const isInForce = (needs: Pick<GatewayNeeds, 'nowMs'>, { state, body }: Trusted): boolean =>
  state === 'trusted' && needs.nowMs() < expiryOf(body);

type TrustNeeds = Pick<GatewayNeeds, 'store' | 'nowMs'>;
const expiries = new WeakMap<TrustBody, number>();

function expiryOf(body: TrustBody): number {
  let expiry = expiries.get(body);
  if (expiry === undefined) expiries.set(body, (expiry = Date.parse(new X509Certificate(body.certificate).validTo)));
  return expiry;
}

/** Certificates of the authorities whose parties may connect besides our own, PEM. */
export const trustedAuthorities = (needs: TrustNeeds): readonly string[] =>
  trusted(needs).map(({ body }) => body.certificate);

/** The logs of all runtimes that are or were trusted, with what holds of each now. */
export const listedLogs = (needs: TrustNeeds): readonly KnownLog[] =>
  needs.store.peekAll<TrustBody>('trust').flatMap((record): readonly KnownLog[] => {
    const key = parseVerifierKey(record.body.verifierKey);
    return key === undefined ? [] : [{ key, owner: ownerOf(needs, record) }];
  });

function ownerOf(needs: Pick<GatewayNeeds, 'nowMs'>, record: Trusted): LogOwner {
  const { id: authority, state, atMs, body } = record;
  const endsAtMs = expiryOf(body);
  if (isInForce(needs, record)) return { kind: 'trusted', authority, endsAtMs };
  return state === 'trusted' ? { kind: 'expired', authority, atMs: endsAtMs } : { kind: 'revoked', authority, atMs };
}

const trusted = (needs: TrustNeeds): readonly Trusted[] =>
  needs.store.peekAll<TrustBody>('trust').filter((one) => isInForce(needs, one));

const partiesOf = ({ store }: Pick<GatewayNeeds, 'store'>, authority: string): readonly StoredRecord<PartyBody>[] =>
  store.peekAll<PartyBody>('party').filter(({ state, body }) => state === 'admitted' && body.authority === authority);

function cardOf(text: string): RuntimeCard {
  try {
    return parseRuntimeCard(text);
  } catch (error) {
    throw new Fault('argument-not-valid', `the card cannot be read: ${error instanceof Error ? error.message : ''}`);
  }
}

async function durably(needs: Pick<GatewayNeeds, 'store'>, authority: string, steps: readonly Step[]): Promise<void> {
  const outcome = await needs.store.transact(steps);
  if (outcome.kind === 'refused')
    throw new Fault('conflict', `what is known of \`${authority}\` was changed meanwhile: look at it again`);
}

const eventOf = (
  needs: Pick<GatewayNeeds, 'nowMs' | 'pseudonymOf'>,
  kind: 'trust.added' | 'trust.revoked',
  { id, body }: Trusted,
  by: string,
): Step => ({
  do: 'record',
  event: evidence(needs, kind, [{ name: `runtime/${id}`, sha256: body.keyPin }], { by: needs.pseudonymOf(by) }),
});

function messageOf(needs: TrustNeeds, record: Trusted): TrustedRuntime {
  const { id, atMs, body } = record;
  const { keyPin, verifierKey, server, note } = body;
  return {
    authority: id,
    keyPin,
    verifierKey,
    server,
    isTrusted: isInForce(needs, record),
    sinceMs: atMs,
    note,
    parties: partiesOf(needs, id).map((one) => one.id),
    endsAtMs: expiryOf(body),
    isRevoked: record.state === 'revoked',
  };
}
