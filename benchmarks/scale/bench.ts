import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from '../../runtime/client/connect.ts';
import { sha256Hex } from '../../runtime/evidence/entry.ts';
import type { Step } from '../../runtime/store/jobs.ts';
import type { StoredRecord, TableName } from '../../runtime/store/records.ts';
import { openStore, type Store } from '../../runtime/store/store.ts';
import { ask, checkRows, rowsOf } from '../end-to-end/ask.ts';
import { timed } from '../end-to-end/overhead.ts';
import { QUERIES, SMALL_QUERY } from '../end-to-end/queries.ts';
import { measurement, type Measurement } from '../measurement.ts';
import { PlainDuckDb } from '../world/plain-duckdb.ts';
import { startServer } from '../world/server.ts';
import { type BenchWorld, prepareWorld } from '../world/setup.ts';
import { againstPastCells } from './past-cells.ts';

export interface ScaleOptions {
  readonly cache: string;
  readonly rows: number;
  readonly runs: number;
  readonly isQuick: boolean;
  readonly progress: (text: string) => void;
}

/** How costs grow: with rows, and with what a runtime has gathered in its life. */
export async function benchScale(
  options: ScaleOptions,
): Promise<{ readonly measurements: readonly Measurement[]; readonly isolation: string }> {
  const { isQuick, rows } = options;
  const measured: Measurement[] = [];
  let isolation = '';
  const sizes = decadesTo(rows);
  for (const size of sizes) {
    const world = await prepareWorld(options.cache, size, options.progress);
    const answer = await againstRows(world, options);
    isolation = answer.isolation;
    measured.push(...answer.measurements);
  }
  const world = await prepareWorld(options.cache, sizes[0] ?? rows, options.progress);
  const steps = isQuick ? [10, 100, 1000] : [10, 100, 1000, 10_000];
  const logSteps = isQuick ? [1000, 4000, 16_000] : [1000, 10_000, 100_000];
  measured.push(...(await againstState(world, { ...options, axis: 'datasets', sizes: steps, grow: moreDatasets })));
  measured.push(...(await againstState(world, { ...options, axis: 'parties', sizes: steps, grow: moreParties })));
  measured.push(
    ...(await againstState(world, { ...options, axis: 'log entries', sizes: logSteps, grow: moreEntries })),
  );
  options.progress('past cells');
  measured.push(...againstPastCells(isQuick ? [1000, 4000, 16_000] : [1000, 10_000, 100_000], options.runs));
  return { measurements: measured, isolation };
}

/** 10⁵, 10⁶ … up to `rows`; at least three sizes, so that there is something to fit. */
function decadesTo(rows: number): readonly number[] {
  const decades = [1e5, 1e6, 1e7, 1e8, 1e9].filter((size) => size < rows);
  return decades.length >= 2 ? [...decades, rows] : [Math.ceil(rows / 100), Math.ceil(rows / 10), rows];
}

async function againstRows(
  world: BenchWorld,
  { runs, progress }: ScaleOptions,
): Promise<{ readonly measurements: readonly Measurement[]; readonly isolation: string }> {
  const [consumer] = world.consumers;
  if (consumer === undefined) throw new Error('no consumer');
  await using server = await startServer({ data: world.directory });
  await using glovebox = connect({ credential: consumer.credential, server: server.address });
  using plain = await PlainDuckDb.open(world.data.plain, 1);
  const at = { axis: 'rows', value: world.data.rows };
  const measurements: Measurement[] = [];
  for (const { name, what, sql, expected } of QUERIES.slice(0, 2)) {
    progress(`${world.data.rows} rows: query ${name}`);
    const released = rowsOf(await ask(glovebox, consumer.large, sql));
    const checked = checkRows(`query ${name}`, released, await plain.rows(expected));
    await plain.time(sql);
    const [cpu, floor]: [number[], number[]] = [[], []];
    for (let run = 0; run < runs; run += 1) {
      const before = server.usage.cpuMs();
      await ask(glovebox, consumer.large, sql);
      cpu.push(server.usage.cpuMs() - before);
      floor.push((await plain.time(sql)).cpuMs);
    }
    measurements.push(
      measurement({
        section: 'scale',
        group: 'CPU of a job against rows',
        name: `${name}: ${what}`,
        unit: 'CPU ms',
        at,
        runs: cpu,
        floor: { name: 'the same text in DuckDB in process', runs: floor },
        checked,
      }),
    );
  }
  return { measurements, isolation: server.isolation };
}

interface StateOptions extends ScaleOptions {
  readonly axis: string;
  readonly sizes: readonly number[];
  /** Adds what is there from one size to the next, as the runtime itself would have stored it. */
  readonly grow: (store: Store, from: number, to: number) => Promise<void>;
}

/** The same small job and the start of the runtime, over states of growing size. */
async function againstState(world: BenchWorld, options: StateOptions): Promise<readonly Measurement[]> {
  const { axis, sizes, grow, runs, progress } = options;
  const folder = mkdtempSync(join(options.cache, 'scale-'));
  const directory = join(folder, 'data');
  const [consumer] = world.consumers;
  if (consumer === undefined) throw new Error('no consumer');
  const measured: Measurement[] = [];
  try {
    cpSync(world.directory, directory, { recursive: true });
    using plain = await PlainDuckDb.open(world.smallData.plain, 1);
    let size = 0;
    for (const next of sizes) {
      progress(`${next} ${axis}`);
      {
        await using store = await openStore({ path: directory, clock: Date.now });
        await grow(store, size, next);
      }
      size = next;
      const startedAt = performance.now();
      await using server = await startServer({ data: directory });
      const startMs = performance.now() - startedAt;
      await using glovebox = connect({ credential: consumer.credential, server: server.address });
      const released = rowsOf(await ask(glovebox, consumer.small, SMALL_QUERY.sql));
      const checked = checkRows('small job', released, await plain.rows(SMALL_QUERY.expected));
      const jobs = Math.max(5, runs * 2);
      for (let job = 0; job < 3; job += 1) await ask(glovebox, consumer.small, SMALL_QUERY.sql);
      const [wall, cpu]: [number[], number[]] = [[], []];
      for (let job = 0; job < jobs; job += 1) {
        const before = server.usage.cpuMs();
        wall.push(await timed(() => ask(glovebox, consumer.small, SMALL_QUERY.sql)));
        cpu.push(server.usage.cpuMs() - before);
      }
      const common = { section: 'scale', at: { axis, value: next }, checked } as const;
      measured.push(
        measurement({
          ...common,
          group: `a small job against ${axis}`,
          name: 'job and its result',
          unit: 'ms',
          runs: wall,
        }),
        measurement({ ...common, group: `CPU of a small job against ${axis}`, name: 'CPU', unit: 'CPU ms', runs: cpu }),
        measurement({
          ...common,
          group: `start of the runtime against ${axis}`,
          name: 'until ready',
          unit: 'ms',
          runs: [startMs],
        }),
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return measured;
}

/** Steps of one transaction. */
const BATCH = 200;

async function inBatches(store: Store, steps: readonly Step[]): Promise<void> {
  for (let at = 0; at < steps.length; at += BATCH) {
    const outcome = await store.transact(steps.slice(at, at + BATCH));
    if (outcome.kind !== 'done') throw new Error(`the state was not grown: ${outcome.kind}`);
  }
}

/** Copies of a record under other ids. */
function copies(record: StoredRecord | undefined, from: number, to: number): readonly StoredRecord[] {
  if (record === undefined) throw new Error('the runtime has nothing to copy');
  return Array.from({ length: to - from }, (_, at) => ({ ...record, id: `copy-${from + at}` }));
}

const put = (record: StoredRecord): Step => ({ do: 'put', record });
const first = (store: Store, table: TableName): StoredRecord | undefined =>
  store.peekAll(table).find(({ id }) => !id.startsWith('copy-'));

async function moreDatasets(store: Store, from: number, to: number): Promise<void> {
  await inBatches(store, copies(first(store, 'dataset'), from, to).map(put));
}

/** Each with an active agreement on a dataset, as parties have. */
async function moreParties(store: Store, from: number, to: number): Promise<void> {
  const parties = copies(first(store, 'party'), from, to);
  const agreements = copies(
    store.peekAll('agreement').find(({ id, state }) => state === 'active' && !id.startsWith('copy-')),
    from,
    to,
  ).map((one) => ({ ...one, body: { ...(one.body as object), consumer: one.id } }) as StoredRecord);
  await inBatches(store, [...parties, ...agreements].map(put));
}

async function moreEntries(store: Store, from: number, to: number): Promise<void> {
  const steps = Array.from({ length: to - from }, (_, at): Step => {
    const id = `job/past-${from + at}`;
    const subjects = [{ name: id, sha256: sha256Hex(id) }];
    return {
      do: 'record',
      event: { kind: 'decision', atMs: 1_767_225_600_000, subjects, facts: { verdict: 'permit' } },
    };
  });
  await inBatches(store, steps);
}
