/**
 * Questions over several noisy answers: UNION of arms, grouping sets, DISTINCT, windows, joins of aggregates, nested
 * aggregates.
 *
 * Argument. The query is cut where private rows become values. Each such aggregation is a release of its own: exact sums
 * over rows bounded per unit, noise in the gateway, a share of the job's budget (shareBudget). Releases compose by adding
 * their losses, whatever rows they are about, so the job costs what its parts cost together and never more than one job's
 * budget. All else sees the noisy tables alone: post-processing, free whatever the consumer wrote. An aggregation that is
 * named twice (WITH) is released once and read twice.
 *
 * Grouping sets are releases of their own as well: a total summed up from noisy cells would carry the noise of all of them,
 * and where keys are private the cells below the threshold would be missing from it.
 */
import type { DifferentialPrivacyRelease } from '../../policy/model.ts';
import type { QueryContext } from '../catalogue.ts';
import { enforced } from '../compile.ts';
import { checkBroughtAtAll } from '../compile/brought-tables.ts';
import { compileAny, releasedOnly } from '../compile/select.ts';
import { NO_TABLES, type NoiseStep, type NoisyOrigin, type ReleasedRelation, type State } from '../compile/state.ts';
import type { EnforcedQuery } from '../enforced.ts';
import type { Footprint } from '../footprint.ts';
import { refuse } from '../refusal.ts';
import type { Query } from '../syntax.ts';
import { footprintOf } from '../compile/new-state.ts';
import { type NoisyBlock, noisyState } from './noisy-block.ts';
import { compileNoisy } from './noisy-select.ts';
import { perUnitRows } from './per-unit.ts';

/** Several noisy answers and what is computed of them by the engine, in a worker that holds no private row of theirs. */
export interface ComposedQuery {
  readonly kind: 'composed';
  readonly blocks: readonly NoisyBlock[];
  /** Reads `noisyTable(0)`, `noisyTable(1)`, …, which the gateway fills, and public tables; certificates are row numbers. */
  readonly post: EnforcedQuery;
  /** By output: the noisy answers that it shows as they are; null when it is computed or a key. */
  readonly origins: readonly (NoisyOrigin | null)[];
  readonly footprint: Footprint;
}

/** Throws Refusal. */
export function compileComposed(
  query: Query,
  context: QueryContext,
  release: DifferentialPrivacyRelease,
): ComposedQuery {
  const blocks: NoisyBlock[] = [];
  const known = new Map<unknown, ReleasedRelation>();
  const noise: NoiseStep = {
    uses: 0,
    keptRows: release.maxRowsPerUnit,
    aggregate: (part) => {
      const perUnit = part.isDerived ? perUnitRows(state, release, part) : null;
      if (perUnit !== null) return perUnit;
      noise.uses += 1;
      const found = known.get(part.written) ?? compileNoisy({ state, release, blocks }, part);
      known.set(part.written, found);
      return found;
    },
  };
  const state: State = { ...noisyState(context), noise };
  const relation = releasedOnly(compileAny(state, query, NO_TABLES), null);
  checkBroughtAtAll(state);
  if (blocks.length === 0)
    refuse('differential-shape', 'differential privacy works on a private table', { words: ['from'] });
  // What sub-queries in expressions bring in needs no certificate: it is noisy too.
  state.borrowed.length = 0;
  const isOrdered = query.orders.length > 0 || query.orderAll !== null || query.limit !== null || query.offset !== null;
  return {
    kind: 'composed',
    blocks,
    post: enforced(state, relation, query, release.maxRows, isOrdered),
    origins: relation.columns.map(({ noisy }) => noisy ?? null),
    footprint: footprintOf(state),
  };
}
