/**
 * Opening the SQL engine so that nothing but the given files can be reached.
 *
 * The order is what works (measured on DuckDB 1.5.5): files are attached first, then external access is switched off,
 * then the file system itself, and the configuration is locked last. Settings are the second line; the jail and the
 * allow-list of statements are the first.
 */
import { DuckDBInstance } from '@duckdb/node-api';
import { quoteName, quoteText } from './sql-text.ts';

export interface EngineDatabase {
  /** Catalogue name in the engine, e.g. `d0`. */
  readonly alias: string;
  readonly path: string;
}

export interface EngineLimits {
  readonly threads: number;
  readonly memoryMiB: number;
  /** Whole-number keys of GROUP BY that fit into so many bits number the groups themselves; absent: the engine's own 12. */
  readonly groupBits?: number;
}

export const DEFAULT_ENGINE_LIMITS: EngineLimits = { threads: 2, memoryMiB: 1024 };

/** Options that switch off everything which reaches outside the process. */
export function engineOptions(limits: EngineLimits): Record<string, string> {
  return {
    threads: String(limits.threads),
    memory_limit: `${limits.memoryMiB}MiB`,
    // Spilling would write rows to a disk that the jail does not give; without it a query fails in an orderly way.
    temp_directory: '',
    max_temp_directory_size: '0KB',
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    allow_community_extensions: 'false',
    allow_unsigned_extensions: 'false',
    allow_persistent_secrets: 'false',
    max_expression_depth: '200',
    lambda_syntax: 'DISABLE_SINGLE_ARROW',
    // LIMIT over a bare table would first find the numbers of the rows, and then the rows by joining and sorting those.
    disabled_optimizers: 'late_materialization',
    ...(limits.groupBits === undefined ? {} : { perfect_ht_threshold: String(limits.groupBits) }),
  };
}

/** An engine over read-only database files, sealed. Throws the engine's error when a file cannot be opened. */
export async function openSealedEngine(
  databases: readonly EngineDatabase[],
  limits: EngineLimits = DEFAULT_ENGINE_LIMITS,
): Promise<DuckDBInstance> {
  const instance = await DuckDBInstance.create(':memory:', engineOptions(limits));
  try {
    const connection = await instance.connect();
    try {
      for (const { alias, path } of databases) {
        await connection.run(`ATTACH ${quoteText(path)} AS ${quoteName(alias)} (READ_ONLY)`);
      }
      await connection.run('SET enable_external_access=false');
      await connection.run("SET disabled_filesystems='LocalFileSystem'");
      await connection.run('SET lock_configuration=true');
    } finally {
      connection.closeSync();
    }
    return instance;
  } catch (error) {
    instance.closeSync();
    throw error;
  }
}
