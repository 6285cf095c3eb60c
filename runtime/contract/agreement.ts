import { sign, verify, type KeyObject } from 'node:crypto';
import { canonicalBytes, type Json } from '../evidence/canonical-json.ts';
import { sha256Hex } from '../evidence/entry.ts';

/** One dataset in an agreement: which version of whose policy governs it, and which of its rules may be used. */
export interface AgreementDataset {
  readonly provider: string;
  readonly dataset: string;
  readonly policyVersion: number;
  /** SHA-256 of the policy's canonical form, 64 hex digits: the policy cannot change under the agreement. */
  readonly policyDigest: string;
  /** Ids of the policy's rules that the consumer may name; null means all of them. */
  readonly rules: readonly string[] | null;
}

/**
 * What the parties agree on. Its content never changes: another term is another agreement, whose `supersedes` names
 * this one. All times are milliseconds since 1970.
 */
export interface AgreementTerms {
  readonly id: string;
  /** The runtime that keeps it: an agreement of one runtime is worth nothing on another. */
  readonly authority: string;
  readonly consumer: string;
  /** One or several, of one or several providers. */
  readonly datasets: readonly AgreementDataset[];
  /** Purposes it is for (W3C DPV); empty: those of the policies. */
  readonly purposes: readonly string[];
  readonly notBeforeMs: number;
  /** From here on no job starts and nothing leaves; null means without end. */
  readonly notAfterMs: number | null;
  /** Digest of the agreed price plan's canonical form; null when use costs nothing. */
  readonly pricesDigest: string | null;
  readonly supersedes: string | null;
  /**
   * narrower: whoever signs these terms accepts ahead every counter-offer that allows nothing more. The signature over
   * the offer then stands for the counter-offer too, and anybody can check that it only narrows.
   */
  readonly counterOffers: 'none' | 'narrower';
}

/** One party's signature over the canonical bytes of the terms: the parts of a JWS (RFC 7515) with EdDSA (RFC 8037). */
export interface AgreementSignature {
  readonly party: string;
  /** Names the key: the party's name, `#` and the key's number, so that a signature cannot be moved to another party. */
  readonly keyId: string;
  /** Base64url of the protected header's canonical JSON. */
  readonly protected: string;
  /** Base64url of the Ed25519 signature over `protected.payload`. */
  readonly signature: string;
}

export const MAX_AGREEMENT_DATASETS = 64;
const TYPE = 'glovebox-agreement+jws';

/** The bytes that everybody signs: canonical JSON (RFC 8785) of the terms. Throws a RangeError for terms that make no sense. */
export function agreementPayload(terms: AgreementTerms): Uint8Array {
  checkTerms(terms);
  const { id, authority, consumer, purposes, notBeforeMs, notAfterMs, pricesDigest, supersedes, counterOffers } = terms;
  const datasets = terms.datasets.map(({ provider, dataset, policyVersion, policyDigest, rules }) => ({
    provider,
    dataset,
    policyVersion,
    policyDigest,
    rules,
  }));
  const version = 'glovebox/v1';
  return canonicalBytes({
    version,
    id,
    authority,
    consumer,
    datasets,
    purposes,
    notBeforeMs,
    notAfterMs,
    pricesDigest,
    supersedes,
    counterOffers,
  } as unknown as Json);
}

/** The terms in a payload that `agreementPayload` made; undefined when it is not exactly that. */
export function termsOf(payload: string): AgreementTerms | undefined {
  try {
    const { version, ...terms } = JSON.parse(payload) as AgreementTerms & { readonly version: unknown };
    const isOurs = version === 'glovebox/v1' && Buffer.from(agreementPayload(terms)).toString('utf8') === payload;
    return isOurs ? terms : undefined;
  } catch {
    return undefined;
  }
}

/** SHA-256 of the payload, 64 hex digits: the agreement's name in evidence. */
export function agreementDigest(terms: AgreementTerms): string {
  return sha256Hex(agreementPayload(terms));
}

/** Everybody whose signature an agreement needs: the consumer and every provider, in a fixed order. */
export function signersOf(terms: AgreementTerms): string[] {
  return [terms.consumer, ...new Set(terms.datasets.map((one) => one.provider))].filter(
    (party, index, all) => all.indexOf(party) === index,
  );
}

/** Signs the terms for a party. The key's name holds the party's, so a signature cannot be moved to another. */
export function signAgreement(
  terms: AgreementTerms,
  signer: { readonly party: string; readonly keyId: string; readonly privateKey: KeyObject },
): AgreementSignature {
  const { party, keyId } = signer;
  if (!signersOf(terms).includes(party)) throw new RangeError(`'${party}' is no party to agreement '${terms.id}'`);
  if (!keyId.startsWith(`${party}#`)) throw new RangeError(`key '${keyId}' is not named after '${party}'`);
  const header = canonicalBytes({ alg: 'EdDSA', kid: keyId, typ: TYPE });
  const protectedHeader = Buffer.from(header).toString('base64url');
  const signature = sign(null, signingInput(protectedHeader, terms), signer.privateKey);
  return { party, keyId, protected: protectedHeader, signature: signature.toString('base64url') };
}

export type SignatureVerdict = { readonly kind: 'valid' } | { readonly kind: 'invalid'; readonly reason: string };

/** Checks one party's signature over the terms with that party's public key. */
export function verifySignature(
  terms: AgreementTerms,
  signature: AgreementSignature,
  publicKey: KeyObject,
): SignatureVerdict {
  if (!signature.keyId.startsWith(`${signature.party}#`)) return invalid('its key is not named after the party');
  const header = Buffer.from(canonicalBytes({ alg: 'EdDSA', kid: signature.keyId, typ: TYPE }));
  // The header is rebuilt, not parsed: whatever else it could say (`alg: none`, `crit`) is then not our header.
  if (signature.protected !== header.toString('base64url')) return invalid('its header is not that of an agreement');
  const bytes = Buffer.from(signature.signature, 'base64url');
  if (bytes.length !== 64 || bytes.toString('base64url') !== signature.signature)
    return invalid('it is not an Ed25519 signature');
  if (publicKey.asymmetricKeyType !== 'ed25519') return invalid('the key is not an Ed25519 key');
  const isValid = verify(null, signingInput(signature.protected, terms), publicKey, bytes);
  return isValid ? { kind: 'valid' } : invalid('it does not match the terms');
}

export type AgreementVerdict =
  | { readonly kind: 'signedByAll'; readonly digest: string }
  | { readonly kind: 'missing'; readonly parties: readonly string[] }
  | { readonly kind: 'invalid'; readonly party: string; readonly reason: string };

/** Whether every party signed these very terms. Each expected party is looked for: one valid signature is not enough. */
export function verifyAgreement(
  terms: AgreementTerms,
  signatures: readonly AgreementSignature[],
  keyOf: (party: string, keyId: string) => KeyObject | undefined,
): AgreementVerdict {
  const missing: string[] = [];
  for (const party of signersOf(terms)) {
    const mine = signatures.filter((one) => one.party === party);
    if (mine.length === 0) missing.push(party);
    for (const one of mine) {
      const key = keyOf(party, one.keyId);
      if (key === undefined) return { kind: 'invalid', party, reason: `key '${one.keyId}' is not one of the party's` };
      const verdict = verifySignature(terms, one, key);
      if (verdict.kind === 'invalid') return { kind: 'invalid', party, reason: verdict.reason };
    }
  }
  return missing.length > 0
    ? { kind: 'missing', parties: missing }
    : { kind: 'signedByAll', digest: agreementDigest(terms) };
}

/** The signatures as a JWS in general JSON serialisation (RFC 7515 §7.2.1), for outside tools. */
export function agreementToJws(terms: AgreementTerms, signatures: readonly AgreementSignature[]): Json {
  return {
    payload: Buffer.from(agreementPayload(terms)).toString('base64url'),
    signatures: signatures.map((one) => ({ protected: one.protected, signature: one.signature })),
  };
}

function checkTerms(terms: AgreementTerms): void {
  const { id, consumer, datasets, notBeforeMs, notAfterMs } = terms;
  if (id === '' || consumer === '') throw new RangeError('an agreement needs an id and a consumer');
  if (datasets.length === 0 || datasets.length > MAX_AGREEMENT_DATASETS) {
    throw new RangeError(
      `agreement '${id}' has ${datasets.length} datasets: 1 to ${MAX_AGREEMENT_DATASETS} are allowed`,
    );
  }
  const names = new Set<string>();
  for (const one of datasets) {
    if (names.has(one.dataset)) throw new RangeError(`agreement '${id}' names dataset '${one.dataset}' twice`);
    names.add(one.dataset);
    if (one.provider === '') throw new RangeError(`dataset '${one.dataset}' of agreement '${id}' has no provider`);
    if (!/^[0-9a-f]{64}$/.test(one.policyDigest))
      throw new RangeError(`dataset '${one.dataset}' pins no policy digest`);
    if (!Number.isSafeInteger(one.policyVersion) || one.policyVersion < 1) {
      throw new RangeError(`dataset '${one.dataset}' pins no policy version`);
    }
  }
  if (!Number.isSafeInteger(notBeforeMs) || (notAfterMs !== null && !Number.isSafeInteger(notAfterMs))) {
    throw new RangeError(`agreement '${id}' has a time that is not in whole milliseconds`);
  }
  if (notAfterMs !== null && notAfterMs <= notBeforeMs) throw new RangeError(`agreement '${id}' ends before it begins`);
}

function signingInput(protectedHeader: string, terms: AgreementTerms): Uint8Array {
  return Buffer.from(`${protectedHeader}.${Buffer.from(agreementPayload(terms)).toString('base64url')}`);
}

function invalid(reason: string): { readonly kind: 'invalid'; readonly reason: string } {
  return { kind: 'invalid', reason };
}
