import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type { CatalogueTable } from '../../../runtime/query/catalogue.ts';
import { compileQuery } from '../../../runtime/query/compile.ts';
import { LARGE_ROWS } from '../../../runtime/query/layout.ts';
import { HONEST } from './honest.ts';
import { OpenWorld, type World } from './world.ts';
import { BANK, FACTORY, HOSPITAL, TPCH, TRADE } from './worlds.ts';

interface Knowledge {
  readonly isComplete: boolean;
  readonly low: number | null;
  readonly high: number | null;
  readonly isUnique: boolean;
  readonly rowCount: bigint;
}

/** Tables that differ in one row, or in their size: what the runtime would know of each. */
const KNOWLEDGE: readonly Knowledge[] = [true, false].flatMap((isComplete) =>
  [100n, 20_000n, 300_000n].map((rowCount) => ({
    isComplete,
    low: isComplete ? 1 : null,
    high: isComplete ? 1e6 : null,
    isUnique: isComplete,
    rowCount,
  })),
);

function knowing(tables: readonly CatalogueTable[], { rowCount, ...facts }: Knowledge): CatalogueTable[] {
  return tables.map((table) =>
    table.isPublic
      ? table
      : { ...withCuboid(table, rowCount), rowCount, columns: table.columns.map((column) => ({ ...column, facts })) },
  );
}

/** Of a large table the layout adds rows up, by columns of which it knows that they have few values. */
function withCuboid(table: CatalogueTable, rowCount: bigint): CatalogueTable {
  const columns = table.columns.map(({ name }) => name);
  const cuboid = { physical: '"d0"."__gb_c0"', columns, sums: columns, rowCount: 50 };
  return rowCount < LARGE_ROWS ? table : { ...table, cuboids: [cuboid] };
}

/** Sums of what belongs to a unit, over its events: compared unless the runtime knows that there is one of each. */
const JOINED: readonly string[] = [
  'SELECT o_status, sum(c_acctbal) FROM orders JOIN customer ON o_custkey = c_custkey GROUP BY 1',
  'SELECT c_mktsegment, sum(o_total), sum(c_acctbal) FROM orders JOIN customer ON o_custkey = c_custkey GROUP BY 1',
];

/** All of these are longer where a value is missing, and the longest are too long even where none is. */
const wide = (cells: number): string =>
  `SELECT ward, ${Array.from({ length: cells }, (_, i) => `sum(cost) FILTER (WHERE day = DATE '2024-01-01' + ${i})`).join(', ')} FROM visits GROUP BY ward`;
const WIDE = [20, 48, 54, 60, 66].map(wide);

const ASKED: readonly (readonly [World, readonly string[]])[] = [
  [HOSPITAL, [...WIDE, ...HONEST.HOSPITAL]],
  [BANK, HONEST.BANK],
  [FACTORY, HONEST.FACTORY],
  [TRADE, HONEST.TRADE],
  [TPCH, JOINED],
];

for (const [asked, questions] of ASKED) {
  describe(`before a job over ${asked.name}, what the runtime knows of rows`, async () => {
    const world = await OpenWorld.open(asked);
    after(() => world.close());

    const told = (ast: unknown, sql: string, tables: readonly CatalogueTable[], isGuarded: boolean): string => {
      const { release } = world.context;
      assert.equal(release.mode, 'aggregate');
      const context = { ...world.context, tables, release: { ...release, differencingGuard: isGuarded } };
      const compiled = compileQuery(ast, sql, context);
      if (compiled.kind === 'denied') return JSON.stringify(compiled);
      const { outputs, inWords, reads, certificates, canonical } = compiled.enforced;
      const { footprint, isCompared } = compiled;
      return JSON.stringify([footprint, isCompared, outputs, inWords, reads, certificates, canonical]);
    };

    for (const isGuarded of [false, true]) {
      it(`shows in no verdict and no word ${isGuarded ? 'under' : 'without'} the guard`, async () => {
        const verdicts = new Set<boolean>();
        for (const sql of questions) {
          const ast = await world.ast(sql);
          const all = KNOWLEDGE.map((one) => told(ast, sql, knowing(world.context.tables, one), isGuarded));
          assert.equal(new Set(all).size, 1, sql.slice(0, 200));
          if (WIDE.includes(sql)) verdicts.add(all[0]?.includes('query-too-large') === true);
        }
        // The long ones go up to the limit and beyond.
        if (asked === HOSPITAL) assert.deepEqual(verdicts, new Set([false, true]));
      });
    }
  });
}
