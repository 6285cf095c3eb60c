import { type Place, refuse } from '../refusal.ts';
import { constantValue } from '../resolve/arithmetic.ts';
import { type Typed } from '../typed.ts';
import { isFloating } from '../types.ts';

/** How far apart the coefficients of one floating-point expression may be, and how large or small each. */
const MAX_RATIO = 1e6;
const MAX_COEFFICIENT = 1e9;
const MAX_TERMS = 64;

interface Term {
  /** What is left of the coefficient after terms of the same columns were added up. */
  readonly sum: number;
  /** The coefficient if none of them had cancelled. */
  readonly gross: number;
  readonly columns: readonly string[];
}

/**
 * Floating-point sums round: `(x * 1e-18 + 1e9) - 1e9` is 0 for small `x` and not for large ones, so a measure that may
 * only be summed would be compared with a threshold. Products of many constants overflow or vanish in the same way. So
 * the expression is multiplied out, and refused where terms cancel or coefficients are too far apart to be added.
 *
 * Exact arithmetic needs none of this; its digits are bounded where it is built.
 */
export function checkScale(expression: Typed): void {
  if (expression.type === null || !isFloating(expression.type)) return;
  judge(termsOf(expression), expression.at);
}

function judge(terms: readonly Term[], at: Place): void {
  if (terms.length === 0) return;
  const sizes = terms.map(({ sum }) => Math.abs(sum));
  const [largest, least] = [Math.max(...sizes), Math.min(...sizes)];
  const isCancelled = terms.some(({ sum, gross }) => Math.abs(sum) * MAX_RATIO < gross);
  if (!isCancelled && largest <= least * MAX_RATIO && largest <= MAX_COEFFICIENT && least * MAX_COEFFICIENT >= 1)
    return;
  refuse(
    'constant-too-large',
    isCancelled ? 'terms of this calculation cancel' : 'the constants of this calculation are too far apart',
    at,
    'scale the result of the aggregate instead: 1000 * sum(x)',
  );
}

function termsOf(expression: Typed): readonly Term[] {
  switch (expression.kind) {
    case 'constant': {
      const value = constantValue(expression.literal);
      return value === null || value === 0 ? [] : [{ sum: value, gross: Math.abs(value), columns: [] }];
    }
    case 'column':
      return [{ sum: 1, gross: 1, columns: [expression.sql] }];
    case 'case':
      return [...expression.whens.map(({ value }) => value), expression.otherwise].flatMap(termsOf);
    case 'call':
      break;
    default:
      return expression satisfies never;
  }
  const [left = [], right = []] = expression.args.map(termsOf);
  switch (expression.name) {
    case '+':
      return added([...left, ...right]);
    case '-':
      return added([...left, ...right.map((term) => ({ ...term, sum: -term.sum }))]);
    case '*':
      return added(
        left.flatMap((a) =>
          right.map((b) => ({
            sum: a.sum * b.sum,
            gross: a.gross * b.gross,
            columns: [...a.columns, ...b.columns].toSorted(),
          })),
        ),
      );
    case '/': {
      const [by] = right;
      return by === undefined
        ? left
        : left.map((term) => ({ ...term, sum: term.sum / by.sum, gross: term.gross / by.gross }));
    }
    case 'cast':
      return left;
    default: {
      // What a coalesce fills in stands in place of the terms inside it, which must be fine by themselves.
      judge(left, expression.at);
      return [...left, ...right];
    }
  }
}

function added(terms: readonly Term[]): readonly Term[] {
  if (terms.length > MAX_TERMS)
    refuse('measure-not-allowed', `a calculation of more than ${MAX_TERMS} terms`, null, 'aggregate simpler products');
  return [...Map.groupBy(terms, ({ columns }) => columns.join(' * ')).values()].map((same) => ({
    sum: same.reduce((sum, term) => sum + term.sum, 0),
    gross: same.reduce((sum, term) => sum + term.gross, 0),
    columns: same[0]?.columns ?? [],
  }));
}
