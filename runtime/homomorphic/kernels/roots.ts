/** Powers 0 … n-1 of the least primitive 2n-th root of unity modulo a prime, in bit-reversed order: as SEAL chooses them. */
export function rootPowers(prime: bigint, n: number): readonly bigint[] {
  const order = BigInt(2 * n);
  let root = 1n;
  for (let candidate = 2n; ; candidate++) {
    root = powerOf(candidate, (prime - 1n) / order, prime);
    if (powerOf(root, order / 2n, prime) === prime - 1n) break;
  }
  let least = root;
  const square = (root * root) % prime;
  for (let k = 1, current = root; k < n; k++) {
    current = (current * square) % prime;
    if (current < least) least = current;
  }
  const bits = Math.log2(n);
  const powers: bigint[] = Array.from({ length: n }, () => 0n);
  for (let i = 0, power = 1n; i < n; i++, power = (power * least) % prime) {
    let reversed = 0;
    for (let bit = 0; bit < bits; bit++) reversed |= ((i >> bit) & 1) << (bits - 1 - bit);
    powers[reversed] = power;
  }
  return powers;
}

/** `base` to the `exponent` modulo `modulus`. */
export function powerOf(base: bigint, exponent: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (let left = exponent, square = base % modulus; left > 0n; left >>= 1n, square = (square * square) % modulus) {
    if ((left & 1n) === 1n) result = (result * square) % modulus;
  }
  return result;
}
