/** A runtime folder and small source files for one test file. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { registerDataset, type Registered } from '../../runtime/dataset/ingest.ts';
import { DEFAULT_CSV_OPTIONS, formatOf, type SourceFile } from '../../runtime/dataset/source.ts';
import { inProcessReader } from '../../runtime/dataset/worker/read-sources.ts';
import type { SourceReader } from '../../runtime/dataset/ingest-events.ts';

export const LIMITS = { threads: 2, memoryMiB: 512 };

export class BenchFolder implements AsyncDisposable {
  readonly path: string;
  #files = 0;

  constructor(path: string) {
    this.path = path;
  }

  static async create(): Promise<BenchFolder> {
    return new BenchFolder(await mkdtemp(join(tmpdir(), 'glovebox-dataset-')));
  }

  get root(): string {
    return join(this.path, 'data');
  }

  /** Writes a source file and describes it; the format is told from its bytes. */
  async source(label: string, bytes: string | Uint8Array, more: Partial<SourceFile> = {}): Promise<SourceFile> {
    const path = join(this.path, `source-${this.#files++}`);
    await writeFile(path, bytes);
    const format = formatOf(Buffer.from(bytes).subarray(0, 16));
    return {
      path,
      bytes: bytes.length,
      label,
      format,
      table: null,
      sourceTable: null,
      csv: DEFAULT_CSV_OPTIONS,
      ...more,
    };
  }

  register(
    dataset: string,
    sources: readonly SourceFile[],
    reader: SourceReader = inProcessReader,
  ): Promise<Registered> {
    return registerDataset({ root: this.root, reader, limits: LIMITS }, dataset, sources);
  }

  /** Everything below the folder of a dataset, temporary folders included. */
  async left(): Promise<string[]> {
    const names = await readdir(join(this.root, 'datasets'), { recursive: true }).catch(() => []);
    return names.filter((name) => /v\d+|incoming/.test(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}

/** Rows of a query over a fresh in-memory engine, as JSON values. */
export async function query(sql: string): Promise<unknown[][]> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  try {
    await connection.run("SET TimeZone='UTC'");
    return (await connection.runAndReadAll(sql)).getRowsJson() as unknown[][];
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}
