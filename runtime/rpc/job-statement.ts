import canonicalize from 'canonicalize';
import { compactJws, parseCompactJws, signJws, verifyJws } from '../identity/jws.ts';
import type { Caller } from '../identity/party.ts';
import type { JobRequest } from '../gen/messages.ts';
import type { SignedRequest } from './call.ts';
import { Fault } from './fault.ts';

/** What a consumer signs when it submits a job: canonical JSON (RFC 8785) of the whole request and its name. */
export function jobStatement(party: string, job: JobRequest): string {
  // Fields that were added later are part of it only where they are said: clients that do not know them sign the same.
  const { project, mandateId, ...rest } = job;
  const said = { ...rest, ...(project === '' ? {} : { project }), ...(mandateId === '' ? {} : { mandateId }) };
  const text = canonicalize({ type: 'glovebox/job-request/1', party, job: jsonOf(said) });
  if (text === undefined) throw new Error('a job request has no canonical form');
  return text;
}

/** Signs a job request with the party's Ed25519 key (PKCS #8 PEM); answers a compact JWS. */
export function signJobRequest(party: string, key: string, job: JobRequest): string {
  const statement = jobStatement(party, job);
  return compactJws(statement, signJws(statement, { kind: 'job-request', party, key }));
}

/**
 * Verifies the signature that came with a job request; null when there is none. The signed statement must be the one
 * of this very request, so that a signature cannot travel to another.
 */
export function verifyJobRequest(caller: Caller, job: JobRequest | null, jws: string): SignedRequest | null {
  if (jws === '') return null;
  const parsed = parseCompactJws(jws);
  const statement = job === null ? null : jobStatement(caller.party, job);
  if (
    parsed === null ||
    parsed.payload !== statement ||
    caller.signingPublicKey === null ||
    !verifyJws(statement, parsed.parts, {
      kind: 'job-request',
      party: caller.party,
      publicKey: caller.signingPublicKey,
    })
  ) {
    throw new Fault('signature-not-valid', 'the signature is not of this party over this job request');
  }
  return { jws, statement };
}

/** Plain data as JSON: `bigint` as decimal text, bytes as base64url, numbers that JSON does not know as text. */
function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value);
  if (typeof value === 'string') return value.toWellFormed();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64url');
  if (Array.isArray(value)) return value.map(jsonOf);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, jsonOf(item)]));
}
