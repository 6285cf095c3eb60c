/** Why something was denied: a stable code, a sentence for the person who must act, and what would be allowed. */
export interface Reason {
  /** One of the codes listed in docs/errors.md, e.g. `column-not-granted`. */
  readonly code: string;
  /** What was tried, what stopped it, in one lower-case line without a full stop. Never speaks of rows. */
  readonly message: string;
  /** The clause that decides, e.g. `hospital/visits v3 allow[statistics].release.minUnits`; null when none applies. */
  readonly clause: string | null;
  /** Where in the consumer's own text, 1-based; null when the place is not known. */
  readonly at: { readonly line: number; readonly column: number } | null;
  /** What would be allowed instead; null when nothing would. */
  readonly remedy: string | null;
}

export interface Denied {
  readonly kind: 'denied';
  /** At least one. */
  readonly reasons: readonly Reason[];
}

export function denied(...reasons: readonly Reason[]): Denied {
  if (reasons.length === 0) throw new Error('a denial needs a reason');
  return { kind: 'denied', reasons };
}

export function reason(code: string, message: string, more: Partial<Omit<Reason, 'code' | 'message'>> = {}): Reason {
  return { code, message, clause: more.clause ?? null, at: more.at ?? null, remedy: more.remedy ?? null };
}
