import type { Graph, NodeId } from './graph.ts';
import type { Operation } from './instructions.ts';

/**
 * Functions of `Math` by the very steps that V8 takes, so that both ways of running a row function give the same bits. `exp` and
 * `log` are fdlibm's (Sun Microsystems 1993, e_exp.c and e_log.c, as in V8's src/base/ieee754.cc): each row takes both sides of
 * every branch, and a mask picks one. Doubles are multiplied and added one by one, never fused.
 */
export class Elementary {
  readonly #graph: Graph;

  constructor(graph: Graph) {
    this.#graph = graph;
  }

  /** Ties go up, and what rounds to zero keeps its sign. */
  round(x: NodeId): NodeId {
    const up = this.#make('ceil', x);
    const isNear = this.#make('atMost', this.#make('subtract', up, this.#number(0.5)), x);
    return this.#make('subtract', up, this.#make('andNot', this.#graph.one, isNear));
  }

  sign(x: NodeId): NodeId {
    const { zero, one } = this.#graph;
    const below = this.#graph.select(this.#make('less', x, zero), this.#number(-1), x);
    return this.#graph.select(this.#make('greater', x, zero), one, below);
  }

  /** As JavaScript's `x | 0` does, but still in the low two 32-bit integers. */
  int32(x: NodeId): NodeId {
    const whole = this.#make('trunc', x);
    const turns = this.#make('floor', this.#make('multiply', whole, this.#number(2 ** -32)));
    // Exact: both are multiples of the last place of `whole`, and what is left is below 2^32. ∞ − ∞ is NaN, which becomes 0.
    return this.#make('toUint32', this.#make('subtract', whole, this.#make('multiply', turns, this.#number(2 ** 32))));
  }

  exp(x: NodeId): NodeId {
    const { one } = this.#graph;
    const size = this.#make('abs', x);
    // Beyond these the answer is picked below; inside, no step leaves the integers that it is made for.
    const near = this.#make('larger', this.#make('lesser', x, this.#number(710)), this.#number(-746));
    const half = this.#make('or', this.#make('and', x, this.#graph.bits(SIGN)), this.#number(0.5));
    const turns = this.#make('trunc', this.#sum(this.#product(this.#number(1.4426950408889634), near), half));
    const t = this.#make('andNot', turns, this.#make('less', size, this.#graph.bits(0x3fd6_2e43_0000_0000n)));
    const k = this.#make('widen32', this.#make('toInt32', t));
    const hi = this.#make('subtract', near, this.#product(t, this.#graph.bits(LN2_HI)));
    const lo = this.#product(t, this.#graph.bits(LN2_LO));
    const r = this.#make('subtract', hi, lo);
    const square = this.#product(r, r);
    const c = this.#make('subtract', r, this.#product(square, this.#polynomial(square, EXP_TERMS)));
    const quotient = this.#make('divide', this.#product(r, c), this.#make('subtract', this.#number(2), c));
    const y = this.#make('subtract', one, this.#make('subtract', this.#make('subtract', lo, quotient), hi));
    // 2^k in two factors where one would not be a normal double.
    const high = this.#make('and', this.#make('int64Equal', k, this.#integer(1024)), this.#integer(1023));
    const low = this.#make('and', this.#make('int64Greater', this.#integer(-1021), k), this.#integer(-1000));
    const second = this.#make('or', high, low);
    const scaled = this.#product(
      this.#product(y, this.#powerOfTwo(this.#make('int64Subtract', k, second))),
      this.#powerOfTwo(second),
    );
    const isTiny = this.#make('less', size, this.#graph.bits(0x3e30_0000_0000_0000n));
    const small = this.#graph.select(isTiny, this.#sum(one, x), scaled);
    const known = this.#graph.select(this.#make('equal', x, one), this.#number(Math.E), small);
    const isOver = this.#make('greater', x, this.#number(709.782712893384));
    const isUnder = this.#make('less', x, this.#number(-745.1332191019411));
    const bounded = this.#graph.select(isOver, this.#number(Infinity), this.#make('andNot', known, isUnder));
    return this.#graph.select(this.#make('equal', x, x), bounded, this.#graph.notANumber);
  }

  log(x: NodeId): NodeId {
    const { zero, one, notANumber } = this.#graph;
    const isSmall = this.#make('less', x, this.#graph.bits(0x0010_0000_0000_0000n));
    const normal = this.#product(x, this.#graph.select(isSmall, this.#number(2 ** 54), one));
    const fraction = this.#make('and', normal, this.#graph.bits(0x000f_ffff_ffff_ffffn));
    // The high word hx of the fraction, then whether the number is halved: (hx + 0x95f64) & 0x100000.
    const hx = this.#make('and', fraction, this.#graph.bits(0x000f_ffff_0000_0000n));
    const halved = this.#make(
      'and',
      this.#make('int64Add', hx, this.#graph.bits(0x0009_5f64_0000_0000n)),
      this.#graph.bits(0x0010_0000_0000_0000n),
    );
    const m = this.#make('or', fraction, this.#make('xor', halved, this.#graph.bits(0x3ff0_0000_0000_0000n)));
    const exponent = this.#make(
      'int64Add',
      this.#shift('uint64ShiftRight', normal, 52),
      this.#make(
        'int64Subtract',
        this.#shift('uint64ShiftRight', halved, 52),
        this.#graph.select(isSmall, this.#integer(1023 + 54), this.#integer(1023)),
      ),
    );
    const k = this.#fromInteger(exponent);
    const f = this.#make('subtract', m, one);
    const s = this.#make('divide', f, this.#sum(this.#number(2), f));
    const z = this.#product(s, s);
    const w = this.#product(z, z);
    const t1 = this.#product(w, this.#polynomial(w, LOG_EVEN));
    const t2 = this.#product(z, this.#polynomial(w, LOG_ODD));
    const R = this.#sum(t2, t1);
    const low = this.#product(k, this.#graph.bits(LN2_LO));
    const square = this.#product(this.#product(this.#number(0.5), f), f);
    // i > 0 of (hx − 0x6147a) | (0x6b851 − hx): hx lies between the two, and is not both.
    const isWide = this.#make(
      'andNot',
      this.#make('int64Greater', this.#graph.bits(0x0006_b852_0000_0000n), hx),
      this.#make('int64Greater', this.#graph.bits(0x0006_147a_0000_0000n), hx),
    );
    const wide = this.#make('subtract', square, this.#sum(this.#product(s, this.#sum(square, R)), low));
    // |f| < 2^-20, told by its bits: (2 + hx) & 0xfffff is below 3.
    const next = this.#make(
      'and',
      this.#make('int64Add', hx, this.#graph.bits(0x2_0000_0000n)),
      this.#graph.bits(0x000f_ffff_0000_0000n),
    );
    const isTiny = this.#make('int64Greater', this.#graph.bits(0x3_0000_0000n), next);
    const tiny = this.#product(
      this.#product(f, f),
      this.#make('subtract', this.#number(0.5), this.#product(this.#number(0.3333333333333333), f)),
    );
    const narrow = this.#graph.select(isTiny, tiny, this.#product(s, this.#make('subtract', f, R)));
    const inner = this.#graph.select(this.#make('andNot', isWide, isTiny), wide, this.#make('subtract', narrow, low));
    const answer = this.#make('subtract', this.#product(k, this.#graph.bits(LN2_HI)), this.#make('subtract', inner, f));
    const finite = this.#graph.select(this.#make('less', x, this.#number(Infinity)), answer, x);
    const positive = this.#graph.select(this.#make('greater', x, zero), finite, notANumber);
    return this.#graph.select(this.#make('equal', x, zero), this.#number(-Infinity), positive);
  }

  /** Σ terms[i]·x^i by Horner's rule. */
  #polynomial(x: NodeId, terms: readonly bigint[]): NodeId {
    return terms
      .slice(0, -1)
      .reduceRight(
        (sum, term) => this.#sum(this.#graph.bits(term), this.#product(x, sum)),
        this.#graph.bits(terms.at(-1) ?? 0n),
      );
  }

  /** A small 64-bit integer as a double: its low bits below those of 1.5·2^52. */
  #fromInteger(value: NodeId): NodeId {
    const large = this.#number(1.5 * 2 ** 52);
    return this.#make('subtract', this.#make('int64Add', value, large), large);
  }

  #powerOfTwo(exponent: NodeId): NodeId {
    return this.#shift('int64Shift', this.#make('int64Add', exponent, this.#integer(1023)), 52);
  }

  #integer(value: number): NodeId {
    return this.#graph.bits(BigInt.asUintN(64, BigInt(value)));
  }

  #number(value: number): NodeId {
    return this.#graph.number(value);
  }

  #make(operation: Operation, ...operands: readonly NodeId[]): NodeId {
    return this.#graph.make(operation, operands);
  }

  #shift(operation: Operation, value: NodeId, by: number): NodeId {
    return this.#graph.make(operation, [value], by);
  }

  #sum(one: NodeId, other: NodeId): NodeId {
    return this.#make('add', one, other);
  }

  #product(one: NodeId, other: NodeId): NodeId {
    return this.#make('multiply', one, other);
  }
}

const SIGN = 0x8000_0000_0000_0000n;
const LN2_HI = 0x3fe6_2e42_fee0_0000n;
const LN2_LO = 0x3dea_39ef_3579_3c76n;
/** P1 to P5 of e_exp.c. */
const EXP_TERMS = [
  0x3fc5_5555_5555_553en,
  0xbf66_c16c_16be_bd93n,
  0x3f11_566a_af25_de2cn,
  0xbebb_bd41_c5d2_6bf1n,
  0x3e66_3769_72be_a4d0n,
];
/** Lg2, Lg4, Lg6 and Lg1, Lg3, Lg5, Lg7 of e_log.c. */
const LOG_EVEN = [0x3fd9_9999_9997_fa04n, 0x3fcc_71c5_1d8e_78afn, 0x3fc3_9a09_d078_c69fn];
const LOG_ODD = [0x3fe5_5555_5555_5593n, 0x3fd2_4924_9422_9359n, 0x3fc7_4664_96cb_03den, 0x3fc2_f112_df3e_5244n];
