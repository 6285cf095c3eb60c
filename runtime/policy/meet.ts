import { CODE_LIMITS, type CodeLimits, codeLimits, type Release, type SmallGroups } from './model.ts';
import type { Permit } from './decide.ts';
import { type Denied, denied, reason } from './reason.ts';

/** Strictest first: what tells a consumer least about small groups. */
const SMALL_GROUPS: readonly SmallGroups[] = ['refuse', 'drop', 'null', 'remainder'];

/**
 * The strictest of several releases, so that a result built on several datasets honours every provider: largest
 * minUnits, smallest epsilon, smallest limits. Modes that differ have no meet.
 */
export function meetRelease(a: Release, b: Release): Release | null {
  switch (a.mode) {
    case 'aggregate': {
      if (b.mode !== 'aggregate') return null;
      return {
        mode: 'aggregate',
        minUnits: Math.max(a.minUnits, b.minUnits),
        smallGroups:
          SMALL_GROUPS[Math.min(SMALL_GROUPS.indexOf(a.smallGroups), SMALL_GROUPS.indexOf(b.smallGroups))] ?? 'refuse',
        dominance: meetDominance(a.dominance, b.dominance),
        maxRows: Math.min(a.maxRows, b.maxRows),
        maxBytes: Math.min(a.maxBytes, b.maxBytes),
        differencingGuard: a.differencingGuard || b.differencingGuard,
      };
    }
    case 'differentialPrivacy': {
      if (b.mode !== 'differentialPrivacy') return null;
      return {
        mode: 'differentialPrivacy',
        microEpsilonPerJob: Math.min(a.microEpsilonPerJob, b.microEpsilonPerJob),
        microEpsilonTotal: Math.min(a.microEpsilonTotal, b.microEpsilonTotal),
        microEpsilonDataset: minOrNull(a.microEpsilonDataset, b.microEpsilonDataset),
        accounting: a.accounting === b.accounting ? a.accounting : 'pure',
        delta: Math.min(a.delta, b.delta),
        deltaTotal: minOrNull(a.deltaTotal, b.deltaTotal),
        maxRowsPerUnit: Math.min(a.maxRowsPerUnit, b.maxRowsPerUnit),
        minUnits: a.minUnits === null ? b.minUnits : Math.max(a.minUnits, b.minUnits ?? 0),
        noise: a.delta === 0 || b.delta === 0 ? 'laplace' : a.noise === b.noise ? a.noise : 'laplace',
        budgetPeriodMs:
          a.budgetPeriodMs === null || b.budgetPeriodMs === null ? null : Math.max(a.budgetPeriodMs, b.budgetPeriodMs),
        maxRows: Math.min(a.maxRows, b.maxRows),
      };
    }
    case 'homomorphic': {
      if (b.mode !== 'homomorphic') return null;
      return {
        mode: 'homomorphic',
        schemes: a.schemes.filter((scheme) => b.schemes.includes(scheme)),
        securityBits: Math.max(a.securityBits, b.securityBits),
        programs: a.programs.filter((program) => b.programs.includes(program)),
        minUnits: Math.max(a.minUnits, b.minUnits),
        maxQueries: minOrNull(a.maxQueries, b.maxQueries),
      };
    }
    case 'sandbox': {
      if (b.mode !== 'sandbox') return null;
      return {
        mode: 'sandbox',
        methods: a.methods.filter((method) => b.methods.includes(method)),
        microEpsilonPerJob: Math.min(a.microEpsilonPerJob, b.microEpsilonPerJob),
        microEpsilonTotal: minOrNull(a.microEpsilonTotal, b.microEpsilonTotal),
        microEpsilonDataset: minOrNull(a.microEpsilonDataset, b.microEpsilonDataset),
        accounting: a.accounting === b.accounting && a.delta > 0 && b.delta > 0 ? a.accounting : 'pure',
        delta: Math.min(a.delta, b.delta),
        outputs: Math.min(a.outputs, b.outputs),
        maxRowsPerUnit: Math.min(a.maxRowsPerUnit, b.maxRowsPerUnit),
        tier: a.tier === 'strict' || b.tier === 'strict' ? 'strict' : 'balanced',
        limits: meetLimits(a.limits, b.limits),
      };
    }
    case 'approvedCode': {
      if (b.mode !== 'approvedCode') return null;
      return {
        mode: 'approvedCode',
        minUnits: Math.max(a.minUnits, b.minUnits),
        maxRows: Math.min(a.maxRows, b.maxRows),
        maxBytes: Math.min(a.maxBytes, b.maxBytes),
        limits: meetLimits(a.limits, b.limits),
      };
    }
  }
}

/** The release terms of a job under all its permits. */
export function meetPermits(
  permits: readonly Permit[],
): { readonly kind: 'met'; readonly release: Release; readonly clause: string } | Denied {
  const [first, ...others] = permits;
  if (first === undefined) return denied(reason('no-policy', 'the job touches no dataset under an agreement'));
  let { release } = first;
  for (const other of others) {
    const met = meetRelease(release, other.release);
    if (met === null) {
      return denied(
        reason('modes-differ', `\`${first.clause}\` and \`${other.clause}\` release in different modes`, {
          remedy: 'use datasets whose policies share a mode, or one job per mode',
        }),
      );
    }
    release = met;
  }
  return { kind: 'met', release, clause: permits.map((permit) => permit.clause).join(' and ') };
}

/** At least as strict as both: the larger n must stay under the smaller share. */
function meetDominance(a: Dominance, b: Dominance): Dominance {
  if (a === null || b === null) return a ?? b;
  return { n: Math.max(a.n, b.n), share: Math.min(a.share, b.share) };
}
type Dominance = { readonly n: number; readonly share: number } | null;

function meetLimits(a: CodeLimits, b: CodeLimits): CodeLimits {
  return codeLimits(Object.fromEntries(CODE_LIMITS.map((name) => [name, minOrNull(a[name], b[name])])));
}

const minOrNull = (a: number | null, b: number | null): number | null =>
  a === null ? b : b === null ? a : Math.min(a, b);
