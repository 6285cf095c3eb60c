import { connect } from '../../runtime/client/connect.ts';
import { measurement, type Measurement, pairedRatio, WrongAnswer } from '../measurement.ts';
import type { BenchServer } from '../world/server.ts';
import type { BenchWorld } from '../world/setup.ts';
import { RawHttp2 } from './raw-http2.ts';

/**
 * One large result from a public table, fetched over and over: DoGet against a bare node:http2 server that writes as many
 * bytes from its memory, both over TLS with client certificates and a window of the same size, turn by turn.
 */
export async function measureStreaming(
  world: BenchWorld,
  server: BenchServer,
  options: {
    readonly mib: number;
    readonly runs: number;
    /** What is promised is promised of large results: of a small one the start is most of the time. */
    readonly hasGoal: boolean;
    readonly progress: (text: string) => void;
  },
): Promise<readonly Measurement[]> {
  const [consumer] = world.consumers;
  if (consumer === undefined) throw new Error('no consumer');
  await using glovebox = connect({ credential: consumer.credential, server: server.address, timeoutMs: 600_000 });
  const rssBefore = server.usage.residentMiB();
  options.progress('computing a large result');
  const started = performance.now();
  const { job } = await glovebox.jobs.submit({
    job: {
      agreementIds: [consumer.large],
      computation: { kind: 'sql', sql: { text: wideSql(options.mib) } },
    },
    wait: true,
  });
  const computedMs = performance.now() - started;
  const rssComputed = server.usage.residentMiB();
  if (job?.ticket === null || job?.ticket === undefined)
    throw new WrongAnswer(`the large result was not released: ${JSON.stringify(job?.reasons)}`);
  const expectedRows = Number(job.rowCount ?? 0n);
  const mib = Number(job.resultBytes ?? 0n) / 2 ** 20;

  await using floor = await RawHttp2.start();
  const [rates, floors, growth]: [number[], number[], number[]] = [[], [], []];
  let ticket: Uint8Array | null = job.ticket;
  for (let run = 0; run < options.runs; run += 1) {
    options.progress(`streaming ${mib.toFixed(0)} MiB, run ${run + 1} of ${options.runs}`);
    ticket ??= (await glovebox.jobs.get({ id: job.id })).job?.ticket ?? null;
    if (ticket === null) throw new WrongAnswer('no second ticket');
    let peak = 0;
    const watch = setInterval(() => (peak = Math.max(peak, server.usage.residentMiB())), 50);
    const start = performance.now();
    let rows = 0;
    for await (const batch of glovebox.readBatches(ticket)) rows += batch.numRows;
    rates.push(mib / ((performance.now() - start) / 1000));
    clearInterval(watch);
    ticket = null;
    if (rows !== expectedRows) throw new WrongAnswer(`${rows} rows arrived, the receipt says ${expectedRows}`);
    growth.push(Math.max(0, peak - rssComputed));
    floors.push(mib / ((await floor.fetch(Math.round(mib * 2 ** 20))) / 1000));
  }
  const ratio = pairedRatio(rates, floors).median;
  const grown = Math.max(...growth);
  const checked = `${expectedRows} rows each time`;
  const at = { axis: 'MiB', value: Math.round(mib) };
  return [
    measurement({
      section: 'end-to-end',
      group: 'streaming a result',
      name: 'DoGet of Arrow over mutual TLS',
      at,
      unit: 'MiB/s',
      runs: rates,
      floor: { name: 'bare node:http2 over mutual TLS, as many bytes', runs: floors },
      goal: options.hasGoal
        ? { text: `${ratio.toFixed(2)}× of node:http2 ≥ ${GOAL_RATIO}×`, isMet: ratio >= GOAL_RATIO }
        : null,
      checked,
    }),
    measurement({
      section: 'end-to-end',
      group: 'gateway memory while streaming',
      name: 'growth while the result is fetched',
      at,
      unit: 'MiB',
      runs: growth,
      goal: { text: `${grown.toFixed(0)} MiB < ${GOAL_GROWTH_MIB} MiB`, isMet: grown < GOAL_GROWTH_MIB },
      checked,
    }),
    measurement({
      section: 'end-to-end',
      group: 'gateway memory while streaming',
      name: 'growth while the result is computed and passes the gate',
      at,
      unit: 'MiB',
      runs: [Math.max(0, rssComputed - rssBefore)],
      checked,
    }),
    measurement({
      section: 'end-to-end',
      group: 'streaming a result',
      name: 'computing it and passing the gate',
      at,
      unit: 'MiB/s',
      runs: [mib / (computedMs / 1000)],
      checked,
    }),
  ];
}

/** The dimension joined to itself: a small public table that makes a result of any size; 28 bytes a row. */
function wideSql(mib: number): string {
  const shops = Math.max(1, Math.ceil((mib / 1024) * 48));
  return `select a.shop_id as s0, b.shop_id as s1, c.shop_id as s2, a.shop_id * b.shop_id as s3 from shops a
    join shops b on a.kind = b.kind join shops c on b.city = c.city join shops d on c.kind = d.kind where d.shop_id < ${shops}`;
}

const GOAL_RATIO = 0.5;
const GOAL_GROWTH_MIB = 64;
