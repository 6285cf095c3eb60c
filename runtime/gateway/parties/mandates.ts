import { type Mandate, mandateDigest, readMandate } from '../../contract/mandate.ts';
import type { Mandate as MandateMessage } from '../../gen/messages.ts';
import type { PartyServiceHandlers } from '../../gen/services.ts';
import { verifyJws } from '../../identity/jws.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { pageOf } from '../access.ts';
import { evidence, type GatewayNeeds } from '../needs.ts';
import type { MandateBody, PartyBody } from '../records.ts';

type MandateHandlers = Pick<PartyServiceHandlers, 'grantMandate' | 'revokeMandate' | 'listMandates'>;

/** Mandates: one party acts for another, by a signature that the log holds the digest of. */
export function mandateHandlers(needs: GatewayNeeds): MandateHandlers {
  const { store } = needs;
  const find = (caller: Caller, id: string): StoredRecord<MandateBody> => {
    const record = store.peek<MandateBody>('delegation', id);
    if (record === undefined || !maySee(caller, record)) throw new Fault('not-found', `no mandate \`${id}\` of yours`);
    return record;
  };
  return {
    grantMandate: async (caller, request) => {
      const mandate = readMandate(request.content);
      if (mandate === undefined)
        throw new Fault(
          'argument-not-valid',
          'the content is not that of a mandate: canonical JSON with id, authority, principal, delegate, agreements and at most 366 days',
        );
      checkNames(needs, caller, mandate);
      const { signature } = request;
      const publicKey = caller.signingPublicKey;
      if (
        signature === null ||
        publicKey === null ||
        !verifyJws(request.content, signature, { kind: 'mandate', party: caller.party, publicKey })
      )
        throw new Fault('signature-not-valid', 'the mandate is not signed with your key');
      const record: StoredRecord<MandateBody> = {
        table: 'delegation',
        id: mandate.id,
        owner: mandate.principal,
        state: 'active',
        atMs: needs.nowMs(),
        body: { content: request.content, ...signature, publicKey },
      };
      const outcome = await store.transact([
        { do: 'expect', table: 'delegation', id: mandate.id, state: null },
        { do: 'put', record },
        { do: 'record', event: evidence(needs, 'delegation.granted', [subjectOf(record)], partiesIn(needs, mandate)) },
      ]);
      if (outcome.kind === 'refused') throw new Fault('already-exists', `mandate \`${mandate.id}\` exists`);
      return { mandate: messageOf(needs, record) };
    },
    revokeMandate: async (caller, request) => {
      const record = find(caller, request.id);
      const mandate = mandateOf(record);
      const isMine = [mandate.principal, mandate.delegate].includes(caller.party);
      if (!isMine && !hasRole(caller, 'operator'))
        throw new Fault('role-missing', 'who gave a mandate, its delegate or an operator revokes it');
      const revoked = { ...record, state: 'revoked' };
      const outcome = await store.transact([
        { do: 'expect', table: 'delegation', id: record.id, state: 'active' },
        { do: 'put', record: revoked },
        {
          do: 'record',
          event: evidence(needs, 'delegation.revoked', [subjectOf(record)], {
            ...partiesIn(needs, mandate),
            by: needs.pseudonymOf(caller.party),
          }),
        },
      ]);
      if (outcome.kind === 'refused') throw new Fault('wrong-state', `mandate \`${record.id}\` is revoked already`);
      // Durable first: a job that is past its last look now is refused by the ledger.
      const stoppedJobs = needs.live.stop((job) => job.mandate === record.id);
      return { mandate: messageOf(needs, revoked), stoppedJobs };
    },
    listMandates: (caller, request) => {
      const all = store
        .peekAll<MandateBody>('delegation')
        .filter((record) => maySee(caller, record))
        .toSorted((a, b) => b.atMs - a.atMs || (a.id < b.id ? 1 : -1));
      const { items, nextPageToken } = pageOf(all, request.page);
      return Promise.resolve({ mandates: items.map((one) => messageOf(needs, one)), nextPageToken });
    },
  };
}

/**
 * The mandate under which a party acts now; throws the same fault whether it does not exist, is somebody else's, is
 * revoked or over, so that ids of others tell nothing.
 */
export function mandateInForce(needs: Pick<GatewayNeeds, 'store' | 'nowMs'>, delegate: string, id: string): Mandate {
  const record = needs.store.peek<MandateBody>('delegation', id);
  const mandate = record?.state === 'active' ? mandateOf(record) : undefined;
  const now = needs.nowMs();
  // Who is suspended or has left lets nobody act for it, not even explain a question.
  const principal = needs.store.peek<PartyBody>('party', mandate?.principal ?? '');
  const isInForce =
    mandate !== undefined &&
    mandate.delegate === delegate &&
    now >= mandate.notBeforeMs &&
    now < mandate.notAfterMs &&
    principal?.state === 'admitted' &&
    principal.body.roles.includes('consumer');
  if (!isInForce) throw new Fault('not-found', `no mandate \`${id}\` is in force for you`);
  return mandate;
}

function checkNames(needs: GatewayNeeds, caller: Caller, mandate: Mandate): void {
  if (mandate.principal !== caller.party)
    throw new Fault('argument-not-valid', `only \`${mandate.principal}\` can give this mandate`);
  if (mandate.authority !== needs.authority)
    throw new Fault('argument-not-valid', `the mandate is for another runtime than \`${needs.authority}\``);
  if (needs.store.peek('party', mandate.delegate)?.state !== 'admitted')
    throw new Fault('not-found', `no admitted party \`${mandate.delegate}\``);
  if (mandate.notAfterMs <= needs.nowMs()) throw new Fault('argument-not-valid', 'the mandate has ended already');
}

function mandateOf({ id, body }: StoredRecord<MandateBody>): Mandate {
  const mandate = readMandate(body.content);
  if (mandate === undefined) throw new Error(`the content of mandate ${id} is damaged`);
  return mandate;
}

function maySee(caller: Caller, record: StoredRecord<MandateBody>): boolean {
  const { principal, delegate } = mandateOf(record);
  return [principal, delegate].includes(caller.party) || hasRole(caller, 'operator', 'auditor');
}

const subjectOf = ({ id, body }: StoredRecord<MandateBody>): { readonly name: string; readonly sha256: string } => ({
  name: `mandate/${id}`,
  sha256: mandateDigest(body.content),
});

const partiesIn = (
  needs: Pick<GatewayNeeds, 'pseudonymOf'>,
  { principal, delegate }: Mandate,
): { readonly principal: string; readonly delegate: string } => ({
  principal: needs.pseudonymOf(principal),
  delegate: needs.pseudonymOf(delegate),
});

function messageOf(needs: Pick<GatewayNeeds, 'nowMs'>, record: StoredRecord<MandateBody>): MandateMessage {
  const { id, principal, delegate, agreements, notBeforeMs, notAfterMs } = mandateOf(record);
  const { content } = record.body;
  const isOver = needs.nowMs() >= notAfterMs;
  return {
    id,
    principal,
    delegate,
    agreementIds: agreements,
    notBeforeMs,
    notAfterMs,
    state: record.state === 'active' && isOver ? 'expired' : record.state,
    content,
    digest: mandateDigest(content),
  };
}
