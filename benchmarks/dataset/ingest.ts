/** CPU of registration and of a layout, against the engine's plain copy of the same Parquet file into a table. */
import { copyFile, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { registerDataset } from '../../runtime/dataset/ingest.ts';
import type { RecordTable } from '../../runtime/dataset/layout-sql.ts';
import { makeLayout } from '../../runtime/dataset/make-layout.ts';
import { DEFAULT_CSV_OPTIONS } from '../../runtime/dataset/source.ts';
import { inProcessReader } from '../../runtime/dataset/worker/read-sources.ts';
import { cpuMillis } from './cpu.ts';

export interface IngestFigures {
  readonly rows: number;
  readonly plainCopyMs: number;
  readonly registerMs: number;
  /** aggregate form: unit hash and one-hot column */
  readonly layoutMs: number;
  /** with rank, order and fixed point for differential privacy */
  readonly privateLayoutMs: number;
}

/** One run over a table of `rows` rows and `rows / 10` units, in CPU milliseconds; reader and writer in one process. */
export async function measureIngest(rows: number): Promise<IngestFigures> {
  const folder = await mkdtemp(join(tmpdir(), 'glovebox-bench-'));
  try {
    const file = join(folder, 'source.parquet');
    await engine(
      ':memory:',
      `COPY (SELECT (hash(i) % ${Math.ceil(rows / 10)})::BIGINT AS uid, i % 100 AS g, (i % 3000) * 1.5::DOUBLE AS x, 'ward ' || (i % 1000) AS t
        FROM range(${rows}) r(i)) TO '${file}' (FORMAT parquet, COMPRESSION zstd)`,
    );
    const limits = { threads: 2, memoryMiB: 2048 };
    const plainCopyMs = await cpuMillis(() =>
      engine(join(folder, 'plain.duckdb'), `CREATE TABLE p AS SELECT * FROM '${file}'`),
    );
    const source = join(folder, 'spooled');
    await copyFile(file, source);
    const { size } = await stat(source);
    const request = {
      path: source,
      bytes: size,
      label: 'source.parquet',
      format: 'parquet',
      table: 't',
      sourceTable: null,
      csv: DEFAULT_CSV_OPTIONS,
    } as const;
    let records: readonly RecordTable[] = [];
    const registerMs = await cpuMillis(async () => {
      const { manifest, folder: version } = await registerDataset(
        { root: join(folder, 'data'), reader: inProcessReader, limits },
        'b/t',
        [request],
      );
      records = manifest.tables.map(({ name, file: stored, columns }) => ({
        name,
        path: join(version, stored),
        columns,
      }));
    });
    const layout = (name: string, maxRowsPerUnit: number | null): Promise<number> =>
      cpuMillis(async () => {
        const table = {
          name: 't',
          columns: ['g', 'x', 't'],
          units: [{ columns: ['uid'], via: [] }],
          rows: null,
          bounds: { x: { low: 0, high: 3000 } },
          maxRowsPerUnit,
          isTagged: maxRowsPerUnit === null,
        };
        await makeLayout({
          spec: { tables: [table] },
          scopes: [null],
          records,
          hashKeyHex: '00'.repeat(32),
          outFile: join(folder, name),
          limits,
        });
      });
    const layoutMs = await layout('aggregate.duckdb', null);
    const privateLayoutMs = await layout('private.duckdb', 10);
    return { rows, plainCopyMs, registerMs, layoutMs, privateLayoutMs };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function engine(path: string, sql: string): Promise<void> {
  const instance = await DuckDBInstance.create(path, { threads: '2' });
  const connection = await instance.connect();
  await connection.run(sql);
  connection.closeSync();
  instance.closeSync();
}
