import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';

/** Where a job gets the connection that is its own: temporary tables live and die with it. */
export interface JobConnections {
  connect(): Promise<DuckDBConnection>;
  /** One that runs plans as they stand, without looking for better ones. */
  connectPlainly(): Promise<DuckDBConnection>;
}

/** The connections of an engine between jobs: the next one is made while nobody waits for it. */
export class ReadyConnections implements JobConnections {
  readonly #instance: DuckDBInstance;
  #next: Promise<DuckDBConnection> | null = null;
  #soon: NodeJS.Timeout | null = null;

  constructor(instance: DuckDBInstance) {
    this.#instance = instance;
  }

  connect(): Promise<DuckDBConnection> {
    return this.#instance.connect();
  }

  connectPlainly(): Promise<DuckDBConnection> {
    const made = this.#next ?? plainConnection(this.#instance);
    this.#next = null;
    this.#stopWaiting();
    return made;
  }

  /**
   * Makes the connection of the next job a moment later, when the answer to the last one is on its way: until then the
   * gateway needs every core. That it cannot be made is told to the job that asks for it.
   */
  prepareSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = null;
      this.#next ??= plainConnection(this.#instance);
      this.#next.catch(() => undefined);
    }, ANSWERED_AFTER_MS);
  }

  /** Closes the engine, after what is still being made of it: the two must not meet. */
  async close(): Promise<void> {
    const next = this.#next;
    this.#next = null;
    this.#stopWaiting();
    await next?.then((connection) => connection.closeSync()).catch(() => undefined);
    this.#instance.closeSync();
  }

  #stopWaiting(): void {
    if (this.#soon !== null) clearTimeout(this.#soon);
    this.#soon = null;
  }
}

/** Within so many milliseconds the result of a small job has passed the gate and is recorded. */
const ANSWERED_AFTER_MS = 7;

/** A connection that does not make plans better before it runs them: over few cells that takes longer than running them. */
export async function plainConnection(instance: DuckDBInstance): Promise<DuckDBConnection> {
  const connection = await instance.connect();
  await connection.run('PRAGMA disable_optimizer');
  return connection;
}
