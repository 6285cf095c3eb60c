import { Refusal } from '../refusal.ts';
import type { Syntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';

/** What an expression is over rows; null where it makes no sense there. */
export function resolvedOrNull(syntax: Syntax, resolveRow: (syntax: Syntax) => Typed): Typed | null {
  try {
    return resolveRow(syntax);
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}
