import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openCheckpoint } from '../evidence/checkpoint.ts';
import { sameDigest } from '../evidence/merkle.ts';
import { formatVerifierKey, type VerifierKey } from '../evidence/note.ts';
import { bundlePath, encodeBundle, piecesBetween, TILE_WIDTH, tilesBetween, type LogFile } from '../evidence/tiles.ts';
import type { EvidenceRows } from './evidence-rows.ts';
import { StoreFault } from './fault.ts';

/**
 * The log as plain files (C2SP tlog-tiles), written after the commit that they show and rebuilt at start. They may lag
 * behind the database by a moment and are never ahead of it: a published checkpoint that is larger than the database
 * means that an older copy of the state was put back.
 */
export class EvidenceFiles {
  readonly #folder: string;
  readonly #log: EvidenceRows;
  readonly #key: VerifierKey;
  #written = 0;

  constructor(folder: string, log: EvidenceRows, key: VerifierKey) {
    this.#folder = folder;
    this.#log = log;
    this.#key = key;
  }

  /** Brings the files to the database's state; returns how many were wrong although they had been published. */
  rebuild(): number {
    this.#put({ path: 'vkey', bytes: Buffer.from(`${formatVerifierKey(this.#key)}\n`) });
    const published = this.#publishedSize();
    let repaired = published === undefined ? 1 : 0;
    for (const file of this.#filesBetween(0, published ?? 0)) {
      const found = this.#read(file.path);
      if (found !== undefined && sameDigest(found, file.bytes)) continue;
      this.#put(file);
      repaired += 1;
    }
    this.#written = published ?? 0;
    return repaired;
  }

  /** Writes what was committed since the last time. */
  publish(): void {
    const { size } = this.#log.tree;
    if (size !== this.#written || size === 0) {
      for (const file of this.#filesBetween(this.#written, size)) {
        this.#put(file);
        this.#dropOlderPartials(file.path);
      }
    }
    this.#put({ path: 'checkpoint', bytes: Buffer.from(this.#log.checkpoint) });
    this.#written = size;
  }

  /** How many entries the files show; 0 when nothing was published, undefined when the checkpoint file is damaged. */
  #publishedSize(): number | undefined {
    const bytes = this.#read('checkpoint');
    if (bytes === undefined) return 0;
    const checkpoint = openCheckpoint(Buffer.from(bytes).toString('utf8'), this.#key);
    if (checkpoint === undefined) return undefined;
    const { size } = this.#log.tree;
    if (checkpoint.size > size) {
      throw new StoreFault(
        'state-rolled-back',
        `the published log has ${checkpoint.size} entries, the state only ${size}: an older copy of the state was put back`,
      );
    }
    if (!sameDigest(checkpoint.root, this.#log.tree.root(checkpoint.size))) {
      throw new StoreFault('state-tampered', 'the published log and the state have different histories');
    }
    return checkpoint.size;
  }

  *#filesBetween(from: number, to: number): Generator<LogFile> {
    for (const { index, width } of piecesBetween(from, to)) {
      const start = index * TILE_WIDTH;
      yield { path: bundlePath(index, width), bytes: encodeBundle(this.#log.entries(start, start + width)) };
    }
    yield* tilesBetween(this.#log.tree, from, to);
  }

  #read(path: string): Uint8Array | undefined {
    try {
      return readFileSync(join(this.#folder, path));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Renamed into place, so that a reader sees the old file or the new one, never half of it. */
  #put(file: LogFile): void {
    const target = join(this.#folder, file.path);
    mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
    writeFileSync(`${target}.new`, file.bytes, { mode: 0o600 });
    renameSync(`${target}.new`, target);
  }

  /** Keeps one older partial tile for a reader that has just read the checkpoint before this one. */
  #dropOlderPartials(path: string): void {
    const [tile, width] = path.split('.p/');
    if (tile === undefined) return;
    const folder = join(this.#folder, `${tile}.p`);
    const below = width === undefined ? TILE_WIDTH : Number(width);
    let names: string[];
    try {
      names = readdirSync(folder);
    } catch {
      return;
    }
    const older = names.map(Number).filter((one) => Number.isInteger(one) && one < below);
    const keep = Math.max(...older);
    for (const one of older) if (one !== keep) rmSync(join(folder, String(one)), { force: true });
  }
}
