import type { CodeLimits, DifferentialPrivacyRelease, Release } from './model.ts';

/** What leaves under a rule, and with which limits, as one sentence. */
export function releaseInWords(release: Release): string {
  switch (release.mode) {
    case 'aggregate':
      return [
        `aggregates over at least ${release.minUnits} units, small groups: ${release.smallGroups}`,
        ...(release.dominance === null
          ? []
          : [`cells of which ${largest(release.dominance.n)} more than ${release.dominance.share} withheld`]),
        ...(release.differencingGuard ? ['compared with earlier answers'] : []),
        atMost(release),
      ].join(', ');
    case 'differentialPrivacy':
      return noisy(release);
    case 'homomorphic':
      return [
        `homomorphic programs ${release.programs.join(', ')} in ${release.schemes.join(', ')} at ${release.securityBits} bits or more`,
        `over at least ${release.minUnits} units`,
        ...(release.maxQueries === null ? [] : [`at most ${release.maxQueries} queries`]),
      ].join(', ');
    case 'sandbox':
      return [
        `sandboxed code by ${release.methods.join(', ')} in the tier ${release.tier}`,
        `epsilon ${epsilon(release.microEpsilonPerJob)} a job`,
        ...inAll(release.microEpsilonTotal, release.microEpsilonDataset),
        `added up as ${release.accounting === 'pure' ? 'plain sums with Laplace noise' : 'zCDP with Gaussian noise'}`,
        `delta ${release.delta}`,
        `at most ${release.outputs} outputs, at most ${release.maxRowsPerUnit} rows a unit`,
        ...limitsInWords(release.limits),
      ].join(', ');
    case 'approvedCode':
      return [
        `approved code over at least ${release.minUnits} units, ${atMost(release)}`,
        ...limitsInWords(release.limits),
      ].join(', ');
  }
}

/** What the policy lets the code of one job use, term by term; nothing for what it does not limit. */
export function limitsInWords({ wallMs, cpuMs, memoryMiB, blocks, rounds }: CodeLimits): readonly string[] {
  return [
    ...(wallMs === null ? [] : [`at most ${periodInWords(wallMs)} a job`]),
    ...(cpuMs === null ? [] : [`at most ${periodInWords(cpuMs)} of processor time`]),
    ...(memoryMiB === null ? [] : [`at most ${memoryMiB} MiB of memory`]),
    ...(blocks === null ? [] : [`at most ${blocks} blocks`]),
    ...(rounds === null ? [] : [`at most ${rounds} round${rounds === 1 ? '' : 's'}`]),
  ];
}

function noisy(release: DifferentialPrivacyRelease): string {
  return [
    `differential privacy, epsilon ${epsilon(release.microEpsilonPerJob)} a job`,
    ...inAll(release.microEpsilonTotal, release.microEpsilonDataset),
    ...(release.budgetPeriodMs === null ? [] : [`counted over ${periodInWords(release.budgetPeriodMs)}`]),
    `added up as ${release.accounting === 'zcdp' ? 'zCDP' : 'plain sums'}`,
    `delta ${release.delta}${release.deltaTotal === null ? '' : ` and ${release.deltaTotal} in all`}`,
    `${release.noise === 'laplace' ? 'Laplace' : 'Gaussian'} noise`,
    ...(release.minUnits === null ? [] : [`over at least ${release.minUnits} units`]),
    `at most ${release.maxRowsPerUnit} rows a unit, at most ${release.maxRows} rows`,
  ].join(', ');
}

const epsilon = (micro: number): number => micro / 1e6;

function inAll(total: number | null, dataset: number | null): readonly string[] {
  return [
    ...(total === null ? [] : [`${epsilon(total)} in all`]),
    ...(dataset === null ? [] : [`${epsilon(dataset)} over all consumers`]),
  ];
}

const atMost = ({ maxRows, maxBytes }: { readonly maxRows: number; readonly maxBytes: number }): string =>
  `at most ${maxRows} rows and ${bytesInWords(maxBytes)}`;

const largest = (count: number): string => (count === 1 ? 'the largest unit holds' : `the ${count} largest units hold`);

/** A size in the largest unit that divides it: `1 GiB`, `1536 KiB`. */
function bytesInWords(bytes: number): string {
  const units = [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const;
  const [unit, size] = units.find(([, one]) => bytes % one === 0) ?? ['bytes', 1];
  return `${bytes / size} ${unit}`;
}

/** A period in the largest unit that divides it: `30 days`, `36 hours`. */
export function periodInWords(ms: number): string {
  const units = [
    ['day', 86_400_000],
    ['hour', 3_600_000],
    ['minute', 60_000],
    ['second', 1000],
  ] as const;
  const [name, size] = units.find(([, one]) => ms % one === 0) ?? ['millisecond', 1];
  return `${ms / size} ${name}${ms === size ? '' : 's'}`;
}
