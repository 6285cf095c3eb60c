/** A source of uniformly random bytes, given by the composition root (the operating system's generator in production). */
export interface Entropy {
  /** `count` fresh, independent, uniform bytes; never the same bytes twice. */
  bytes(count: number): Uint8Array;
}
