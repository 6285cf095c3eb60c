import type { World } from '../redteam/world.ts';
import { BANK, CITY, FACTORY, HOSPITAL } from './worlds.ts';

/** A world with a rule `private` besides, functions that only noise knows, and values of some columns declared. */
function noisy(world: World, keptRows: number, values: Readonly<Record<string, string>>): World {
  const declared = Object.entries(values).reduce(
    (policy, [column, list]) =>
      policy.replace(new RegExp(`^(      ${column}: +\\{ rights: \\[group[^}]*?) \\}$`, 'm'), `$1, values: ${list} }`),
    world.policy.replaceAll('quantile,', 'quantile, histogram,'),
  );
  return {
    ...world,
    policy: `${declared.trimEnd()}
  - { id: private, mode: differentialPrivacy, release: { epsilonPerJob: 4, epsilonTotal: 400, delta: 1e-6, maxRowsPerUnit: ${keptRows} } }
`,
  };
}

export const NOISY_HOSPITAL: World = noisy(HOSPITAL, 16, {
  sex: '[f, m]',
  insurance: '[state, private, none]',
  ward: '[surgery, heart, nerves, children]',
  emergency: '[true, false]',
});
export const NOISY_BANK: World = noisy(BANK, 24, {
  segment: '[retail, business, wealth]',
  arm: '[A, B]',
  channel: '[app, branch, web]',
});
export const NOISY_FACTORY: World = noisy(FACTORY, 64, { shift: '[early, late, night]', line: '[press, paint, pack]' });
export const NOISY_CITY: World = noisy(CITY, 24, { district: '[1, 2, 3, 4, 5]', mode: '[bus, bike, car, walk]' });
