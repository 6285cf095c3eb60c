import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { chmod, writeFile, readFile, stat } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { DuckDBInstance } from '@duckdb/node-api';
import { DatasetError } from '../../runtime/dataset/dataset-error.ts';
import { buildLayout, type LayoutNeeds } from '../../runtime/dataset/layout.ts';
import { FileGuard } from '../../runtime/dataset/verify.ts';
import type { LayoutSpec, LayoutTable } from '../../runtime/query/layout.ts';
import { BenchFolder, LIMITS } from './bench-folder.ts';
import { parseHere } from './scope-parser.ts';

const KEY = new Uint8Array(32).fill(7);
const needs = (bench: BenchFolder, hashKey = KEY): LayoutNeeds => ({
  root: bench.root,
  parse: parseHere,
  limits: LIMITS,
  guard: new FileGuard(),
  hashKey,
});

const table = (name: string, columns: string[], more: Partial<LayoutTable> = {}): LayoutTable => ({
  name,
  columns,
  units: [{ columns: ['id'], via: [] }],
  rows: null,
  bounds: {},
  maxRowsPerUnit: null,
  isTagged: true,
  ...more,
});
const spec = (...tables: LayoutTable[]): LayoutSpec => ({ tables });

const VISITS = `id,ward,cost,region
1,a,10,EU
1,b,20,US
2,a,99999,EU
,c,-5,EU
,d,NaN,US
3,a,,EU
`;

describe('the layout', () => {
  it('holds only the named columns, clipped, and one keyed hash per unit', async () => {
    await using bench = await BenchFolder.create();
    const { manifest } = await bench.register('h/v', [await bench.source('visits.csv', VISITS)]);
    const layout = await buildLayout(
      needs(bench),
      manifest,
      spec(table('visits', ['ward', 'cost'], { bounds: { cost: { low: 0, high: 3000 } } })),
    );
    const columns = await openRows(
      layout.path,
      `SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = 'd0' ORDER BY column_index`,
    );
    assert.deepEqual(columns, [
      ['ward', 'VARCHAR'],
      ['cost', 'DOUBLE'],
      ['__gb_u0', 'UBIGINT'],
      ['__gb_b0', 'UBIGINT'],
      ['__gb_t0', 'UBIGINT'],
    ]);
    const rows = await openRows(layout.path, `SELECT ward, cost FROM d0.visits ORDER BY ward, cost`);
    assert.deepEqual(rows, [
      ['a', 10],
      ['a', 3000],
      ['a', null],
      ['b', 20],
      ['c', 0],
      ['d', null],
    ]);
    const [units] = await openRows(
      layout.path,
      `SELECT count(DISTINCT __gb_u0)::INT, bool_and(bit_count(__gb_b0) = (__gb_u0 <> 0)::INT),
      bool_and(__gb_b0 = CASE WHEN __gb_u0 = 0 THEN 0 ELSE 1::UBIGINT << (__gb_u0 & 63::UBIGINT) END), count(__gb_u0)::INT FROM d0.visits`,
    );
    assert.deepEqual(units, [4, true, true, 6], 'three known units, and all rows of unknown units share one');
    assert.equal((await stat(layout.path)).mode & 0o222, 0, 'read-only');
    assert.ok(!(await readFile(layout.path)).includes('region'), 'a column that is not named leaves no trace');
  });

  it('shows on which side of a cut a measure is, clipped as it is, and nothing where it has no value', async () => {
    await using bench = await BenchFolder.create();
    const rows = Array.from(
      { length: 200 },
      (_, i) => `${i},w${i % 3},${i % 10 === 0 ? '' : i * 10},${i % 10 === 0 ? 1 : 0}`,
    );
    const { manifest } = await bench.register('h/v', [
      await bench.source('visits.csv', `id,ward,cost,flag\n${rows.join('\n')}\n`),
    ]);
    const sides = ['cost', 'flag'];
    const bounds = { cost: { low: 0, high: 1500 } };
    const layout = await buildLayout(
      needs(bench),
      manifest,
      spec(table('visits', ['ward', 'cost', 'flag'], { sides, bounds, rows: 'id < 180' })),
    );
    const bit = '(1::UBIGINT << (__gb_u0 & 31::UBIGINT))';
    const judged = await openRows(
      layout.path,
      `SELECT bool_and(CASE WHEN cost IS NULL THEN __gb_s_cost = 0 ELSE __gb_s_cost IN (${bit}, ${bit} << 32) END),
        max(cost) FILTER (WHERE __gb_s_cost = ${bit}) < min(cost) FILTER (WHERE __gb_s_cost = ${bit} << 32),
        (count(*) FILTER (WHERE __gb_s_cost = ${bit}))::INT BETWEEN 60 AND 100,
        bool_and(__gb_s_flag = CASE WHEN flag = 1 THEN ${bit} << 32 ELSE ${bit} END), count(*)::INT FROM d0.visits`,
    );
    assert.deepEqual(judged, [[true, true, true, true, 180]]);
  });

  it('hashes key and value by SHA-256, whatever type the unit has, also where it is missing', async () => {
    await using bench = await BenchFolder.create();
    const text =
      'id,name,weight,day\n1,ann,0.5,2026-01-01\n1,ann,0.5,2026-01-01\n,,,\n-7,bob,-0.0,2026-01-02\n8,carl,0.0,2026-01-02\n';
    const { manifest } = await bench.register('h/v', [await bench.source('visits.csv', text)]);
    const expected: Readonly<Record<string, readonly string[]>> = {
      id: ['k1', 'k1', 'n', 'k-7', 'k8'],
      name: ['kann', 'kann', 'n', 'kbob', 'kcarl'],
      weight: ['k0.5', 'k0.5', 'n', 'k-0.0', 'k0.0'],
      day: ['k2026-01-01', 'k2026-01-01', 'n', 'k2026-01-02', 'k2026-01-02'],
    };
    for (const [column, texts] of Object.entries(expected)) {
      const units = [{ columns: [column], via: [] }];
      const layout = await buildLayout(needs(bench), manifest, spec(table('visits', ['id'], { units })));
      const rows = await openRows(layout.path, 'SELECT __gb_u0::VARCHAR FROM d0.visits');
      const hashes = texts.map((one) => {
        // Rows of nobody are told by their hash.
        if (one === 'n') return '0';
        const digest = createHash('sha256')
          .update(Buffer.from(KEY).toString('hex') + one)
          .digest('hex');
        return String(BigInt(`0x${digest.slice(0, 16)}`));
      });
      assert.deepEqual(rows.flat().map(String).toSorted(), hashes.toSorted(), column);
    }
  });

  it('gives other hashes under another key, and the same file for the same spec', async () => {
    await using bench = await BenchFolder.create();
    const { manifest } = await bench.register('h/v', [await bench.source('visits.csv', VISITS)]);
    const one = await buildLayout(needs(bench), manifest, spec(table('visits', ['ward'])));
    const other = await buildLayout(
      needs(bench, new Uint8Array(32).fill(8)),
      manifest,
      spec(table('visits', ['ward'])),
    );
    assert.notEqual(one.id, other.id);
    const hashes = async (path: string) =>
      openRows(path, 'SELECT DISTINCT __gb_u0::VARCHAR FROM d0.visits WHERE __gb_u0 <> 0');
    const mine = new Set((await hashes(one.path)).flat());
    assert.ok((await hashes(other.path)).flat().every((hash) => !mine.has(hash)));
    assert.deepEqual(await buildLayout(needs(bench), manifest, spec(table('visits', ['ward']))), one);
  });

  it('is built once for all who ask at the same time, and nobody loses it while others ask again', async () => {
    await using bench = await BenchFolder.create();
    const { manifest } = await bench.register('h/v', [await bench.source('visits.csv', VISITS)]);
    let builds = 0;
    // The row scope is parsed once for each building.
    const parse: LayoutNeeds['parse'] = (text) => {
      builds += 1;
      return parseHere(text);
    };
    const shared = { ...needs(bench), parse };
    const wanted = spec(table('visits', ['ward'], { rows: 'ward IS NOT NULL' }));
    // Each comes at another moment of the building, some after its end.
    const asked = Array.from({ length: 12 }, async (_, turn) => {
      for (let wait = 0; wait < turn * 40; wait++) await new Promise(setImmediate);
      const layout = await buildLayout(shared, manifest, wanted);
      return { layout, made: statSync(layout.path).ino };
    });
    const all = await Promise.all(asked);
    const [first] = all;
    for (const one of all) assert.deepEqual(one, first);
    assert.equal(builds, 1);
  });

  it('reaches the unit by a path, and by composite keys that cannot be confused', async () => {
    await using bench = await BenchFolder.create();
    const { manifest } = await bench.register('h/v', [
      await bench.source('events.csv', 'visit,kind\n10,x\n11,y\n12,z\n99,w\n,v\n'),
      await bench.source('visits.csv', 'visit,id,a,b\n10,1,ab,c\n11,1,a,bc\n12,2,a,bc\n'),
    ]);
    const path = { columns: ['id'], via: [{ from: 'visit', table: 'visits', to: 'visit' }] };
    const layout = await buildLayout(
      needs(bench),
      manifest,
      spec(
        table('events', ['kind'], { units: [path, { columns: [], via: [] }] }),
        table('visits', ['visit'], {
          units: [
            { columns: ['a', 'b'], via: [] },
            { columns: ['id'], via: [] },
          ],
        }),
      ),
    );
    const [events] = await openRows(
      layout.path,
      `SELECT count(*)::INT, count(DISTINCT __gb_u0)::INT, count(DISTINCT __gb_u1)::INT FROM d0.events`,
    );
    assert.deepEqual(events, [5, 3, 5], 'patients 1, 2 and unknown; and each row its own');
    const [visits] = await openRows(
      layout.path,
      `SELECT count(DISTINCT __gb_u0)::INT, count(DISTINCT __gb_u1)::INT FROM d0.visits`,
    );
    assert.deepEqual(visits, [2, 2]);
    const [same] = await openRows(
      layout.path,
      `SELECT count(DISTINCT v.__gb_u1)::INT FROM d0.visits v JOIN d0.events e ON v.__gb_u1 = e.__gb_u0`,
    );
    assert.deepEqual(same, [2], 'one person has one hash in every table');
    const doubled = await bench.register('h/d', [
      await bench.source('events.csv', 'visit,kind\n10,x\n'),
      await bench.source('visits.csv', 'visit,id\n10,1\n10,2\n'),
    ]);
    await assert.rejects(
      buildLayout(needs(bench), doubled.manifest, spec(table('events', ['kind'], { units: [path] }))),
      /`visits`.`visit` holds a value twice/,
    );
  });

  it('counts no row behind noise whose unit is unknown: the key is missing, or the path to it ends nowhere', async () => {
    await using bench = await BenchFolder.create();
    const { manifest } = await bench.register('h/n', [
      await bench.source('people.csv', 'id,name\n1,a\n2,b\n3,\n'),
      await bench.source('visits.csv', 'visit,id,cost\n10,1,5\n11,1,6\n12,2,7\n13,77,8\n14,,9\n15,3,10\n'),
    ]);
    const via = [{ from: 'id', table: 'people', to: 'id' }];
    for (const [unit, counted] of [
      [{ columns: ['id'], via: [] }, '10,11,12,13,15'],
      [{ columns: ['id'], via }, '10,11,12,15'],
      [{ columns: ['name'], via }, '10,11,12'],
      [{ columns: ['id', 'name'], via }, '10,11,12'],
      [{ columns: [], via: [] }, '10,11,12,13,14,15'],
    ] as const) {
      const layout = await buildLayout(
        needs(bench),
        manifest,
        spec(table('visits', ['visit', 'cost'], { units: [unit], maxRowsPerUnit: 5 })),
      );
      assert.deepEqual(
        await openRows(
          layout.path,
          `SELECT string_agg(visit, ',' ORDER BY visit) FROM d0.visits WHERE __gb_rank < 100000`,
        ),
        [[counted]],
        JSON.stringify(unit),
      );
      assert.deepEqual(await openRows(layout.path, 'SELECT count(*)::INT FROM d0.visits'), [[6]], 'they stay');
    }
  });

  it('bounds rows per unit by rank, the same whatever other units are there', async () => {
    await using bench = await BenchFolder.create();
    const rows = Array.from({ length: 400 }, (_, i) => `${i % 7},${i}`);
    const without = rows.filter((row) => !row.startsWith('3,'));
    const kept = async (name: string, lines: string[]) => {
      const { manifest } = await bench.register(name, [await bench.source('t.csv', `id,cost\n${lines.join('\n')}\n`)]);
      const layout = await buildLayout(
        needs(bench),
        manifest,
        spec(table('t', ['cost', 'id'], { maxRowsPerUnit: 5, bounds: { cost: { low: 0, high: 100 } } })),
      );
      const [counts] = await openRows(
        layout.path,
        `SELECT count(*)::INT, max(n)::INT FROM (SELECT count(*) n FROM d0.t WHERE __gb_rank < 5 GROUP BY __gb_u0)`,
      );
      const order = await openRows(
        layout.path,
        `SELECT bool_and(__gb_rank >= before) FROM (SELECT __gb_rank, lag(__gb_rank, 1, 0) OVER (ORDER BY rowid) AS before FROM d0.t)`,
      );
      assert.deepEqual(order, [[true]], 'ordered by rank');
      return {
        counts,
        rows: await openRows(
          layout.path,
          `SELECT id, cost, __gb_f_cost FROM d0.t WHERE __gb_rank < 5 AND id <> 3 ORDER BY ALL`,
        ),
      };
    };
    const all = await kept('n/all', rows);
    const fewer = await kept('n/fewer', without);
    assert.deepEqual(all.counts, [7, 5]);
    assert.deepEqual(fewer.counts, [6, 5]);
    assert.deepEqual(all.rows, fewer.rows);
  });

  it('ranks the rows of each unit, whatever its key is made of and where it is missing; tags or none', async () => {
    await using bench = await BenchFolder.create();
    const lines = Array.from({ length: 60 }, (_, i) => {
      const unit = i % 6;
      return unit === 0 ? `,,${i % 12},${i}` : `${unit},u${unit},${i % 12},${i}`;
    });
    const owners = Array.from({ length: 12 }, (_, of) => `${of},${of % 4}`);
    const { manifest } = await bench.register('n/keys', [
      await bench.source('t.csv', `id,name,of,cost\n${lines.join('\n')}\n`),
      await bench.source('owners.csv', `of,who\n${owners.join('\n')}\n`),
    ]);
    const path = { columns: ['who'], via: [{ from: 'of', table: 'owners', to: 'of' }] };
    for (const [unit, count] of [
      [{ columns: ['id'], via: [] }, 6],
      [{ columns: ['name'], via: [] }, 6],
      [{ columns: ['id', 'of'], via: [] }, 11],
      [path, 4],
      [{ columns: [], via: [] }, 60],
    ] as const) {
      const seen = await Promise.all(
        [true, false].map(async (isTagged) => {
          const own = table('t', ['cost'], { units: [unit], maxRowsPerUnit: 2, isTagged });
          const layout = await buildLayout(needs(bench), manifest, spec(own));
          const columns = await openRows(
            layout.path,
            `SELECT list(column_name ORDER BY column_index)::VARCHAR FROM duckdb_columns() WHERE database_name = 'd0'`,
          );
          assert.equal(String(columns[0]?.[0]).includes('__gb_t0'), isTagged);
          assert.equal(String(columns[0]?.[0]).includes('__gb_w0'), false);
          const [ranks] = await openRows(
            layout.path,
            `SELECT count(*)::INT, sum(n)::INT, bool_and((n = ranks AND n = top + 1) OR (ranks = 1 AND top = 4294967295))
            FROM (SELECT count(*) AS n, count(DISTINCT __gb_rank) AS ranks, max(__gb_rank)::BIGINT AS top FROM d0.t GROUP BY __gb_u0)`,
          );
          assert.deepEqual(ranks, [count, 60, true]);
          return openRows(layout.path, 'SELECT cost, __gb_u0::VARCHAR, __gb_rank::BIGINT FROM d0.t ORDER BY cost');
        }),
      );
      assert.deepEqual(seen[0], seen[1]);
    }
  });

  it('keeps only the rows of the scope and refuses a scope that is more than a condition', async () => {
    await using bench = await BenchFolder.create();
    const { manifest } = await bench.register('h/v', [await bench.source('visits.csv', VISITS)]);
    const scoped = (rows: string) => buildLayout(needs(bench), manifest, spec(table('visits', ['ward'], { rows })));
    const layout = await scoped(`region = 'EU' AND (cost >= 0.5 OR cost IS NULL) -- Europe`);
    assert.deepEqual(await openRows(layout.path, 'SELECT ward FROM d0.visits ORDER BY 1'), [['a'], ['a'], ['a']]);
    for (const bad of [
      `1=1) UNION SELECT (1`,
      `region = (SELECT 'EU')`,
      `region IN (SELECT region FROM visits)`,
      `read_text('/etc/passwd') = 'x'`,
      `other = 1`,
      `visits.region = 'EU'`,
      `region = 'EU'; DROP TABLE x`,
      `true) LIMIT (1`,
      `row_number() OVER () = 1`,
      `random() < 0.5`,
      ``,
      `region = 'EU`,
      `region = $1`,
      `EXISTS (SELECT 1)`,
      `list_contains([1], 1)`,
    ]) {
      await assert.rejects(
        scoped(bad),
        (error: unknown) => error instanceof DatasetError && error.code === 'invalid-layout',
        bad,
      );
    }
  });

  it('is refused when the files of record were changed, and is made again when itself was damaged', async () => {
    await using bench = await BenchFolder.create();
    const { manifest, folder } = await bench.register('h/v', [await bench.source('visits.csv', VISITS)]);
    const layout = await buildLayout(needs(bench), manifest, spec(table('visits', ['ward'])));
    const bytes = await readFile(layout.path);
    await chmod(layout.path, 0o600);
    bytes[5000] = (bytes[5000] ?? 0) ^ 1;
    await writeFile(layout.path, bytes);
    const again = await buildLayout(needs(bench), manifest, spec(table('visits', ['ward'])));
    assert.equal((await openRows(again.path, 'SELECT count(*)::INT FROM d0.visits'))[0]?.[0], 6);
    const file = `${folder}/t0.parquet`;
    const record = await readFile(file);
    record[100] = (record[100] ?? 0) ^ 1;
    await chmod(file, 0o600);
    await writeFile(file, record);
    // Neither a new layout nor the one that was built before the change.
    for (const column of ['cost', 'ward']) {
      const rebuilt = buildLayout(needs(bench), manifest, spec(table('visits', [column])));
      await assert.rejects(rebuilt, /t0\.parquet was changed/);
    }
  });
});

async function openRows(path: string, sql: string): Promise<unknown[][]> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    await connection.run(`ATTACH '${path}' AS d0 (READ_ONLY)`);
    return (await connection.runAndReadAll(sql)).getRowsJson() as unknown[][];
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}
