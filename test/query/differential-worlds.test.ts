/** The sensitivity that noise is made for, by brute force: random data at the edges of its types, random questions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupKeysOf } from '../../runtime/job/prepare-differential.ts';
import type { DifferentialPrivacyRelease } from '../../runtime/policy/model.ts';
import { type NoisyBlock, planOf } from '../../runtime/query/differential/noisy-block.ts';
import { exactId } from '../../runtime/release/mechanisms/mechanism.ts';
import { queriesOf } from '../../runtime/release/noised-plan.ts';
import { TEST_SEED } from '../property.ts';
import { randomQuestion } from './random-questions.ts';
import { neighboursOf, pick, RandomDataset, randomFrom, randomWorld, RELEASE } from './random-world.ts';

const WORLDS = 10;
const QUESTIONS = 20;
/** Asked of every world: where clipping, joining and counting went wrong, or would first. */
const ALWAYS: readonly string[] = [
  'SELECT kind, count(*), sum(level) FROM alarms GROUP BY kind',
  'SELECT sum(p.score), avg(p.weight) FROM patients p',
  'SELECT sum(v.share), sum(v.big) FROM visits v',
  'SELECT count(*) FROM visits v JOIN codes c ON v.code = c.code',
  'SELECT c.name, count(*) FROM visits v LEFT JOIN codes c ON v.label = c.label GROUP BY c.name',
  "SELECT CASE WHEN v.ward = 'north' THEN 'yes' ELSE 'no' END, count(DISTINCT v.patient) FROM visits v GROUP BY 1",
  'SELECT count(DISTINCT v.patient) FILTER (WHERE v.stay > 3), count(DISTINCT v.patient) FROM visits v',
];

/** What a question's blocks are under a release; empty when it is refused. */
async function blocksOf(
  dataset: RandomDataset,
  sql: string,
  release: DifferentialPrivacyRelease,
): Promise<readonly NoisyBlock[]> {
  const query = await dataset.compile(sql, release);
  if (query.kind === 'denied') return [];
  return query.kind === 'composed' ? query.blocks : [query];
}

test('where each row is a unit, the noise is that of one row', async () => {
  const dataset = await RandomDataset.open(randomWorld(randomFrom(1)), RELEASE);
  const rowsIn = async (sql: string): Promise<readonly number[]> =>
    (await blocksOf(dataset, sql, RELEASE)).map(({ rowsPerUnit }) => rowsPerUnit);
  assert.deepEqual(await rowsIn('SELECT count(*) FROM alarms'), [1]);
  assert.deepEqual(await rowsIn('SELECT count(*) FROM labs'), [2]);
  dataset.close();
});

test('no patient of any world moves any exact answer by more than its noise is made for', async () => {
  let [permitted, tight] = [0, 0];
  for (let world = 0; world < WORLDS; world++) {
    const random = randomFrom(TEST_SEED + world);
    const release = { ...RELEASE, maxRowsPerUnit: pick(random, [1, 2, 3]) };
    const data = randomWorld(random);
    const full = await RandomDataset.open(data, release);
    const around = neighboursOf(data);
    const without = around.length === 0 ? full : await RandomDataset.open(pick(random, around), release);
    for (const sql of [...ALWAYS, ...Array.from({ length: QUESTIONS }, () => randomQuestion(random))]) {
      const blocks = await blocksOf(full, sql, release);
      const others = await blocksOf(without, sql, release);
      assert.equal(others.length, blocks.length, `whether it is answered depends on rows: ${sql}`);
      permitted += blocks.length;
      for (const [at, block] of blocks.entries()) {
        const other = others[at];
        assert.equal(other?.enforced.canonical, block.enforced.canonical, `the statement depends on rows: ${sql}`);
        tight += tightest(block, await full.exact(block), await without.exact(block), release, sql);
      }
    }
    full.close();
    if (without !== full) without.close();
  }
  assert.ok(permitted > WORLDS * 8, `only ${permitted} noisy answers were looked at`);
  // Where nothing ever moves by as much as is declared, the worlds look in the wrong places.
  assert.ok(tight > WORLDS, `only ${tight} answers moved by all that was declared`);
});

type Exact = Awaited<ReturnType<RandomDataset['exact']>>;

/** How many queries of the block moved by exactly what is declared; fails when one moved by more. */
function tightest(block: NoisyBlock, a: Exact, b: Exact, release: DifferentialPrivacyRelease, sql: string): number {
  const aggregates = block.aggregates.map(({ aggregate }) => aggregate);
  const shown = groupKeysOf(block) ?? assert.fail(`too many declared keys: ${sql}`);
  const { queries } = queriesOf(planOf(release, block.rowsPerUnit, aggregates, shown));
  const declared = shown.kind === 'public' ? new Set(shown.keys.map((key) => JSON.stringify(key.map(String)))) : null;
  const keys = [...new Set([...a.keys(), ...b.keys()])].filter((key) => declared?.has(key) !== false);
  const appeared = keys.filter((key) => a.has(key) !== b.has(key)).length;
  assert.ok(appeared <= block.rowsPerUnit, `${appeared} groups are of one patient alone: ${sql}`);
  let tight = 0;
  for (const { query } of queries) {
    let [l1, l2Squared] = [0n, 0n];
    for (const key of keys) {
      const [before, after] = [a, b].map((side) =>
        query.evaluate((column) => side.get(key)?.get(exactId(column)) ?? 0n),
      );
      for (const [i, value] of (before ?? []).entries()) {
        const moved = value - (after?.[i] ?? 0n);
        l1 += moved < 0n ? -moved : moved;
        l2Squared += moved * moved;
      }
    }
    assert.ok(l1 <= query.l1, `${query.id} moved by ${l1}, declared ${query.l1}: ${sql}`);
    assert.ok(
      l2Squared <= query.l2Squared,
      `${query.id} moved by ${l2Squared} squared, declared ${query.l2Squared}: ${sql}`,
    );
    if (l1 === query.l1) tight++;
  }
  return tight;
}
