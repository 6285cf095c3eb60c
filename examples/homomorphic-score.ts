/**
 * A logistic risk score with an encrypted model: the consumer never sees a patient, the hospital never sees the model.
 * The mean linear score comes out blinded, so that one number leaves and nothing else; the consumer applies the logistic
 * function itself.
 *
 *   node examples/homomorphic-score.ts
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { explainQuery } from '../runtime/homomorphic/explain.ts';
import { generateKeyBundles } from '../runtime/homomorphic/keys.ts';
import { openNodeSealBackend } from '../runtime/homomorphic/node-seal-backend.ts';
import { QueryRun } from '../runtime/homomorphic/query-run.ts';
import {
  blocksOf,
  decryptQueryResult,
  encryptQuery,
  QUERY_BLOCK_ROWS,
  QUERY_PROFILE,
  readQuery,
} from '../runtime/homomorphic/query.ts';

const csv = readFileSync(new URL('data/clinical/colon.csv', import.meta.url), 'utf8')
  .trim()
  .replaceAll('"', '')
  .split('\n');
const names = csv[0]?.split(',') ?? [];
const rows = csv.slice(1).map((line) => line.split(','));
const columns = [
  { column: 'age', decimals: 0, low: 0n, high: 120n },
  { column: 'nodes', decimals: 0, low: 0n, high: 60n },
  { column: 'extent', decimals: 0, low: 0n, high: 4n },
];
const table = columns.map(({ column }) =>
  BigInt64Array.from(rows, (row) => BigInt(Math.trunc(Number(row[names.indexOf(column)])) || 0)),
);

// --- the consumer: keys and an encrypted model, weights times 1000 ---------------------------------------------------
const weights = [0.012, 0.085, 0.42];
const intercept = -2.6;
const consumer = await openNodeSealBackend();
const { open, secret } = generateKeyBundles(consumer, ['bgv-query']);
const [publicKey] = open.keys.map((key) => key.publicKey);
const [secretKey] = secret.keys.map((key) => key.secretKey);
if (publicKey === undefined || secretKey === undefined) throw new Error('no keys');
consumer.open(QUERY_PROFILE).useSecretKey(secretKey);
const vector = BigInt64Array.from(weights, (weight) => BigInt(Math.round(weight * 1000)));
const sent = encryptQuery(
  { backend: consumer, publicKey },
  { name: 'queryLogistic', columns, output: 'total', rows: rows.length, vector },
);

// --- the hospital's runtime: a validated query over its own plaintext ------------------------------------------------
const query = readQuery(sent);
console.log(explainQuery(query.header, columns).lines.join('\n'));
using run = new QueryRun(await openNodeSealBackend(), query, (length) => new Uint8Array(randomBytes(length)));
for (let block = 0; block < blocksOf(rows.length); block++) {
  for (const values of table) run.take(values.subarray(block * QUERY_BLOCK_ROWS, (block + 1) * QUERY_BLOCK_ROWS));
}
const answer = run.finish();

// --- the consumer again ----------------------------------------------------------------------------------------------
const [total] = decryptQueryResult(consumer, query.header, answer);
const mean = Number(total) / 1000 / rows.length + intercept;
const plain =
  rows.reduce(
    (sum, _, i) => sum + weights.reduce((z, weight, c) => z + weight * Number(table[c]?.[i] ?? 0n), intercept),
    0,
  ) / rows.length;
console.log(
  `\nmean score: ${mean.toFixed(4)} (plaintext: ${plain.toFixed(4)}), risk at the mean: ${(1 / (1 + Math.exp(-mean))).toFixed(3)}`,
);
