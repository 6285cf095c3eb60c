import type { OutputSpec } from '../../runtime/sandbox/javascript/row-function/reducer.ts';
import type { Numbers } from './data.ts';

/**
 * A row function with the loops that it is measured against. The bare loop adds what the expression gives, and nothing else. The
 * bounded loop does what the runtime promises for each row: a call per row, a clamp to the declared range, rounding to the
 * grid, an exact sum.
 */
export interface Expression {
  readonly name: string;
  /** The row function as a consumer writes it. */
  readonly source: string;
  readonly output: OutputSpec;
  readonly bare: (data: Pick<Numbers, 'x' | 'y'>) => number;
  readonly bounded: (data: Pick<Numbers, 'x' | 'y'>) => bigint;
  /** The expression in SQL. */
  readonly sql: string;
}

const score = (x: number, y: number): number => {
  const burden = Math.min(x, 20) / 20;
  const age = (y + 18) / 115;
  return 1 / (1 + Math.exp(-(2.2 * burden + 0.8 * age - 1.4)));
};

const arithmetic = (x: number, y: number): number => (x > 50 ? x * 3 + y : y);

/** Two comparisons and a product: nearly all of a row's cost is the way to the code. */
export const ARITHMETIC: Expression = {
  name: 'arithmetic',
  source: '(r) => r.x > 50 ? r.x * 3 + r.y : r.y',
  output: { name: 'v', range: [0, 400], step: 1 },
  bare: ({ x, y }) => {
    let sum = 0;
    for (let i = 0; i < x.length; i += 1) {
      const [one, other] = [x[i] ?? 0, y[i] ?? 0];
      sum += one > 50 ? one * 3 + other : other;
    }
    return sum;
  },
  bounded: ({ x, y }) => {
    let sum = 0;
    for (let i = 0; i < x.length; i += 1) {
      const value = arithmetic(x[i] ?? 0, y[i] ?? 0);
      sum += Math.round(value < 0 ? 0 : value > 400 ? 400 : value);
    }
    return BigInt(sum);
  },
  sql: 'CASE WHEN x > 50 THEN x * 3 + y ELSE y END',
};

const STEP = 2 ** -12;

/** A logistic risk score, as `examples/code/risk-score.ts` has it: what a numeric scoring function costs. */
export const SCORE: Expression = {
  name: 'logistic score',
  source: `(r) => {
    const burden = Math.min(r.x, 20) / 20;
    const age = (r.y + 18) / 115;
    return 1 / (1 + Math.exp(-(2.2 * burden + 0.8 * age - 1.4)));
  }`,
  output: { name: 'score', range: [0, 1], step: STEP },
  bare: ({ x, y }) => {
    let sum = 0;
    for (let i = 0; i < x.length; i += 1) {
      const burden = Math.min(x[i] ?? 0, 20) / 20;
      const age = ((y[i] ?? 0) + 18) / 115;
      sum += 1 / (1 + Math.exp(-(2.2 * burden + 0.8 * age - 1.4)));
    }
    return sum;
  },
  bounded: ({ x, y }) => {
    let sum = 0;
    for (let i = 0; i < x.length; i += 1) {
      const value = score(x[i] ?? 0, y[i] ?? 0);
      sum += Math.round((value < 0 ? 0 : value > 1 ? 1 : value) / STEP);
    }
    return BigInt(sum);
  },
  sql: '1 / (1 + exp(-(2.2 * least(x, 20) / 20 + 0.8 * (y + 18) / 115 - 1.4)))',
};
