import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { generateKeyBundles } from '../../runtime/homomorphic/keys.ts';
import { admitQuery, chargeOf } from '../../runtime/homomorphic/query-guard.ts';
import { QueryRun } from '../../runtime/homomorphic/query-run.ts';
import {
  decryptQueryResult,
  encryptQuery,
  QUERY_BLOCK_ROWS,
  QUERY_PROFILE,
  readQuery,
  type QueryColumn,
} from '../../runtime/homomorphic/query.ts';
import { PROFILES } from '../../runtime/homomorphic/profiles.ts';
import { assembleCiphertext } from '../../runtime/homomorphic/layout.ts';
import { queryResultShape } from '../../runtime/homomorphic/query.ts';
import { colon } from './support.ts';

const consumer = await openNodeSealBackend();
const { open, secret } = generateKeyBundles(consumer, ['bgv-query']);
const publicKey = open.keys[0]?.publicKey as Uint8Array;
consumer.open(QUERY_PROFILE).useSecretKey(secret.keys[0]?.secretKey as Uint8Array);
const provider = await openNodeSealBackend();
const { time, age } = colon();
const columns: readonly QueryColumn[] = [
  { column: 'age', decimals: 0, low: 0n, high: 120n },
  { column: 'time', decimals: 0, low: 0n, high: 4000n },
];
const table = [BigInt64Array.from(age, BigInt), BigInt64Array.from(time, BigInt)];

/** The provider's side: blocks in the order the run wants them. */
function compute(file: Uint8Array, data: readonly BigInt64Array[]): Uint8Array {
  const query = readQuery(file);
  using run = new QueryRun(provider, query, (length) => new Uint8Array(randomBytes(length)));
  const blocks = Math.ceil(query.header.rows / QUERY_BLOCK_ROWS);
  const cut = (values: BigInt64Array, b: number): BigInt64Array =>
    values.subarray(b * QUERY_BLOCK_ROWS, (b + 1) * QUERY_BLOCK_ROWS);
  const isVector = query.header.name === 'queryDot' || query.header.name === 'lookup';
  if (isVector) for (const values of data) for (let b = 0; b < blocks; b++) run.take(cut(values, b));
  else for (let b = 0; b < blocks; b++) for (const values of data) run.take(cut(values, b));
  return run.finish();
}

const ask = (query: Parameters<typeof encryptQuery>[1]): Uint8Array =>
  encryptQuery({ backend: consumer, publicKey }, query);

test('an encrypted model scores every row of the clinical data exactly', () => {
  const file = ask({
    name: 'queryLinear',
    columns,
    output: 'rows',
    rows: age.length,
    vector: BigInt64Array.from([-7n, 3n]),
  });
  const scores = decryptQueryResult(consumer, readQuery(file).header, compute(file, table));
  assert.deepEqual(
    [...scores],
    age.map((a, i) => BigInt(-7 * a + 3 * (time[i] ?? 0))),
  );
});

test('a total of encrypted scores comes alone: the slots around it are uniform', () => {
  const file = ask({
    name: 'queryLinear',
    columns,
    output: 'total',
    rows: age.length,
    vector: BigInt64Array.from([2n, 1n]),
  });
  const result = compute(file, table);
  const header = readQuery(file).header;
  const expected = BigInt(age.reduce((sum, a, i) => sum + 2 * a + (time[i] ?? 0), 0));
  assert.deepEqual([...decryptQueryResult(consumer, header, result)], [expected]);
  const context = consumer.open(QUERY_PROFILE);
  using ciphertext = context.load(queryResultShape(), assembleCiphertext(queryResultShape(), result));
  const slots = context.decryptIntegers(ciphertext);
  const scores = new Set(age.map((a, i) => BigInt(2 * a + (time[i] ?? 0))));
  assert.equal([...slots].filter((slot) => scores.has(slot)).length, 0);
  const large = [...slots].filter(
    (slot) => slot > QUERY_PROFILE.plainModulus / 4n || slot < -QUERY_PROFILE.plainModulus / 4n,
  ).length;
  assert.ok(large > 3800 && large < 4400, `${large} of 8192 slots lie in the outer half of their range`);
});

test('an encrypted vector times a column over several blocks is exact', () => {
  const rows = 2 * QUERY_BLOCK_ROWS + 100;
  const values = BigInt64Array.from({ length: rows }, (_, i) => BigInt((i * 31) % 4001));
  const vector = BigInt64Array.from({ length: rows }, (_, i) => BigInt((i % 5) - 2));
  const file = ask({ name: 'queryDot', columns: [columns[1] as QueryColumn], output: 'total', rows, vector });
  const expected = values.reduce((sum, value, i) => sum + value * (vector[i] ?? 0n), 0n);
  assert.deepEqual([...decryptQueryResult(consumer, readQuery(file).header, compute(file, [values]))], [expected]);
});

test('a private lookup gives the permitted columns of one record', () => {
  const file = ask({ name: 'lookup', columns, output: 'total', rows: age.length, vector: BigInt64Array.from([777n]) });
  assert.deepEqual(
    [...decryptQueryResult(consumer, readQuery(file).header, compute(file, table))],
    [BigInt(age[777] ?? 0), BigInt(time[777] ?? 0)],
  );
});

test('results carry no trace of how the query or the data look: the noise left is the flood, whatever was multiplied', () => {
  const context = consumer.open(QUERY_PROFILE);
  const budgets = [0n, 1n, 4_000n].map((weight) => {
    const file = ask({
      name: 'queryLinear',
      columns,
      output: 'rows',
      rows: age.length,
      vector: BigInt64Array.from([weight, 0n]),
    });
    const result = compute(file, table);
    using ciphertext = context.load(queryResultShape(), assembleCiphertext(queryResultShape(), result));
    return context.noiseBudgetBits(ciphertext);
  });
  assert.equal(new Set(budgets).size, 1);
  assert.ok((budgets[0] ?? 99) <= 2, `${budgets[0]} bits are left for anything hidden above the flood`);
});

test('a query whose answer could wrap around is refused by the client', () => {
  const vector = BigInt64Array.from([0n, 1n << 30n]);
  assert.throws(() => ask({ name: 'queryLinear', columns, output: 'rows', rows: 10, vector }), {
    code: 'out-of-range',
  });
  assert.throws(() => ask({ name: 'lookup', columns, output: 'total', rows: 10, vector: BigInt64Array.from([10n]) }), {
    code: 'out-of-range',
  });
});

test('damaged query files are refused before any ciphertext is loaded', () => {
  const file = Buffer.from(
    ask({ name: 'queryLinear', columns, output: 'total', rows: 10, vector: BigInt64Array.from([1n, 1n]) }),
  );
  readQuery(file);
  const refused = (change: (bytes: Buffer) => Buffer): void => {
    assert.throws(
      () => readQuery(change(Buffer.from(file))),
      (error: { code?: string }) => ['bad-ciphertext', 'bad-key', 'bad-program'].includes(error.code ?? ''),
    );
  };
  refused((bytes) => bytes.subarray(0, 5));
  refused((bytes) => bytes.subarray(0, -1));
  refused((bytes) => Buffer.concat([bytes, Buffer.alloc(1)]));
  refused((bytes) => Buffer.from(bytes.toString('latin1').replace('"queryLinear"', '"queryLineas"'), 'latin1'));
  refused((bytes) => Buffer.from(bytes.toString('latin1').replace('"queryLinear"', '"linear"     '), 'latin1'));
  refused((bytes) => Buffer.from(bytes.toString('latin1').replace('"ciphertexts":2', '"ciphertexts":1'), 'latin1'));
  refused((bytes) => Buffer.from(bytes.toString('latin1').replace('"rows":10', '"rows":-1'), 'latin1'));
  for (let at = 0; at < 12; at++) {
    refused((bytes) => {
      bytes[at] = (bytes[at] ?? 0) ^ 0x40;
      return bytes;
    });
  }
});

test('queries are counted as if independent, charged for what one answer can carry, and stop before half the rows are solved', () => {
  const header = readQuery(
    ask({ name: 'queryLinear', columns, output: 'rows', rows: 10, vector: BigInt64Array.from([1n, 1n]) }),
  ).header;
  // two small columns fit side by side into one 36-bit answer: even a single query would solve for both
  assert.deepEqual(chargeOf(header, columns, 10n), { account: 'values', charge: 16, cap: 8 });
  assert.equal(admitQuery(chargeOf(header, columns, 10n), 0).kind, 'denied');
  const wide = Array.from({ length: 40 }, (_, i) => ({ column: `c${i}`, decimals: 0, low: 0n, high: 4000n }));
  const cost = chargeOf({ ...header, columns: wide.map(({ column }) => column) }, wide, 10n);
  assert.deepEqual(cost, { account: 'values', charge: 24, cap: 160 });
  let spent = 0;
  let admitted = 0;
  for (;;) {
    const verdict = admitQuery(cost, spent);
    if (verdict.kind === 'denied') break;
    spent = verdict.spent;
    admitted++;
  }
  assert.equal(admitted, 6);
  assert.ok(spent < 10 * wide.length);
  const totals = chargeOf({ ...header, output: 'total', rows: 1000 }, columns, 10n);
  assert.deepEqual(totals, { account: 'totals', charge: 5, cap: 1000 });
  assert.equal(PROFILES['bgv-query'].plainModulus.toString(2).length, 36);
});

test('whatever meets single rows shares one account, over the rows that there are: lookups and scores cannot split the table', () => {
  const ten = Array.from({ length: 10 }, (_, i) => ({ column: `m${i}`, decimals: 0, low: 0n, high: 1_000_000n }));
  const base = {
    format: 'glovebox-encrypted-query/1',
    columns: ten.map(({ column }) => column),
    ciphertexts: 1,
  } as const;
  // forty rows, for which queries are made as for 8192
  const score = chargeOf({ ...base, name: 'queryLinear', output: 'rows', rows: 8192 }, ten, 40n);
  const lookup = chargeOf({ ...base, name: 'lookup', output: 'total', rows: 8192 }, ten, 40n);
  const one = ten.slice(0, 1);
  const dot = chargeOf({ ...base, name: 'queryDot', output: 'total', rows: 8192, columns: ['m0'] }, one, 40n);
  assert.equal(new Set([score.account, lookup.account, dot.account]).size, 1);
  let spent = 0;
  let solved = 0;
  for (const [cost, values] of [
    [score, 40],
    [lookup, 10],
    [dot, 1],
  ] as const)
    for (let verdict = admitQuery(cost, spent); verdict.kind === 'admitted'; verdict = admitQuery(cost, spent)) {
      ({ spent } = verdict);
      solved += values;
    }
  assert.ok(solved >= 40 && solved <= 400 / 2, `${solved} of 400 values were solved for`);
  for (const rows of [0n, 1n])
    assert.equal(
      admitQuery(chargeOf({ ...base, name: 'lookup', output: 'total', rows: 8192 }, one, rows), 0).kind,
      'denied',
    );
});
