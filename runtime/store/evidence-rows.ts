import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { openCheckpoint, signCheckpoint } from '../evidence/checkpoint.ts';
import { encodeEntry, type EvidenceEvent, type EvidenceKind } from '../evidence/entry.ts';
import { leafHash, MerkleTree, sameDigest } from '../evidence/merkle.ts';
import type { NoteSigner } from '../evidence/note.ts';
import { formatReceipt } from '../evidence/receipt.ts';
import { StoreFault } from './fault.ts';

/** The log's entries in the database, and their tree in memory. The database is the source; files are derived from it. */
export class EvidenceRows {
  readonly tree = new MerkleTree();
  readonly #signer: NoteSigner;
  readonly #insert: StatementSync;
  readonly #entry: StatementSync;
  readonly #range: StatementSync;
  readonly #byKind: StatementSync;
  #checkpoint = '';
  #signedSize = 0;

  constructor(database: DatabaseSync, signer: NoteSigner) {
    this.#signer = signer;
    this.#insert = database.prepare('insert into evidence values (?, ?, ?, ?)');
    this.#entry = database.prepare('select entry from evidence where position = ?');
    this.#range = database.prepare('select entry from evidence where position >= ? and position < ? order by position');
    this.#byKind = database.prepare('select position from evidence where kind = ? order by position desc limit ?');
  }

  get checkpoint(): string {
    return this.#checkpoint;
  }

  /** Rebuilds the tree from the rows and holds it against the last signed checkpoint. */
  load(database: DatabaseSync, sealed: { readonly logSize: number; readonly checkpoint: string } | undefined): void {
    for (const row of database.prepare('select position, kind, entry from evidence order by position').iterate()) {
      const entry = row['entry'] as Uint8Array;
      if (row['position'] !== this.tree.size) throw tampered(`entry ${this.tree.size} of the log is missing`);
      // What is looked for by its kind is found by this column; the root covers the entry alone.
      if (!isOfKind(entry, String(row['kind'])))
        throw tampered(`entry ${this.tree.size} of the log is of another kind`);
      this.tree.append(leafHash(entry));
    }
    if (sealed === undefined) {
      if (this.tree.size > 0) throw tampered('the log has entries but no checkpoint');
      this.sign();
      return;
    }
    const checkpoint = openCheckpoint(sealed.checkpoint, this.#signer.verifier);
    if (checkpoint === undefined) {
      throw new StoreFault('state-key', `the log was not signed by ${this.#signer.verifier.name} with the present key`);
    }
    if (checkpoint.size !== this.tree.size || sealed.logSize !== this.tree.size) {
      throw tampered(`the log has ${this.tree.size} entries, its checkpoint was signed over ${checkpoint.size}`);
    }
    if (!sameDigest(checkpoint.root, this.tree.root()))
      throw tampered('the entries of the log are not those that were signed');
    this.#checkpoint = sealed.checkpoint;
    this.#signedSize = checkpoint.size;
  }

  /** Appends an event; returns its position. `sign` signs for all that were appended since the last time. */
  append(event: EvidenceEvent): number {
    const entry = encodeEntry(event);
    const position = this.tree.append(leafHash(entry));
    this.#insert.run(position, event.kind, event.atMs, entry);
    return position;
  }

  /** Signs the present size and root, once per commit. */
  sign(): string {
    if (this.#checkpoint === '' || this.#signedSize !== this.tree.size) {
      const { size } = this.tree;
      const checkpoint = { origin: this.#signer.verifier.name, size, root: this.tree.root() };
      this.#checkpoint = signCheckpoint(checkpoint, this.#signer);
      this.#signedSize = size;
    }
    return this.#checkpoint;
  }

  /** Goes back to what was signed before a commit that failed. */
  restore(size: number, checkpoint: string): void {
    this.tree.truncate(size);
    this.#checkpoint = checkpoint;
    this.#signedSize = size;
  }

  /** The receipt of an entry against the last checkpoint, or the one given; undefined when it holds no such entry. */
  receipt(
    position: number,
    against: { readonly size: number; readonly note: string } = { size: this.#signedSize, note: this.#checkpoint },
  ): string | undefined {
    const { size, note } = against;
    const entry = position < size && size <= this.#signedSize ? this.#entry.get(position) : undefined;
    if (entry === undefined) return undefined;
    const path = this.tree.inclusionProof(position, size);
    return formatReceipt({ entry: entry['entry'] as Uint8Array, index: position, path, checkpoint: note });
  }

  entries(from: number, to: number): Uint8Array[] {
    return this.#range.all(from, to).map((row) => row['entry'] as Uint8Array);
  }

  positionsOf(kind: EvidenceKind, limit: number): number[] {
    return this.#byKind.all(kind, limit).map((row) => row['position'] as number);
  }
}

function tampered(message: string): StoreFault {
  return new StoreFault('state-tampered', message);
}

/** Whether an entry says that it is of this kind; those of earlier versions, in envelopes, are not looked into. */
function isOfKind(entry: Uint8Array, kind: string): boolean {
  const bytes = Buffer.from(entry.buffer, entry.byteOffset, entry.byteLength);
  return !bytes.includes('"predicateType":') || bytes.includes(`:${kind}","subject":[`);
}
