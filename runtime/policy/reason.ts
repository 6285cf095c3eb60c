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
  /** What an encrypted query has to fit, for a program that came without one: public facts. */
  readonly queryShape?: QueryShape;
}

/** What a consumer has to know to encrypt a query that fits a dataset: public facts, nothing about values. */
export interface QueryShape {
  /** Rows to encrypt for: at least as many as there are, rounded up so that nobody learns how many. */
  readonly rows: number;
  /** Integers between the bounds: plain values times 10^decimals. */
  readonly columns: readonly {
    readonly column: string;
    readonly decimals: number;
    readonly low: bigint;
    readonly high: bigint;
  }[];
}

export function denied(...reasons: readonly Reason[]): Denied {
  if (reasons.length === 0) throw new Error('a denial needs a reason');
  return { kind: 'denied', reasons };
}

export function reason(code: string, message: string, more: Partial<Omit<Reason, 'code' | 'message'>> = {}): Reason {
  return { code, message, clause: more.clause ?? null, at: more.at ?? null, remedy: more.remedy ?? null };
}
