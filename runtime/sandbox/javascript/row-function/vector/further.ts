import type { Elementary } from './elementary.ts';
import type { Graph, NodeId } from './graph.ts';
import type { Operation } from './instructions.ts';

/**
 * More functions of `Math` by V8's own steps, as elementary.ts has the first: fdlibm's s_log1p.c, s_expm1.c, s_tanh.c,
 * e_sinh.c, e_cosh.c, e_log10.c and FreeBSD's e_log2.c as in V8's src/base/ieee754.cc. Comparisons of high words there are comparisons of doubles here, of the same order.
 */
export class Further {
  readonly #graph: Graph;
  readonly #elementary: Elementary;

  constructor(graph: Graph, elementary: Elementary) {
    this.#graph = graph;
    this.#elementary = elementary;
  }

  log1p(x: NodeId): NodeId {
    const { zero, one, notANumber } = this.#graph;
    const size = this.#make('abs', x);
    // 1 + x between √½ and √2: the series needs no logarithm of two.
    const isNear = this.#and(
      this.#make('less', x, this.#bits(0x3fda_827a_0000_0000n)),
      this.#make('or', this.#make('greater', x, zero), this.#make('less', size, this.#bits(0x3fd2_bec5_0000_0000n))),
    );
    const isLarge = this.#make('atLeast', x, this.#bits(0x4340_0000_0000_0000n));
    const u = this.#select(isLarge, x, this.#add(one, x));
    const exponent = this.#subtract64(this.#shift('uint64ShiftRight', u, 52), this.#bits(1023n));
    const lost = this.#select(
      this.#make('int64Greater', exponent, zero),
      this.#subtract(one, this.#subtract(u, x)),
      this.#subtract(x, this.#subtract(u, one)),
    );
    const c = this.#make('andNot', this.#divide(lost, u), isLarge);
    const fraction = this.#and(u, this.#bits(FRACTION));
    const isHalved = this.#make('int64Greater', fraction, this.#bits(0x0006_a09d_ffff_ffffn));
    const m = this.#make('or', fraction, this.#select(isHalved, this.#bits(HALF), one));
    const farK = this.#fromInteger(this.#make('int64Subtract', exponent, isHalved)); // a mask is −1
    const k = this.#make('andNot', farK, isNear);
    const f = this.#select(isNear, x, this.#subtract(m, one));
    const hasNoK = this.#make('equal', k, zero);
    const square = this.#multiply(this.#multiply(this.#number(0.5), f), f);
    const high = this.#multiply(k, this.#bits(LN2_HI));
    const low = this.#add(this.#multiply(k, this.#bits(LN2_LO)), c);
    const withLow = (rest: NodeId): NodeId => this.#subtract(high, this.#subtract(this.#subtract(rest, low), f));

    const s = this.#divide(f, this.#add(this.#number(2), f));
    const z = this.#multiply(s, s);
    const R = this.#multiply(z, this.#polynomial(z, LOG1P));
    const product = this.#multiply(s, this.#add(square, R));
    const usual = this.#select(
      hasNoK,
      this.#subtract(f, this.#subtract(square, product)),
      this.#subtract(high, this.#subtract(this.#subtract(square, this.#add(product, low)), f)),
    );

    const isOne = this.#make(
      'andNot',
      this.#make(
        'or',
        this.#make('int64Greater', this.#bits(0x1_0000_0000n), fraction),
        this.#make('int64Greater', fraction, this.#bits(0x000f_fffc_ffff_ffffn)),
      ),
      isNear,
    );
    const small = this.#multiply(square, this.#subtract(one, this.#multiply(this.#number(0.6666666666666666), f)));
    const nearOne = this.#select(hasNoK, this.#subtract(f, small), withLow(small));
    const exact = this.#select(
      this.#make('equal', f, zero),
      this.#make('andNot', this.#add(high, this.#add(c, this.#multiply(k, this.#bits(LN2_LO)))), hasNoK),
      nearOne,
    );
    const computed = this.#select(isOne, exact, usual);

    const halfSquare = this.#multiply(this.#multiply(x, x), this.#number(0.5));
    const tiny = this.#select(this.#make('less', size, this.#number(2 ** -54)), x, this.#subtract(x, halfSquare));
    const finite = this.#select(this.#make('less', size, this.#number(2 ** -29)), tiny, computed);
    const bounded = this.#select(this.#make('less', x, this.#number(Infinity)), finite, x);
    const above = this.#select(this.#make('greater', x, this.#number(-1)), bounded, notANumber);
    return this.#select(this.#make('equal', x, this.#number(-1)), this.#number(-Infinity), above);
  }

  expm1(x: NodeId): NodeId {
    const { zero, one } = this.#graph;
    const size = this.#make('abs', x);
    const sign = this.#and(x, this.#bits(SIGN));
    const signed = (value: number): NodeId => this.#make('or', this.#number(value), sign);
    // Beyond these the answer is picked below.
    const near = this.#make('larger', this.#make('lesser', x, this.#number(710)), this.#number(-40));
    const many = this.#make('trunc', this.#add(this.#multiply(this.#number(1.4426950408889634), near), signed(0.5)));
    const isFew = this.#make('less', size, this.#bits(0x3ff0_a2b2_0000_0000n));
    const isNone = this.#make('less', size, this.#bits(0x3fd6_2e43_0000_0000n));
    const t = this.#make('andNot', this.#select(isFew, signed(1), many), isNone);
    const k = this.#make('widen32', this.#make('toInt32', t));
    const hi = this.#subtract(near, this.#multiply(t, this.#bits(LN2_HI)));
    const lo = this.#multiply(t, this.#bits(LN2_LO));
    const r = this.#subtract(hi, lo);
    const c = this.#subtract(this.#subtract(hi, r), lo);
    const half = this.#multiply(this.#number(0.5), r);
    const hxs = this.#multiply(r, half);
    const r1 = this.#add(one, this.#multiply(hxs, this.#polynomial(hxs, EXPM1)));
    const three = this.#subtract(this.#number(3), this.#multiply(r1, half));
    const e0 = this.#multiply(
      hxs,
      this.#divide(this.#subtract(r1, three), this.#subtract(this.#number(6), this.#multiply(r, three))),
    );
    const none = this.#subtract(r, this.#subtract(this.#multiply(r, e0), hxs));
    const e = this.#subtract(this.#subtract(this.#multiply(r, this.#subtract(e0, c)), c), hxs);
    const rest = this.#subtract(e, r);
    const halved = this.#subtract(this.#multiply(this.#number(0.5), this.#subtract(r, e)), this.#number(0.5));
    const doubled = this.#select(
      this.#make('less', r, this.#number(-0.25)),
      this.#multiply(this.#number(-2), this.#subtract(e, this.#add(r, this.#number(0.5)))),
      this.#add(one, this.#multiply(this.#number(2), this.#subtract(r, e))),
    );
    const isLast = this.#make('int64Equal', k, this.#bits(1024n));
    const twoToK = this.#powerOfTwo(this.#make('int64Add', k, isLast)); // a mask is −1
    const scaled = (y: NodeId): NodeId => this.#multiply(y, twoToK);
    const y = this.#subtract(one, rest);
    const large = this.#subtract(
      this.#select(isLast, this.#multiply(this.#multiply(y, this.#number(2)), this.#number(2 ** 1023)), scaled(y)),
      one,
    );
    const twoToMinusK = this.#powerOfTwo(this.#subtract64(zero, k));
    const upTo20 = scaled(this.#subtract(this.#subtract(one, twoToMinusK), rest));
    const upTo56 = scaled(this.#add(this.#subtract(r, this.#add(e, twoToMinusK)), one));
    const middle = this.#select(this.#make('less', t, this.#number(20)), upTo20, upTo56);
    const isWide = this.#make(
      'or',
      this.#make('atMost', t, this.#number(-2)),
      this.#make('greater', t, this.#number(56)),
    );
    const some = this.#select(isWide, large, middle);
    const withOne = this.#select(this.#make('equal', t, one), doubled, some);
    const withMinusOne = this.#select(this.#make('equal', t, this.#number(-1)), halved, withOne);
    const computed = this.#select(isNone, none, withMinusOne);
    const finite = this.#select(this.#make('less', size, this.#number(2 ** -54)), x, computed);
    const isUnder = this.#make('less', x, this.#bits(0xc043_687a_0000_0000n));
    const above = this.#select(isUnder, this.#number(-1), finite);
    const isOver = this.#make('greater', x, this.#number(709.782712893384));
    const bounded = this.#select(isOver, this.#number(Infinity), above);
    return this.#select(this.#make('equal', x, x), bounded, this.#graph.notANumber);
  }

  tanh(x: NodeId): NodeId {
    const { one } = this.#graph;
    const size = this.#make('abs', x);
    const sign = this.#and(x, this.#bits(SIGN));
    const isLarge = this.#make('atLeast', size, one);
    const two = this.#number(2);
    const t = this.expm1(this.#multiply(this.#select(isLarge, two, this.#number(-2)), size));
    const sum = this.#add(t, two);
    const z = this.#select(
      isLarge,
      this.#subtract(one, this.#divide(two, sum)),
      this.#divide(this.#make('negate', t), sum),
    );
    const bounded = this.#select(this.#make('less', size, this.#number(22)), z, one);
    const answer = this.#make('xor', bounded, sign);
    const some = this.#select(this.#make('less', size, this.#number(2 ** -28)), x, answer);
    return this.#select(this.#make('equal', x, x), some, this.#graph.notANumber);
  }

  sinh(x: NodeId): NodeId {
    const { one } = this.#graph;
    const size = this.#make('abs', x);
    const half = this.#make('or', this.#number(0.5), this.#and(x, this.#bits(SIGN)));
    const t = this.expm1(size);
    const quotient = this.#divide(t, this.#add(t, one));
    const small = this.#subtract(
      this.#multiply(this.#number(2), t),
      this.#divide(this.#multiply(t, t), this.#add(t, one)),
    );
    const nearby = this.#multiply(half, this.#select(this.#make('less', size, one), small, this.#add(t, quotient)));
    const far = this.#growth(size, half);
    const some = this.#select(this.#make('less', size, this.#number(22)), nearby, far);
    const known = this.#select(this.#make('less', size, this.#number(2 ** -28)), x, some);
    const isOver = this.#make('greater', size, this.#number(710.4758600739439));
    const bounded = this.#select(isOver, this.#multiply(x, this.#number(Infinity)), known);
    return this.#select(this.#make('equal', x, x), bounded, this.#graph.notANumber);
  }

  cosh(x: NodeId): NodeId {
    const { one } = this.#graph;
    const size = this.#make('abs', x);
    const half = this.#number(0.5);
    const t = this.expm1(size);
    const w = this.#add(one, t);
    const small = this.#add(one, this.#divide(this.#multiply(t, t), this.#add(w, w)));
    const tiny = this.#select(this.#make('less', size, this.#number(2 ** -55)), w, small);
    const e = this.#elementary.exp(size);
    const nearby = this.#add(this.#multiply(half, e), this.#divide(half, e));
    const far = this.#growth(size, half);
    const some = this.#select(this.#make('less', size, this.#number(22)), nearby, far);
    const known = this.#select(this.#make('less', size, this.#bits(0x3fd6_2e43_0000_0000n)), tiny, some);
    const isOver = this.#make('greater', size, this.#number(710.4758600739439));
    const bounded = this.#select(isOver, this.#number(Infinity), known);
    return this.#select(this.#make('equal', x, x), bounded, this.#graph.notANumber);
  }

  /** Half of e^size, of either sign, in two factors where e^size alone would be infinite. */
  #growth(size: NodeId, half: NodeId): NodeId {
    const root = this.#elementary.exp(this.#multiply(this.#number(0.5), size));
    const whole = this.#multiply(half, this.#elementary.exp(size));
    const isLarge = this.#make('atLeast', size, this.#number(709.782712893384));
    return this.#select(isLarge, this.#multiply(this.#multiply(half, root), root), whole);
  }

  log2(x: NodeId): NodeId {
    const { one } = this.#graph;
    const isSmall = this.#make('less', x, this.#bits(0x0010_0000_0000_0000n));
    const normal = this.#multiply(x, this.#select(isSmall, this.#number(2 ** 54), one));
    const fraction = this.#and(normal, this.#bits(FRACTION));
    // (hx + 0x95f64) & 0x100000 of the fraction's high word hx: whether the number is halved.
    const halved = this.#and(
      this.#make('int64Add', this.#and(fraction, this.#bits(HIGH)), this.#bits(0x0009_5f64_0000_0000n)),
      this.#bits(0x0010_0000_0000_0000n),
    );
    const m = this.#make('or', fraction, this.#make('xor', halved, this.#bits(0x3ff0_0000_0000_0000n)));
    const exponent = this.#subtract64(
      this.#make('int64Add', this.#shift('uint64ShiftRight', normal, 52), this.#shift('uint64ShiftRight', halved, 52)),
      this.#select(isSmall, this.#bits(1023n + 54n), this.#bits(1023n)),
    );
    const y = this.#fromInteger(exponent);
    const f = this.#subtract(m, one);
    const square = this.#multiply(this.#multiply(this.#number(0.5), f), f);
    const s = this.#divide(f, this.#add(this.#number(2), f));
    const z = this.#multiply(s, s);
    const w = this.#multiply(z, z);
    const odd = this.#multiply(
      z,
      this.#polynomial(
        w,
        LOG1P.filter((_, i) => i % 2 === 0),
      ),
    );
    const even = this.#multiply(
      w,
      this.#polynomial(
        w,
        LOG1P.filter((_, i) => i % 2 === 1),
      ),
    );
    const r = this.#multiply(s, this.#add(square, this.#add(odd, even)));
    const hi = this.#and(this.#subtract(f, square), this.#bits(0xffff_ffff_0000_0000n));
    const lo = this.#add(this.#subtract(this.#subtract(f, hi), square), r);
    const [log2High, log2Low] = [this.#bits(0x3ff7_1547_6520_0000n), this.#bits(0x3de7_05fc_2eef_a200n)];
    const high = this.#multiply(hi, log2High);
    const low = this.#add(this.#multiply(this.#add(lo, hi), log2Low), this.#multiply(lo, log2High));
    const sum = this.#add(y, high);
    const answer = this.#add(this.#add(low, this.#add(this.#subtract(y, sum), high)), sum);
    return this.#logarithmOf(x, answer);
  }

  /** The edges that every logarithm has, and what it is elsewhere. */
  #logarithmOf(x: NodeId, answer: NodeId): NodeId {
    const { zero, one, notANumber } = this.#graph;
    const known = this.#make('andNot', answer, this.#make('equal', x, one));
    const finite = this.#select(this.#make('less', x, this.#number(Infinity)), known, x);
    const positive = this.#select(this.#make('greater', x, zero), finite, notANumber);
    return this.#select(this.#make('equal', x, zero), this.#number(-Infinity), positive);
  }

  log10(x: NodeId): NodeId {
    const { zero, one } = this.#graph;
    const isSmall = this.#make('less', x, this.#bits(0x0010_0000_0000_0000n));
    const normal = this.#multiply(x, this.#select(isSmall, this.#number(2 ** 54), one));
    const k = this.#subtract64(
      this.#shift('uint64ShiftRight', normal, 52),
      this.#select(isSmall, this.#bits(1023n + 54n), this.#bits(1023n)),
    );
    const isBelowOne = this.#make('int64Greater', zero, k);
    const m = this.#make(
      'or',
      this.#and(normal, this.#bits(FRACTION)),
      this.#select(isBelowOne, this.#bits(HALF), one),
    );
    const y = this.#fromInteger(this.#make('int64Subtract', k, isBelowOne)); // a mask is −1
    const z = this.#add(
      this.#multiply(y, this.#number(3.69423907715893078616e-13)),
      this.#multiply(this.#number(4.34294481903251816668e-1), this.#elementary.log(m)),
    );
    return this.#logarithmOf(x, this.#add(z, this.#multiply(y, this.#number(3.01029995663611771306e-1))));
  }

  /** Σ terms[i]·x^i by Horner's rule. */
  #polynomial(x: NodeId, terms: readonly bigint[]): NodeId {
    return terms
      .slice(0, -1)
      .reduceRight((sum, term) => this.#add(this.#bits(term), this.#multiply(x, sum)), this.#bits(terms.at(-1) ?? 0n));
  }

  /** A small 64-bit integer as a double: its low bits below those of 1.5·2^52. */
  #fromInteger(value: NodeId): NodeId {
    const large = this.#number(1.5 * 2 ** 52);
    return this.#subtract(this.#make('int64Add', value, large), large);
  }

  #powerOfTwo(exponent: NodeId): NodeId {
    return this.#shift('int64Shift', this.#make('int64Add', exponent, this.#bits(1023n)), 52);
  }

  #bits(value: bigint): NodeId {
    return this.#graph.bits(value);
  }

  #number(value: number): NodeId {
    return this.#graph.number(value);
  }

  #select(mask: NodeId, yes: NodeId, no: NodeId): NodeId {
    return this.#graph.select(mask, yes, no);
  }

  #make(operation: Operation, ...operands: readonly NodeId[]): NodeId {
    return this.#graph.make(operation, operands);
  }

  #shift(operation: Operation, value: NodeId, by: number): NodeId {
    return this.#graph.make(operation, [value], by);
  }

  #and(one: NodeId, other: NodeId): NodeId {
    return this.#make('and', one, other);
  }

  #add(one: NodeId, other: NodeId): NodeId {
    return this.#make('add', one, other);
  }

  #subtract(one: NodeId, other: NodeId): NodeId {
    return this.#make('subtract', one, other);
  }

  #subtract64(one: NodeId, other: NodeId): NodeId {
    return this.#make('int64Subtract', one, other);
  }

  #multiply(one: NodeId, other: NodeId): NodeId {
    return this.#make('multiply', one, other);
  }

  #divide(one: NodeId, other: NodeId): NodeId {
    return this.#make('divide', one, other);
  }
}

const SIGN = 0x8000_0000_0000_0000n;
const FRACTION = 0x000f_ffff_ffff_ffffn;
const HIGH = 0x000f_ffff_0000_0000n;
const HALF = 0x3fe0_0000_0000_0000n;
const LN2_HI = 0x3fe6_2e42_fee0_0000n;
const LN2_LO = 0x3dea_39ef_3579_3c76n;
/** Lp1 to Lp7 of s_log1p.c, Lg1 to Lg7 of e_log2.c. */
const LOG1P = [
  0x3fe5_5555_5555_5593n,
  0x3fd9_9999_9997_fa04n,
  0x3fd2_4924_9422_9359n,
  0x3fcc_71c5_1d8e_78afn,
  0x3fc7_4664_96cb_03den,
  0x3fc3_9a09_d078_c69fn,
  0x3fc2_f112_df3e_5244n,
];
/** Q1 to Q5 of s_expm1.c. */
const EXPM1 = [
  0xbfa1_1111_1111_10f4n,
  0x3f5a_01a0_19fe_5585n,
  0xbf14_ce19_9eaa_dbb7n,
  0x3ed0_cfca_86e6_5239n,
  0xbe8a_fdb7_6e09_c32dn,
];
