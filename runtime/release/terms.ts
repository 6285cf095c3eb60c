/** From the release section of a policy rule to the terms that the gate enforces. */
import type { Release } from '../policy/model.ts';
import type { OutputColumn, ReleaseTerms } from './candidate.ts';
import { unreachable } from './columns.ts';

/** Limits for modes whose policy section does not set them. */
export const DEFAULT_RELEASE_LIMITS = { maxRows: 10_000, maxBytes: 16 * 1024 * 1024 } as const;

/** What the decision knows beyond the policy's own numbers. */
export interface ReleaseScope {
  readonly clause: string;
  /** Privacy units of every private table that was touched. */
  readonly units: readonly string[];
  readonly outputs: readonly OutputColumn[];
  readonly mediaTypes: readonly string[];
  /** Whether the enforced query already withheld dominated cells, so that rows carry no dominance certificates. */
  readonly isDominanceApplied: boolean;
}

/** The gate's terms for one release under one rule. */
export function termsOf(release: Release, scope: ReleaseScope): ReleaseTerms {
  const { clause, units, outputs, mediaTypes } = scope;
  const base: ReleaseTerms = {
    mode: release.mode,
    clause,
    units,
    outputs,
    mediaTypes,
    minUnits: null,
    smallGroups: 'drop',
    dominance: null,
    maxRows: DEFAULT_RELEASE_LIMITS.maxRows,
    maxBytes: DEFAULT_RELEASE_LIMITS.maxBytes,
    maxMicroEpsilon: null,
    maxDelta: 0,
  };
  switch (release.mode) {
    case 'aggregate': {
      const { minUnits, smallGroups, maxRows, maxBytes } = release;
      const dominance = scope.isDominanceApplied ? null : release.dominance;
      return { ...base, minUnits, smallGroups, maxRows, maxBytes, dominance };
    }
    case 'differentialPrivacy': {
      const { minUnits, maxRows, delta, microEpsilonPerJob } = release;
      return { ...base, minUnits, maxRows, maxMicroEpsilon: microEpsilonPerJob, maxDelta: delta };
    }
    case 'homomorphic':
      return { ...base, minUnits: release.minUnits };
    case 'sandbox':
      return { ...base, maxMicroEpsilon: release.microEpsilonPerJob, maxDelta: release.delta };
    case 'approvedCode': {
      const { minUnits, maxRows, maxBytes } = release;
      return { ...base, minUnits, maxRows, maxBytes };
    }
    default:
      return unreachable(release);
  }
}
