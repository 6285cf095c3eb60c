import { sign, verify, type KeyObject } from 'node:crypto';
import { canonicalBytes } from '../evidence/canonical-json.ts';

/** A provider's signed order to enlarge one budget, once. */
export interface TopUp {
  /** Unique for ever: the store applies each id once, so a replayed order does nothing. */
  readonly id: string;
  readonly budget: string;
  /** Whole units of the budget; a decimal string, since JSON numbers lose whole numbers above 2^53. */
  readonly amount: string;
  readonly by: string;
  readonly atMs: number;
}

/** The bytes that are signed; throws a RangeError when the order makes no sense. */
export function topUpPayload(topUp: TopUp): Uint8Array {
  if (topUp.id === '' || topUp.budget === '' || !/^[1-9][0-9]{0,18}$/.test(topUp.amount)) {
    throw new RangeError(`top-up '${topUp.id}' needs an id, a budget and a positive whole amount`);
  }
  const { id, budget, amount, by, atMs } = topUp;
  return canonicalBytes({ type: 'glovebox/v1/top-up', id, budget, amount, by, atMs });
}

/** The signature over an order, base64url. */
export function signTopUp(topUp: TopUp, privateKey: KeyObject): string {
  return sign(null, topUpPayload(topUp), privateKey).toString('base64url');
}

/** Whether the order was signed with this key. */
export function isTopUpSigned(topUp: TopUp, signature: string, publicKey: KeyObject): boolean {
  const bytes = Buffer.from(signature, 'base64url');
  if (publicKey.asymmetricKeyType !== 'ed25519' || bytes.length !== 64) return false;
  return verify(null, topUpPayload(topUp), publicKey, bytes);
}
