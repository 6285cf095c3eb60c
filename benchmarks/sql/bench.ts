import { DEFAULT_ENGINE_LIMITS } from '../../runtime/dataset/engine.ts';
import { UNIT_HASH, UNIT_ONE_HOT } from '../../runtime/query/layout.ts';
import { checkRows } from '../end-to-end/ask.ts';
import { type BenchQuery, MIN_UNITS, QUERIES } from '../end-to-end/queries.ts';
import { measurement, type Measurement, pairedRatio } from '../measurement.ts';
import { PlainDuckDb } from '../world/plain-duckdb.ts';
import { prepareWorld } from '../world/setup.ts';
import { Enforcement } from './enforcement.ts';
import { benchNoise } from './noise.ts';

/** What the threshold costs inside the engine, formulation by formulation; no gateway, no worker, no network. */
export async function benchSql(options: {
  readonly cache: string;
  readonly rows: number;
  readonly runs: number;
  readonly isQuick: boolean;
  readonly progress: (text: string) => void;
}): Promise<{ readonly measurements: readonly Measurement[] }> {
  const world = await prepareWorld(options.cache, options.rows, options.progress);
  using enforcement = await Enforcement.open(world.directory);
  using plain = await PlainDuckDb.open(world.data.plain, DEFAULT_ENGINE_LIMITS.threads);
  const measurements: Measurement[] = [];
  for (const query of QUERIES) {
    options.progress(`query ${query.name}`);
    measurements.push(...(await formulations(query, enforcement, plain, options)));
  }
  measurements.push(...(await benchNoise(world.data, options)));
  measurements.push(await compiling(enforcement, plain, options.isQuick ? 20 : 200));
  return { measurements };
}

interface Formulation {
  readonly name: string;
  readonly run: () => Promise<unknown>;
  /** The CPU ratio that is promised; null: none is. */
  readonly goal: number | null;
}

async function formulations(
  query: BenchQuery,
  enforcement: Enforcement,
  plain: PlainDuckDb,
  { rows, runs, progress }: { readonly rows: number; readonly runs: number; readonly progress: (text: string) => void },
): Promise<readonly Measurement[]> {
  const enforced = await enforcement.compile(query.sql);
  const guarded = await enforcement.compile(query.sql, { isGuarded: true });
  const answer = await enforcement.answer(enforced);
  const checked = checkRows(`query ${query.name}`, answer, await plain.rows(query.expected));
  const onLayout = query.sql.replaceAll(/\b(from|join) (visits|shops)\b/g, '$1 d0.$2');
  const list: readonly Formulation[] = [
    { name: 'no threshold, on the layout', run: () => enforcement.query(onLayout), goal: null },
    {
      name: 'bits of a keyed hash alone',
      run: () => enforcement.query(`${onLayout} having bit_count(bit_or(${UNIT_ONE_HOT(0)})) >= ${MIN_UNITS}`),
      goal: null,
    },
    { name: 'as Glovebox runs it', run: () => enforcement.run(enforced), goal: GOAL_RATIO },
    { name: 'with the differencing guard', run: () => enforcement.run(guarded), goal: GOAL_GUARDED },
    {
      name: 'count(distinct unit), exact',
      run: () => enforcement.query(`${onLayout} having count(distinct ${UNIT_HASH(0)}) >= ${MIN_UNITS}`),
      goal: null,
    },
  ];
  const measured: Measurement[] = [];
  for (const { name, run, goal } of list) {
    await run();
    const [wall, cpu, floorWall, floorCpu]: [number[], number[], number[], number[]] = [[], [], [], []];
    for (let round = 0; round < runs; round += 1) {
      progress(`query ${query.name}, ${name}, run ${round + 1} of ${runs}`);
      const before = process.cpuUsage();
      const start = performance.now();
      await run();
      wall.push(performance.now() - start);
      const { user, system } = process.cpuUsage(before);
      cpu.push((user + system) / 1000);
      const floor = await plain.time(query.sql);
      floorWall.push(floor.ms);
      floorCpu.push(floor.cpuMs);
    }
    const cpuRatio = pairedRatio(cpu, floorCpu).median;
    measured.push(
      measurement({
        section: 'sql',
        group: `threshold of ${MIN_UNITS} units over ${rows} rows, query ${query.name}`,
        name,
        unit: 'ms',
        runs: wall,
        floor: { name: 'the same text in DuckDB, no threshold, no layout', runs: floorWall },
        cpuRatio,
        goal:
          goal !== null && rows >= GOAL_ROWS
            ? { text: `CPU ${cpuRatio.toFixed(2)}× ≤ ${goal}×`, isMet: cpuRatio <= goal }
            : null,
        checked: goal !== null ? checked : 'not an answer that leaves: only its cost counts',
      }),
    );
  }
  return measured;
}

/** On fewer rows the fixed cost of a statement decides. */
const GOAL_ROWS = 10_000_000;
const GOAL_RATIO = 1.2;
const GOAL_GUARDED = 1.6;
const GOAL_COMPILE_MS = 8;

/** From text to our own statements, against the engine's own parsing and planning of the same text. */
async function compiling(enforcement: Enforcement, plain: PlainDuckDb, times: number): Promise<Measurement> {
  const [ours, floor]: [number[], number[]] = [[], []];
  for (let round = 0; round < times; round += 1) {
    const { sql } = QUERIES[round % QUERIES.length] ?? { sql: 'select 1' };
    let start = performance.now();
    await enforcement.compile(sql);
    ours.push(performance.now() - start);
    start = performance.now();
    (await plain.connection.prepare(sql)).destroySync();
    floor.push(performance.now() - start);
  }
  const { value, ...rest } = measurement({
    section: 'sql',
    group: 'from text to enforced statements',
    name: 'parse, check, rewrite, print',
    unit: 'ms',
    runs: ours,
    floor: { name: 'the engine parses and plans the same text', runs: floor },
    checked: 'each query is accepted',
  });
  const isMet = value.median <= GOAL_COMPILE_MS;
  return { ...rest, value, goal: { text: `p50 ${value.median.toFixed(1)} ms ≤ ${GOAL_COMPILE_MS} ms`, isMet } };
}
