import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Table } from 'apache-arrow';
import type { CiphertextHeader, CiphertextObject, Reason, UploadCiphertextRequest } from '../gen/messages.ts';
import type { HomomorphicServiceClient } from '../gen/services.ts';
import type { CallOptions, Init } from '../rpc/call.ts';
import { DEFAULT_RPC_LIMITS } from '../rpc/limits.ts';

/** What to upload: the path of a file, or its bytes. */
export type ObjectSource = string | Uint8Array;

/** What it is; the kind is always said, the rest where it applies. */
export type ObjectHeader = Pick<CiphertextHeader, 'kind'> &
  Partial<Pick<CiphertextHeader, 'profile' | 'dataset' | 'column' | 'values' | 'keyDigest' | 'contribution'>>;

export interface UploadOptions extends CallOptions {
  /** Bytes that the runtime has, and how many there are. */
  readonly onProgress?: (stored: number, size: number) => void;
}

/** How an upload ended. */
export type UploadOutcome =
  | { readonly kind: 'stored'; readonly object: CiphertextObject }
  | { readonly kind: 'refused'; readonly reasons: readonly Reason[] };

/** Uploads a key, a column, unit tags or a query; goes on where an earlier upload of the same bytes was interrupted. */
export async function uploadObject(
  service: HomomorphicServiceClient,
  header: ObjectHeader,
  source: ObjectSource,
  options: UploadOptions = {},
): Promise<UploadOutcome> {
  const size = typeof source === 'string' ? (await stat(source)).size : source.byteLength;
  const digest = await digestOf(source);
  const { stored, isComplete } = await service.getUpload({ digest });
  const offset = isComplete ? 0n : stored;
  const blank = { profile: '', dataset: '', column: '', values: 0n, keyDigest: '', contribution: null };
  const whole: CiphertextHeader = { ...blank, ...header, digest, size: BigInt(size), offset };
  for await (const answer of service.upload(parts(whole, source, isComplete ? size : Number(offset)), options)) {
    if (answer.reasons.length > 0) return { kind: 'refused', reasons: answer.reasons };
    options.onProgress?.(Number(answer.stored), size);
    if (answer.object !== null) return { kind: 'stored', object: answer.object };
  }
  throw new Error('the runtime ended the upload without an answer');
}

/** `sha256:…` of what would be uploaded. */
export async function digestOf(source: ObjectSource): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunksOf(source, 0)) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}

async function* parts(
  header: CiphertextHeader,
  source: ObjectSource,
  from: number,
): AsyncGenerator<Init<UploadCiphertextRequest>, void, void> {
  yield { part: { kind: 'header', header } };
  for await (const chunk of chunksOf(source, from)) yield { part: { kind: 'chunk', chunk } };
  yield { part: { kind: 'end', end: {} } };
}

async function* chunksOf(source: ObjectSource, from: number): AsyncGenerator<Uint8Array, void, void> {
  const step = DEFAULT_RPC_LIMITS.maxChunkBytes;
  if (typeof source === 'string') {
    for await (const chunk of createReadStream(source, { start: from, highWaterMark: step })) yield chunk as Buffer;
    return;
  }
  for (let at = from; at < source.byteLength; at += step) yield source.subarray(at, at + step);
}

/** The bytes of an encrypted result from its table of words, as `decryptQueryResult` takes them. */
export function encryptedResultOf(table: Table): Uint8Array {
  const words = table.getChild('ciphertext');
  if (words === null) throw new Error('this result is not an encrypted one');
  return new Uint8Array(BigInt64Array.from(words as Iterable<bigint>).buffer);
}
