import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { join } from 'node:path';
import type { Table } from 'apache-arrow';
import type { Glovebox } from '../../runtime/client/connect.ts';
import { registerFiles } from '../../runtime/client/upload.ts';
import type { Job, ParameterValue } from '../../runtime/gen/messages.ts';
import { runtimeWorld, type RuntimeWorld } from '../gateway/runtime-world.ts';
import type { Shelf } from './worlds.ts';

/** Rows to leave out of a shelf: a condition by table. */
export type Missing = Readonly<Record<string, string>>;

/** Everything that a consumer holds after one job. */
export interface Held {
  readonly job: Job;
  readonly table: Table | null;
}

/** A runtime with datasets under their policies and one consumer who has agreed to all of them, over mutual TLS. */
export interface Stage extends AsyncDisposable {
  readonly world: RuntimeWorld;
  readonly provider: Glovebox;
  readonly consumer: Glovebox;
  /** DuckDB over the same rows, without any policy. */
  readonly plain: DuckDBConnection;
  /** One job under the agreements of the named datasets, waited for and its ticket used. */
  ask(datasets: string | readonly string[], sql: string, options?: Asking): Promise<Held>;
  readonly agreements: ReadonlyMap<string, string>;
}

export interface Asking {
  readonly rule?: string;
  readonly parameters?: Readonly<Record<string, ParameterValue>>;
}

export async function openStage(shelves: readonly Shelf[], missing: Missing = {}): Promise<Stage> {
  // Cells are compared by sketches, which take strangers for neighbours by chance: two stages are to do so alike.
  const world = await runtimeWorld({ unitsKey: '5a'.repeat(32) });
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const plain = await instance.connect();
  const provider = await world.party('provider', ['provider']);
  const consumer = await world.party('acme', ['consumer']);
  const agreements = new Map<string, string>();
  for (const shelf of shelves)
    agreements.set(shelf.dataset, await shelve(world, provider, consumer, plain, shelf, missing));
  return {
    world,
    provider,
    consumer,
    plain,
    agreements,
    ask: async (datasets, text, { rule = 'statistics', parameters = {} } = {}) => {
      const sql = { text, parameters };
      const { job } = await consumer.jobs.submit({
        job: {
          computation: { kind: 'sql', sql },
          ruleId: rule,
          agreementIds: [datasets].flat().map((one) => agreements.get(one) ?? ''),
        },
        wait: true,
      });
      if (job === null) throw new Error('no job');
      const table = job.state === 'released' ? await consumer.readTable(job.ticket ?? new Uint8Array()) : null;
      return { job, table };
    },
    [Symbol.asyncDispose]: async () => {
      plain.closeSync();
      instance.closeSync();
      await world[Symbol.asyncDispose]();
    },
  };
}

async function shelve(
  world: RuntimeWorld,
  provider: Glovebox,
  consumer: Glovebox,
  plain: DuckDBConnection,
  shelf: Shelf,
  missing: Missing,
): Promise<string> {
  const files: { readonly path: string; readonly table: string }[] = [];
  for (const [table, body] of Object.entries(shelf.tables)) {
    const where = missing[table] === undefined ? '' : ` WHERE (${missing[table]}) IS NOT TRUE`;
    await plain.run(`CREATE TABLE "${table}" AS SELECT * FROM (${body})${where}`);
    const path = join(world.folder, `${shelf.dataset}-${table}.parquet`);
    await plain.run(`COPY "${table}" TO '${path.replaceAll("'", "''")}' (FORMAT parquet)`);
    files.push({ path, table });
  }
  const header = { name: shelf.dataset, description: '', grade: 'unspecified' as const };
  for await (const { reasons } of registerFiles(provider.catalogue, header, files))
    if (reasons.length > 0) throw new Error(reasons.map(({ message }) => message).join('; '));
  const { complaints } = await provider.policies.attach({ document: shelf.policy, fileName: `${shelf.dataset}.yaml` });
  if (complaints.length > 0) throw new Error(complaints.map(({ message }) => message).join('; '));
  const { agreement } = await provider.agreements.offer({ dataset: shelf.dataset, consumer: 'acme' });
  const id = agreement?.id ?? '';
  await consumer.agreements.accept({ id });
  return id;
}

/** Asks a few at once; answers what went wrong, in order. */
export async function inTurns<One>(
  all: readonly One[],
  check: (one: One) => Promise<string | null>,
): Promise<string[]> {
  const found: (string | null)[] = [];
  const next = all.entries();
  const worker = async (): Promise<void> => {
    for (const [index, one] of next) found[index] = await check(one);
  };
  await Promise.all(Array.from({ length: 4 }, worker));
  return found.filter((one) => one !== null);
}
