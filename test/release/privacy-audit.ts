/**
 * A statistical lower bound on the epsilon of a release, from outputs on two neighbouring datasets (after StatDP, Ding et al.
 * 2018): the first half of the outputs picks the event that tells the two apart best, the second half tests that one event
 * with Clopper–Pearson bounds, so picking cannot fool the test.
 */
export interface Audit {
  readonly delta: number;
  /** Probability that a private mechanism fails, per side of an interval. */
  readonly alpha: number;
}

/** Lower bound on epsilon; at most the true one with probability 1 − 2·alpha. */
export function epsilonLowerBound(a: readonly number[], b: readonly number[], { delta, alpha }: Audit): number {
  const [pickA, testA, pickB, testB] = [...halves(a), ...halves(b)];
  // Picked with the confidence of the test: a laxer one falls for rare events that looked good by luck.
  let best = { score: -Infinity, isAbove: false, at: 0, isTurned: false };
  const candidates = [...new Set([...pickA, ...pickB])].toSorted((x, y) => x - y);
  const stride = Math.max(1, Math.floor(candidates.length / 300));
  const [sortedA, sortedB] = [pickA.toSorted((x, y) => x - y), pickB.toSorted((x, y) => x - y)];
  for (let i = 0; i < candidates.length; i += stride) {
    const at = candidates[i] ?? 0;
    const [lowA, lowB] = [countUpTo(sortedA, at), countUpTo(sortedB, at)];
    for (const isAbove of [false, true]) {
      const inA = isAbove ? pickA.length - lowA : lowA;
      const inB = isAbove ? pickB.length - lowB : lowB;
      for (const isTurned of [false, true]) {
        const [hits, others] = isTurned ? [inB, inA] : [inA, inB];
        const score = bound(hits, pickA.length, others, pickB.length, { delta, alpha });
        if (score > best.score) best = { score, isAbove, at, isTurned };
      }
    }
  }
  const hits = (values: readonly number[]): number =>
    values.filter((x) => (best.isAbove ? x > best.at : x <= best.at)).length;
  const [first, second] = best.isTurned ? [testB, testA] : [testA, testB];
  return bound(hits(first), first.length, hits(second), second.length, { delta, alpha });
}

function bound(hits: number, n: number, others: number, m: number, { delta, alpha }: Audit): number {
  const low = lowerClopperPearson(hits, n, alpha) - delta;
  const high = 1 - lowerClopperPearson(m - others, m, alpha);
  return low <= 0 || high <= 0 ? 0 : Math.max(0, Math.log(low / high));
}

function halves(values: readonly number[]): [readonly number[], readonly number[]] {
  const middle = values.length >> 1;
  return [values.slice(0, middle), values.slice(middle)];
}

function countUpTo(sorted: readonly number[], at: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? 0) <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The p at which `hits` or more of `n` would happen with probability alpha: the exact lower confidence bound. */
export function lowerClopperPearson(hits: number, n: number, alpha: number): number {
  if (hits === 0) return 0;
  if (hits === n) return alpha ** (1 / n);
  let [low, high] = [0, hits / n];
  for (let i = 0; i < 40; i++) {
    const middle = (low + high) / 2;
    if (betaTail(middle, hits, n - hits + 1) < alpha) low = middle;
    else high = middle;
  }
  return low;
}

/** Regularised incomplete beta function by its continued fraction (Lentz). */
function betaTail(x: number, a: number, b: number): number {
  if (x <= 0) return 0;
  if (x > (a + 1) / (a + b + 2)) return 1 - betaTail(1 - x, b, a);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
  let [c, d] = [1, 1 / (1 - ((a + b) * x) / (a + 1))];
  let h = d;
  for (let m = 1; m < 500; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / (1 + even * d);
    c = 1 + even / c;
    h *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / (1 + odd * d);
    c = 1 + odd / c;
    h *= d * c;
    if (Math.abs(d * c - 1) < 1e-12) break;
  }
  return front * h;
}

/** Stirling's series, shifted up to where it is exact to double precision. */
function logGamma(x: number): number {
  let [at, shift] = [x, 0];
  while (at < 15) shift += Math.log(at++);
  const inverse = 1 / at;
  const series = inverse / 12 - inverse ** 3 / 360 + inverse ** 5 / 1260 - inverse ** 7 / 1680;
  return (at - 0.5) * Math.log(at) - at + 0.5 * Math.log(2 * Math.PI) + series - shift;
}
