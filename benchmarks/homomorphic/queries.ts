import { randomBytes } from 'node:crypto';
import type { DuckDBConnection } from '@duckdb/node-api';
import { generateKeyBundles } from '../../runtime/homomorphic/keys.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { explainQuery } from '../../runtime/homomorphic/explain.ts';
import { QueryRun } from '../../runtime/homomorphic/query-run.ts';
import {
  blocksOf,
  decryptQueryResult,
  encryptQuery,
  QUERY_BLOCK_ROWS,
  QUERY_PROFILE,
  readQuery,
} from '../../runtime/homomorphic/query.ts';
import { valueAt } from './cases.ts';
import { timed, timedAsync, type Timing } from './measure.ts';

/** One encrypted query over plaintext columns. */
export interface QueryRow {
  readonly kind: 'query';
  readonly program: string;
  readonly rows: number;
  readonly columns: number;
  readonly securityBits: number;
  readonly isCorrect: boolean;
  readonly queryBytes: number;
  readonly resultBytes: number;
  readonly encryptMs: number;
  readonly compute: Timing;
  readonly decryptMs: number;
  readonly valuesPerSecond: number;
  readonly plaintextDuckDb: Timing;
  readonly slowdownAgainstDuckDb: number;
}

const COLUMNS = 16;

/** Measures an encrypted model over 16 columns (row scores and their total) and a private lookup. */
export async function queryRows(
  size: number,
  runs: number,
  connection: DuckDBConnection,
): Promise<readonly QueryRow[]> {
  const consumer = await openNodeSealBackend();
  const { open, secret } = generateKeyBundles(consumer, ['bgv-query']);
  consumer.open(QUERY_PROFILE).useSecretKey(secret.keys[0]?.secretKey ?? new Uint8Array(0));
  const publicKey = open.keys[0]?.publicKey ?? new Uint8Array(0);
  const provider = await openNodeSealBackend();
  const columns = Array.from({ length: COLUMNS }, (_, c) => ({ column: `x${c}`, decimals: 0, low: 0n, high: 4000n }));
  const table = columns.map((_, c) => BigInt64Array.from({ length: size }, (_row, i) => BigInt(valueAt(i, c))));
  const weights = BigInt64Array.from({ length: COLUMNS }, (_, c) => BigInt((c % 3) - 1));
  const wanted = Math.floor(size / 3);
  const score = (i: number): bigint => weights.reduce((sum, weight, c) => sum + weight * BigInt(valueAt(i, c)), 0n);
  const expression = [...weights].map((weight, c) => `${weight} * x${c}`).join(' + ');
  const cases = [
    {
      name: 'queryLinear',
      output: 'rows',
      vector: weights,
      sql: `select ${expression} from t`,
      expected: () => Array.from({ length: size }, (_, i) => score(i)),
    },
    {
      name: 'queryLinear',
      output: 'total',
      vector: weights,
      sql: `select sum(${expression}) from t`,
      expected: () => [Array.from({ length: size }, (_, i) => score(i)).reduce((a, b) => a + b, 0n)],
    },
    {
      name: 'lookup',
      output: 'total',
      vector: BigInt64Array.from([BigInt(wanted)]),
      sql: `select * from t limit 1 offset ${wanted}`,
      expected: () => columns.map((_, c) => BigInt(valueAt(wanted, c))),
    },
  ] as const;
  const rows: QueryRow[] = [];
  for (const { name, output, vector, sql, expected } of cases) {
    const start = performance.now();
    let file: Uint8Array;
    try {
      file = encryptQuery({ backend: consumer, publicKey }, { name, columns, output, rows: size, vector });
    } catch {
      continue; // a total over so many rows could wrap around: the client refuses it, and so there is nothing to measure
    }
    const encryptMs = performance.now() - start;
    const query = readQuery(file);
    let result: Uint8Array = new Uint8Array(0);
    const compute = timed(Math.min(runs, 3), () => {
      using run = new QueryRun(provider, query, (length) => new Uint8Array(randomBytes(length)));
      const take = (values: BigInt64Array, b: number): void =>
        run.take(values.subarray(b * QUERY_BLOCK_ROWS, (b + 1) * QUERY_BLOCK_ROWS));
      if (name === 'lookup') for (const values of table) for (let b = 0; b < blocksOf(size); b++) take(values, b);
      else for (let b = 0; b < blocksOf(size); b++) for (const values of table) take(values, b);
      result = run.finish();
    });
    let answer = new BigInt64Array(0);
    const decrypt = timed(1, () => {
      answer = BigInt64Array.from(decryptQueryResult(consumer, query.header, result));
    });
    const truth = expected();
    const plaintextDuckDb = await timedAsync(runs, () => connection.runAndReadAll(sql));
    rows.push({
      kind: 'query',
      program: `${name}, ${output}`,
      rows: size,
      columns: COLUMNS,
      securityBits: explainQuery(query.header, columns).securityBits,
      isCorrect: answer.length === truth.length && truth.every((value, i) => answer[i] === value),
      queryBytes: file.byteLength,
      resultBytes: result.byteLength,
      encryptMs,
      compute,
      decryptMs: decrypt.medianMs,
      valuesPerSecond: ((size * COLUMNS) / compute.medianMs) * 1000,
      plaintextDuckDb,
      slowdownAgainstDuckDb: compute.medianMs / plaintextDuckDb.medianMs,
    });
  }
  return rows;
}
