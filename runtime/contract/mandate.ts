import { canonicalBytes } from '../evidence/canonical-json.ts';
import { sha256Hex } from '../evidence/entry.ts';

/**
 * What one party signs so that another may submit jobs for it: bounded in time, revocable at any moment, and worth
 * nothing on another runtime. The job is the principal's in every respect — agreements, budgets, bills, and the result,
 * which the delegate cannot fetch: a mandate lets somebody act, and gives nobody data that no policy grants them.
 */
export interface Mandate {
  readonly id: string;
  readonly authority: string;
  readonly principal: string;
  readonly delegate: string;
  /** Ids of the principal's agreements that it is for; empty: all. */
  readonly agreements: readonly string[];
  /** Milliseconds since 1970, inclusive. */
  readonly notBeforeMs: number;
  /** Milliseconds since 1970, exclusive: a mandate without an end does not exist. */
  readonly notAfterMs: number;
}

/** Longest life of a mandate: 366 days. */
export const MAX_MANDATE_MS: number = 366 * 24 * 3600 * 1000;
export const MAX_MANDATE_AGREEMENTS = 64;
const MAX_MANDATE_CHARACTERS = 16 * 1024;
const TYPE = 'glovebox/v1/mandate';
const ID = /^[A-Za-z0-9][A-Za-z0-9-]{7,63}$/;

/** The text that is signed: canonical JSON (RFC 8785). Throws a RangeError for a mandate that makes no sense. */
export function mandateContent(mandate: Mandate): string {
  const problem = problemOf(mandate);
  if (problem !== null) throw new RangeError(`mandate '${mandate.id}' ${problem}`);
  const { id, authority, principal, delegate, agreements, notBeforeMs, notAfterMs } = mandate;
  return Buffer.from(
    canonicalBytes({
      type: TYPE,
      id,
      authority,
      principal,
      delegate,
      agreements: [...agreements],
      notBeforeMs,
      notAfterMs,
    }),
  ).toString('utf8');
}

/** The mandate in a text that `mandateContent` made; undefined when it is not exactly that. */
export function readMandate(content: string): Mandate | undefined {
  if (content.length > MAX_MANDATE_CHARACTERS) return undefined;
  try {
    const { type, ...mandate } = JSON.parse(content) as Mandate & { readonly type: unknown };
    return type === TYPE && mandateContent(mandate) === content ? mandate : undefined;
  } catch {
    return undefined;
  }
}

/** SHA-256 of the content, 64 hex digits: the mandate's name in evidence. */
export const mandateDigest = (content: string): string => sha256Hex(content);

function problemOf(mandate: Mandate): string | null {
  const { id, authority, principal, delegate, agreements, notBeforeMs, notAfterMs } = mandate;
  if (typeof id !== 'string' || !ID.test(id)) return 'has no name of 8 to 64 letters, digits and `-`';
  if (![authority, principal, delegate].every((one) => typeof one === 'string' && one !== '' && one.length <= 256))
    return 'names no authority, principal or delegate';
  if (principal === delegate) return 'is of a party to itself';
  if (!Array.isArray(agreements) || agreements.length > MAX_MANDATE_AGREEMENTS)
    return `names more than ${MAX_MANDATE_AGREEMENTS} agreements`;
  if (!agreements.every((one) => typeof one === 'string' && one !== '' && one.length <= 128))
    return 'names an agreement that is none';
  if (!Number.isSafeInteger(notBeforeMs) || !Number.isSafeInteger(notAfterMs)) return 'has no whole times';
  if (notAfterMs <= notBeforeMs) return 'ends before it begins';
  if (notAfterMs - notBeforeMs > MAX_MANDATE_MS) return 'lasts longer than 366 days';
  return null;
}
