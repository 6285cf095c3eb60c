import type { BackendContext, Ciphertext, Plaintext } from './backend.ts';
import { HomomorphicFault } from './fault.ts';
import { DigitAccumulator } from './kernels/digit-accumulator.ts';
import { assembleCiphertext, freshShape } from './layout.ts';
import { PROFILES, dataPrimeCount, slotCount } from './profiles.ts';
import type { HomomorphicProgram } from './program.ts';

/**
 * Least-squares cubic of the logistic function on [-8, 8] (Kim, Song, Wang, Xia, Jiang, "Secure logistic regression
 * based on homomorphic encryption", JMIR Med Inform 2018): the default when a program declares no polynomial.
 */
const DEFAULT_CUBIC = { c0: 0.5, c1: 0.15012, c2: 0, c3: -0.0015930078125 };
const DEFAULT_RANGE = 8;

/** A logistic program ready to run: the cubic in u = sum of weight times value, with the intercept folded in. */
export interface LogisticPlan {
  readonly weights: readonly number[];
  /** Coefficients of u^0 … u^3; the constant is added by the key holder, once per row. */
  readonly cubic: readonly [number, number, number, number];
  /** Scale of the result ciphertext and number of primes it has left. */
  readonly scale: number;
  readonly primeCount: number;
  readonly blocksPerSegment: bigint;
  /** Bound on the absolute error of one row's score by the encryption, not by the polynomial. */
  readonly errorBound: number;
  /** The same of the mean that is told. */
  readonly meanErrorBound: number;
}

/** Checks a logistic program against its columns' bounds; a score outside the declared range throws `no-parameters`. */
export function logisticPlanOf(
  program: HomomorphicProgram,
  bounds: readonly { readonly low: number; readonly high: number }[],
  totals: { readonly rows: number; readonly blocks: number },
): LogisticPlan {
  const { parameters, weights } = program;
  const intercept = parameters['intercept'] ?? 0;
  const range = parameters['range'] ?? DEFAULT_RANGE;
  let low = intercept;
  let high = intercept;
  weights.forEach((weight, i) => {
    const ends = [weight * (bounds[i]?.low ?? 0), weight * (bounds[i]?.high ?? 0)];
    low += Math.min(...ends);
    high += Math.max(...ends);
  });
  if (low < -range || high > range) {
    throw new HomomorphicFault(
      'no-parameters',
      `cannot run logistic: scores can reach [${low}, ${high}], outside the range [${-range}, ${range}] of its polynomial; scale the columns or the weights`,
    );
  }
  const isDeclared = ['c0', 'c1', 'c2', 'c3'].some((key) => parameters[key] !== undefined);
  const c = isDeclared ? { c0: 0, c1: 0, c2: 0, c3: 0, ...parameters } : DEFAULT_CUBIC;
  const { c0, c1, c2, c3 } = c as typeof DEFAULT_CUBIC;
  if (c3 === 0)
    throw new HomomorphicFault('bad-program', 'cannot run logistic: its polynomial must be a cubic (c3 is 0)');
  const b = intercept;
  // p(u + b) in powers of u: padded slots have u = 0, so they add nothing but the constant, which stays outside
  const cubic = [c0 + b * (c1 + b * (c2 + b * c3)), c1 + b * (2 * c2 + 3 * b * c3), c2 + 3 * b * c3, c3] as const;
  const reach = Math.max(Math.abs(low - b), Math.abs(high - b));
  const peak = Math.max(1e-9, Math.abs(cubic[1]) * reach + Math.abs(cubic[2]) * reach ** 2 + Math.abs(c3) * reach ** 3);
  const [, q1, q2] = PROFILES['ckks-deep'].primes.map(Number) as [number, number, number];
  const s = PROFILES['ckks-deep'].scale;
  const scale = (s * s * s) / (q1 * q2);
  const room = Number(PROFILES['ckks-deep'].primes[0]) / 2 / scale / 4;
  const blocks = Math.floor(room / peak);
  if (blocks < 1)
    throw new HomomorphicFault('no-parameters', 'cannot run logistic: its polynomial grows too large over its range');
  const errorBound = errorBoundOf(weights, reach, cubic);
  return {
    weights,
    cubic,
    scale,
    primeCount: 1,
    blocksPerSegment: BigInt(blocks),
    errorBound,
    meanErrorBound: meanErrorOf(errorBound, totals),
  };
}

/**
 * Slots of one ciphertext err independently of each other, because the canonical embedding of independent coefficients is
 * unitary up to its scale; so their sum errs by sqrt(slots) of one, those that are only filled up included. Blocks are
 * counted as if they all erred alike.
 */
function meanErrorOf(errorBound: number, { rows, blocks }: { readonly rows: number; readonly blocks: number }): number {
  return (errorBound * Math.sqrt(slotCount(PROFILES['ckks-deep'])) * blocks) / Math.max(1, rows);
}

/**
 * Error of one slot: encryption and rescaling noise are near Gaussian with standard deviations of about 300 and 2000
 * units of 1/scale at N = 8192 (canonical embedding, Cheon et al. 2017); ten deviations of each, carried through the cubic.
 */
function errorBoundOf(weights: readonly number[], reach: number, cubic: LogisticPlan['cubic']): number {
  const unit = 1 / PROFILES['ckks-deep'].scale;
  const weightTotal = weights.reduce((sum, weight) => sum + Math.abs(weight), 0);
  const inLinear = unit * (3000 * weightTotal + 20000 + 20000 * weights.length);
  const slope = Math.abs(cubic[1]) + 2 * Math.abs(cubic[2]) * reach + 3 * Math.abs(cubic[3]) * reach * reach;
  return inLinear * slope + unit * 20000 * (3 + reach + reach * reach);
}

/**
 * Evaluates the cubic on encrypted blocks: one weighted sum, one square, one product, exact scale bookkeeping
 * (constants are encoded at the scale that makes every rescaling land on the next one). Needs a relinearisation key.
 */
export class LogisticEvaluator implements Disposable {
  readonly #context: BackendContext;
  readonly #plan: LogisticPlan;
  readonly #owned = new DisposableStack();
  readonly #weights: readonly bigint[];
  readonly #weighted: DigitAccumulator;
  #c1: Plaintext | null = null;
  #c2: Plaintext | null = null;
  #c3: Plaintext | null = null;

  constructor(context: BackendContext, plan: LogisticPlan) {
    this.#context = context;
    this.#plan = plan;
    // a weight is a constant, and a constant in every slot is one integer: round(weight * scale). At the scale of the
    // prime that the next rescaling drops, the sum keeps the scale of the columns exactly
    const q3 = Number(context.profile.primes[3]);
    this.#weights = plan.weights.map((weight) => BigInt(Math.round(weight * q3)));
    const primes = context.profile.primes.slice(0, dataPrimeCount(context.profile));
    const largest = this.#weights.reduce(
      (most, weight) => (weight > most ? weight : -weight > most ? -weight : most),
      1n,
    );
    this.#weighted = new DigitAccumulator({ polynomials: 2, primes, degree: context.profile.degree }, largest);
  }

  /** Adds the residues of one column's block to the weighted sum; columns in the program's order. */
  addColumn(index: number, body: Uint8Array): void {
    this.#weighted.addWeighted(body, this.#weights[index] ?? 0n);
  }

  /** The encrypted cubic, constant left out, of the columns added since the last call. */
  evaluate(): Ciphertext {
    const he = this.#context;
    const [, q1, q2] = he.profile.primes.map(Number) as [number, number, number];
    const s = he.profile.scale;
    const q3 = Number(he.profile.primes[3]);
    const shape = { ...freshShape(he.profile, 'full'), scale: s * q3 };
    using linear = he.load(shape, assembleCiphertext(shape, this.#weighted.take()));
    he.rescale(linear);
    he.setScale(linear, s);
    using square = he.multiply(linear, linear);
    he.relinearise(square);
    he.rescale(square);
    he.setScale(square, (s * s) / q2);
    this.#c3 ??= this.#owned.use(this.#constant(this.#plan.cubic[3], q2, linear));
    using inner = he.multiplyPlain(linear, this.#c3);
    he.rescale(inner);
    he.setScale(inner, s);
    this.#c2 ??= this.#owned.use(this.#constant(this.#plan.cubic[2], s, inner));
    he.addPlainTo(inner, this.#c2);
    const result = he.multiply(square, inner);
    he.relinearise(result);
    he.rescale(result);
    he.setScale(result, this.#plan.scale);
    if (this.#plan.cubic[1] !== 0) {
      this.#c1 ??= this.#owned.use(this.#constant(this.#plan.cubic[1], (s * s) / q1, linear));
      using slope = he.multiplyPlain(linear, this.#c1);
      he.rescale(slope);
      he.dropToLevelOf(slope, result);
      he.setScale(slope, this.#plan.scale);
      he.addTo(result, slope);
    }
    return result;
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }

  #constant(value: number, scale: number, like?: Ciphertext): Plaintext {
    const vector = new Float64Array(slotCount(this.#context.profile)).fill(value);
    return this.#context.encodeReals(vector, { scale, ...(like === undefined ? {} : { like }) });
  }
}
