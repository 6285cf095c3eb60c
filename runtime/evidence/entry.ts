import { createHash, sign, type KeyObject } from 'node:crypto';
import { canonicalBytes, type Json } from './canonical-json.ts';
import { decodeBase64 } from './note.ts';
import { MAX_ENTRY_BYTES } from './tiles.ts';

/** Everything that the log records. One word per event; a new event is a new line here. */
export const EVIDENCE_KINDS = [
  'party.applied',
  'party.admitted',
  'party.suspended',
  'party.exited',
  'party.erased',
  'trust.added',
  'trust.revoked',
  'dataset.registered',
  'dataset.graded',
  'dataset.verified',
  'dataset.retired',
  'dataset.custody',
  'table.uploaded',
  'table.removed',
  'policy.attached',
  'policy.revoked',
  'exportList.set',
  'agreement.offered',
  'agreement.countered',
  'agreement.agreed',
  'agreement.activated',
  'agreement.suspended',
  'agreement.resumed',
  'agreement.terminated',
  'agreement.expired',
  'job.requested',
  'job.failed',
  'job.cancelled',
  'decision',
  'approval',
  'budget.reserved',
  'budget.committed',
  'budget.released',
  'budget.toppedUp',
  'release',
  'release.fetched',
  'duty.fulfilled',
  'duty.violated',
  'dispute.opened',
  'dispute.resolved',
  'delegation.granted',
  'delegation.revoked',
  'settlement.closed',
  'key.released',
  'key.revoked',
  'contribution.withdrawn',
  'ciphertext.stored',
  'decryptor.set',
  'alert',
  'switch',
  'store.recovered',
  'store.backedUp',
] as const;
export type EvidenceKind = (typeof EVIDENCE_KINDS)[number];

/** What an event says besides its subjects: codes, counts, digests and pseudonyms; never free text or a value from a row. */
export type Facts = { readonly [name: string]: string | number | boolean | readonly string[] };

export interface Subject {
  /** What kind of thing and which, e.g. `job/7f3a…` or `dataset/hospital-visits/3`. */
  readonly name: string;
  /** SHA-256 of the thing, 64 lower-case hex digits. */
  readonly sha256: string;
}

/** An event before it is logged. */
export interface EvidenceEvent {
  readonly kind: EvidenceKind;
  /** When, milliseconds since 1970. */
  readonly atMs: number;
  readonly subjects: readonly Subject[];
  readonly facts: Facts;
}

export const MAX_SUBJECTS = 64;
export const MAX_FACTS = 64;
export const MAX_FACT_CHARACTERS = 256;
export const MAX_FACT_ITEMS = 256;
const PAYLOAD_TYPE = 'application/vnd.in-toto+json';
const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
const PREDICATE_PREFIX = 'urn:glovebox:evidence:v1:';

/**
 * An event as a log entry: canonical JSON (RFC 8785) of an in-toto Statement v1. An entry has no signature of its own: the
 * log's signature over the root covers it, so that one signature a commit serves every entry, and a receipt (inclusion
 * proof and signed root) proves it alone.
 * Throws a RangeError when the event breaks a limit or a fact could be free text: the log is append-only, so
 * whatever enters it can never be erased, and text from a row must have no way in.
 */
export function encodeEntry(event: EvidenceEvent): Uint8Array {
  checkEvent(event);
  // Written out rather than by canonicalBytes(): names are in canonical order, and checkEvent() lets in only texts that
  // need no escapes, so this is the same text at a third of the time; a test holds the two together.
  const facts = Object.keys(event.facts)
    .toSorted()
    .map((name) => `"${name}":${JSON.stringify(event.facts[name])}`);
  const subjects = event.subjects.map(({ name, sha256 }) => `{"digest":{"sha256":"${sha256}"},"name":"${name}"}`);
  const entry = Buffer.from(
    `{"_type":"${STATEMENT_TYPE}","predicate":{"at":"${new Date(event.atMs).toISOString()}","facts":{${facts.join(',')}}},` +
      `"predicateType":"${PREDICATE_PREFIX}${event.kind}","subject":[${subjects.join(',')}]}`,
  );
  if (entry.length > MAX_ENTRY_BYTES)
    throw new RangeError(`entry of ${entry.length} bytes is above ${MAX_ENTRY_BYTES}`);
  return entry;
}

export type OpenedEntry =
  | { readonly kind: 'entry'; readonly event: EvidenceEvent }
  | { readonly kind: 'invalid'; readonly reason: string };

/**
 * Reads an entry's bytes, which say nothing about who wrote them: the caller has checked that a signed root covers them.
 * Logs of earlier versions wrapped each statement in a DSSE envelope; both forms are read.
 */
export function readEntry(entry: Uint8Array): OpenedEntry {
  if (entry.length > MAX_ENTRY_BYTES) return invalid('longer than an entry may be');
  const outer = parseObject(entry);
  if (outer === undefined) return invalid('not a JSON object');
  const body = outer['payloadType'] === undefined ? entry : payloadOf(outer);
  const event = body === undefined ? undefined : eventOf(parseObject(body));
  if (body === undefined || event === undefined) return invalid('not an evidence statement');
  return isWrittenAs(event, body) ? { kind: 'entry', event } : invalid('not what the log writes of any event');
}

/** Whether these bytes are the one spelling of an event that breaks no limit: JSON and dates allow many others. */
function isWrittenAs(event: EvidenceEvent, body: Uint8Array): boolean {
  try {
    return Buffer.from(encodeEntry(event)).equals(body);
  } catch {
    return false;
  }
}

/**
 * The statement of an entry in a DSSE envelope, signed by `key`: for tools that read in-toto attestations and know no
 * transparency logs. The log itself needs none.
 */
export function dsseEnvelope(
  entry: Uint8Array,
  key: { readonly id: string; readonly privateKey: KeyObject },
): Uint8Array {
  // Entries of earlier versions are envelopes already.
  if (parseObject(entry)?.['payloadType'] === PAYLOAD_TYPE) return entry;
  const signature = sign(null, preAuthEncoding(entry), key.privateKey);
  return canonicalBytes({
    payload: Buffer.from(entry).toString('base64'),
    payloadType: PAYLOAD_TYPE,
    signatures: [{ keyid: key.id, sig: signature.toString('base64') }],
  });
}

/** Name of a key in an envelope: SHA-256 of its SubjectPublicKeyInfo, 64 hex digits. It only helps to find the key. */
export function keyIdOf(publicKey: KeyObject): string {
  return sha256Hex(publicKey.export({ type: 'spki', format: 'der' }));
}

/**
 * An envelope as a Sigstore bundle (v0.3): verified with the public key that `keyid` names, without the public
 * transparency log of Sigstore, where it is not. The tools of Sigstore take the file with `--key` and that log ignored.
 */
export function sigstoreBundle(envelope: Uint8Array): Uint8Array {
  const dsse = JSON.parse(Buffer.from(envelope).toString('utf8')) as {
    readonly signatures: readonly { readonly keyid: string; readonly sig: string }[];
  };
  const hint = dsse.signatures[0]?.keyid ?? '';
  return canonicalBytes({
    mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
    verificationMaterial: { publicKey: { hint }, tlogEntries: [] },
    // The hint names the key. Sigstore's tools compare `keyid` with a name of their own making, and take none for any.
    dsseEnvelope: { ...dsse, signatures: dsse.signatures.map(({ sig }) => ({ keyid: '', sig })) },
  } as unknown as Json);
}

function payloadOf({ payload, payloadType }: Record<string, unknown>): Uint8Array | undefined {
  return payloadType === PAYLOAD_TYPE && typeof payload === 'string' ? decodeBase64(payload) : undefined;
}

/** SHA-256 as 64 lower-case hex digits: the form in which subjects are named. */
export function sha256Hex(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * A name that means nothing without its salt: SHA-256(salt ‖ 0x00 ‖ text) cut to 128 bits. Deleting the salt
 * erases the person from the log although the log itself never forgets. The salt must be at least 16 random bytes.
 */
export function pseudonymOf(salt: Uint8Array, text: string): string {
  if (salt.length < 16) throw new RangeError('a pseudonym needs a salt of at least 16 bytes');
  const digest = createHash('sha256')
    .update(salt)
    .update(Buffer.from([0]))
    .update(text)
    .digest();
  return `p:${digest.subarray(0, 16).toString('hex')}`;
}

/** DSSE pre-authentication encoding: what is signed. */
function preAuthEncoding(payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `), payload]);
}

function checkEvent(event: EvidenceEvent): void {
  if (!isKind(event.kind)) throw new RangeError(`'${String(event.kind)}' is not a kind of evidence`);
  if (!Number.isSafeInteger(event.atMs)) throw new RangeError(`${event.atMs} is not a time in milliseconds`);
  if (event.subjects.length === 0 || event.subjects.length > MAX_SUBJECTS) {
    throw new RangeError(`${event.subjects.length} subjects: an event has 1 to ${MAX_SUBJECTS}`);
  }
  for (const { name, sha256 } of event.subjects) {
    if (!isToken(name)) throw new RangeError(`subject '${name}' is not a plain identifier`);
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw new RangeError(`subject '${name}' has no SHA-256 digest`);
  }
  const facts = Object.entries(event.facts);
  if (facts.length > MAX_FACTS) throw new RangeError(`${facts.length} facts are above ${MAX_FACTS}`);
  for (const [name, value] of facts) {
    if (!/^[A-Za-z][A-Za-z0-9]{0,63}$/.test(name) || !isFact(value)) {
      throw new RangeError(`fact '${name}' is not a code, a whole number, a digest or a list of codes`);
    }
  }
}

function isFact(value: unknown): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value);
  if (typeof value === 'boolean') return true;
  if (typeof value === 'string') return isToken(value);
  return (
    Array.isArray(value) &&
    value.length <= MAX_FACT_ITEMS &&
    value.every((one) => typeof one === 'string' && isToken(one))
  );
}

function isToken(text: string): boolean {
  return text.length <= MAX_FACT_CHARACTERS && /^[A-Za-z0-9._:/+=@#-]*$/.test(text);
}

function isKind(kind: string): kind is EvidenceKind {
  return (EVIDENCE_KINDS as readonly string[]).includes(kind);
}

function eventOf(statement: Record<string, unknown> | undefined): EvidenceEvent | undefined {
  const { _type: type, subject, predicateType, predicate } = statement ?? {};
  if (type !== STATEMENT_TYPE || typeof predicateType !== 'string' || !isObject(predicate) || !Array.isArray(subject)) {
    return undefined;
  }
  const { at, facts } = predicate;
  const atMs = typeof at === 'string' ? Date.parse(at) : Number.NaN;
  if (!predicateType.startsWith(PREDICATE_PREFIX) || !isObject(facts) || !Number.isSafeInteger(atMs)) return undefined;
  const subjects = (subject as unknown[]).map((one) => {
    const digest = isObject(one) ? one['digest'] : undefined;
    return { name: isObject(one) ? one['name'] : undefined, sha256: isObject(digest) ? digest['sha256'] : undefined };
  });
  // Checked by isWrittenAs() before anybody sees it.
  return { kind: predicateType.slice(PREDICATE_PREFIX.length), atMs, subjects, facts } as EvidenceEvent;
}

function parseObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(reason: string): OpenedEntry {
  return { kind: 'invalid', reason };
}
