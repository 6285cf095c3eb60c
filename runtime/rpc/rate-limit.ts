/** A token bucket per party: `perSecond` in the long run, `burst` at once. The clock is an argument. */
export class RateLimit {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();

  constructor(options: { readonly perSecond: number; readonly burst: number }) {
    this.#perSecond = options.perSecond;
    this.#burst = options.burst;
  }

  /** Takes a token: 0 when there was one, else the milliseconds until there is one. */
  take(party: string, nowMs: number): number {
    let bucket = this.#buckets.get(party);
    if (bucket === undefined) {
      // Parties are admitted by an operator, so their number is bounded; a full bucket is the same as none.
      bucket = { tokens: this.#burst, atMs: nowMs };
      this.#buckets.set(party, bucket);
    }
    const elapsedMs = Math.max(0, nowMs - bucket.atMs);
    bucket.tokens = Math.min(this.#burst, bucket.tokens + (elapsedMs * this.#perSecond) / 1000);
    bucket.atMs = nowMs;
    if (bucket.tokens >= 1) {
      bucket.tokens -= 1;
      return 0;
    }
    return Math.ceil(((1 - bucket.tokens) * 1000) / this.#perSecond);
  }
}
