import { createHash } from 'node:crypto';
import { pseudonymOf } from '../evidence/entry.ts';
import type { Step } from '../store/jobs.ts';
import type { StoredRecord } from '../store/records.ts';
import type { Store } from '../store/store.ts';

/** kept: 32 random bytes, hexadecimal. erased: they are gone, and stay so. */
type SaltBody = { readonly salt?: string };
const SALT_BYTES = 32;

/** What a party is in entries that are written after it was erased: nobody in particular. */
export const ERASED = `p:${'0'.repeat(32)}`;

/**
 * What parties are called in the log. Each has a salt of its own, kept beside the state and never in the log: without it
 * nobody can tell which entries were this party's, and those of all others stay as they are. Parties of before salts were
 * their own share the runtime's key, and so do names of purposes.
 */
export class Pseudonyms {
  readonly #store: Pick<Store, 'peek'>;
  readonly #shared: Uint8Array;
  readonly #randomBytes: (count: number) => Uint8Array;
  /** Of parties whose admission is being written: their first entry is in the same transaction. */
  readonly #coming = new Map<string, string>();

  constructor(
    store: Pick<Store, 'peek'>,
    { shared, randomBytes }: { readonly shared: Uint8Array; readonly randomBytes: (count: number) => Uint8Array },
  ) {
    this.#store = store;
    this.#shared = shared;
    this.#randomBytes = randomBytes;
  }

  /** The pseudonym of a party; ERASED when its salt is gone. */
  of(party: string): string {
    const salt = this.#saltOf(party);
    return salt === null ? ERASED : pseudonymOf(salt, party);
  }

  /** A digest that ties a text to a party for whoever has the party's salt: 64 lower-case hex digits. */
  commitment(party: string, text: string): string {
    const salt = this.#saltOf(party);
    return createHash('sha256')
      .update(salt ?? this.#randomBytes(SALT_BYTES))
      .update(`\0${text}`)
      .digest('hex');
  }

  /** The step that gives a new party its salt: part of the transaction that admits it. None when it has one. */
  give(party: string, atMs: number): readonly Step[] {
    if (this.#store.peek('salt', party) !== undefined) return [];
    const salt = this.#coming.get(party) ?? Buffer.from(this.#randomBytes(SALT_BYTES)).toString('hex');
    this.#coming.set(party, salt);
    return [{ do: 'put', record: saltRecord(party, 'kept', atMs, { salt }) }];
  }

  /** The admission is durable, or failed: what is told of the party from now on is what is on record. */
  given(party: string): void {
    this.#coming.delete(party);
  }

  /** The step that erases a party's salt; undefined when it has none of its own, or none any more. */
  erase(party: string, atMs: number): Step | undefined {
    if (this.#store.peek('salt', party)?.state !== 'kept') return undefined;
    return { do: 'put', record: saltRecord(party, 'erased', atMs, {}) };
  }

  /** Null: erased. */
  #saltOf(party: string): Uint8Array | null {
    const record = this.#store.peek<SaltBody>('salt', party);
    if (record === undefined) {
      const coming = this.#coming.get(party);
      return coming === undefined ? this.#shared : Buffer.from(coming, 'hex');
    }
    return record.body.salt === undefined ? null : Buffer.from(record.body.salt, 'hex');
  }
}

function saltRecord(party: string, state: 'kept' | 'erased', atMs: number, body: SaltBody): StoredRecord<SaltBody> {
  return { table: 'salt', id: party, owner: '', state, atMs, body };
}
