/**
 * `node benchmarks/sql/differential.ts [--rows N] [--repeats N]`: CPU of making a layout with bounded rows and fixed-point
 * measures against a plain copy, and of the exact part of noisy queries against the same queries on the plain copy, in
 * interleaved pairs; one JSON line each. Noise is drawn per released cell and does not depend on rows.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DuckDBInstance } from '@duckdb/node-api';
import { NoisyLayout } from './noisy-layout.ts';

const { values } = parseArgs({
  options: { rows: { type: 'string', default: '10000000' }, repeats: { type: 'string', default: '7' } },
});
const [rows, repeats] = [Number(values.rows), Number(values.repeats)];

const POLICY = `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: bench, grade: internal }
tables:
  facts:
    privacyUnit: [person]
    columns:
      person: { rights: [join, countDistinct] }
      g: { rights: [group, filter] }
      place: { rights: [join, filter] }
      x: { rights: [aggregate], bounds: [0, 1000] }
      w: { rights: [aggregate], bounds: [0, 20] }
  places:
    public: true
    columns:
      place: { rights: [join, group, filter] }
      region: { rights: [group, filter] }
allow:
  - { id: private, mode: differentialPrivacy, release: { epsilonPerJob: 1, epsilonTotal: 10, delta: 1e-6, maxRowsPerUnit: 10 } }
`;
const QUERIES: Readonly<Record<string, string>> = {
  'group by 100 keys': 'select g, count(*), sum(x), avg(x) from facts group by g',
  'join, filter, text key':
    'select region, count(*), sum(x) from facts f join places p on f.place = p.place where f.g < 50 group by region',
  'many groups, product':
    'select g, region, sum(x * w) from facts f join places p on f.place = p.place group by g, region',
  cohort: 'select g, count(*), sum(x) from facts where person in (select person from facts where place = 7) group by g',
  'values per person':
    'select avg(n), avg(s), count(*) from (select person, count(*) n, sum(x) s from facts group by person)',
  'values beside everybody':
    'select g, count(*), sum(coalesce(n, 0)) from facts left join (select person, count(*) n from facts where place < 100 group by person) v using (person) group by g',
  'first row of each person':
    'select g, count(*) from (select g, row_number() over (partition by person order by place) k from facts) where k = 1 group by g',
};

const folder = mkdtempSync(join(tmpdir(), 'glovebox-dp-bench-'));
try {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const files = { facts: join(folder, 'facts.parquet'), places: join(folder, 'places.parquet') };
  // About ten rows a person, a few with hundreds.
  await connection.run(
    `COPY (SELECT CAST(pow(random(), 1.3) * ${Math.ceil(rows / 10)} AS INTEGER) AS person, CAST(random() * 99 AS INTEGER) AS g, CAST(random() * 999 AS INTEGER) AS place, CAST(random() * 1000 AS INTEGER) AS x, CAST(random() * 20 AS INTEGER) AS w FROM range(${rows})) TO '${files.facts}' (FORMAT parquet)`,
  );
  await connection.run(
    `COPY (SELECT CAST(range AS INTEGER) AS place, 'region ' || CAST(range % 52 AS VARCHAR) AS region FROM range(1000)) TO '${files.places}' (FORMAT parquet)`,
  );
  connection.closeSync();
  instance.closeSync();
  using layout = await NoisyLayout.make(files, folder, POLICY);
  const ingest = { plainCpuMs: layout.copied.cpuMs, ourCpuMs: layout.laidOut.cpuMs };
  tell({ what: 'ingest', rows, ...ingest, ratio: ingest.ourCpuMs / ingest.plainCpuMs });
  for (const [what, sql] of Object.entries(QUERIES)) {
    const ours = await layout.exactPartOf(sql);
    const pairs: (readonly [number, number])[] = [];
    for (let i = 0; i <= repeats; i++) {
      const pair = [(await layout.plain(sql)).cpuMs, (await ours.run()).cpuMs] as const;
      // The first pair warms the files up.
      if (i > 0) pairs.push(pair);
    }
    const median = (of: readonly number[]): number => of.toSorted((a, b) => a - b)[of.length >> 1] ?? Number.NaN;
    tell({
      what,
      rows,
      plainCpuMs: median(pairs.map(([plain]) => plain)),
      ourCpuMs: median(pairs.map(([, one]) => one)),
      ratio: median(pairs.map(([plain, one]) => one / plain)),
    });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function tell(figure: Readonly<Record<string, string | number>>): void {
  const rounded = Object.entries(figure).map(([key, value]) => [
    key,
    typeof value === 'number' ? Number(value.toPrecision(4)) : value,
  ]);
  process.stdout.write(`${JSON.stringify(Object.fromEntries(rounded))}\n`);
}
