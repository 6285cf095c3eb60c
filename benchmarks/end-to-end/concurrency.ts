import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import { measurement, type Measurement } from '../measurement.ts';
import type { BenchServer } from '../world/server.ts';
import type { BenchWorld } from '../world/setup.ts';
import { ask, rowsOf } from './ask.ts';
import { timed } from './overhead.ts';
import { SMALL_QUERY } from './queries.ts';

/** Small jobs from 1 to 64 clients at once, over as many connections; parties share them out. */
export async function measureConcurrency(
  world: BenchWorld,
  server: BenchServer,
  options: {
    readonly jobsPerStep: number;
    readonly clients: readonly number[];
    readonly progress: (text: string) => void;
  },
): Promise<readonly Measurement[]> {
  const measured: Measurement[] = [];
  let expected: string | null = null;
  for (const clients of options.clients) {
    options.progress(`${clients} clients`);
    await using connections = new AsyncDisposableStack();
    const lanes = Array.from({ length: clients }, (_, index) => {
      const consumer = world.consumers[index % world.consumers.length];
      if (consumer === undefined) throw new Error('no consumer');
      const glovebox = connections.use(connect({ credential: consumer.credential, server: server.address }));
      return { glovebox, agreement: consumer.small };
    });
    const job = async ({ glovebox, agreement }: { glovebox: Glovebox; agreement: string }): Promise<void> => {
      const answer = JSON.stringify(rowsOf(await ask(glovebox, agreement, SMALL_QUERY.sql)));
      expected ??= answer;
      if (answer !== expected) throw new Error('two clients were told different things');
    };
    await Promise.all(lanes.map(job));
    const latencies: number[] = [];
    let left = Math.max(options.jobsPerStep, clients * 2);
    const start = performance.now();
    await Promise.all(
      lanes.map(async (lane) => {
        while (left > 0) {
          left -= 1;
          latencies.push(await timed(() => job(lane)));
        }
      }),
    );
    const seconds = (performance.now() - start) / 1000;
    const common = {
      section: 'end-to-end',
      at: { axis: 'clients', value: clients },
      checked: 'every answer equals the first',
    } as const;
    measured.push(
      measurement({
        ...common,
        group: 'small jobs per second',
        name: 'jobs',
        unit: '/s',
        runs: [latencies.length / seconds],
      }),
      measurement({
        ...common,
        group: 'latency of a small job',
        name: 'job and its result',
        unit: 'ms',
        runs: latencies,
      }),
    );
  }
  return measured;
}
