import { createPublicKey, type KeyObject } from 'node:crypto';
import { type AgreementTerms, agreementPayload, termsOf } from '../contract/agreement.ts';
import type { Agreement } from '../contract/lifecycle.ts';
import type { StoredRecord } from '../store/records.ts';
import type { AgreementBody, AgreementState } from './records.ts';

export type StoredAgreement = StoredRecord<AgreementBody>;

/** What the gateway keeps beside the contract itself. */
export interface AgreementNotes {
  /** Id of the pinned policy's record. */
  readonly policyRecord: string;
  readonly note: string;
  /** Where a counter-offer allows more than what it answers. */
  readonly widens: readonly string[];
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
  const terms = termsOf(body.content);
  if (terms === undefined) throw new Error(`the content of agreement ${id} is damaged`);
  return terms;
}

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
});

/** An Ed25519 public key from its 32 raw bytes in base64url. */
export function signingKey(raw: string): KeyObject {
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw }, format: 'jwk' });
}
