import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';

/** The floor of every query: DuckDB in this process, no policy, the same threads, the file read-only and warm. */
export class PlainDuckDb implements Disposable {
  readonly #instance: DuckDBInstance;
  readonly connection: DuckDBConnection;

  private constructor(instance: DuckDBInstance, connection: DuckDBConnection) {
    this.#instance = instance;
    this.connection = connection;
  }

  static async open(file: string, threads: number): Promise<PlainDuckDb> {
    const instance = await DuckDBInstance.create(':memory:', { threads: String(threads) });
    const connection = await instance.connect();
    await connection.run(`ATTACH '${file.replaceAll("'", "''")}' AS plain (READ_ONLY)`);
    await connection.run('USE plain');
    return new PlainDuckDb(instance, connection);
  }

  /** Rows as texts, sorted: two answers are equal when these are. */
  async rows(sql: string): Promise<readonly string[]> {
    const reader = await this.connection.runAndReadAll(sql);
    return sortedRows(reader.getRowsJson());
  }

  /** Wall and CPU time of a run that fetches every value; CPU is of this process, which does nothing else meanwhile. */
  async time(sql: string): Promise<{ readonly ms: number; readonly cpuMs: number }> {
    const cpu = process.cpuUsage();
    const start = performance.now();
    const reader = await this.connection.runAndReadAll(sql);
    reader.getColumns();
    const ms = performance.now() - start;
    const used = process.cpuUsage(cpu);
    return { ms, cpuMs: (used.user + used.system) / 1000 };
  }

  [Symbol.dispose](): void {
    this.connection.closeSync();
    this.#instance.closeSync();
  }
}

export function sortedRows(rows: readonly (readonly unknown[])[]): readonly string[] {
  return rows.map((row) => JSON.stringify(row.map(text))).toSorted();
}

/** Numbers to twelve digits, whatever type carried them: sums of doubles depend on the order in the last ones. */
function text(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'number') return value.toPrecision(12);
  if (typeof value === 'bigint') return Number(value).toPrecision(12);
  if (typeof value !== 'string') return JSON.stringify(value);
  return /^-?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(value) ? Number(value).toPrecision(12) : value;
}
