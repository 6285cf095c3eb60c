import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { CiphertextHeader } from '../../gen/messages.ts';
import type { ColumnHeader, ColumnTotals } from '../../homomorphic/column.ts';
import { HomomorphicFault } from '../../homomorphic/fault.ts';
import type { HomomorphicJob, HomomorphicResult } from '../../homomorphic/job.ts';
import { QUERY_PROFILE } from '../../homomorphic/query.ts';
import { runHomomorphicJob } from '../../homomorphic/run-job.ts';
import { checkFrame, FRAME_BYTES } from '../../homomorphic/upload-frame.ts';
import type { Caller } from '../../identity/party.ts';
import type { WorkerPool } from '../../sandbox/pool.ts';
import { contributionOf } from './ciphertext-contribution.ts';
import type { CiphertextFiles } from './ciphertext-files.ts';
import type { GatewayNeeds } from '../needs.ts';
import type { CiphertextBody, ContributionBody, DecryptorBody } from '../records.ts';

export interface HomomorphicNeeds extends GatewayNeeds {
  readonly pool: WorkerPool;
  readonly files: CiphertextFiles;
  /** Whether the decryptor that is configured answers. */
  readonly isReachable: (decryptor: DecryptorBody) => Promise<boolean>;
  /** Ed25519, 32 raw bytes, base64url. */
  readonly transcriptKey: string;
}

/** Bytes of a party's queries; the oldest make room for new ones. */
export const MAX_QUERY_BYTES = 1 << 30;
const CHUNK_BYTES = 1 << 20;

/** What a column's record says besides its name. */
export interface ColumnFacts {
  readonly header: ColumnHeader;
  readonly upload: ColumnTotals;
  readonly stored: ColumnTotals;
}

/** Validates a received file and keeps what is computed on later; throws without leaving anything. */
export async function takeIn(
  needs: HomomorphicNeeds,
  caller: Caller,
  kind: CiphertextBody['kind'],
  header: CiphertextHeader,
  path: string,
  signal: AbortSignal,
): Promise<CiphertextBody> {
  const { digest, dataset, column } = header;
  const base = { kind, digest, dataset, column, size: Number(header.size), profile: header.profile, facts: '' };
  await checkFirstBytes(kind, path, base.size);
  if (kind !== 'column') {
    const { result } = await inWorker(needs, caller, { kind: 'inspect', what: kind }, path, signal);
    if (result.kind !== 'inspect') throw new HomomorphicFault('worker-failed', 'the worker answered something else');
    const { found } = result;
    // Only the counts of unit tags are needed from here on: tags that are not kept cannot leak.
    if (found.what === 'unitTags')
      return { ...base, keyId: '', values: found.counts.rows, facts: JSON.stringify(found.counts) };
    if (found.what === 'query') await makeRoom(needs, caller, base.size);
    await needs.files.store(caller.party, digest, async (file) => {
      for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES }))
        await file.writeFile(chunk as Buffer);
    });
    if (found.what === 'publicKey')
      return { ...base, keyId: found.keyId, values: 0, profile: found.profiles.join(',') };
    const { header: query, keyId } = found;
    return { ...base, keyId, values: query.rows, profile: QUERY_PROFILE.id, facts: JSON.stringify(query) };
  }
  const facts = await ingest(needs, caller, digest, path, signal);
  if (facts.upload.digest !== digest || facts.header.column !== column) {
    await needs.files.remove(caller.party, digest);
    throw new HomomorphicFault('bad-column', 'cannot take in this encrypted column: it is not the one announced');
  }
  const isOwnKey = needs.store
    .peekAll<CiphertextBody>('ciphertext')
    .some(
      ({ owner, state, body }) =>
        owner === caller.party && state === 'stored' && body.kind === 'publicKey' && body.keyId === facts.header.keyId,
    );
  let contribution: ContributionBody | null;
  try {
    contribution = isOwnKey ? null : contributionOf(needs, caller, header, facts.header, facts.upload.rows);
  } catch (error) {
    await needs.files.remove(caller.party, digest);
    throw error;
  }
  const profile = [...new Set(facts.header.channels.map((channel) => channel.profile))].join(',');
  const found = {
    ...base,
    profile,
    keyId: facts.header.keyId,
    values: facts.upload.rows,
    facts: JSON.stringify(facts),
  };
  return contribution === null ? found : { ...found, contribution };
}

/** Its output is kept only after its result. */
async function ingest(
  needs: HomomorphicNeeds,
  caller: Caller,
  digest: string,
  path: string,
  signal: AbortSignal,
): Promise<ColumnFacts> {
  let facts: ColumnFacts | null = null;
  await needs.files.store(caller.party, digest, async (file) => {
    const onOutput = (bytes: Uint8Array): Promise<void> => file.writeFile(bytes);
    const { result } = await inWorker(needs, caller, { kind: 'ingest' }, path, signal, onOutput);
    if (result.kind !== 'ingest') throw new HomomorphicFault('worker-failed', 'the worker answered something else');
    facts = { header: result.header, upload: result.upload, stored: result.stored };
  });
  if (facts === null) throw new HomomorphicFault('worker-failed', 'the worker did not answer');
  return facts;
}

/** One upload through a jailed worker of its own, which has met foreign bytes and is destroyed on any doubt. */
async function inWorker(
  needs: HomomorphicNeeds,
  caller: Caller,
  job: HomomorphicJob,
  path: string,
  signal: AbortSignal,
  onOutput?: (bytes: Uint8Array) => Promise<void>,
): Promise<{ readonly result: HomomorphicResult }> {
  const worker = await needs.pool.lease({ kind: 'homomorphic', party: caller.party, signal });
  try {
    const input = createReadStream(path, { highWaterMark: CHUNK_BYTES });
    const outcome = await runHomomorphicJob(worker, job, [input], onOutput === undefined ? {} : { onOutput });
    worker.release();
    return outcome;
  } catch (error) {
    await worker.destroy();
    throw error;
  }
}

/** The only look that the gateway itself takes: magic bytes and a length. */
async function checkFirstBytes(kind: CiphertextBody['kind'], path: string, size: number): Promise<void> {
  const file = await open(path, 'r');
  try {
    const head = new Uint8Array(FRAME_BYTES);
    await file.read(head, 0, FRAME_BYTES, 0);
    checkFrame(kind, head, size);
  } finally {
    await file.close();
  }
}

/** The oldest queries of a party make room for a new one: a query is of use for one job. */
async function makeRoom(needs: HomomorphicNeeds, caller: Caller, bytes: number): Promise<void> {
  const queries = needs.store
    .peekAll<CiphertextBody>('ciphertext')
    .filter(({ owner, body }) => owner === caller.party && body.kind === 'query')
    .toSorted((a, b) => a.atMs - b.atMs);
  let used = bytes + queries.reduce((sum, { body }) => sum + body.size, 0);
  for (const { id, body } of queries) {
    if (used <= MAX_QUERY_BYTES) return;
    await needs.store.transact([{ do: 'remove', table: 'ciphertext', id }]);
    await needs.files.remove(caller.party, body.digest);
    used -= body.size;
  }
}
