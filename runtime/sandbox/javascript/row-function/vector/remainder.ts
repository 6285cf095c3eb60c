import { Code } from './code.ts';

/** Where these functions stand in a module that has them, and what they take and give. */
export const remainderFunctions = { ofPair: 1, ofOne: 2 } as const;

/**
 * `a % b` of JavaScript for two rows: `ofPair` asks `ofOne` for each, which is exact for all doubles, like C's fmod. Whole numbers
 * below 2^53 are divided as such. Any others are m·2^e; the remainder of m·2^n by another m comes out eleven bits at a time, as
 * many as a mantissa leaves free in 64, so that the loop turns 190 times at most: no program can make it run longer.
 */
export function remainderBodies(): readonly Uint8Array[] {
  return [pairBody(), oneBody()];
}

function pairBody(): Uint8Array {
  const code = new Code();
  const lane = (which: number): void => {
    for (const parameter of [0, 1]) {
      code.get(parameter);
      code.simd(EXTRACT_LANE);
      code.raw(which);
    }
    code.raw(CALL, remainderFunctions.ofOne);
  };
  lane(0);
  code.simd(SPLAT);
  lane(1);
  code.simd(REPLACE_LANE);
  code.raw(1, END);
  return code.functionBody(0, I64);
}

function oneBody(): Uint8Array {
  const code = new Code();
  const [a, b, x, y, n, e, by] = [0, 1, 2, 3, 4, 5, 6] as const;
  /** Pushes the local and applies operations to it. */
  const take = (local: number, ...codes: readonly number[]): void => {
    code.get(local);
    code.raw(...codes);
  };
  const isBelow = (local: number, limit: number): void => {
    take(local, ABS);
    code.float64(limit);
    code.raw(F64_LT);
  };
  const isWhole = (local: number): void => {
    take(local, TRUNC);
    take(local, F64_EQ, I32_AND);
  };
  isBelow(a, 2 ** 53);
  isBelow(b, 2 ** 53);
  code.raw(I32_AND);
  isWhole(a);
  isWhole(b);
  code.get(b);
  code.float64(0);
  code.raw(F64_NE, I32_AND, IF, EMPTY);
  take(a, ...TO_INT64);
  take(b, ...TO_INT64, I64_REM_S, FROM_INT64);
  take(a, COPYSIGN, RETURN, END);

  // Nothing divides by 0 or NaN, and ∞ has no remainder.
  take(b, ABS);
  code.float64(0);
  code.raw(F64_GT);
  isBelow(a, Infinity);
  code.raw(I32_AND, I32_EQZ, IF, EMPTY);
  code.float64(Number.NaN);
  code.raw(RETURN, END);
  take(a, ABS);
  take(b, ABS, F64_LT, IF, EMPTY);
  take(a, RETURN, END);

  /** Splits the bits of |from| into a whole number and an exponent, of at least 1: below it a mantissa has no leading one. */
  const split = (from: number, mantissa: number, exponent: number): void => {
    take(from, ABS, TO_BITS);
    code.set(mantissa);
    code.get(mantissa);
    code.int64(52n);
    code.raw(I64_SHR_U);
    code.set(exponent);
    code.get(mantissa);
    code.int64(0x000f_ffff_ffff_ffffn);
    code.raw(I64_AND);
    code.get(exponent);
    code.int64(0n);
    code.raw(I64_NE, EXTEND_U);
    code.int64(52n);
    code.raw(I64_SHL, I64_OR);
    code.set(mantissa);
    code.get(exponent);
    take(exponent, I64_EQZ, EXTEND_U, I64_ADD);
    code.set(exponent);
  };
  split(b, y, e);
  split(a, x, n);
  take(n);
  take(e, I64_SUB);
  code.set(n);
  take(x);
  take(y, I64_REM_U);
  code.set(x);
  code.raw(LOOP, EMPTY);
  code.get(n);
  code.int64(0n);
  code.raw(I64_GT_S, IF, EMPTY);
  code.get(x);
  code.get(n);
  code.int64(11n);
  code.get(n);
  code.int64(11n);
  code.raw(I64_LT_S, SELECT);
  code.tee(by);
  code.raw(I64_SHL);
  take(y, I64_REM_U);
  code.set(x);
  take(n);
  take(by, I64_SUB);
  code.set(n);
  code.raw(BRANCH, 1, END, END);

  // What is left is x·2^(e − 1075), exactly; a factor of its own for each half of the exponent, which may be below −1022.
  take(x, FROM_UINT64);
  for (const rounding of [0n, 1n]) {
    code.get(e);
    code.int64(-1075n + rounding);
    code.raw(I64_ADD);
    code.int64(1n);
    code.raw(I64_SHR_S);
    code.int64(1023n);
    code.raw(I64_ADD);
    code.int64(52n);
    code.raw(I64_SHL, FROM_BITS, F64_MUL);
  }
  take(a, COPYSIGN, END);
  return code.functionBody(5, I64);
}

const [IF, LOOP, BRANCH, END, RETURN, CALL, SELECT, EMPTY] = [0x04, 0x03, 0x0c, 0x0b, 0x0f, 0x10, 0x1b, 0x40];
const [EXTRACT_LANE, REPLACE_LANE, SPLAT] = [0x21, 0x22, 0x14];
const I64 = 0x7e;
const [ABS, TRUNC, F64_MUL, COPYSIGN, F64_EQ, F64_NE, F64_LT, F64_GT] = [
  0x99, 0x9d, 0xa2, 0xa6, 0x61, 0x62, 0x63, 0x64,
];
const [I32_AND, I32_EQZ, EXTEND_U, TO_BITS, FROM_BITS, FROM_INT64, FROM_UINT64] = [
  0x71, 0x45, 0xad, 0xbd, 0xbf, 0xb9, 0xba,
];
/** Without a trap: what is no number of 64 bits becomes one. */
const TO_INT64 = [0xfc, 0x06] as const;
const [I64_EQZ, I64_NE, I64_LT_S, I64_GT_S, I64_ADD, I64_SUB] = [0x50, 0x52, 0x53, 0x55, 0x7c, 0x7d];
const [I64_REM_S, I64_REM_U, I64_AND, I64_OR, I64_SHL, I64_SHR_S, I64_SHR_U] = [
  0x81, 0x82, 0x83, 0x84, 0x86, 0x87, 0x88,
];
