import type { VerifierKey } from './note.ts';
import { verifyReceipt, type ReceiptVerdict } from './receipt.ts';

/** Whose log a key signs, and for another runtime's since when it is trusted no more. */
export type LogOwner =
  | { readonly kind: 'own' }
  /** Somebody's: its key was given by hand, and who gave it believes it. */
  | { readonly kind: 'given' }
  | { readonly kind: 'trusted'; readonly authority: string; readonly endsAtMs: number }
  | {
      readonly kind: 'revoked' | 'expired';
      readonly authority: string;
      /** When trust ended, milliseconds since 1970. */
      readonly atMs: number;
    };

/** A log whose key is known; that a key is known does not mean that it is believed. */
export interface KnownLog {
  readonly key: VerifierKey;
  readonly owner: LogOwner;
}

export type RecognisedVerdict =
  | (Extract<ReceiptVerdict, { kind: 'verified' }> & { readonly owner: LogOwner })
  /**
   * Signed by the key of a runtime that is trusted no more. It is not believed whatever its date says: whoever holds a key
   * that was revoked dates entries as it likes.
   */
  | (Omit<Extract<ReceiptVerdict, { kind: 'verified' }>, 'kind'> & {
      readonly kind: 'trustEnded';
      readonly owner: Extract<LogOwner, { kind: 'revoked' | 'expired' }>;
      readonly reason: string;
    })
  | Extract<ReceiptVerdict, { kind: 'refused' }>;

/**
 * Verifies a receipt against every log that is known, and says whose it is. A log that is believed comes before one that
 * is no more, so that a key which is listed twice is judged by what holds now.
 */
export function recogniseReceipt(
  receipt: string,
  logs: readonly KnownLog[],
  trust?: Parameters<typeof verifyReceipt>[2],
): RecognisedVerdict {
  let refused: Extract<ReceiptVerdict, { kind: 'refused' }> | undefined;
  const believedFirst = logs.toSorted((a, b) => Number(hasEnded(a.owner)) - Number(hasEnded(b.owner)));
  for (const { key, owner } of believedFirst) {
    const verdict = verifyReceipt(receipt, key, trust);
    if (verdict.kind === 'refused') {
      refused ??= verdict;
      continue;
    }
    if (owner.kind !== 'revoked' && owner.kind !== 'expired') return { ...verdict, owner };
    return { ...verdict, kind: 'trustEnded', owner, reason: whyNot(owner) };
  }
  return refused ?? { kind: 'refused', reason: 'no log is known' };
}

/** Whose log it is, in words. */
export function ownerInWords(owner: LogOwner): string {
  switch (owner.kind) {
    case 'own':
      return 'this runtime’s own log';
    case 'given':
      return 'the log of the key that was given';
    case 'trusted':
      return `the log of \`${owner.authority}\`, trusted until ${dayOf(owner.endsAtMs)}`;
    case 'revoked':
    case 'expired':
      return whyNot(owner);
  }
}

function whyNot({ kind, authority, atMs }: Extract<LogOwner, { kind: 'revoked' | 'expired' }>): string {
  const how = kind === 'revoked' ? 'was revoked' : 'ended with its certificate';
  return `genuine, but of the log of \`${authority}\`: trust in it ${how} at ${dayOf(atMs)}`;
}

const hasEnded = ({ kind }: LogOwner): boolean => kind === 'revoked' || kind === 'expired';
const dayOf = (atMs: number): string => new Date(atMs).toISOString();
