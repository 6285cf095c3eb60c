import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { status } from '@grpc/grpc-js';
import type {
  ConsumerTable,
  RegisterDatasetHeader,
  RegisterDatasetRequest,
  RegisterDatasetResponse,
  UploadTableHeader,
  UploadTableRequest,
} from '../gen/messages.ts';
import { GloveboxError } from './error.ts';
import { isShellPipe } from './read-text.ts';
import type { CatalogServiceClient, TableServiceClient } from '../gen/services.ts';
import type { CallOptions, Init } from '../rpc/call.ts';
import { DEFAULT_RPC_LIMITS } from '../rpc/limits.ts';

export interface FileToUpload {
  readonly path: string;
  /** Table it belongs to; default: the file name without its ending. */
  readonly table?: string;
  readonly format?: string;
  /** Table inside a DuckDB file. */
  readonly sourceTable?: string;
}

/** Uploads files and registers them as a dataset version; yields progress and, last, the dataset or the reasons. */
export function registerFiles(
  catalogue: CatalogServiceClient,
  header: Init<RegisterDatasetHeader>,
  files: readonly FileToUpload[],
  options?: CallOptions,
): AsyncIterable<RegisterDatasetResponse> {
  return catalogue.registerDataset(parts(header, files), options);
}

/** Uploads a file as a table of the caller's own, in place of an earlier one of that name. */
export async function uploadTable(
  tables: TableServiceClient,
  header: Init<UploadTableHeader>,
  file: FileToUpload,
  options?: CallOptions,
): Promise<ConsumerTable> {
  async function* sent(): AsyncGenerator<Init<UploadTableRequest>, void, void> {
    yield { part: { kind: 'header', header } };
    yield* bytesOf([file]);
  }
  for await (const { table } of tables.upload(sent(), options)) if (table !== null) return table;
  throw new GloveboxError('the runtime ended the upload without a table', { status: 13, code: 'internal' });
}

async function* parts(
  header: Init<RegisterDatasetHeader>,
  files: readonly FileToUpload[],
): AsyncGenerator<Init<RegisterDatasetRequest>, void, void> {
  yield { part: { kind: 'header', header } };
  yield* bytesOf(files);
}

type FilePart = Exclude<Init<UploadTableRequest>['part'], null | undefined | { kind: 'header' }>;

async function* bytesOf(files: readonly FileToUpload[]): AsyncGenerator<{ readonly part: FilePart }, void, void> {
  const digest = createHash('sha256');
  for (const file of files) {
    const size = await sizeOf(file.path);
    const { table = '', format = '', sourceTable = '' } = file;
    yield {
      part: { kind: 'file', file: { name: basename(file.path), table, format, sourceTable, size: BigInt(size) } },
    };
    let isFirst = true;
    for await (const chunk of createReadStream(file.path, { highWaterMark: DEFAULT_RPC_LIMITS.maxChunkBytes })) {
      // What begins like this has none of the formats; told before gigabytes of it are sent.
      if (
        isFirst &&
        (chunk as Buffer).length >= HEAD_BYTES &&
        (chunk as Buffer).subarray(0, HEAD_BYTES).every((byte) => byte === 0)
      )
        throw notUploadable(file.path, 'it begins with zero bytes, as no Parquet, CSV, Arrow or DuckDB file does');
      isFirst = false;
      digest.update(chunk as Buffer);
      yield { part: { kind: 'chunk', chunk: chunk as Buffer } };
    }
  }
  yield { part: { kind: 'end', end: { digest: `sha256:${digest.digest('hex')}` } } };
}

const HEAD_BYTES = 16;

/** Bytes of a file. A pipe that the shell opened has a writer; a named one may never get any, and a device never ends. */
async function sizeOf(path: string): Promise<number> {
  const found = await stat(path);
  if (found.isFile()) return found.size;
  if (found.isDirectory()) throw notUploadable(path, 'it is a folder; name the files in it');
  if (found.isFIFO() && isShellPipe(path)) return found.size;
  throw notUploadable(path, 'it is neither a file nor a pipe of the shell');
}

function notUploadable(path: string, why: string): GloveboxError {
  return new GloveboxError(`cannot upload \`${path}\`: ${why}`, {
    status: status.INVALID_ARGUMENT,
    code: 'argument-not-valid',
  });
}
