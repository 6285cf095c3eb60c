import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { isAtLeast, isolationLevels, type IsolationLevel } from '../sandbox/manifest.ts';
import type { IsolationReport } from '../sandbox/probe.ts';
import { act, type CommonOptions, withCommon } from './command.ts';
import { tableText } from './output.ts';

/** An image and the weakest level that it runs at. */
export interface ImageNeed {
  readonly name: string;
  readonly minimumIsolation: IsolationLevel;
}

export function addDoctor(program: Command): void {
  withCommon(
    program
      .command('doctor')
      .description('what isolation this machine gives, what is missing, and how to get it; needs no runtime'),
    'glovebox doctor',
  ).action((options: CommonOptions) =>
    act(options, async (out) => {
      const [{ ROOT }, { WorkerPool }, { listImages, loadImage }] = await Promise.all([
        import('../container.ts'),
        import('../sandbox/pool.ts'),
        import('../sandbox/image.ts'),
      ]);
      await using pool = await WorkerPool.start({ root: ROOT });
      const { isolation } = pool;
      const images = await Promise.all(
        (await listImages(ROOT)).map(async (name): Promise<ImageNeed> => {
          const { minimumIsolation } = (await loadImage(ROOT, name)).manifest;
          return { name, minimumIsolation };
        }),
      );
      const warnings = warningsOf(isolation, await readFile('/proc/swaps', 'utf8').catch(() => ''));
      out.answer(
        { ...isolation, images: images.map((one) => ({ ...one, runs: runs(isolation, one) })), warnings },
        () => doctorText(isolation, images, warnings),
      );
      return isAtLeast(isolation.level, 'namespaced') ? 0 : 1;
    }),
  );
}

const runs = ({ level }: Pick<IsolationReport, 'level'>, { minimumIsolation }: ImageNeed): boolean =>
  level !== 'none' && isAtLeast(level, minimumIsolation);

/** What the jail does not hold against, though it holds: limits that are softer than they could be, memory that goes to a disk. */
export function warningsOf(
  { level, cgroup }: Pick<IsolationReport, 'level' | 'cgroup'>,
  swaps: string,
): readonly string[] {
  const isSwapping = swaps.trim().split('\n').length > 1;
  return [
    ...(level !== 'none' && cgroup === 'none'
      ? [
          'workers are limited by rlimits and the watchdog alone: give the user of the runtime a control group with memory, pids and cpu (systemd: `Delegate=yes`) for exact limits',
        ]
      : []),
    ...(isSwapping
      ? ['swap is on, so rows in the memory of workers can reach a disk: turn it off (`swapoff -a`) or encrypt it']
      : []),
  ];
}

const WHAT_LEVELS_MEAN: Readonly<Record<IsolationLevel, string>> = {
  vm: 'a virtual machine around the workers, by the operator’s word: everything runs',
  namespaced: 'own namespaces, no network, no files, filtered system calls: everything runs',
  confined:
    'no namespaces, but own uid, Landlock and filtered system calls: consumer code where the policy says `isolation: { atLeast: confined }`',
  process: 'a process of its own and nothing more: no consumer code, and SQL where the policy demands no more',
  none: 'no worker starts: nothing runs',
};

/** The report for a person: level, what it means, every check, what runs here, what is missing and how to get it. */
export function doctorText(
  isolation: IsolationReport,
  images: readonly ImageNeed[],
  warnings: readonly string[],
): string {
  const { level, mechanism, isDeclared, findings, advice, bwrapVersion, kernel, cgroup, filterDigest } = isolation;
  const failed = findings.filter(({ ok }) => !ok);
  const better = isolationLevels.filter((one) => one !== 'vm' && one !== level && isAtLeast(one, level));
  return [
    `isolation level: ${level} (${mechanism})${isDeclared ? ', declared by the operator' : ''}`,
    `  ${WHAT_LEVELS_MEAN[level]}`,
    `  kernel ${kernel}, bubblewrap ${bwrapVersion ?? 'missing'}, control groups ${cgroup}, system call filter ${filterDigest ?? 'none'}`,
    '',
    tableText(
      ['check', 'ok', 'finding'],
      findings.map(({ name, ok, detail }) => [name, ok ? 'yes' : 'NO', detail]),
    ),
    '',
    tableText(
      ['image', 'needs at least', 'runs here'],
      images.map((one) => [one.name, one.minimumIsolation, runs(isolation, one) ? 'yes' : 'NO']),
    ),
    ...(failed.length + advice.length + warnings.length === 0 ? [] : ['']),
    ...failed.map(({ name, detail }) => `missing: ${name}${detail === '' ? '' : `: ${detail}`}`),
    ...(better.length === 0 ? [] : [`for ${better.join(' or ')}:`]),
    ...advice.map((text) => `  ${text}`),
    ...warnings.map((text) => `warning: ${text}`),
  ].join('\n');
}
