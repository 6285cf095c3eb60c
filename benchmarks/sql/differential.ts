/**
 * `node benchmarks/sql/differential.ts [--rows N] [--repeats N]`: CPU of making a layout with bounded rows and fixed-point
 * measures against a plain copy, and of the exact part of noisy queries against the same queries on the plain copy, in
 * interleaved pairs; one JSON line each. Noise is drawn per released cell and does not depend on rows.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { makeLayout } from '../../runtime/dataset/make-layout.ts';
import { DEFAULT_ENGINE_LIMITS } from '../../runtime/dataset/engine.ts';
import { layoutSpecOf, catalogueTables } from '../../runtime/dataset/catalogue.ts';
import type { DatasetManifest } from '../../runtime/dataset/metadata.ts';
import { parsePolicy } from '../../runtime/policy-file/parse-policy.ts';
import { compileDifferential } from '../../runtime/query/differential/compile.ts';
import { parseLossless } from '../../runtime/query/lossless-json.ts';

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
const limits = { ...DEFAULT_ENGINE_LIMITS, memoryMiB: Math.max(DEFAULT_ENGINE_LIMITS.memoryMiB, 4096) };
try {
  const instance = await DuckDBInstance.create(join(folder, 'plain.duckdb'), { threads: String(limits.threads) });
  const connection = await instance.connect();
  const files = { facts: join(folder, 'facts.parquet'), places: join(folder, 'places.parquet') };
  // About ten rows a person, a few with hundreds.
  await connection.run(
    `COPY (SELECT CAST(pow(random(), 1.3) * ${Math.ceil(rows / 10)} AS INTEGER) AS person, CAST(random() * 99 AS INTEGER) AS g, CAST(random() * 999 AS INTEGER) AS place, CAST(random() * 1000 AS INTEGER) AS x, CAST(random() * 20 AS INTEGER) AS w FROM range(${rows})) TO '${files.facts}' (FORMAT parquet)`,
  );
  await connection.run(
    `COPY (SELECT CAST(range AS INTEGER) AS place, 'region ' || CAST(range % 52 AS VARCHAR) AS region FROM range(1000)) TO '${files.places}' (FORMAT parquet)`,
  );
  const copy = await cpuMs(async () => {
    await connection.run(`CREATE TABLE facts AS SELECT * FROM read_parquet('${files.facts}')`);
    await connection.run(`CREATE TABLE places AS SELECT * FROM read_parquet('${files.places}')`);
    await connection.run('CHECKPOINT');
  });

  const parsed = parsePolicy(POLICY, 'bench.yaml');
  if (parsed.kind === 'complaints') throw new Error(`the policy is not valid: ${JSON.stringify(parsed.complaints)}`);
  const { policy } = parsed;
  const manifest = await manifestOf(connection, files);
  const spec = layoutSpecOf(manifest, policy.tables, 10, false);
  const outFile = join(folder, 'layout.duckdb');
  const records = manifest.tables.map(({ name, columns }) => ({
    name,
    columns,
    path: join(folder, `${name}.parquet`),
  }));
  let laidOut: Awaited<ReturnType<typeof makeLayout>> | null = null;
  const ingest = await cpuMs(async () => {
    laidOut = await makeLayout({ spec, scopes: [null, null], records, hashKeyHex: '5'.repeat(64), outFile, limits });
  });
  tell({ what: 'ingest', rows, plainCpuMs: copy, ourCpuMs: ingest, ratio: ingest / copy });

  await connection.run(`ATTACH '${outFile}' AS d0 (READ_ONLY)`);
  const tables = catalogueTables({
    manifest,
    policies: policy.tables,
    consumer: 'bench',
    alias: 'd0',
    rowCounts: new Map([['facts', rows]]),
    facts: new Map(
      (laidOut as unknown as Awaited<ReturnType<typeof makeLayout>>).tables.map(({ name, columns }) => [name, columns]),
    ),
  });
  const release = policy.allow[0]?.release;
  if (release === undefined) throw new Error('the policy allows nothing');
  for (const [what, sql] of Object.entries(QUERIES)) {
    const tree = (await connection.runAndReadAll('select json_serialize_sql($1::varchar)', [sql])).getRows()[0]?.[0];
    const context = { consumer: 'bench', tables, release, clause: 'bench', parameters: {} };
    const query = compileDifferential(parseLossless(String(tree)), sql, context);
    if (query.kind === 'denied') throw new Error(`refused: ${query.reasons[0]?.message ?? ''}`);
    const [block] = query.kind === 'composed' ? query.blocks : [query];
    if (block === undefined) throw new Error('nothing is noised');
    const pairs: (readonly [number, number])[] = [];
    for (let i = 0; i <= repeats; i++) {
      const plain = await cpuMs(async () => void (await connection.runAndReadAll(sql)));
      const ours = await cpuMs(async () => void (await connection.runAndReadAll(block.enforced.result)));
      // The first pair warms the files up.
      if (i > 0) pairs.push([plain, ours]);
    }
    const median = (of: readonly number[]): number => of.toSorted((a, b) => a - b)[of.length >> 1] ?? Number.NaN;
    tell({
      what,
      rows,
      plainCpuMs: median(pairs.map(([plain]) => plain)),
      ourCpuMs: median(pairs.map(([, ours]) => ours)),
      ratio: median(pairs.map(([plain, ours]) => ours / plain)),
    });
  }
  connection.closeSync();
  instance.closeSync();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function manifestOf(
  connection: DuckDBConnection,
  files: Readonly<Record<string, string>>,
): Promise<DatasetManifest> {
  const tables = [];
  for (const [name, path] of Object.entries(files)) {
    const described = (await connection.runAndReadAll(`DESCRIBE SELECT * FROM read_parquet('${path}')`)).getRows();
    const columns = described.map(([column, type]) => ({
      name: String(column),
      type: String(type) === 'VARCHAR' ? { kind: 'text' } : { kind: 'integer', bits: 32, isSigned: true },
      nullable: true,
    }));
    tables.push({ name, file: `${name}.parquet`, digest: '', columns, rowCount: rows });
  }
  return { dataset: 'bench', version: 1, digest: '', tables } as unknown as DatasetManifest;
}

async function cpuMs(work: () => Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function tell(figure: Readonly<Record<string, string | number>>): void {
  const rounded = Object.entries(figure).map(([key, value]) => [
    key,
    typeof value === 'number' ? Number(value.toPrecision(4)) : value,
  ]);
  process.stdout.write(`${JSON.stringify(Object.fromEntries(rounded))}\n`);
}
