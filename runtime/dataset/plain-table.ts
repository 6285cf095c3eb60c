import { DuckDBInstance } from '@duckdb/node-api';
import { DatasetError } from './dataset-error.ts';
import { quoteName, quoteText } from './sql-text.ts';

/** Which columns of a provider's own file are read, on the provider's own machine. */
export interface PlainFile {
  readonly path: string;
  readonly units: readonly string[];
  readonly group: { readonly column: string; readonly names: readonly string[] } | null;
  readonly columns: readonly { readonly name: string; readonly isWide: boolean }[];
}

/** Rows of a file in one fixed order: group after group, within a group as in the file. */
export interface OpenedPlainFile extends AsyncDisposable {
  readonly rows: number;
  readonly nulls: ReadonlyMap<string, number>;
  units(): AsyncGenerator<{ readonly unit: readonly string[]; readonly group: string | null }, void>;
  column(
    name: string,
  ): AsyncGenerator<{ readonly group?: string; readonly values: readonly (number | bigint | null)[] }, void>;
}

/** Opens a CSV or Parquet file; throws `DatasetError` when it cannot be read or a column is missing. */
export async function openPlainFile(file: PlainFile): Promise<OpenedPlainFile> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const close = (): Promise<void> => {
    connection.closeSync();
    instance.closeSync();
    return Promise.resolve();
  };
  try {
    const reader = file.path.endsWith('.parquet') ? 'read_parquet' : 'read_csv';
    const names = file.group?.names ?? [];
    const groupIndex =
      file.group === null
        ? '0'
        : `list_position([${names.map((name) => quoteText(name)).join(', ')}], ${quoteName(file.group.column)}::VARCHAR)`;
    const units = file.units.map((name, i) => `${quoteName(name)}::VARCHAR AS ${quoteName(`u${i}`)}`);
    const columns = file.columns.map(
      ({ name, isWide }, i) => `${quoteName(name)}::${isWide ? 'BIGINT' : 'DOUBLE'} AS ${quoteName(`c${i}`)}`,
    );
    await connection.run(
      `CREATE TABLE t AS SELECT row_number() OVER () AS r, ${groupIndex} AS g, ${[...units, ...columns].join(', ')} FROM ${reader}(${quoteText(file.path)}${reader === 'read_csv' ? ", nullstr=['', 'NA']" : ''})`,
    );
    const counts = await connection.runAndReadAll(
      `SELECT count(*), count(*) FILTER (g IS NULL), ${file.columns.map((_, i) => `count(*) - count(c${i})`).join(', ')} FROM t`,
    );
    const [rows = 0n, strays = 0n, ...nulls] = (counts.getRows()[0] ?? []) as bigint[];
    if (strays > 0n)
      throw new DatasetError(
        'invalid-file',
        `${file.path}: ${strays} rows belong to none of the groups ${names.join(', ')}`,
      );
    async function* scan(what: string): AsyncGenerator<unknown[][], void> {
      const result = await connection.stream(`SELECT g, ${what} FROM t ORDER BY g, r`);
      for (;;) {
        const chunk = await result.fetchChunk();
        if (chunk === null || chunk.rowCount === 0) return;
        yield chunk.getRows() as unknown[][];
      }
    }
    const groupOf = (index: unknown): string | null => names[Number(index) - 1] ?? null;
    return {
      rows: Number(rows),
      nulls: new Map(file.columns.map(({ name }, i) => [name, Number(nulls[i] ?? 0n)])),
      async *units() {
        for await (const part of scan(file.units.map((_, i) => `u${i}`).join(', ')))
          for (const [g, ...unit] of part) yield { unit: unit.map((one) => String(one)), group: groupOf(g) };
      },
      async *column(name) {
        const index = file.columns.findIndex((column) => column.name === name);
        for await (const part of scan(`c${index}`)) {
          for (let at = 0; at < part.length;) {
            let end = at;
            while (end < part.length && part[end]?.[0] === part[at]?.[0]) end++;
            const group = groupOf(part[at]?.[0]);
            const values = part.slice(at, end).map((row) => row[1] as number | bigint | null);
            yield { ...(group === null ? {} : { group }), values };
            at = end;
          }
        }
      },
      [Symbol.asyncDispose]: close,
    };
  } catch (cause) {
    await close();
    if (cause instanceof DatasetError) throw cause;
    throw new DatasetError('invalid-file', `${file.path}: ${(cause as Error).message.split('\n')[0] ?? ''}`, { cause });
  }
}
