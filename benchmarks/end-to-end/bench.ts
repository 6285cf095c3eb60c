import type { Measurement } from '../measurement.ts';
import { startServer } from '../world/server.ts';
import { prepareWorld } from '../world/setup.ts';
import { measureConcurrency } from './concurrency.ts';
import { measureLargeQueries } from './large.ts';
import { measureOverhead } from './overhead.ts';
import { measureStreaming } from './streaming.ts';
import { measureWorkers, workerSteps } from './workers.ts';

export interface EndToEndOptions {
  readonly cache: string;
  readonly rows: number;
  readonly runs: number;
  readonly isQuick: boolean;
  readonly progress: (text: string) => void;
}

/** Whole jobs, from a client's request to its table, on a runtime in a process of its own. */
export async function benchEndToEnd(
  options: EndToEndOptions,
): Promise<{ readonly measurements: readonly Measurement[]; readonly isolation: string }> {
  const { runs, isQuick, progress } = options;
  const world = await prepareWorld(options.cache, options.rows, progress);
  const jobs = isQuick ? 20 : Math.max(50, runs * 20);
  const measurements: Measurement[] = [];
  let isolation: string;
  {
    await using server = await startServer({ data: world.directory });
    isolation = server.isolation;
    progress('small jobs over mutual TLS');
    measurements.push(...(await measureOverhead(world, server, { jobs, isMutualTls: true })));
    measurements.push(...(await measureLargeQueries(world, server, { runs, progress })));
    const clients = isQuick ? [1, 4, 16] : [1, 2, 4, 8, 16, 32, 64];
    measurements.push(
      ...(await measureConcurrency(world, server, { clients, jobsPerStep: isQuick ? 20 : 100, progress })),
    );
    const sizes = isQuick ? [16, 64] : [64, 250, 1024];
    for (const mib of sizes) {
      const hasGoal = mib === sizes.at(-1);
      measurements.push(
        ...(await measureStreaming(world, server, { mib, runs: Math.min(runs, 5), hasGoal, progress })),
      );
    }
  }
  for (const workers of isQuick ? [1, 2] : workerSteps()) {
    await using server = await startServer({ data: world.directory, jobsRunning: workers });
    measurements.push(...(await measureWorkers(world, server, { workers, jobs: isQuick ? 4 : 16, progress })));
  }
  {
    progress('small jobs without TLS');
    await using server = await startServer({ data: world.directory, isInsecure: true });
    measurements.push(...(await measureOverhead(world, server, { jobs, isMutualTls: false })));
  }
  return { measurements, isolation };
}
