import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, test } from 'node:test';
import { readColumnFile, type ColumnEvent } from '../../runtime/homomorphic/column-file.ts';
import { columnHeaderText, parseColumnHeader } from '../../runtime/homomorphic/column.ts';
import { readContribution, writeContribution } from '../../runtime/homomorphic/contribution.ts';
import { HomomorphicFault } from '../../runtime/homomorphic/fault.ts';
import { readInvitation, writeInvitation } from '../../runtime/homomorphic/invitation.ts';
import { generateKeyBundles, readPublicBundle, readSecretBundle, writeBundle } from '../../runtime/homomorphic/keys.ts';
import { freshShape } from '../../runtime/homomorphic/layout.ts';
import { planProgram } from '../../runtime/homomorphic/plan.ts';
import { isProfileId, PROFILES } from '../../runtime/homomorphic/profiles.ts';
import { parseProgram } from '../../runtime/homomorphic/program.ts';
import { encryptQuery, queryHeaderText, readQuery } from '../../runtime/homomorphic/query.ts';
import { readResult, writeResult } from '../../runtime/homomorphic/result-file.ts';
import { runOverColumns } from '../../runtime/homomorphic/run-columns.ts';
import { openTranscript, signTranscript, transcriptOf } from '../../runtime/homomorphic/transcript.ts';
import { readUnitFile, writeUnitFile } from '../../runtime/homomorphic/unit-file.ts';
import { unitTag } from '../../runtime/homomorphic/units.ts';
import { checkCiphertext, checkPublicKey, checkRelinearisationKey } from '../../runtime/homomorphic/validate.ts';
import { TEST_SEED } from '../property.ts';
import { encrypted, keyHolder } from './support.ts';

/*
 * Every format that comes from outside, mutated from a seed. A reader refuses what it is given, as the caller's mistake,
 * or it read one of two things: of a format that is sealed (by a digest, a signature) exactly what was written; of an
 * open one something that says the same when it is written and read again, so that nothing hides between two readings.
 */
/** Mutations over all kinds; `GLOVEBOX_HOSTILE=100000` for the long form, which has key files of megabytes and tells times. */
const LONG = Number(process.env['GLOVEBOX_HOSTILE'] ?? 0);
const KINDS = 16;
const ROUNDS = Math.max(150, Math.ceil(LONG / KINDS));

const holder = await keyHolder(['bgv-add-a', 'bgv-query']);
const rows = Array.from({ length: 40 }, (_, i) => i - 20);
const column = await encrypted(holder, { column: 'x', programs: ['sum'], low: -100, high: 100, decimals: 1 }, [
  { values: rows },
]);
const small = generateKeyBundles(holder.backend, ['bgv-add-a']);
const product = generateKeyBundles(holder.backend, ['bgv-product']);
/** With keys of every profile a file has nine megabytes. */
const largest = LONG === 0 ? product : generateKeyBundles(holder.backend, Object.keys(PROFILES).filter(isProfileId));
const plan = planProgram(parseProgram({ name: 'sum', columns: ['x'] }), [column]);
const parts = await runOverColumns(plan, null, [[column.file]]).catch(() =>
  runOverColumns(plan, holder.backend, [[column.file]]),
);
const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const facts = {
  jobId: 'job-1',
  agreementId: 'a-1',
  consumer: 'acme',
  units: 40,
  minUnits: 10,
  createdAtMs: 1_800_000_000_000,
};
const signed = signTranscript(transcriptOf(plan, parts, facts), privateKey);
const query = encryptQuery(
  {
    backend: holder.backend,
    publicKey: holder.open.keys.find(({ profile }) => profile === 'bgv-query')?.publicKey as Uint8Array,
  },
  {
    name: 'queryLinear',
    columns: [{ column: 'x', decimals: 0, low: 0n, high: 9n }],
    output: 'mean',
    rows: 8192,
    vector: BigInt64Array.of(3n),
  },
);
const units = rows.map((row) => ({ tag: unitTag(new Uint8Array(32), [row]), group: row < 0 ? 0 : 1 }));
const invitation = {
  format: 'glovebox-invitation/1' as const,
  dataset: 'joint',
  open: small.open,
  unitKey: new Uint8Array(32).fill(7),
  groups: ['a', 'b'],
  order: units,
};
const contribution = {
  format: 'glovebox-contribution/1' as const,
  dataset: 'joint',
  contributor: 'clinic',
  programs: ['sum'],
  columns: [
    { header: column.header, totals: column.totals, units: 40, groupUnits: [], maxRowsPerUnit: 1, minUnits: 10 },
  ],
};

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
const all = async <T>(items: AsyncIterable<T>): Promise<T[]> => {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
};
const eventsOf = (bytes: Uint8Array): Promise<readonly ColumnEvent[]> => all(readColumnFile([bytes]));

interface Format {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly read: (bytes: Uint8Array) => unknown;
  /** How what was read is written; null for what is sealed: then nothing else than the original may be read. */
  readonly write: ((value: never) => Uint8Array | Promise<Uint8Array>) | null;
}

/** A ciphertext or key: what is taken is the bytes themselves. */
const object = (name: string, bytes: Uint8Array, check: (bytes: Uint8Array) => void): Format => ({
  name,
  bytes,
  read: (given) => {
    check(given);
    return given;
  },
  write: (given: Uint8Array) => given,
});
const seededShape = freshShape(PROFILES['bgv-add-a'], 'seeded');
const fullShape = freshShape(PROFILES['bgv-add-a'], 'full');
const seeded = holder.backend.open(PROFILES['bgv-add-a']).encryptIntegersSeeded(BigInt64Array.of(5n, -7n));
const full = (() => {
  const context = holder.backend.open(PROFILES['bgv-add-a']);
  using loaded = context.load(seededShape, seeded);
  return context.save(loaded).slice();
})();
const [additiveKey, productKey] = [small.open.keys[0], product.open.keys[0]];

const FORMATS: readonly Format[] = [
  object('seeded ciphertext', seeded, (b) => checkCiphertext(seededShape, b)),
  object('full ciphertext', full, (b) => checkCiphertext(fullShape, b)),
  object('public key', additiveKey?.publicKey as Uint8Array, (b) => checkPublicKey(PROFILES['bgv-add-a'], b)),
  object('relinearisation key', productKey?.relinearisationKey as Uint8Array, (b) =>
    checkRelinearisationKey(PROFILES['bgv-product'], b),
  ),
  {
    name: 'public keys of many profiles',
    bytes: Buffer.from(writeBundle(largest.open)),
    read: (b) => readPublicBundle(b),
    write: null,
  },
  { name: 'column file', bytes: column.file, read: eventsOf, write: null },
  {
    name: 'public keys',
    bytes: Buffer.from(writeBundle(small.open)),
    read: (b) => readPublicBundle(b),
    write: null,
  },
  {
    name: 'transcript',
    bytes: Buffer.from(JSON.stringify(signed)),
    read: (bytes) => {
      const [, body = '', signature = ''] = /^\{"text":(".*"),"signature":(".*")\}$/s.exec(text(bytes)) ?? [];
      const parsed = [body, signature].map((part) => jsonOf(part));
      return openTranscript({ text: parsed[0] as string, signature: parsed[1] as string }, publicKey);
    },
    write: null,
  },
  {
    name: 'secret keys',
    bytes: Buffer.from(writeBundle(small.secret)),
    read: (b) => readSecretBundle(text(b)),
    write: null,
  },
  {
    name: 'column header',
    bytes: Buffer.from(columnHeaderText(column.header)),
    read: (b) => parseColumnHeader(text(b)),
    write: (value) => Buffer.from(columnHeaderText(value)),
  },
  {
    name: 'result',
    bytes: writeResult(parts),
    read: (b) => readResult(plan, b),
    write: (value) => writeResult(value),
  },
  {
    name: 'query',
    bytes: query,
    read: (bytes) => {
      const { header, publicKey: key, ciphertexts } = readQuery(bytes);
      return { header, key, ciphertexts };
    },
    write: ({ header, key, ciphertexts }: ReturnType<typeof readQuery> & { readonly key: Uint8Array }) => {
      const head = Buffer.from(queryHeaderText(header));
      const length = Buffer.alloc(4);
      length.writeUInt32LE(head.byteLength);
      return Buffer.concat([query.subarray(0, 8), length, head, key, ...ciphertexts]);
    },
  },
  {
    name: 'unit tags',
    bytes: Buffer.concat(await all(writeUnitFile(units))),
    read: (b) => readUnitFile([b]),
    write: null,
  },
  {
    name: 'program',
    bytes: Buffer.from(
      JSON.stringify({
        name: 'logistic',
        columns: ['x', 'y'],
        weights: [0.5, -2],
        parameters: { range: 8, decimals: 3 },
      }),
    ),
    read: (b) => parseProgram(jsonOf(text(b))),
    write: ({ name, columns, weights, parameters }: ReturnType<typeof parseProgram>) =>
      Buffer.from(JSON.stringify({ name, columns, weights, parameters })),
  },
  {
    name: 'invitation',
    bytes: Buffer.from(writeInvitation(invitation)),
    read: (b) => readInvitation(text(b)),
    write: (value) => Buffer.from(writeInvitation(value)),
  },
  {
    name: 'contribution',
    bytes: Buffer.from(writeContribution(contribution)),
    read: (b) => readContribution(text(b)),
    write: (value) => Buffer.from(writeContribution(value)),
  },
];

/** JSON or nothing, as callers of these readers parse it. */
function jsonOf(source: string): unknown {
  try {
    return JSON.parse(source);
  } catch {
    return null;
  }
}

/** Numbers below a bound, from a seed: Marsaglia's xorshift with 32 bits. */
function generator(seed: number): (bound: number) => number {
  let state = seed | 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % Math.max(1, bound);
  };
}

const TOKENS = [
  'null',
  '-1',
  '1e400',
  '[]',
  '{}',
  '""',
  '"__proto__"',
  ',',
  ':',
  '\u0000',
  '9007199254740993',
  'true',
  ' ',
];

/** One to three changes: bits, bytes, lengths, blocks moved, doubled or cleared, digits, and words that formats know. */
function mutated(original: Uint8Array, random: (bound: number) => number): Uint8Array {
  let bytes = Buffer.from(original);
  for (let change = 0; change <= random(3); change++) {
    // half of the changes hit the first bytes, where a format says what follows
    const at = random(2) === 0 ? random(Math.min(bytes.byteLength, 700)) : random(bytes.byteLength);
    const length = 1 + random(random(4) === 0 ? 4096 : 8);
    const other = random(bytes.byteLength);
    const before = bytes.subarray(0, at);
    const after = bytes.subarray(Math.min(bytes.byteLength, at + length));
    switch (random(10)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
        break;
      case 1:
        bytes[at] = random(256);
        break;
      case 2:
        bytes = Buffer.from(before);
        break;
      case 3:
        bytes = Buffer.concat([bytes, Buffer.alloc(length, random(256))]);
        break;
      case 4:
        bytes = Buffer.concat([before, after]);
        break;
      case 5:
        bytes = Buffer.concat([before, bytes.subarray(at, at + length), bytes.subarray(at)]);
        break;
      case 6:
        bytes.fill([0, 255, 0x41][random(3)] ?? 0, at, Math.min(bytes.byteLength, at + length));
        break;
      case 7:
        bytes.copyWithin(at, other, other + length);
        break;
      case 8:
        bytes[at] = 48 + random(10);
        break;
      default:
        bytes = Buffer.concat([before, Buffer.from(TOKENS[random(TOKENS.length)] ?? ''), after]);
    }
  }
  return new Uint8Array(bytes);
}

/** Milliseconds of each refusal by kind, told in the long form. */
const refusals = new Map<string, number[]>();
const at99 = (times: readonly number[]): string =>
  (times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? 0).toFixed(3);

/** How long a refusal takes: what looks slow is asked again, since another process may have had the core meanwhile. */
async function timeOf(read: () => unknown): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let turn = 0; turn < 3 && least > 0.3; turn++) {
    const start = performance.now();
    try {
      await read();
    } catch {
      // it was refused before
    }
    least = Math.min(least, performance.now() - start);
  }
  return least;
}

after(() => {
  if (LONG === 0) return;
  for (const [name, times] of refusals) console.log(`${name}: ${times.length} refusals, p99 ${at99(times)} ms`);
  const all = [...refusals.values()].flat();
  console.log(`all kinds: ${all.length} refusals, p99 ${at99(all)} ms`);
});

for (const [index, { name, bytes, read, write }] of FORMATS.entries()) {
  test(`a mutated ${name} is refused as the caller's mistake, or says the same however often it is read`, async () => {
    const random = generator(TEST_SEED + index * 7919);
    const original = await read(new Uint8Array(bytes));
    let refused = 0;
    const times: number[] = [];
    refusals.set(name, times);
    for (let round = 0; round < ROUNDS; round++) {
      const input = mutated(bytes, random);
      const where = `GLOVEBOX_TEST_SEED=${TEST_SEED}, round ${round}`;
      let value: unknown;
      try {
        value = await read(input);
      } catch (error) {
        assert.ok(error instanceof HomomorphicFault, `${where}: ${String(error)}`);
        assert.ok(error.blame === 'caller' || error.code === 'not-released', `${where}: ${error.code}`);
        refused++;
        if (LONG > 0) times.push(await timeOf(() => read(input)));
        continue;
      }
      if (write !== null) {
        assert.deepEqual(await read(new Uint8Array(await write(value as never))), value, where);
        if (name === 'result') assert.ok(Buffer.from(input).equals(await write(value as never)), where);
      } else if (name === 'unit tags') assert.ok((value as { rows: number }).rows * 18 + 8 === input.byteLength, where);
      else assert.deepEqual(value, original, where);
    }
    assert.ok(refused > ROUNDS / 20, `${refused} of ${ROUNDS} were refused`);
  });
}
