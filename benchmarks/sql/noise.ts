import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QUERIES } from '../end-to-end/queries.ts';
import { measurement, type Measurement, pairedRatio, WrongAnswer } from '../measurement.ts';
import type { BenchData } from '../world/data.ts';
import { NoisyLayout } from './noisy-layout.ts';

const POLICY = `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: bench, grade: internal }
tables:
  visits:
    privacyUnit: [person_id]
    columns:
      person_id: { rights: [join, countDistinct] }
      shop_id:   { rights: [join, group, filter] }
      category:  { rights: [group, filter] }
      weekday:   { rights: [group, filter] }
      band:      { rights: [group, filter] }
      amount:    { rights: [filter, aggregate], bounds: [0, 10000] }
      weight:    { rights: [filter, aggregate], bounds: [0, 10] }
  shops:
    public: true
    columns:
      shop_id: { rights: [join, group, filter] }
      kind:    { rights: [group, filter] }
      city:    { rights: [group, filter] }
allow:
  - { id: private, mode: differentialPrivacy, release: { epsilonPerJob: 1, epsilonTotal: 10, delta: 1e-6, maxRowsPerUnit: 10 } }
`;

/** Groups of the floor that bounding rows leaves there. */
const LEAST_SHARE = 0.99;
/** Ratios of CPU that are promised for as many rows. */
const GOALS = { rows: 10_000_000, query: 1, ingest: 10 };

/** What differential privacy costs in the engine: the layout once, and the exact part of queries. */
export async function benchNoise(
  data: BenchData,
  { runs, progress }: { readonly runs: number; readonly progress: (text: string) => void },
): Promise<readonly Measurement[]> {
  const folder = await mkdtemp(join(tmpdir(), 'glovebox-bench-noise-'));
  const goalOf = (cpuRatio: number, most: number): Measurement['goal'] =>
    data.rows < GOALS.rows ? null : { text: `CPU ${cpuRatio.toFixed(2)}× ≤ ${most}×`, isMet: cpuRatio <= most };
  try {
    progress('laying out for differential privacy');
    using layout = await NoisyLayout.make({ visits: data.visits, shops: data.shops }, folder, POLICY);
    const { copied, laidOut } = layout;
    const ingest = laidOut.cpuMs / copied.cpuMs;
    const measured = [
      measurement({
        section: 'sql',
        group: `preparing ${data.rows} rows for differential privacy`,
        name: 'layout with bounded rows and clipped numbers',
        unit: 'ms',
        runs: [laidOut.ms],
        floor: { name: 'a plain copy into a file of the engine', runs: [copied.ms] },
        cpuRatio: ingest,
        goal: goalOf(ingest, GOALS.ingest),
        checked: 'its queries are answered below',
      }),
    ];
    for (const { name, sql } of QUERIES) {
      progress(`query ${name} behind noise`);
      const ours = await layout.exactPartOf(sql);
      const [expected, found] = [await layout.groupsOf(sql), await ours.groups()];
      // Of units with many rows some are left out, and of groups with a row or two then all.
      if (found > expected || found < expected * LEAST_SHARE)
        throw new WrongAnswer(`query ${name} behind noise: ${found} groups instead of ${expected}`);
      const [plain, noisy] = [[await layout.plain(sql)], [await ours.run()]];
      for (let round = 0; round < runs; round += 1) {
        plain.push(await layout.plain(sql));
        noisy.push(await ours.run());
      }
      // The first of each warmed the files up.
      const of = (spent: typeof plain, unit: 'ms' | 'cpuMs'): number[] => spent.slice(1).map((one) => one[unit]);
      const cpuRatio = pairedRatio(of(noisy, 'cpuMs'), of(plain, 'cpuMs')).median;
      measured.push(
        measurement({
          section: 'sql',
          group: `differential privacy over ${data.rows} rows`,
          name: `query ${name}, exact part`,
          unit: 'ms',
          runs: of(noisy, 'ms'),
          floor: { name: 'the same text in DuckDB, no noise, no bounds', runs: of(plain, 'ms') },
          cpuRatio,
          goal: goalOf(cpuRatio, GOALS.query),
          checked: `${found} groups of ${expected} in the floor; bounded rows add up to other sums`,
        }),
      );
    }
    return measured;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
