import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Choice, type Joins, question, sourcesOf } from './grammar.ts';
import { isolatedIn, plainly, type Shown, shown, withoutEach, wrongIn } from './leave-one-out.ts';
import type { Person } from './oracle.ts';
import { OpenWorld, type World } from './world.ts';
import { BANK, FACTORY, HOSPITAL, TPCH, TRADE } from './worlds.ts';

/** The long form: GLOVEBOX_FUZZ=500 GLOVEBOX_FUZZ_SEED=7 node --test test/query/redteam/fuzz.test.ts */
const COUNT = Number(process.env['GLOVEBOX_FUZZ'] ?? 12);
const SEED = Number(process.env['GLOVEBOX_FUZZ_SEED'] ?? 1);

interface Trial {
  readonly world: World;
  readonly minUnits: number;
  readonly people: readonly Person[];
  readonly units: RegExp;
  readonly joins: Joins;
}

const people = (count: number, make: (i: number) => Person): Person[] =>
  Array.from({ length: count }, (_, i) => make(i));
const own = (table: string): Joins[number] => ({ from: table, tables: { [table]: '' } });

const TRIALS: readonly Trial[] = [
  {
    // `smoker` and `code` are measures that a few people alone make, which no minimum of units hides.
    world: { ...HOSPITAL, policy: HOSPITAL.policy.replace(/ +(smoker|code):.*\n/g, '') },
    minUnits: 3,
    people: people(24, (i) => ({ key: `p${i}`, rows: { visits: `patient = ${i}`, patients: `pid = ${i}` } })),
    units: /^(pid|patient)$/,
    joins: [
      own('visits'),
      own('patients'),
      { from: 'visits v JOIN patients p ON v.patient = p.pid', tables: { visits: 'v', patients: 'p' } },
      { from: 'visits v JOIN wards w ON v.ward = w.ward', tables: { visits: 'v', wards: 'w' } },
      { from: 'visits v LEFT JOIN wards w ON v.ward = w.ward', tables: { visits: 'v', wards: 'w' } },
    ],
  },
  {
    world: BANK,
    minUnits: 4,
    people: people(36, (i) => ({
      key: `a${i}`,
      rows: { ledger: `branch = 'b${i % 3}' AND account = ${Math.floor(i / 3)}` },
    })),
    units: /^$/,
    joins: [own('ledger')],
  },
  {
    world: FACTORY,
    minUnits: 2,
    people: people(20, (i) => ({ key: `s${i}`, rows: { parts: `serial = 9007199254740993 + ${i}` } })),
    units: /^$/,
    joins: [own('parts')],
  },
  {
    world: TRADE,
    minUnits: 3,
    people: people(20, (i) => ({ key: `b${i}`, rows: { deals: `buyer = 'buyer${i}'` } })),
    units: /^buyer$/,
    joins: [own('deals')],
  },
  {
    world: TPCH,
    minUnits: 3,
    people: people(20, (i) => ({
      key: `c${i}`,
      rows: { customer: `c_custkey = ${i}`, orders: `o_custkey = ${i}`, lineitem: `l_orderkey % 19 = ${i}` },
    })),
    units: /^[co]_custkey$/,
    joins: [
      own('orders'),
      own('lineitem'),
      {
        from: 'customer c JOIN nation n ON c.c_nationkey = n.n_nationkey',
        tables: { customer: 'c', nation: 'n' },
      },
      { from: 'lineitem l JOIN orders o ON l.l_orderkey = o.o_orderkey', tables: { lineitem: 'l', orders: 'o' } },
      {
        from: 'orders o JOIN customer c ON o.o_custkey = c.c_custkey JOIN nation n ON c.c_nationkey = n.n_nationkey',
        tables: { orders: 'o', customer: 'c', nation: 'n' },
      },
    ],
  },
];

/** Cells whose value is not the engine's own, or that rows outside of the cell decide as well. */
const NOT_COMPARED = /median|min\(|max\(|rank\(|WITH q|LIMIT|FROM \(SELECT|\(SELECT/;

for (const trial of TRIALS) {
  describe(`questions made up about ${trial.world.name}, seed ${SEED}`, async () => {
    const world = await OpenWorld.open(trial.world);
    after(() => world.close());
    const sources = await sourcesOf(world, trial.joins, trial.units);

    const play = async (together: number, count: number, seed: number): Promise<void> => {
      const pick = new Choice(seed);
      const games: { readonly sql: string; readonly answer: Shown }[][] = [];
      const bad: string[] = [];
      let answered = 0;
      for (let game = 0; game < count; game++) {
        world.forget();
        const released: { readonly sql: string; readonly answer: Shown }[] = [];
        for (let i = 0; i < together; i++) {
          const sql = question(pick, sources);
          const seen = await world.ask(sql, together > 1 ? { differencingGuard: true } : {});
          if (seen.kind === 'failed') bad.push(`failed: ${sql}: ${seen.cause}`);
          const answer = shown(seen);
          if (answer === null) continue;
          answered++;
          if (!/WITH q/.test(sql)) released.push({ sql, answer });
          // Merged rows and listed keys have no partner in the engine's answer.
          const isMerged = ['bank', 'factory'].includes(trial.world.name);
          if (!NOT_COMPARED.test(sql) && !isMerged)
            bad.push(...wrongIn(answer, await plainly(world, sql)).map((one) => `wrong: ${sql}: ${one}`));
        }
        games.push(released);
      }
      const asked = games.flat().map(({ sql }) => sql);
      const without = await withoutEach(world, asked, trial.people);
      for (const released of games) {
        const leak = isolatedIn(released, without, trial.people, trial.minUnits);
        if (leak !== null)
          bad.push(`leak about ${leak.about.join()}: ${leak.cells.join(' ')} in ${JSON.stringify(released)}`);
      }
      assert.deepEqual(bad, []);
      // A generator whose questions are refused tests nothing.
      assert.ok(answered > (together * count) / 2, `${answered} of ${together * count} answered`);
    };

    it('no sum or difference of released numbers speaks of few people, and each is what the engine says', () =>
      play(1, COUNT, SEED));
    it('nor do those of three questions under the guard', () => play(3, Math.ceil(COUNT / 6), SEED + 1000));
  });
}
