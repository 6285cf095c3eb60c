import canonicalize from 'canonicalize';
import { type JwsSignatureParts, signJws, verifyJws } from '../identity/jws.ts';

/** What a reviewer signs: the digest that says everything about the code, in which capacity, and for how long. */
export interface CodeApproval {
  readonly digest: string;
  readonly dataset: string;
  readonly capacity: string;
  /** Life of the approval in days. */
  readonly days: number;
}

/** Signs an approval with the party's Ed25519 key (PKCS #8 PEM). */
export function signCodeApproval(party: string, key: string, approval: CodeApproval): JwsSignatureParts {
  return signJws(statementOf(party, approval), { kind: 'code-approval', party, key });
}

/** Whether `parts` is a signature of `party` over this approval with its key (32 raw bytes, base64url). */
export function verifyCodeApproval(
  party: string,
  publicKey: string,
  approval: CodeApproval,
  parts: JwsSignatureParts,
): boolean {
  return verifyJws(statementOf(party, approval), parts, { kind: 'code-approval', party, publicKey });
}

function statementOf(party: string, approval: CodeApproval): string {
  const { digest, dataset, capacity, days } = approval;
  const text = canonicalize({ type: 'glovebox/code-approval/1', party, digest, dataset, capacity, days });
  if (text === undefined) throw new Error('an approval has no canonical form');
  return text;
}

/** What somebody signs who rejects code, or takes its approval back. */
export interface CodeObjection {
  readonly digest: string;
  readonly dataset: string;
  readonly verdict: 'rejected' | 'revoked';
  readonly note: string;
}

/** Signs an objection with the party's Ed25519 key (PKCS #8 PEM). */
export function signCodeObjection(party: string, key: string, objection: CodeObjection): JwsSignatureParts {
  return signJws(objectionText(party, objection), { kind: 'code-objection', party, key });
}

/** Whether `parts` is a signature of `party` over this objection with its key (32 raw bytes, base64url). */
export function verifyCodeObjection(
  party: string,
  publicKey: string,
  objection: CodeObjection,
  parts: JwsSignatureParts,
): boolean {
  return verifyJws(objectionText(party, objection), parts, { kind: 'code-objection', party, publicKey });
}

function objectionText(party: string, { digest, dataset, verdict, note }: CodeObjection): string {
  const text = canonicalize({ type: 'glovebox/code-objection/1', party, digest, dataset, verdict, note });
  if (text === undefined) throw new Error('an objection has no canonical form');
  return text;
}
