import { type Reason, reason } from '../policy/reason.ts';
import type { ReleaseTerms } from '../release/candidate.ts';

/** Why cells of a result may have been kept back, by code; never whether one was. */
const RULES: Readonly<Record<string, string>> = {
  'too-few-units': 'cells over fewer privacy units than the policy asks for are withheld',
  'too-few-left-out': 'cells whose filter leaves out some units, but fewer than the policy asks for, are withheld',
  'too-close':
    'cells that differ by some units, but fewer than the policy asks for, from another cell or sum of cells are withheld',
  dominated: 'cells in which a few units hold too large a share are withheld',
};

/**
 * The rules that were in force for a result, whether or not one of them bit: they follow from the terms alone, so that
 * the list tells nothing about rows.
 */
export function rulesInForce(
  terms: ReleaseTerms,
  {
    isDominanceRuled = false,
    isGuarded = false,
  }: { readonly isDominanceRuled?: boolean; readonly isGuarded?: boolean },
): readonly Reason[] {
  if (terms.mode !== 'aggregate' || terms.units.length === 0) return [];
  const codes = [
    'too-few-units',
    'too-few-left-out',
    ...(isDominanceRuled ? ['dominated'] : []),
    ...(isGuarded ? ['too-close'] : []),
  ];
  return codes.map((code) => ruleOf(code, terms.clause));
}

/** The rule behind a code, in words. */
export function ruleOf(code: string, clause: string | null = null): Reason {
  return reason(code, RULES[code] ?? code, { clause, remedy: 'ask for wider groups or wider filters' });
}
