/**
 * Splits a whole amount in proportion to weights, exactly: every share is a whole number and they add up to the amount.
 * Largest-remainder method (Hamilton); of equal remainders the first gets the unit. All weights zero: equal shares.
 */
export function splitByLargestRemainder(amount: bigint, weights: readonly bigint[]): bigint[] {
  if (amount < 0n) throw new RangeError(`cannot split ${amount}`);
  if (weights.length === 0) throw new RangeError('cannot split among nobody');
  if (weights.some((weight) => weight < 0n)) throw new RangeError('a weight is negative');
  const sum = weights.reduce((total, weight) => total + weight, 0n);
  if (sum === 0n)
    return splitByLargestRemainder(
      amount,
      weights.map(() => 1n),
    );
  const shares = weights.map((weight) => (amount * weight) / sum);
  const left = Number(amount - shares.reduce((total, share) => total + share, 0n));
  const byRemainder = weights
    .map((weight, index) => ({ index, remainder: (amount * weight) % sum }))
    .toSorted((one, other) =>
      one.remainder === other.remainder ? one.index - other.index : one.remainder > other.remainder ? -1 : 1,
    );
  for (const { index } of byRemainder.slice(0, left)) shares[index] = (shares[index] ?? 0n) + 1n;
  return shares;
}

/** Beyond this many players the 2^n coalitions take minutes. */
export const MAX_PLAYERS = 20;

/**
 * Exact Shapley values: each player's mean marginal contribution over all orders (Shapley 1953). `worth` gets a
 * coalition as a bit mask (bit i = player i) and is called once for each of the 2^n.
 *
 * Shapley values say something about each provider's own data: they are a disclosure, and leave only for the
 * clearing role or through the release gate.
 */
export function shapleyValues(players: number, worth: (coalition: number) => number): Float64Array {
  if (!Number.isInteger(players) || players < 1 || players > MAX_PLAYERS) {
    throw new RangeError(`Shapley values of ${players} players: 1 to ${MAX_PLAYERS} can be computed`);
  }
  const coalitions = 2 ** players;
  const worths = new Float64Array(coalitions);
  for (let coalition = 0; coalition < coalitions; coalition += 1) {
    const value = worth(coalition);
    if (!Number.isFinite(value)) throw new RangeError(`coalition ${coalition} has worth ${value}`);
    worths[coalition] = value;
  }
  const weights = weightsOf(players);
  const values = new Float64Array(players);
  for (let coalition = 0; coalition < coalitions; coalition += 1) {
    const weight = weights[popCount(coalition)] ?? 0;
    const without = worths[coalition] ?? 0;
    for (let player = 0; player < players; player += 1) {
      const bit = 1 << player;
      if ((coalition & bit) === 0)
        values[player] = (values[player] ?? 0) + weight * ((worths[coalition | bit] ?? 0) - without);
    }
  }
  return values;
}

/** Splits a whole amount by Shapley values. A negative contribution earns nothing; it is not billed either. */
export function splitByShapley(amount: bigint, players: number, worth: (coalition: number) => number): bigint[] {
  const values = [...shapleyValues(players, worth)].map((value) => Math.max(0, value));
  const largest = Math.max(...values);
  // 2^40 steps: coarser than the rounding errors of the values, so that equal players stay equal.
  const weights = values.map((value) => (largest > 0 ? BigInt(Math.round((value / largest) * 2 ** 40)) : 0n));
  return splitByLargestRemainder(amount, weights);
}

/** s!(n−s−1)!/n! for every coalition size s, without factorials that overflow. */
function weightsOf(players: number): number[] {
  const weights: number[] = [1 / players];
  for (let size = 1; size < players; size += 1) weights.push(((weights[size - 1] ?? 0) * size) / (players - size));
  return weights;
}

function popCount(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}
