/**
 * Privacy loss in integers. A loss is either pure ε or ρ of zero-concentrated differential privacy (zCDP, Bun and Steinke
 * 2016); in both, the losses of adaptively chosen releases add up, and a filter that stops before the sum exceeds its limit
 * is sound even when each loss is chosen after seeing earlier answers (Feldman and Zrnic 2021; Whitehouse et al. 2023).
 *
 * INVARIANT: every rounding goes against the consumer. A cost is rounded up, a limit down.
 */

/** Micro-epsilon: 10⁻⁶ of ε. Nano-rho: 10⁻⁹ of ρ. Femto-delta: 10⁻¹⁵ of δ. All safe integers. */
export const MICRO_PER_EPSILON = 1_000_000;
export const NANO_PER_RHO = 1_000_000_000;
export const FEMTO_PER_DELTA = 1_000_000_000_000_000;

/** What one release costs. `femtoDelta` is the probability that key selection alone gives something away. */
export type Loss =
  | { readonly kind: 'pure'; readonly microEpsilon: number; readonly femtoDelta: number }
  | { readonly kind: 'zcdp'; readonly nanoRho: number; readonly femtoDelta: number };

/** A limit and what was spent of it; persistence, reservations and windows are the ledger's. */
export interface PrivacyAccount {
  readonly kind: Loss['kind'];
  /** Micro-epsilon for `pure`, nano-rho for `zcdp`. */
  readonly limit: number;
  readonly spent: number;
  readonly femtoDeltaLimit: number;
  readonly femtoDeltaSpent: number;
}

/** An account with a loss added, or why it cannot be. A refused loss leaves the account as it was. */
export type Charge = { readonly kind: 'charged'; readonly account: PrivacyAccount } | { readonly kind: 'exhausted' };

/** Adds a loss to an account when it fits; throws `RangeError` for a loss that is not a positive safe integer. */
export function charge(account: PrivacyAccount, loss: Loss): Charge {
  const cost = costIn(account.kind, loss);
  // Compared by subtraction: a sum could leave the range of exact integers and wrap the limit.
  const fits = cost <= account.limit - account.spent;
  const deltaFits = loss.femtoDelta <= account.femtoDeltaLimit - account.femtoDeltaSpent;
  if (!fits || !deltaFits) return { kind: 'exhausted' };
  const spent = account.spent + cost;
  const femtoDeltaSpent = account.femtoDeltaSpent + loss.femtoDelta;
  return { kind: 'charged', account: { ...account, spent, femtoDeltaSpent } };
}

/** An account over a total of (ε, δ). In zCDP half of δ pays for the conversion, half for key selection. */
export function openAccount(kind: Loss['kind'], microEpsilonTotal: number, delta: number): PrivacyAccount {
  requireCount(microEpsilonTotal, 0, 'a total of micro-epsilon');
  const femtoDelta = femtoDeltaOf(delta);
  if (kind === 'pure') {
    return { kind, limit: microEpsilonTotal, spent: 0, femtoDeltaLimit: femtoDelta, femtoDeltaSpent: 0 };
  }
  const half = Math.floor(femtoDelta / 2);
  const limit = nanoRhoWithin(microEpsilonTotal, half / FEMTO_PER_DELTA);
  return { kind, limit, spent: 0, femtoDeltaLimit: half, femtoDeltaSpent: 0 };
}

/** What a loss costs in the measure of an account; ε costs ε²/2 of ρ (Bun and Steinke 2016, proposition 1.4). */
export function costIn(kind: Loss['kind'], loss: Loss): number {
  requireCount(loss.femtoDelta, 0, 'a femto-delta');
  if (loss.kind === 'pure') {
    requireCount(loss.microEpsilon, 1, 'a micro-epsilon');
    return kind === 'pure' ? loss.microEpsilon : nanoRhoOfPure(loss.microEpsilon);
  }
  requireCount(loss.nanoRho, 1, 'a nano-rho');
  // Gaussian noise has no pure ε at all.
  if (kind === 'pure') throw new RangeError('a concentrated loss cannot be charged to an account of pure epsilon');
  return loss.nanoRho;
}

/** ρ = ε²/2 in nano-rho, rounded up, exactly. */
export function nanoRhoOfPure(microEpsilon: number): number {
  requireCount(microEpsilon, 0, 'a micro-epsilon');
  // (10⁻⁶)²/2 of ρ is 1/2000 of 10⁻⁹ of ρ.
  const square = BigInt(microEpsilon) * BigInt(microEpsilon);
  const nanoRho = Number((square + 1_999n) / 2_000n);
  requireCount(nanoRho, 0, 'a nano-rho');
  return nanoRho;
}

/**
 * The ε, in micro-epsilon rounded up, at which ρ-zCDP is (ε, δ)-differentially private: the best of many Rényi orders α of
 * ε = αρ + (ln(1/δ) + (α − 1)·ln(1 − 1/α) − ln α)/(α − 1) (Canonne, Kamath, Steinke 2020, proposition 12). Every order is
 * a valid bound, so a coarse search is only less tight, never wrong.
 */
export function microEpsilonOf(nanoRho: number, delta: number): number {
  requireCount(nanoRho, 0, 'a nano-rho');
  requireDelta(delta);
  if (nanoRho === 0) return 0;
  const rho = nanoRho / NANO_PER_RHO;
  const logDelta = Math.log(1 / delta);
  // The order that is best without the small terms; the true optimum lies close to it.
  const guess = Math.sqrt(logDelta / rho);
  let epsilon = rho + 2 * Math.sqrt(rho * logDelta);
  for (let i = -200; i <= 200; i++) {
    const order = 1 + guess * Math.exp(i / 100);
    const rest = (logDelta + (order - 1) * Math.log1p(-1 / order) - Math.log(order)) / (order - 1);
    epsilon = Math.min(epsilon, order * rho + Math.max(0, rest));
  }
  // Room for the rounding of some ten floating-point operations.
  return Math.ceil(epsilon * (1 + 1e-12) * MICRO_PER_EPSILON);
}

/** The largest ρ, in nano-rho, that stays within (ε, δ); 0 when even the smallest does not. */
export function nanoRhoWithin(microEpsilon: number, delta: number): number {
  requireCount(microEpsilon, 0, 'a micro-epsilon');
  requireDelta(delta);
  let low = 0;
  let high = Math.min(microEpsilon * (NANO_PER_RHO / MICRO_PER_EPSILON) + 1, Number.MAX_SAFE_INTEGER);
  // ε grows with ρ, and ρ ≤ ε always: the answer is in [low, high).
  while (high - low > 1) {
    const middle = low + Math.floor((high - low) / 2);
    if (microEpsilonOf(middle, delta) <= microEpsilon) low = middle;
    else high = middle;
  }
  return low;
}

/** δ in femto-delta, rounded down as a limit must be; throws `RangeError` outside [0, 1). */
export function femtoDeltaOf(delta: number): number {
  if (!(delta >= 0 && delta < 1)) throw new RangeError('a delta lies in [0, 1)');
  // The written decimal, and not its binary neighbour below, is meant: 1e-6 is 10⁹ femto-delta.
  return Math.floor(delta * FEMTO_PER_DELTA * (1 + 1e-12));
}

function requireDelta(delta: number): void {
  if (!(delta > 0 && delta < 1)) throw new RangeError('a conversion needs a delta in (0, 1)');
}

function requireCount(value: number, least: number, what: string): void {
  if (!Number.isSafeInteger(value) || value < least)
    throw new RangeError(`${what} is a safe integer of at least ${least}`);
}
