import { createPublicKey, type KeyObject } from 'node:crypto';
import { type AgreementTerms, agreementPayload, termsOf } from '../contract/agreement.ts';
import type { Agreement } from '../contract/lifecycle.ts';
import type { EvidenceKind } from '../evidence/entry.ts';
import type { Step } from '../store/jobs.ts';
import type { AgreedPrices } from '../metering/agreed-prices.ts';
import type { StoredRecord } from '../store/records.ts';
import { Fault } from '../rpc/fault.ts';
import { evidence, type GatewayNeeds } from './needs.ts';
import type { AgreementBody, AgreementState, PolicyBody } from './records.ts';

export type StoredAgreement = StoredRecord<AgreementBody>;

/** What the gateway keeps beside the contract itself. */
export interface AgreementNotes {
  /** Id of the pinned policy's record. */
  readonly policyRecord: string;
  readonly note: string;
  /** Where a counter-offer allows more than what it answers. */
  readonly widens: readonly string[];
  /** The agreed price plan, canonical JSON; empty: none. */
  readonly prices: string;
}

/** The contract in a record, for the state machine of `contract/`. Throws when the content is not ours: state was damaged. */
export function contractOf(record: StoredAgreement): Agreement {
  const { body } = record;
  return {
    state: record.state as AgreementState,
    terms: termsOfRecord(record),
    proposedBy: body.proposedBy,
    signatures: body.signatures.map(({ party, keyId, protectedHeader, signature }) => ({
      party,
      keyId,
      protected: protectedHeader,
      signature,
    })),
    acceptedAhead: body.acceptedAhead,
    round: body.round,
    suspendedBy: body.suspendedBy === '' ? null : body.suspendedBy,
  };
}

/** States in which the terms are still to be negotiated or used: others show a consumer no schema and no policy. */
const OPEN_STATES: ReadonlySet<string> = new Set<AgreementState>([
  'offered',
  'countered',
  'agreed',
  'active',
  'suspended',
]);

/** Whether an agreement lets its consumer see the dataset's schema and the pinned policy now. */
export function isOpenTo(consumer: string, { state, body }: StoredAgreement, nowMs: number): boolean {
  const isOver = body.notAfterMs !== null && nowMs >= body.notAfterMs;
  return body.consumer === consumer && OPEN_STATES.has(state) && !isOver;
}

export function termsOfRecord({ id, body }: StoredAgreement): AgreementTerms {
  const known = readTerms.get(body);
  if (known !== undefined) return known;
  const terms = termsOf(body.content);
  if (terms === undefined) throw new Error(`the content of agreement ${id} is damaged`);
  readTerms.set(body, terms);
  return terms;
}

/** Each job asks for the terms of all agreements of its party, and what a record holds is never changed, only replaced. */
const readTerms = new WeakMap<AgreementBody, AgreementTerms>();

/** The record of a contract; `before` keeps when and with which keys its signatures came. */
export function recordOf(
  agreement: Agreement,
  notes: AgreementNotes,
  now: { readonly atMs: number; readonly keys: Readonly<Record<string, string>> },
  before: StoredAgreement | null = null,
): StoredAgreement {
  const { terms, signatures } = agreement;
  const [covered] = terms.datasets;
  if (covered === undefined || terms.datasets.length > 1) throw new Error('a record holds one dataset');
  const body: AgreementBody = {
    provider: covered.provider,
    consumer: terms.consumer,
    dataset: covered.dataset,
    policyVersion: covered.policyVersion,
    policyDigest: covered.policyDigest,
    policyRecord: notes.policyRecord,
    notBeforeMs: terms.notBeforeMs,
    notAfterMs: terms.notAfterMs,
    purposes: terms.purposes,
    content: Buffer.from(agreementPayload(terms)).toString('utf8'),
    signatures: signatures.map(
      ({ party, keyId, protected: protectedHeader, signature }) =>
        before?.body.signatures.find((one) => one.party === party) ?? {
          party,
          keyId,
          protectedHeader,
          signature,
          publicKey: now.keys[party] ?? '',
          signedAtMs: now.atMs,
        },
    ),
    note: notes.note,
    counters: terms.supersedes ?? '',
    suspendedBy: agreement.suspendedBy ?? '',
    proposedBy: agreement.proposedBy,
    acceptedAhead: agreement.acceptedAhead,
    round: agreement.round,
    widens: notes.widens,
    ...(notes.prices === '' ? {} : { prices: notes.prices }),
  };
  const { id } = terms;
  return {
    table: 'agreement',
    id,
    owner: covered.provider,
    state: agreement.state,
    atMs: before?.atMs ?? now.atMs,
    body,
  };
}

export const notesOf = ({ body }: StoredAgreement): AgreementNotes => ({
  policyRecord: body.policyRecord,
  note: body.note,
  widens: body.widens,
  prices: body.prices ?? '',
});

/** The prices that an agreement's parties signed; null when it has none. Throws when they are not what was signed. */
export function pricesOf(record: StoredAgreement, sha256: (text: string) => string): AgreedPrices | null {
  const { prices } = record.body;
  const { pricesDigest } = termsOfRecord(record);
  if (prices === undefined && pricesDigest === null) return null;
  // INVARIANT: nobody pays by a plan that is not the one whose digest both signed.
  if (prices === undefined || sha256(prices) !== pricesDigest)
    throw new Error(`the prices of agreement ${record.id} are not those that were signed`);
  return JSON.parse(prices) as AgreedPrices;
}

/** An Ed25519 public key from its 32 raw bytes in base64url. */
export function signingKey(raw: string): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw }, format: 'jwk' });
}

/** What the log says of an agreement's change. */
export function agreementEvent(
  needs: Pick<GatewayNeeds, 'nowMs' | 'sha256' | 'pseudonymOf'>,
  agreement: StoredAgreement,
  kind: EvidenceKind,
  more: Readonly<Record<string, number>> = {},
): Step {
  const { body, id } = agreement;
  return {
    do: 'record',
    event: evidence(needs, kind, [{ name: `agreement/${id}`, sha256: needs.sha256(body.content) }], {
      provider: needs.pseudonymOf(body.provider),
      consumer: needs.pseudonymOf(body.consumer),
      policyVersion: body.policyVersion,
      ...more,
    }),
  };
}

/** The policy that an agreement pins, only when it is exactly what was signed. */
export function pinnedPolicy(
  needs: Pick<GatewayNeeds, 'store'>,
  body: AgreementBody,
): StoredRecord<PolicyBody> | undefined {
  const policy = needs.store.peek<PolicyBody>('policy', body.policyRecord);
  // INVARIANT: an agreement is worth nothing without exactly the policy that was signed.
  return policy?.body.digest === body.policyDigest ? policy : undefined;
}

/** One transaction that happens only when the agreement is still as it was read. */
export async function durably(needs: GatewayNeeds, read: StoredAgreement, steps: readonly Step[]): Promise<void> {
  const outcome = await needs.store.transact([
    { do: 'expect', table: 'agreement', id: read.id, state: read.state },
    ...steps,
  ]);
  if (outcome.kind === 'refused')
    throw new Fault('conflict', `agreement \`${read.id}\` was changed meanwhile: look at it again`);
}
