import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { RegisterDatasetRequest } from '../../gen/messages.ts';
import {
  DEFAULT_CSV_OPTIONS,
  FORMAT_HEAD_BYTES,
  formatOf,
  type SourceFile,
  type SourceFormat,
} from '../../dataset/source.ts';
import { Fault } from '../../rpc/fault.ts';

/** Largest upload of one dataset, and most files of it. */
const DATASET_UPLOAD = { bytes: 256 * 2 ** 30, files: 256 } as const;

type Header = Extract<NonNullable<RegisterDatasetRequest['part']>, { kind: 'header' }>['header'];

type FilePart = Extract<NonNullable<RegisterDatasetRequest['part']>, { kind: 'file' }>['file'];

/** Takes an upload apart into files, and checks that it came whole: header, then each file with its chunks, then the end. */
export class UploadedFiles {
  readonly #folder: string;
  readonly #limits: { readonly bytes: number; readonly files: number };
  readonly #sources: SourceFile[] = [];
  readonly #hash = createHash('sha256');
  #header: Header | null = null;
  #file: {
    readonly part: FilePart;
    readonly handle: FileHandle;
    readonly path: string;
    head: Buffer;
    bytes: number;
  } | null = null;
  #total = 0;
  #isWhole = false;

  /** `limits`: bytes of all files together, and files. */
  constructor(folder: string, limits: { readonly bytes: number; readonly files: number } = DATASET_UPLOAD) {
    this.#folder = folder;
    this.#limits = limits;
  }

  get current(): string {
    return this.#file?.part.name ?? '';
  }

  /** Answers the bytes of data that the part brought. */
  async take(part: RegisterDatasetRequest['part']): Promise<number> {
    if (this.#isWhole) throw new Fault('argument-not-valid', 'the upload goes on after its end');
    if (part === null) throw new Fault('argument-not-valid', 'a part of the upload is empty');
    switch (part.kind) {
      case 'header':
        if (this.#header !== null) throw new Fault('argument-not-valid', 'the upload has two headers');
        this.#header = part.header;
        return 0;
      case 'file':
        if (this.#header === null) throw new Fault('argument-not-valid', 'the upload begins with a header');
        await this.#closeFile();
        if (this.#sources.length >= this.#limits.files)
          throw new Fault('argument-not-valid', `an upload has at most ${this.#limits.files} files`);
        await this.#openFile(part.file);
        return 0;
      case 'chunk': {
        const file = this.#file;
        if (file === null) throw new Fault('argument-not-valid', 'a chunk belongs to no file');
        this.#total += part.chunk.byteLength;
        if (this.#total > this.#limits.bytes)
          throw new Fault('message-too-large', `an upload has at most ${this.#limits.bytes} bytes`);
        if (file.head.length < FORMAT_HEAD_BYTES)
          file.head = Buffer.concat([file.head, part.chunk.subarray(0, FORMAT_HEAD_BYTES)]);
        this.#hash.update(part.chunk);
        file.bytes += part.chunk.byteLength;
        await file.handle.writeFile(part.chunk);
        return part.chunk.byteLength;
      }
      case 'end': {
        await this.#closeFile();
        const digest = this.#hash.digest('hex');
        if (part.end.digest !== '' && part.end.digest.replace('sha256:', '') !== digest) {
          throw new Fault('argument-not-valid', 'the upload did not arrive as it was sent: its digest differs');
        }
        this.#isWhole = true;
        return 0;
      }
    }
  }

  finish(): { readonly header: Header; readonly sources: readonly SourceFile[] } {
    if (!this.#isWhole || this.#header === null)
      throw new Fault('argument-not-valid', 'the upload ended before it was whole');
    if (this.#sources.length === 0) throw new Fault('argument-not-valid', 'the upload holds no file');
    return { header: this.#header, sources: this.#sources };
  }

  /** Closes what is open, after a failure. */
  async abandon(): Promise<void> {
    await this.#file?.handle.close().catch(() => undefined);
    this.#file = null;
  }

  async #openFile(part: FilePart): Promise<void> {
    const path = join(this.#folder, `f${this.#sources.length}`);
    this.#file = { part, path, handle: await open(path, 'w', 0o600), head: Buffer.alloc(0), bytes: 0 };
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    if (file === null) return;
    this.#file = null;
    await file.handle.close();
    const { part, path, head, bytes } = file;
    if (part.size !== 0n && part.size !== BigInt(bytes))
      throw new Fault(
        'argument-not-valid',
        `file \`${part.name}\` was announced with ${part.size} bytes and has ${bytes}`,
      );
    this.#sources.push({
      path,
      label: part.name,
      bytes,
      format: part.format === '' ? formatOf(head.subarray(0, FORMAT_HEAD_BYTES)) : formatNamed(part.format),
      table: part.table === '' ? null : part.table,
      sourceTable: part.sourceTable === '' ? null : part.sourceTable,
      csv: DEFAULT_CSV_OPTIONS,
    });
  }
}

const FORMATS: readonly SourceFormat[] = ['parquet', 'csv', 'arrow-file', 'arrow-stream', 'duckdb'];

function formatNamed(name: string): SourceFormat {
  const format = FORMATS.find((one) => one === name);
  if (format === undefined) throw new Fault('argument-not-valid', `\`${name}\` is not a format: ${FORMATS.join(', ')}`);
  return format;
}
