import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { RegisterDatasetHeader, RegisterDatasetRequest, RegisterDatasetResponse } from '../gen/messages.ts';
import type { CatalogServiceClient } from '../gen/services.ts';
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

async function* parts(
  header: Init<RegisterDatasetHeader>,
  files: readonly FileToUpload[],
): AsyncGenerator<Init<RegisterDatasetRequest>, void, void> {
  const digest = createHash('sha256');
  yield { part: { kind: 'header', header } };
  for (const file of files) {
    const { size } = await stat(file.path);
    const { table = '', format = '', sourceTable = '' } = file;
    yield {
      part: { kind: 'file', file: { name: basename(file.path), table, format, sourceTable, size: BigInt(size) } },
    };
    for await (const chunk of createReadStream(file.path, { highWaterMark: DEFAULT_RPC_LIMITS.maxChunkBytes })) {
      digest.update(chunk as Buffer);
      yield { part: { kind: 'chunk', chunk: chunk as Buffer } };
    }
  }
  yield { part: { kind: 'end', end: { digest: `sha256:${digest.digest('hex')}` } } };
}
