import type { ColumnHeader } from '../../homomorphic/column.ts';
import type { HomomorphicProgram } from '../../homomorphic/program.ts';
import type { AdmittedPermit } from '../../job/admission.ts';
import { type Denied, denied, reason } from '../../policy/reason.ts';
import { grantsFor } from '../../policy/rights.ts';

/** Programs that tell how many rows there are, whatever their values. */
const COUNTS: ReadonlySet<string> = new Set(['count', 'histogram', 'countEqual']);

/**
 * Bounds of a policy say how much one value may weigh, and plain numbers are clipped to them. Nobody can clip ciphertext,
 * so a column that was encrypted with wider bounds cannot be had under narrower ones.
 */
export function problemOfBounds(
  program: HomomorphicProgram,
  headers: readonly ColumnHeader[],
  { policy }: AdmittedPermit['permit'],
  asker: { readonly party: string; readonly groups: readonly string[] },
): Denied | null {
  if (COUNTS.has(program.name)) return null;
  const governed = policy.tables.flatMap((table) => table.columns);
  for (const { column, decimals, low, high } of headers) {
    const bounds = governed
      .filter(({ name }) => name === column)
      .flatMap((one) => grantsFor(one, asker.party, asker.groups))
      .flatMap(({ rights, bounds: own }) => (rights.includes('aggregate') && own !== null ? [own] : []));
    const unit = 10 ** decimals;
    const isWithin = bounds.every(
      (bound) => BigInt(low) >= atLeast(bound.low * unit) && BigInt(high) <= -atLeast(-bound.high * unit),
    );
    if (!isWithin)
      return denied(
        reason('bounds-not-kept', `column \`${column}\` was encrypted with wider bounds than the policy lets count`, {
          clause: `columns.${column}.bounds`,
          remedy: 'ciphertext cannot be clipped: the provider encrypts it again within these bounds, or widens them',
        }),
      );
  }
  return null;
}

/** The least whole number that is not below a bound; a bound such as 0.29 times 100 is a little off. */
function atLeast(bound: number): bigint {
  const least = Math.ceil(bound - Math.abs(bound) * 4 * Number.EPSILON);
  if (Number.isFinite(least)) return BigInt(least);
  return bound < 0 ? -(1n << 64n) : 1n << 64n;
}
