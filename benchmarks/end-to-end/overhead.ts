import { connect } from '../../runtime/client/connect.ts';
import { measurement, type Measurement, spreadOf } from '../measurement.ts';
import { PlainDuckDb } from '../world/plain-duckdb.ts';
import type { BenchServer, JobStages } from '../world/server.ts';
import type { BenchWorld } from '../world/setup.ts';
import { anew, ask, checkRows, rowsOf } from './ask.ts';
import { SMALL_QUERY } from './queries.ts';

/** What a job costs when its query costs nothing: one client, one job after the other, everything warm. */
export async function measureOverhead(
  world: BenchWorld,
  server: BenchServer,
  options: { readonly jobs: number; readonly isMutualTls: boolean },
): Promise<readonly Measurement[]> {
  const consumer = options.isMutualTls ? world.consumers[0] : world.local;
  if (consumer === undefined) throw new Error('no consumer');
  await using glovebox = options.isMutualTls
    ? connect({ credential: consumer.credential, server: server.address })
    : connect({ server: server.address });
  using plain = await PlainDuckDb.open(world.smallData.plain, 1);
  const released = rowsOf(await ask(glovebox, consumer.small, SMALL_QUERY.sql));
  const checked = checkRows('small job', released, await plain.rows(SMALL_QUERY.expected));
  for (let job = 0; job < WARM_UP; job += 1) await ask(glovebox, consumer.small, SMALL_QUERY.sql);

  server.takeStages();
  const [whole, submitted, called, floor]: [number[], number[], number[], number[]] = [[], [], [], []];
  let cpuMs = server.usage.cpuMs();
  for (let job = 0; job < options.jobs; job += 1) {
    floor.push((await plain.time('select 1')).ms);
    whole.push(await timed(() => ask(glovebox, consumer.small, SMALL_QUERY.sql)));
    submitted.push(
      await timed(() =>
        glovebox.jobs.submit({
          job: { agreementIds: [consumer.small], computation: { kind: 'sql', sql: { text: anew(SMALL_QUERY.sql) } } },
          wait: true,
        }),
      ),
    );
    called.push(await timed(() => glovebox.parties.whoAmI({})));
  }
  cpuMs = server.usage.cpuMs() - cpuMs;
  const overhead = whole.map((ms, job) => ms - (floor[job] ?? 0));
  const { median } = spreadOf(overhead);
  const name = options.isMutualTls ? 'mutual TLS, signed' : 'no TLS, unsigned';
  const common = { section: 'end-to-end', group: 'fixed cost of a small job', unit: 'ms', checked } as const;
  const floorOf = { name: '`select 1` in DuckDB in process', runs: floor };
  return [
    measurement({
      ...common,
      name: `job and its result, ${name}`,
      runs: whole,
      floor: floorOf,
      stages: stageMedians(server.takeStages()),
      goal: options.isMutualTls
        ? { text: `overhead p50 ${median.toFixed(1)} ms ≤ ${GOAL_MS} ms`, isMet: median <= GOAL_MS }
        : null,
    }),
    measurement({ ...common, name: `job until its ticket, ${name}`, runs: submitted, floor: floorOf }),
    measurement({ ...common, name: `call without work, ${name}`, runs: called, floor: floorOf }),
    measurement({
      ...common,
      unit: 'CPU ms',
      name: `runtime's CPU per job, ${name}`,
      runs: [cpuMs / (2 * options.jobs)],
    }),
  ];
}

/** After so many jobs what runs often is compiled, in the runtime and in the client: what is measured is how they go on. */
const WARM_UP = 100;
const GOAL_MS = 15;

export async function timed(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

/** Median of each stage over the jobs that the operator's log tells of. */
export function stageMedians(jobs: readonly JobStages[]): Readonly<Record<string, number>> | null {
  if (jobs.length === 0) return null;
  const names = [...new Set(jobs.flatMap(({ stages }) => Object.keys(stages)))];
  return Object.fromEntries(
    names.map((name) => [name, spreadOf(jobs.map(({ stages }) => stages[name] ?? 0)).median] as const),
  );
}
