import { availableParallelism } from 'node:os';
import { connect } from '../../runtime/client/connect.ts';
import { measurement, type Measurement, WrongAnswer } from '../measurement.ts';
import type { BenchServer } from '../world/server.ts';
import type { BenchWorld } from '../world/setup.ts';
import { ask, rowsOf } from './ask.ts';
import { QUERIES } from './queries.ts';

/** Numbers of workers that are tried: powers of two up to twice the cores, where more cannot help. */
export function workerSteps(cores: number = availableParallelism()): readonly number[] {
  return [1, 2, 4, 8, 16, 32, 64].filter((count) => count <= 2 * cores);
}

/** Large queries per second when as many may run at once as there are workers, asked by twice as many clients. */
export async function measureWorkers(
  world: BenchWorld,
  server: BenchServer,
  options: { readonly workers: number; readonly jobs: number; readonly progress: (text: string) => void },
): Promise<readonly Measurement[]> {
  const { workers, progress } = options;
  const [query] = QUERIES;
  if (query === undefined) throw new Error('no query');
  progress(`${workers} jobs at once`);
  await using connections = new AsyncDisposableStack();
  const lanes = Array.from({ length: 2 * workers }, (_, index) => {
    const consumer = world.consumers[index % world.consumers.length];
    if (consumer === undefined) throw new Error('no consumer');
    return {
      consumer,
      glovebox: connections.use(connect({ credential: consumer.credential, server: server.address })),
    };
  });
  let expected: string | null = null;
  const job = async ({ glovebox, consumer }: (typeof lanes)[number]): Promise<void> => {
    const answer = JSON.stringify(rowsOf(await ask(glovebox, consumer.large, query.sql)));
    expected ??= answer;
    if (answer !== expected) throw new WrongAnswer('two clients were told different things');
  };
  await Promise.all(lanes.map(job));
  const jobs = Math.max(options.jobs, lanes.length);
  let left = jobs;
  const cpuBefore = server.usage.cpuMs();
  const start = performance.now();
  await Promise.all(
    lanes.map(async (lane) => {
      while (left > 0) {
        left -= 1;
        await job(lane);
      }
    }),
  );
  const seconds = (performance.now() - start) / 1000;
  const common = {
    section: 'end-to-end',
    name: `${query.name}: ${query.what}`,
    at: { axis: 'workers', value: workers },
    checked: 'every answer equals the first',
  } as const;
  return [
    measurement({ ...common, group: 'large queries per second against workers', unit: '/s', runs: [jobs / seconds] }),
    measurement({
      ...common,
      group: 'CPU of a large query against workers',
      unit: 'CPU ms',
      runs: [(server.usage.cpuMs() - cpuBefore) / jobs],
    }),
  ];
}
