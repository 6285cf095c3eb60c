/** The engine's own parser and binder, on an instance that never holds a row. */
import {
  type DuckDBConnection,
  DuckDBInstance,
  type DuckDBMaterializedResult,
  type DuckDBPreparedStatement,
} from '@duckdb/node-api';
import { engineOptions } from '../engine.ts';
import { PARSER_LIMITS } from '../limits.ts';
import type { ParseFailCode, ParseJob } from '../parse-job.ts';
import { plainConnection } from './job-connections.ts';

/** Why a text was not parsed; nothing in it speaks of data, for there is none. */
export class ParseRefusal extends Error {
  override readonly name = 'ParseRefusal';
  readonly code: ParseFailCode;

  constructor(code: ParseFailCode) {
    super(code);
    this.code = code;
  }
}

export class StatementParser implements Disposable {
  #parsing: {
    readonly instance: DuckDBInstance;
    readonly connection: DuckDBConnection;
    /** The same question for every text: it is planned once. */
    readonly question: DuckDBPreparedStatement;
  } | null = null;
  /** The instance with the empty tables of the schema planned last: most jobs come over the same few datasets. */
  #planning: { readonly key: string; readonly instance: DuckDBInstance } | null = null;
  #using: DuckDBConnection | null = null;

  /** Answers one text per statement. Throws `ParseRefusal`. */
  async answer(job: ParseJob): Promise<readonly string[]> {
    return job.op === 'serialize' ? [await this.#serialize(job.sql)] : this.#plan(job.schema, job.statements);
  }

  /** Stops what runs; a parse cannot be stopped, so the gateway's deadline kills the process. */
  interrupt(): void {
    this.#using?.interrupt();
  }

  [Symbol.dispose](): void {
    this.#parsing?.question.destroySync();
    this.#parsing?.connection.closeSync();
    this.#parsing?.instance.closeSync();
    this.#planning?.instance.closeSync();
  }

  async #serialize(sql: string): Promise<string> {
    if (Buffer.byteLength(sql) > PARSER_LIMITS.maxSqlBytes) throw new ParseRefusal('too-long');
    // An engine's parser reads up to a NUL; two readers of one text must not see two texts.
    if (sql.includes('\0') || !sql.isWellFormed()) throw new ParseRefusal('failed');
    if (this.#parsing === null) {
      const instance = await emptyInstance();
      const connection = await plainConnection(instance);
      const question = await connection.prepare('SELECT json_serialize_sql($1::VARCHAR)');
      this.#parsing = { instance, connection, question };
    }
    const { question } = this.#parsing;
    return answerOf(() => {
      question.bindVarchar(1, sql);
      return question.run();
    });
  }

  async #plan(schema: readonly string[], statements: readonly { sql: string; isRun: boolean }[]): Promise<string[]> {
    const instance = await this.#schemaInstance(schema);
    const connection = await plainConnection(instance);
    this.#using = connection;
    try {
      const plans: string[] = [];
      const question = await connection.prepare('SELECT json_serialize_plan($1::VARCHAR)');
      for (const { sql, isRun } of statements) {
        plans.push(
          await answerOf(() => {
            question.bindVarchar(1, sql);
            return question.run();
          }),
        );
        if (isRun) await connection.run(sql);
      }
      return plans;
    } catch (error) {
      this.#planning = null;
      instance.closeSync();
      throw error instanceof ParseRefusal ? error : new ParseRefusal('failed');
    } finally {
      this.#using = null;
      connection.closeSync();
    }
  }

  async #schemaInstance(schema: readonly string[]): Promise<DuckDBInstance> {
    const key = JSON.stringify(schema);
    if (this.#planning?.key === key) return this.#planning.instance;
    this.#planning?.instance.closeSync();
    this.#planning = null;
    const instance = await emptyInstance();
    const connection = await instance.connect();
    try {
      for (const statement of schema) await connection.run(statement);
      await connection.run('SET lock_configuration=true');
    } catch {
      instance.closeSync();
      throw new ParseRefusal('bad-job');
    } finally {
      connection.closeSync();
    }
    this.#planning = { key, instance };
    return instance;
  }
}

/** The one text that a question yields. Throws `ParseRefusal`. */
async function answerOf(ask: () => Promise<DuckDBMaterializedResult>): Promise<string> {
  let text: unknown;
  try {
    const result = await ask();
    text = result.chunkCount === 0 ? undefined : result.getChunk(0).getRows()[0]?.[0];
  } catch {
    throw new ParseRefusal('failed');
  }
  if (typeof text !== 'string') throw new ParseRefusal('failed');
  if (Buffer.byteLength(text) > PARSER_LIMITS.maxTreeBytes) throw new ParseRefusal('too-large');
  return text;
}

async function emptyInstance(): Promise<DuckDBInstance> {
  return DuckDBInstance.create(':memory:', {
    ...engineOptions({ threads: 1, memoryMiB: PARSER_LIMITS.memoryMiB }),
    max_expression_depth: String(PARSER_LIMITS.maxExpressionDepth),
    enable_external_access: 'false',
  });
}
