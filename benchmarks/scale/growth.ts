/** How a cost grows with a size, as least squares of the figures say. */
export interface Growth {
  readonly law: Law;
  /** cost ≈ fixed + each · law(size), in the unit of the cost. */
  readonly fixed: number;
  readonly each: number;
  /** Share of the variation that the law explains, 0 to 1; for a constant: 1 − spread ÷ mean, at least 0. */
  readonly fit: number;
  /** Slope of log cost over log size: 0 does not grow, 1 grows in step. Fixed costs flatten it. */
  readonly exponent: number;
}

export type Law = 'constant' | 'too little to tell' | 'log n' | 'n' | 'n log n' | 'n²';

/** From slow to fast: a faster law must explain clearly more than a slower one to be believed. */
const LAWS: readonly (readonly [Exclude<Law, 'constant' | 'too little to tell'>, (n: number) => number])[] = [
  ['log n', (n) => Math.log2(n + 1)],
  ['n', (n) => n],
  ['n log n', (n) => n * Math.log2(n + 1)],
  ['n²', (n) => n * n],
];
/** Squared relative errors must fall below this share of the slower law's. */
const CLEARLY = 0.6;
/** Costs that differ by less than this share between the least and the largest size do not grow. */
const FLAT = 0.25;
/** A cost that does not even double is mostly fixed; what noise makes of the rest is no law. */
const DOUBLED = 2;

export interface Point {
  readonly size: number;
  readonly cost: number;
}

/** The slowest law that explains the points; null for fewer than three sizes or a cost that is not above zero. */
export function growthOf(points: readonly Point[]): Growth | null {
  const sorted = points.toSorted((one, other) => one.size - other.size);
  if (new Set(sorted.map(({ size }) => size)).size < 3) return null;
  if (sorted.some(({ size, cost }) => !(size > 0) || !(cost > 0))) return null;
  const exponent = slope(
    sorted.map(({ size }) => Math.log(size)),
    sorted.map(({ cost }) => Math.log(cost)),
  );
  const costs = sorted.map(({ cost }) => cost);
  const mean = costs.reduce((sum, one) => sum + one, 0) / costs.length;
  const [least, most] = [costs[0] ?? 0, costs.at(-1) ?? 0];
  if (most <= least * (1 + FLAT)) {
    const spread = Math.max(...costs) - Math.min(...costs);
    return { law: 'constant', fixed: mean, each: 0, fit: Math.max(0, 1 - spread / mean), exponent };
  }
  if (most < least * DOUBLED) return { law: 'too little to tell', fixed: least, each: most - least, fit: 0, exponent };
  let best: (Growth & { readonly error: number }) | null = null;
  for (const [law, of] of LAWS) {
    const { fixed, each } = line(sorted, of);
    if (each <= 0) continue;
    // Relative errors: the small sizes count as much as the large ones.
    const error = sorted.reduce((sum, { size, cost }) => sum + ((fixed + each * of(size)) / cost - 1) ** 2, 0);
    if (best !== null && error > best.error * CLEARLY) continue;
    const around = sorted.reduce((sum, { cost }) => sum + (mean / cost - 1) ** 2, 0);
    best = { law, fixed, each, fit: Math.max(0, 1 - error / around), exponent, error };
  }
  if (best === null) return null;
  const { error: _error, ...growth } = best;
  return growth;
}

/** Least squares of relative errors with a fixed part that is not negative. */
function line(points: readonly Point[], of: (n: number) => number): { readonly fixed: number; readonly each: number } {
  let [w, wx, wy, wxx, wxy] = [0, 0, 0, 0, 0];
  for (const { size, cost } of points) {
    const weight = 1 / cost ** 2;
    const x = of(size);
    w += weight;
    wx += weight * x;
    wy += weight * cost;
    wxx += weight * x * x;
    wxy += weight * x * cost;
  }
  const each = (w * wxy - wx * wy) / (w * wxx - wx * wx);
  const fixed = (wy - each * wx) / w;
  return fixed >= 0 ? { fixed, each } : { fixed: 0, each: wxy / wxx };
}

function slope(xs: readonly number[], ys: readonly number[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;
  const [mx, my] = [mean(xs), mean(ys)];
  const above = xs.reduce((sum, x, at) => sum + (x - mx) * ((ys[at] ?? 0) - my), 0);
  return above / xs.reduce((sum, x) => sum + (x - mx) ** 2, 0);
}

/** In words, for the table and the page. */
export function growthInWords({ law, fixed, each, fit, exponent }: Growth, unit: string): string {
  const figure = (value: number): string => String(Number(value.toPrecision(3)));
  if (law === 'constant') return `does not grow: about ${figure(fixed)} ${unit}`;
  if (law === 'too little to tell')
    return `grows from ${figure(fixed)} to ${figure(fixed + each)} ${unit}: mostly fixed, too little to tell the law`;
  return `grows with ${law}: ${figure(fixed)} + ${figure(each)} · ${law} ${unit} (explains ${(fit * 100).toFixed(0)} %; log-log slope ${exponent.toFixed(2)})`;
}
