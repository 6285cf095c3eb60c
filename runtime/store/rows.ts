import { createHash, createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { canonicalJson, type Json } from '../evidence/canonical-json.ts';
import { StoreFault } from './fault.ts';
import { MAX_ID_CHARACTERS, MAX_PAGE, MAX_RECORD_BYTES, TABLES } from './records.ts';
import type { RecordFilter, StoredRecord, TableName } from './records.ts';

/**
 * A keyed digest of a set of rows that can be updated row by row: the sum of each row's HMAC modulo 2^256
 * (MSet-Add-Hash: Clarke, Devadas, van Dijk, Gassend, Suh, Asiacrypt 2003). Whoever lacks the key can change no row,
 * put no old row back and remove none without the sum telling; only the whole state at once can be put back, and that
 * is what the published checkpoint catches.
 */
export class RowDigest {
  /** A key object: with plain bytes each HMAC costs five times as much (measured). */
  readonly #key: KeyObject;
  #sum = 0n;

  constructor(key: Buffer) {
    this.#key = createSecretKey(key);
  }

  get value(): bigint {
    return this.#sum;
  }

  set value(sum: bigint) {
    this.#sum = sum;
  }

  add(table: string, columns: readonly SQLInputValue[]): void {
    this.#sum = (this.#sum + this.#hmac(table, columns)) & MASK;
  }

  subtract(table: string, columns: readonly SQLInputValue[]): void {
    this.#sum = (this.#sum - this.#hmac(table, columns)) & MASK;
  }

  /** A row that was written a moment ago is written again soon: its old code is remembered, not computed anew. */
  readonly #recent = new Map<string, bigint>();

  #hmac(table: string, columns: readonly SQLInputValue[]): bigint {
    const parts = columns.map((column) => (ArrayBuffer.isView(column) ? blobDigest(column) : column));
    const text = JSON.stringify([table, ...parts], (_, part: unknown) =>
      typeof part === 'bigint' ? `${part}n` : part,
    );
    const known = this.#recent.get(text);
    if (known !== undefined) return known;
    const code = BigInt(`0x${createHmac('sha256', this.#key).update(text).digest('hex')}`);
    if (text.length <= MAX_REMEMBERED_CHARACTERS) {
      if (this.#recent.size >= MAX_REMEMBERED) this.#recent.clear();
      this.#recent.set(text, code);
    }
    return code;
  }
}

/** Rows whose code is remembered, and the longest of them: at most 8 MiB. */
const MAX_REMEMBERED = 1024;
const MAX_REMEMBERED_CHARACTERS = 4096;

/** Reads and writes records; every write also moves the digest. */
export class Rows {
  readonly #digest: RowDigest;
  readonly #get: StatementSync;
  readonly #stateOf: StatementSync;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;
  readonly #delete: StatementSync;
  readonly #some: StatementSync;
  readonly #database: DatabaseSync;
  readonly #lists = new Map<string, StatementSync>();

  constructor(database: DatabaseSync, digest: RowDigest) {
    this.#database = database;
    this.#digest = digest;
    this.#get = database.prepare('select * from record where kind = ? and id = ?');
    this.#stateOf = database.prepare('select state from record where kind = ? and id = ?');
    this.#insert = database.prepare('insert into record values (?, ?, ?, ?, ?, ?, ?)');
    // Not `insert or replace`: an update leaves the indexes alone whose columns did not change.
    this.#update = database.prepare(`update record set owner = ?3, state = ?4, at = ?5, body = ?6, bytes = ?7
      where kind = ?1 and id = ?2`);
    this.#some = database.prepare(
      `select 1 from record where kind = ? and kind <> 'reservation' and state = ? limit 1`,
    );
    this.#delete = database.prepare('delete from record where kind = ? and id = ?');
  }

  get<Body extends Json = Json>(table: TableName, id: string): StoredRecord<Body> | undefined {
    const row = this.#get.get(table, id);
    return row === undefined ? undefined : (recordOf(row) as StoredRecord<Body>);
  }

  /** The state of a record without reading the rest of it; undefined when there is none. */
  stateOf(table: TableName, id: string): string | undefined {
    return this.#stateOf.get(table, id)?.['state'] as string | undefined;
  }

  /** Writes a record that does not exist yet; throws when it does. */
  insert(record: StoredRecord): void {
    checkRecord(record);
    const columns = columnsOf(record);
    this.#insert.run(...columns);
    this.#digest.add('record', columns);
  }

  put(record: StoredRecord): void {
    checkRecord(record);
    const columns = columnsOf(record);
    const before = this.#get.get(record.table, record.id);
    if (before !== undefined) this.#digest.subtract('record', Object.values(before) as SQLInputValue[]);
    (before === undefined ? this.#insert : this.#update).run(...columns);
    this.#digest.add('record', columns);
  }

  delete(table: TableName, id: string): boolean {
    const before = this.#get.get(table, id);
    if (before === undefined) return false;
    this.#digest.subtract('record', Object.values(before) as SQLInputValue[]);
    return this.#delete.run(table, id).changes === 1;
  }

  list<Body extends Json = Json>(table: TableName, filter: RecordFilter = {}): StoredRecord<Body>[] {
    const { owner, state, before } = filter;
    // Word for word the condition of the partial indexes, so that they can be used.
    const where = table === 'reservation' ? ['kind = ?'] : ['kind = ?', `kind <> 'reservation'`];
    const values: SQLInputValue[] = [table];
    const narrow = (condition: string, ...found: SQLInputValue[]): void => {
      where.push(condition);
      values.push(...found);
    };
    if (owner !== undefined) narrow('owner = ?', owner);
    if (state !== undefined) narrow('state = ?', state);
    if (before !== undefined) narrow('(at, id) < (?, ?)', before.atMs, before.id);
    const limit = Math.min(filter.limit ?? MAX_PAGE, MAX_PAGE);
    const text = `select * from record where ${where.join(' and ')} order by at desc, id desc limit ?`;
    const statement = this.#lists.get(text) ?? this.#database.prepare(text);
    this.#lists.set(text, statement);
    return statement.all(...values, limit).map((row) => recordOf(row) as StoredRecord<Body>);
  }

  /** Whether any record of a table is in this state. */
  some(table: TableName, state: string): boolean {
    return this.#some.get(table, state) !== undefined;
  }

  /** Every record of a table, whatever their number: for start-up only. */
  all(table: TableName): StoredRecord[] {
    return this.#database
      .prepare('select * from record where kind = ?')
      .all(table)
      .map((row) => recordOf(row));
  }
}

/** The digest of everything that is in the sealed tables now, computed from nothing. */
export function digestOfAll(database: DatabaseSync, key: Buffer): bigint {
  const digest = new RowDigest(key);
  for (const row of database.prepare('select * from record').iterate()) {
    digest.add('record', Object.values(row) as SQLInputValue[]);
  }
  for (const table of ['balance', 'use']) {
    const statement = database.prepare(`select * from ${table}`);
    statement.setReadBigInts(true);
    for (const row of statement.iterate()) digest.add(table, Object.values(row) as SQLInputValue[]);
  }
  return digest.value;
}

/** What binds the rows, the log's size and the time together; keyed, so that only this runtime can write it. */
export interface Seal {
  readonly digest: bigint;
  readonly logSize: number;
  /** The latest time the store has seen: the clock may not go back behind it. */
  readonly latestMs: number;
  readonly checkpoint: string;
}

export function sealMac(key: Buffer, seal: Seal): Buffer {
  const text = JSON.stringify(['seal', seal.digest.toString(16), seal.logSize, seal.latestMs, seal.checkpoint]);
  return createHmac('sha256', key).update(text).digest();
}

export function digestBytes(digest: bigint): Buffer {
  return Buffer.from(digest.toString(16).padStart(64, '0'), 'hex');
}

/** The stored seal, or undefined when there is none; throws when its code does not fit. */
export function readSeal(database: DatabaseSync, key: Buffer): Seal | undefined {
  const row = database.prepare('select * from seal where id = 1').get();
  if (row === undefined) return undefined;
  const mac = row['mac'] as Uint8Array;
  const seal: Seal = {
    digest: BigInt(`0x${Buffer.from(row['digest'] as Uint8Array).toString('hex')}`),
    logSize: Number(row['log_size']),
    latestMs: Number(row['latest_ms']),
    checkpoint: String(row['checkpoint']),
  };
  const expected = sealMac(key, seal);
  if (mac.length !== expected.length || !timingSafeEqual(mac, expected)) {
    throw new StoreFault(
      'state-tampered',
      'the seal of the state does not fit: it was changed, or the key is another one',
    );
  }
  return seal;
}

const MASK = 2n ** 256n - 1n;

function columnsOf(record: StoredRecord): SQLInputValue[] {
  const { table, id, owner, state, atMs, body, bytes } = record;
  return [table, id, owner, state, atMs, canonicalJson(body), bytes ?? null];
}

function recordOf(row: Record<string, unknown>): StoredRecord {
  const { kind, id, owner, state, at, body, bytes } = row;
  const record = {
    table: kind as TableName,
    id: id as string,
    owner: owner as string,
    state: state as string,
    atMs: at as number,
    body: JSON.parse(body as string) as Json,
  };
  return bytes === null ? record : { ...record, bytes: bytes as Uint8Array };
}

function checkRecord(record: StoredRecord): void {
  const { table, id, atMs, bytes } = record;
  if (!TABLES.includes(table)) throw new StoreFault('state-misuse', `there is no table '${String(table)}'`);
  if (id === '' || id.length > MAX_ID_CHARACTERS)
    throw new StoreFault('state-misuse', `a ${table} id has ${id.length} characters`);
  if (!Number.isSafeInteger(atMs)) throw new StoreFault('state-misuse', `${table} '${id}' has no whole time`);
  if ((bytes?.length ?? 0) > MAX_RECORD_BYTES) throw new StoreFault('state-misuse', `${table} '${id}' is too large`);
}

function blobDigest(blob: NodeJS.ArrayBufferView): string {
  return createHash('sha256').update(blob).digest('hex');
}
