import { connect } from '../../runtime/client/connect.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../runtime/dataset/engine.ts';
import { measurement, type Measurement, pairedRatio, spreadOf } from '../measurement.ts';
import { PlainDuckDb } from '../world/plain-duckdb.ts';
import type { BenchServer } from '../world/server.ts';
import type { BenchWorld } from '../world/setup.ts';
import { ask, checkRows, rowsOf } from './ask.ts';
import { stageMedians } from './overhead.ts';
import { LARGE_QUERIES } from './queries.ts';

/** Large queries from the client to its table, turn by turn with the same text in DuckDB in process. */
export async function measureLargeQueries(
  world: BenchWorld,
  server: BenchServer,
  options: { readonly runs: number; readonly progress: (text: string) => void },
): Promise<readonly Measurement[]> {
  const [consumer] = world.consumers;
  if (consumer === undefined) throw new Error('no consumer');
  await using glovebox = connect({ credential: consumer.credential, server: server.address });
  using plain = await PlainDuckDb.open(world.data.plain, DEFAULT_ENGINE_LIMITS.threads);
  const measured: Measurement[] = [];
  for (const { name, what, sql, expected } of LARGE_QUERIES) {
    options.progress(`query ${name}: ${what}`);
    const checked = checkRows(
      `query ${name}`,
      rowsOf(await ask(glovebox, consumer.large, sql)),
      await plain.rows(expected),
    );
    await ask(glovebox, consumer.large, sql);
    await plain.time(sql);
    server.takeStages();
    const [wall, cpu, floorWall, floorCpu]: [number[], number[], number[], number[]] = [[], [], [], []];
    for (let run = 0; run < options.runs; run += 1) {
      options.progress(`query ${name}, run ${run + 1} of ${options.runs}`);
      const before = server.usage.cpuMs();
      const start = performance.now();
      await ask(glovebox, consumer.large, sql);
      wall.push(performance.now() - start);
      cpu.push(server.usage.cpuMs() - before);
      const floor = await plain.time(sql);
      floorWall.push(floor.ms);
      floorCpu.push(floor.cpuMs);
    }
    const ratio = pairedRatio(wall, floorWall).median;
    const cpuRatio = pairedRatio(cpu, floorCpu).median;
    const isLong = spreadOf(floorWall).median >= LONG_MS;
    measured.push(
      measurement({
        section: 'end-to-end',
        group: `queries over ${world.data.rows} rows`,
        name: `${name}: ${what}`,
        unit: 'ms',
        runs: wall,
        floor: { name: 'the same text in DuckDB in process, without a policy', runs: floorWall },
        cpuRatio,
        stages: stageMedians(server.takeStages()),
        goal: isLong
          ? {
              text: `wall ratio ${ratio.toFixed(2)}× ≤ ${GOAL_RATIO}× (CPU ${cpuRatio.toFixed(2)}×)`,
              isMet: ratio <= GOAL_RATIO,
            }
          : null,
        checked,
      }),
    );
  }
  return measured;
}

/** Below this the fixed cost of a job decides, which has a goal of its own. */
const LONG_MS = 100;
const GOAL_RATIO = 1.2;
