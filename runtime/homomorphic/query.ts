import { createHash } from 'node:crypto';
import type { Backend } from './backend.ts';
import { HomomorphicFault } from './fault.ts';
import {
  assembleCiphertext,
  bodyBytes,
  ciphertextBytes,
  freshShape,
  keyShape,
  switchedShape,
  type CiphertextShape,
} from './layout.ts';
import { queryCapacity } from './noise.ts';
import { PROFILES } from './profiles.ts';
import { PROGRAMS, parseProgram, type EncryptedQueryProgramName, type HomomorphicProgram } from './program.ts';
import { checkCiphertext, checkPublicKey } from './validate.ts';

/** The one profile of encrypted queries. */
export const QUERY_PROFILE = PROFILES['bgv-query'];
/** Primes that a result keeps: the fewest that decrypt, so that a result is small and carries little noise out. */
export const RESULT_PRIMES = 2;
/** Rows of one block. */
export const QUERY_BLOCK_ROWS = QUERY_PROFILE.degree;
/** Most ciphertexts in one query file: 256 columns, or 2 million rows of an encrypted vector. */
export const QUERY_CIPHERTEXT_LIMIT = 256;

/** Public facts about a provider's plaintext column that a query computes over. */
export interface QueryColumn {
  readonly column: string;
  readonly decimals: number;
  /** Bounds of the scaled integers. */
  readonly low: bigint;
  readonly high: bigint;
}

/** What a model is asked for: one number over totals, one over means, or the score of every row. */
export type QueryOutput = 'total' | 'mean' | 'rows';

/** Everything public about an encrypted query. */
export interface QueryHeader {
  readonly format: 'glovebox-encrypted-query/1';
  readonly name: EncryptedQueryProgramName;
  readonly columns: readonly string[];
  /** What leaves; rows only where the policy allows it. */
  readonly output: QueryOutput;
  readonly rows: number;
  readonly ciphertexts: number;
}

/** An encrypted query after its strict reader: every key and ciphertext validated. */
export interface EncryptedQuery {
  readonly header: QueryHeader;
  readonly program: HomomorphicProgram;
  /** `sha256:` of the file. */
  readonly digest: string;
  readonly publicKey: Uint8Array;
  readonly ciphertexts: readonly Uint8Array[];
}

const MAGIC = Buffer.from('GBHEQ\0\0\u0001', 'latin1');
const HEADER_LIMIT_BYTES = 64 * 1024;
const HEADER_KEYS = ['format', 'name', 'columns', 'output', 'rows', 'ciphertexts'] as const;
const seededShape = freshShape(QUERY_PROFILE, 'seeded');

/** The shape of a result ciphertext as the consumer gets it. */
export function queryResultShape(): CiphertextShape {
  return switchedShape(QUERY_PROFILE, RESULT_PRIMES);
}

/**
 * Encrypts a query on the consumer's side. `vectors` are whole numbers: for linear scores one weight per column, for a
 * dot product the vector over rows, for a lookup the wanted row. A total that could leave the plaintext modulus throws
 * `out-of-range`: results would wrap around silently.
 */
export function encryptQuery(
  needs: { readonly backend: Backend; readonly publicKey: Uint8Array },
  query: {
    readonly name: EncryptedQueryProgramName;
    readonly columns: readonly QueryColumn[];
    readonly output: QueryOutput;
    readonly rows: number;
    readonly vector: BigInt64Array;
  },
): Uint8Array {
  const context = needs.backend.open(QUERY_PROFILE);
  const slots = vectorsOf(query);
  checkReach(query);
  const header: QueryHeader = {
    format: 'glovebox-encrypted-query/1',
    name: query.name,
    columns: query.columns.map(({ column }) => column),
    output: query.output,
    rows: query.rows,
    ciphertexts: slots.length,
  };
  const ciphertexts = slots.map((values) => context.encryptIntegersSeeded(values));
  const text = Buffer.from(queryHeaderText(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.byteLength, 0);
  return Buffer.concat([MAGIC, length, text, needs.publicKey, ...ciphertexts]);
}

/** The header as text, keys in the one order that `parseQueryHeader` takes. */
export function queryHeaderText(header: QueryHeader): string {
  return JSON.stringify(Object.fromEntries(HEADER_KEYS.map((key) => [key, header[key]])));
}

/** Reads an encrypted query from untrusted bytes: one possible length, one possible header per object, range-checked. */
export function readQuery(bytes: Uint8Array): EncryptedQuery {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const textAt = MAGIC.byteLength + 4;
  if (buffer.byteLength < textAt || Buffer.compare(buffer.subarray(0, MAGIC.byteLength), MAGIC) !== 0)
    refuse('it does not begin like one');
  const length = buffer.readUInt32LE(MAGIC.byteLength);
  if (length > HEADER_LIMIT_BYTES || textAt + length > buffer.byteLength) refuse('its header is too long');
  const header = parseQueryHeader(buffer.subarray(textAt, textAt + length).toString('utf8'));
  const keyLength = ciphertextBytes(keyShape(QUERY_PROFILE, 'seeded'));
  const one = ciphertextBytes(seededShape);
  if (buffer.byteLength !== textAt + length + keyLength + header.ciphertexts * one)
    refuse('its length does not fit its header');
  const keyAt = textAt + length;
  const publicKey = bytes.subarray(keyAt, keyAt + keyLength);
  checkPublicKey(QUERY_PROFILE, publicKey);
  const ciphertexts = Array.from({ length: header.ciphertexts }, (_, i) => {
    const ciphertext = bytes.subarray(keyAt + keyLength + i * one, keyAt + keyLength + (i + 1) * one);
    checkCiphertext(seededShape, ciphertext);
    return ciphertext;
  });
  const program = parseProgram({ name: header.name, columns: header.columns });
  return {
    header,
    program,
    digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
    publicKey,
    ciphertexts,
  };
}

/** Number of result ciphertexts of a query. */
export function queryResultCount(header: QueryHeader): number {
  if (header.name === 'lookup') return header.columns.length;
  return header.output === 'rows' ? blocksOf(header.rows) : 1;
}

/**
 * Decrypts a query's result on the consumer's side: for `rows` one whole number per row, else one number per result
 * ciphertext (slots are blinded with shares of zero, so only their total means anything).
 */
export function decryptQueryResult(backend: Backend, header: QueryHeader, result: Uint8Array): BigInt64Array {
  const context = backend.open(QUERY_PROFILE);
  const shape = queryResultShape();
  const length = bodyBytes(shape);
  if (result.byteLength !== queryResultCount(header) * length) {
    throw new HomomorphicFault('bad-ciphertext', 'these bytes are not the result of this query');
  }
  const slots = Array.from({ length: queryResultCount(header) }, (_, i) => {
    using ciphertext = context.load(shape, assembleCiphertext(shape, result.subarray(i * length, (i + 1) * length)));
    return context.decryptIntegers(ciphertext);
  });
  if (header.output === 'rows') {
    const rows = new BigInt64Array(header.rows);
    slots.forEach((block, i) =>
      rows.set(block.subarray(0, Math.min(block.length, header.rows - i * QUERY_BLOCK_ROWS)), i * QUERY_BLOCK_ROWS),
    );
    return rows;
  }
  const t = QUERY_PROFILE.plainModulus;
  return BigInt64Array.from(slots, (block) => {
    const total = ((block.reduce((sum, slot) => sum + slot, 0n) % t) + t) % t;
    return total > t / 2n ? total - t : total;
  });
}

/** Blocks that hold this many rows. */
export function blocksOf(rows: number): number {
  return Math.max(1, Math.ceil(rows / QUERY_BLOCK_ROWS));
}

/** Ciphertexts a query of this kind must have: one per column for a model, one per block for a vector over rows. */
function ciphertextCount(name: EncryptedQueryProgramName, columns: number, rows: number): number {
  return name === 'queryDot' || name === 'lookup' ? blocksOf(rows) : columns;
}

function vectorsOf(query: Parameters<typeof encryptQuery>[1]): readonly BigInt64Array[] {
  const count = ciphertextCount(query.name, query.columns.length, query.rows);
  if (count > QUERY_CIPHERTEXT_LIMIT)
    throw new HomomorphicFault('out-of-range', `a query has at most ${QUERY_CIPHERTEXT_LIMIT} ciphertexts`);
  if (query.name === 'lookup') {
    const wanted = Number(query.vector[0] ?? -1n);
    if (query.vector.length !== 1 || wanted < 0 || wanted >= query.rows)
      throw new HomomorphicFault('out-of-range', 'a lookup wants one row of the table');
    return Array.from({ length: count }, (_, block) => {
      const slots = new BigInt64Array(QUERY_BLOCK_ROWS);
      if (Math.floor(wanted / QUERY_BLOCK_ROWS) === block) slots[wanted % QUERY_BLOCK_ROWS] = 1n;
      return slots;
    });
  }
  if (query.name === 'queryDot') {
    if (query.vector.length !== query.rows)
      throw new HomomorphicFault('out-of-range', 'the vector needs one number for each row');
    return Array.from({ length: count }, (_, block) => {
      const slots = new BigInt64Array(QUERY_BLOCK_ROWS);
      slots.set(query.vector.subarray(block * QUERY_BLOCK_ROWS, (block + 1) * QUERY_BLOCK_ROWS));
      return slots;
    });
  }
  if (query.vector.length !== query.columns.length)
    throw new HomomorphicFault('out-of-range', 'the model needs one weight for each column');
  return Array.from(query.vector, (weight) => new BigInt64Array(QUERY_BLOCK_ROWS).fill(weight));
}

/** The largest total that the query can have must stay within the plaintext modulus. */
function checkReach(query: Parameters<typeof encryptQuery>[1]): void {
  const magnitude = ({ low, high }: QueryColumn): bigint => (-low > high ? -low : high);
  const abs = (value: bigint): bigint => (value < 0n ? -value : value);
  let reach = 0n;
  if (query.name === 'lookup')
    reach = query.columns.reduce((most, column) => (magnitude(column) > most ? magnitude(column) : most), 0n);
  else if (query.name === 'queryDot')
    reach = query.vector.reduce((sum, value) => sum + abs(value), 0n) * magnitude(query.columns[0] as QueryColumn);
  else {
    reach = query.columns.reduce((sum, column, i) => sum + abs(query.vector[i] ?? 0n) * magnitude(column), 0n);
    if (query.output === 'total') reach *= BigInt(query.rows);
  }
  const limit = QUERY_PROFILE.plainModulus / 2n;
  if (reach > limit) {
    throw new HomomorphicFault(
      'out-of-range',
      `the result could reach ${reach}, at most ${limit} can be told: use fewer decimals or smaller weights`,
    );
  }
}

/** Reads a query's header from untrusted text; anything unexpected throws `bad-ciphertext`. */
export function parseQueryHeader(text: string): QueryHeader {
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch {
    return refuse('its header is not JSON');
  }
  if (typeof input !== 'object' || input === null) return refuse('its header is not an object');
  const header = input as Record<(typeof HEADER_KEYS)[number], unknown>;
  if (Object.keys(header).join() !== HEADER_KEYS.join() || header.format !== 'glovebox-encrypted-query/1')
    return refuse('its header is unknown');
  const { name, columns, output, rows, ciphertexts } = header;
  const isQuery =
    typeof name === 'string' &&
    Object.hasOwn(PROGRAMS, name) &&
    PROGRAMS[name as EncryptedQueryProgramName].shape === 'encryptedQuery';
  if (!isQuery) return refuse('it names no query program');
  const program = parseProgram({ name, columns });
  if (output !== 'total' && output !== 'mean' && output !== 'rows')
    return refuse('its output is neither total, nor mean, nor rows');
  if (output !== 'total' && name !== 'queryLinear' && name !== 'queryLogistic')
    return refuse('only a model has means and scores row by row');
  if (typeof rows !== 'number' || !Number.isSafeInteger(rows) || rows < 1)
    return refuse('its row count is not a number');
  const expected = ciphertextCount(program.name as EncryptedQueryProgramName, program.columns.length, rows);
  if (ciphertexts !== expected || expected > QUERY_CIPHERTEXT_LIMIT)
    return refuse('it has the wrong number of ciphertexts');
  const products = BigInt(program.columns.length * blocksOf(rows));
  if (products > queryCapacity(QUERY_PROFILE)) return refuse('it adds up more products than the noise allows');
  return {
    format: 'glovebox-encrypted-query/1',
    name: program.name as EncryptedQueryProgramName,
    columns: program.columns,
    output,
    rows,
    ciphertexts: expected,
  };
}

function refuse(complaint: string): never {
  throw new HomomorphicFault('bad-ciphertext', `cannot read this encrypted query: ${complaint}`);
}
