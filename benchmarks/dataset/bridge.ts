/** CPU of turning result chunks into column batches, against fetching the chunks alone and against node-api's columns. */
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { BatchBuilder, columnBuilder } from '../../runtime/dataset/bridge.ts';
import type { ColumnBuilder } from '../../runtime/dataset/bridge-buffer.ts';
import { columnTypeOf, storedFormOf } from '../../runtime/dataset/column-types.ts';
import { BATCH_LIMITS } from '../../runtime/dataset/limits.ts';
import { cpuMillis, median } from './cpu.ts';

export interface BridgeFigures {
  readonly rows: number;
  readonly fetchOnlyMs: number;
  readonly bridgeMs: number;
  readonly nodeApiMs: number;
}

const LINEITEM = `SELECT (i / 4)::BIGINT AS l_orderkey, (hash(i) % 200000)::INTEGER AS l_partkey, (i % 50 + 1)::DECIMAL(15,2) AS l_quantity,
  ((hash(i * 3) % 10000000) / 100)::DECIMAL(15,2) AS l_extendedprice, (i % 11 / 100)::DECIMAL(15,2) AS l_discount,
  ['A', 'N', 'R'][i % 3 + 1] AS l_returnflag, DATE '1992-01-01' + (hash(i) % 2500)::INTEGER AS l_shipdate,
  'carefully final deposits ' || (hash(i) % 100000) AS l_comment FROM range(ROWS) r(i)`;

/** Medians of `repeats` runs over a table like TPC-H's lineitem, in CPU milliseconds, one engine thread. */
export async function measureBridge(rows: number, repeats: number): Promise<BridgeFigures> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await instance.connect();
  await connection.run(`CREATE TABLE li AS ${LINEITEM.replace('ROWS', String(rows))}`);
  const time = async (work: (connection: DuckDBConnection) => Promise<void>): Promise<number> => {
    const runs: number[] = [];
    for (let i = 0; i < repeats; i++) runs.push(await cpuMillis(() => work(connection)));
    return median(runs);
  };
  const fetchOnlyMs = await time(fetchOnly);
  const bridgeMs = await time(bridge);
  const nodeApiMs = await time(async (c) => void (await (await c.run('SELECT * FROM li')).getColumnsJS()));
  connection.closeSync();
  instance.closeSync();
  return { rows, fetchOnlyMs, bridgeMs, nodeApiMs };
}

async function fetchOnly(connection: DuckDBConnection): Promise<void> {
  const result = await connection.stream('SELECT * FROM li');
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) return;
  }
}

async function bridge(connection: DuckDBConnection): Promise<void> {
  const result = await connection.stream('SELECT * FROM li');
  const builders = result.columnTypes().map((type): ColumnBuilder => {
    const stored = storedFormOf(type);
    const target = stored === null ? null : columnTypeOf(stored.type);
    const builder = target === null ? null : columnBuilder(type, target);
    if (builder === null) throw new TypeError(`no builder for ${String(type)}`);
    return builder;
  });
  const batch = new BatchBuilder(builders);
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) break;
    batch.append(chunk);
    if (batch.rowCount < BATCH_LIMITS.rows && batch.byteLength < BATCH_LIMITS.bytes) continue;
    batch.view();
    batch.reset();
  }
}
