import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type {
  CiphertextHeader,
  CiphertextKind,
  CiphertextObject,
  UploadCiphertextRequest,
  UploadCiphertextResponse,
} from '../gen/messages.ts';
import type { HomomorphicServiceHandlers } from '../gen/services.ts';
import type { ColumnHeader, ColumnTotals } from '../homomorphic/column.ts';
import { chooseParameters } from '../homomorphic/choose.ts';
import { HomomorphicFault } from '../homomorphic/fault.ts';
import { BUNDLE_LIMIT_BYTES, readPublicBundle } from '../homomorphic/keys.ts';
import { isProfileId } from '../homomorphic/profiles.ts';
import { parseProgram } from '../homomorphic/program.ts';
import { QUERY_PROFILE, readQuery } from '../homomorphic/query.ts';
import { runHomomorphicJob } from '../homomorphic/run-job.ts';
import { readUnitFile, UNIT_FILE_LIMIT_BYTES } from '../homomorphic/unit-file.ts';
import { type Caller, hasRole } from '../identity/party.ts';
import { reason } from '../policy/reason.ts';
import { Fault } from '../rpc/fault.ts';
import type { WorkerPool } from '../sandbox/pool.ts';
import type { StoredRecord } from '../store/records.ts';
import { pageOf, requireRole } from './access.ts';
import type { CiphertextFiles, IncomingFile } from './ciphertext-files.ts';
import { MAX_PARTIALS } from './ciphertext-files.ts';
import { encryptedDatasets } from './encrypted-dataset.ts';
import { evidence, type GatewayNeeds } from './needs.ts';
import type { CiphertextBody, DecryptorBody, DatasetBody } from './records.ts';

export interface HomomorphicNeeds extends GatewayNeeds {
  readonly pool: WorkerPool;
  readonly files: CiphertextFiles;
  /** Whether the decryptor that is configured answers. */
  readonly isReachable: (decryptor: DecryptorBody) => Promise<boolean>;
  /** Ed25519, 32 raw bytes, base64url. */
  readonly transcriptKey: string;
}

/** Largest object of each kind, bytes; the formats' own limits are narrower still. */
export const UPLOAD_LIMITS: Readonly<Record<CiphertextBody['kind'], number>> = {
  publicKey: BUNDLE_LIMIT_BYTES,
  column: 256 * 2 ** 30,
  query: 128 * 2 ** 20,
  unitTags: UNIT_FILE_LIMIT_BYTES,
};
/** Objects of one party, and bytes of its queries; the oldest queries make room for new ones. */
export const MAX_OBJECTS = 4096;
/** Public keys of one party: a consumer must not be able to fill the disk with them. */
export const MAX_KEYS = 64;
export const MAX_QUERY_BYTES = 1 << 30;
const PROGRESS_EVERY_BYTES = 8 << 20;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

const KINDS: Readonly<Partial<Record<CiphertextKind, CiphertextBody['kind']>>> = {
  publicKey: 'publicKey',
  column: 'column',
  query: 'query',
  unitTags: 'unitTags',
};

/** Name of an object in the store. */
export const objectId = (owner: string, digest: string): string => `${owner}/${digest}`;

/** What a column's record says besides its name. */
export interface ColumnFacts {
  readonly header: ColumnHeader;
  readonly upload: ColumnTotals;
  readonly stored: ColumnTotals;
}

/** Ciphertext in, by digest: everything is validated before it is kept, columns in a jailed worker of their own. */
export function homomorphicService(needs: HomomorphicNeeds): Partial<HomomorphicServiceHandlers> {
  const busy = new Set<string>();
  const datasets = encryptedDatasets(needs);
  return {
    upload: (caller, request, call) => upload(needs, busy, caller, request, call.signal),
    getUpload: async (caller, { digest }) => {
      requireDigest(digest);
      const whole = needs.store.peek<CiphertextBody>('ciphertext', objectId(caller.party, digest));
      if (whole !== undefined) return { stored: BigInt(whole.body.size), isComplete: true };
      return { stored: BigInt(await needs.files.partial(caller.party, digest)), isComplete: false };
    },
    list: (caller, request) => {
      const seesAll = hasRole(caller, 'operator', 'auditor');
      const objects = needs.store
        .peekAll<CiphertextBody>('ciphertext')
        .filter(({ owner }) => seesAll || owner === caller.party)
        .filter(({ body }) => request.dataset === '' || body.dataset === request.dataset)
        .toSorted((a, b) => b.atMs - a.atMs || (a.id < b.id ? -1 : 1));
      const { items, nextPageToken } = pageOf(objects, request.page);
      return Promise.resolve({ objects: items.map(messageOf), nextPageToken });
    },
    revokeKey: async (caller, { digest }) => {
      const key = needs.store
        .peekAll<CiphertextBody>('ciphertext')
        .find(
          ({ owner, body }) =>
            body.kind === 'publicKey' && owner === caller.party && (body.digest === digest || body.keyId === digest),
        );
      if (key === undefined) throw new Fault('not-found', 'no key of yours has this digest');
      const revoked: StoredRecord<CiphertextBody> = { ...key, state: 'revoked' };
      await needs.store.transact([
        { do: 'put', record: revoked },
        {
          do: 'record',
          event: evidence(needs, 'key.revoked', [{ name: 'key', sha256: bare(key.body.keyId) }], {
            party: needs.pseudonymOf(caller.party),
          }),
        },
      ]);
      const concerned = new Set(
        needs.store
          .peekAll<DatasetBody>('dataset')
          .filter(({ body }) => body.encrypted?.keyId === key.body.keyId)
          .map(({ id }) => id),
      );
      needs.live.stop((job) => job.datasets.some((name) => concerned.has(name)));
      return { object: messageOf(revoked), reasons: [] };
    },
    chooseParameters: (_caller, request) => Promise.resolve(chosen(request)),
    registerEncrypted: (caller, request) => datasets.register(caller, request),
    setDecryptor: (caller, request) => datasets.setDecryptor(caller, request),
    getTranscriptKey: () => Promise.resolve({ publicKey: needs.transcriptKey }),
  };
}

async function* upload(
  needs: HomomorphicNeeds,
  busy: Set<string>,
  caller: Caller,
  request: AsyncIterable<UploadCiphertextRequest>,
  signal: AbortSignal,
): AsyncGenerator<UploadCiphertextResponse, void, void> {
  requireRole(caller, 'upload ciphertext', 'provider', 'consumer');
  const parts = request[Symbol.asyncIterator]();
  const first = await parts.next();
  if (first.done === true || first.value.part?.kind !== 'header')
    throw new Fault('argument-not-valid', 'the upload begins with a header');
  const { header } = first.value.part;
  const kind = checkHeader(needs, caller, header);
  const id = objectId(caller.party, header.digest);
  const known = needs.store.peek<CiphertextBody>('ciphertext', id);
  if (known !== undefined) {
    // The same bytes again are the same object: nothing is stored twice.
    yield { stored: header.size, object: messageOf(known), reasons: [] };
    return;
  }
  if (busy.has(id)) throw new Fault('conflict', 'this object is being uploaded already');
  busy.add(id);
  let incoming: IncomingFile | null = null;
  try {
    if ((await needs.files.sweep(caller.party, needs.nowMs())) >= MAX_PARTIALS && header.offset === 0n)
      throw new Fault('rate-exceeded', `at most ${MAX_PARTIALS} uploads may lie unfinished: continue one of them`);
    const here = await needs.files.partial(caller.party, header.digest);
    if (header.offset > BigInt(here))
      throw new Fault('argument-not-valid', `the upload cannot continue at ${header.offset}: ${here} bytes are stored`);
    incoming = await needs.files.receive(caller.party, header.digest, Number(header.offset));
    let told = incoming.bytes;
    let isWhole = false;
    for (let next = await parts.next(); next.done !== true; next = await parts.next()) {
      signal.throwIfAborted();
      const { part } = next.value;
      if (isWhole) throw new Fault('argument-not-valid', 'the upload goes on after its end');
      if (part?.kind === 'end') isWhole = true;
      else if (part?.kind === 'chunk') {
        if (BigInt(incoming.bytes + part.chunk.byteLength) > header.size) {
          await incoming.discard();
          throw new Fault('message-too-large', `the upload has more than the ${header.size} bytes that it announced`);
        }
        await incoming.write(part.chunk);
        if (incoming.bytes - told >= PROGRESS_EVERY_BYTES) {
          told = incoming.bytes;
          yield { stored: BigInt(told), object: null, reasons: [] };
        }
      } else throw new Fault('argument-not-valid', 'an upload is one header, chunks, and an end');
    }
    // Without its end it was interrupted: what came stays and can be continued.
    if (!isWhole) throw new Fault('argument-not-valid', 'the upload ended before it was whole: continue it');
    const size = incoming.bytes;
    if ((await incoming.finish()) !== header.digest || BigInt(size) !== header.size) {
      await incoming.discard();
      throw new Fault('argument-not-valid', 'the upload did not arrive as it was sent: its digest differs');
    }
    const body = await takeIn(needs, caller, kind, header, incoming.path, signal).catch((error: unknown) => {
      throw refusalOf(error);
    });
    await incoming.discard();
    const record: StoredRecord<CiphertextBody> = {
      table: 'ciphertext',
      id,
      owner: caller.party,
      state: 'stored',
      atMs: needs.nowMs(),
      body,
    };
    await needs.store.transact([
      { do: 'expect', table: 'ciphertext', id, state: null },
      { do: 'put', record },
      {
        do: 'record',
        event: evidence(needs, 'ciphertext.stored', [{ name: `ciphertext/${kind}`, sha256: bare(header.digest) }], {
          party: needs.pseudonymOf(caller.party),
          bytes: size,
        }),
      },
    ]);
    yield { stored: BigInt(size), object: messageOf(record), reasons: [] };
  } catch (error) {
    if (error instanceof Refused) {
      await incoming?.discard();
      yield { stored: 0n, object: null, reasons: [error.reason] };
      return;
    }
    throw error;
  } finally {
    await incoming?.close();
    busy.delete(id);
  }
}

/** Validates a received file and keeps what is computed on later; throws without leaving anything. */
async function takeIn(
  needs: HomomorphicNeeds,
  caller: Caller,
  kind: CiphertextBody['kind'],
  header: CiphertextHeader,
  path: string,
  signal: AbortSignal,
): Promise<CiphertextBody> {
  const { digest, dataset, column } = header;
  const base = { kind, digest, dataset, column, size: Number(header.size), profile: header.profile, facts: '' };
  const keep = (bytes: Uint8Array): Promise<void> =>
    needs.files.store(caller.party, digest, (file) => file.writeFile(bytes));
  switch (kind) {
    case 'publicKey': {
      const text = await readFile(path, 'utf8');
      const { keyId, keys } = readPublicBundle(text);
      await keep(Buffer.from(text));
      return { ...base, keyId, values: 0, profile: keys.map(({ profile }) => profile).join(',') };
    }
    case 'unitTags': {
      const counts = await readUnitFile(createReadStream(path, { highWaterMark: 1 << 20 }));
      // Only the counts are needed from here on: tags that are not kept cannot leak.
      return { ...base, keyId: '', values: counts.rows, facts: JSON.stringify(counts) };
    }
    case 'query': {
      const query = readQuery(new Uint8Array(await readFile(path)));
      await makeRoom(needs, caller, Number(header.size));
      await keep(await readFile(path));
      const keyId = `sha256:${createHash('sha256').update(query.publicKey).digest('hex')}`;
      return {
        ...base,
        keyId,
        values: query.header.rows,
        profile: QUERY_PROFILE.id,
        facts: JSON.stringify(query.header),
      };
    }
    case 'column': {
      const facts = await ingest(needs, caller, digest, path, signal);
      if (facts.upload.digest !== digest || facts.header.column !== column) {
        await needs.files.remove(caller.party, digest);
        throw new HomomorphicFault('bad-column', 'cannot take in this encrypted column: it is not the one announced');
      }
      const isOwnKey = needs.store
        .peekAll<CiphertextBody>('ciphertext')
        .some(
          ({ owner, state, body }) =>
            owner === caller.party &&
            state === 'stored' &&
            body.kind === 'publicKey' &&
            body.keyId === facts.header.keyId,
        );
      if (!isOwnKey) {
        await needs.files.remove(caller.party, digest);
        throw new HomomorphicFault(
          'bad-key',
          'cannot take in this encrypted column: no valid key of yours has its name; upload the public key first',
        );
      }
      const profile = [...new Set(facts.header.channels.map((channel) => channel.profile))].join(',');
      return { ...base, profile, keyId: facts.header.keyId, values: facts.upload.rows, facts: JSON.stringify(facts) };
    }
  }
}

/** The worker has met foreign bytes: it is destroyed on any doubt, and its output is kept only after its result. */
async function ingest(
  needs: HomomorphicNeeds,
  caller: Caller,
  digest: string,
  path: string,
  signal: AbortSignal,
): Promise<ColumnFacts> {
  const worker = await needs.pool.lease({ kind: 'homomorphic', party: caller.party, signal });
  let facts: ColumnFacts | null = null;
  try {
    await needs.files.store(caller.party, digest, async (file) => {
      const { result } = await runHomomorphicJob(
        worker,
        { kind: 'ingest' },
        [createReadStream(path, { highWaterMark: 1 << 20 })],
        { onOutput: (bytes) => file.writeFile(bytes) },
      );
      if (result.kind !== 'ingest') throw new HomomorphicFault('worker-failed', 'the worker answered something else');
      facts = { header: result.header, upload: result.upload, stored: result.stored };
    });
    worker.release();
  } catch (error) {
    await worker.destroy();
    throw error;
  }
  if (facts === null) throw new HomomorphicFault('worker-failed', 'the worker did not answer');
  return facts;
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

function checkHeader(needs: HomomorphicNeeds, caller: Caller, header: CiphertextHeader): CiphertextBody['kind'] {
  requireDigest(header.digest);
  const kind = KINDS[header.kind];
  if (kind === undefined) {
    const remedy = 'relinearisation keys travel inside the public key bundle; rotation keys are not needed';
    throw new Fault('argument-not-valid', `objects of kind \`${header.kind}\` are not taken: ${remedy}`);
  }
  if (kind !== 'query' && kind !== 'publicKey') requireRole(caller, 'upload encrypted data', 'provider');
  if (header.size <= 0n || header.size > BigInt(UPLOAD_LIMITS[kind]))
    throw new Fault('message-too-large', `an object of this kind has 1 to ${UPLOAD_LIMITS[kind]} bytes`);
  if (header.offset < 0n || header.offset > header.size)
    throw new Fault('argument-not-valid', 'the upload continues outside of itself');
  if (header.profile !== '' && !header.profile.split(',').every((id) => isProfileId(id)))
    throw new Fault('argument-not-valid', 'the profile is not a published one');
  if (kind === 'column' && (header.dataset === '' || header.column === ''))
    throw new Fault('argument-not-valid', 'an encrypted column names its dataset and its column');
  if (header.dataset.length > 256 || header.column.length > 128)
    throw new Fault('argument-not-valid', 'a name is too long');
  const own = needs.store.peekAll<CiphertextBody>('ciphertext').filter(({ owner }) => owner === caller.party);
  if (own.length >= MAX_OBJECTS && kind !== 'query')
    throw new Fault('message-too-large', `a party stores at most ${MAX_OBJECTS} objects`);
  if (kind === 'publicKey' && own.filter(({ body }) => body.kind === 'publicKey').length >= MAX_KEYS)
    throw new Fault('message-too-large', `a party stores at most ${MAX_KEYS} public keys`);
  return kind;
}

function requireDigest(digest: string): void {
  if (!DIGEST.test(digest)) throw new Fault('argument-not-valid', 'a digest is `sha256:` and 64 hexadecimal digits');
}

class Refused extends Error {
  readonly reason: ReturnType<typeof reason>;
  constructor(cause: HomomorphicFault) {
    super('refused', { cause });
    this.reason = reason(cause.code, cause.message, {
      remedy: 'make the object again with this version of the client',
    });
  }
}

/** What is wrong with a caller's bytes is an answer; anything else is a fault of ours, or the caller's going away. */
function refusalOf(error: unknown): unknown {
  return error instanceof HomomorphicFault && error.blame === 'caller' ? new Refused(error) : error;
}

const bare = (digest: string): string => digest.replace('sha256:', '');

function messageOf({ state, atMs, body }: StoredRecord<CiphertextBody>): CiphertextObject {
  return {
    digest: body.digest,
    kind: body.kind,
    profile: body.profile,
    dataset: body.dataset,
    column: body.column,
    values: BigInt(body.values),
    size: BigInt(body.size),
    storedAtMs: atMs,
    isRevoked: state === 'revoked',
  };
}

function chosen(
  request: Parameters<HomomorphicServiceHandlers['chooseParameters']>[1],
): Awaited<ReturnType<HomomorphicServiceHandlers['chooseParameters']>> {
  const blank = {
    profile: '',
    explanation: [],
    scheme: '',
    degree: 0,
    securityBits: 0,
    errorBound: 0,
    bytes: 0n,
    reasons: [],
  };
  const { program, low, high, decimals, rows, securityBits } = request;
  if (program === null) throw new Fault('argument-not-valid', 'no program is given');
  try {
    const parsed = parseProgram({
      name: program.name,
      columns: program.columns,
      weights: program.weights,
      parameters: program.parameters,
    });
    const weightTotal = parsed.weights.reduce((sum, weight) => sum + Math.abs(weight), 0);
    const choice = chooseParameters({
      column: parsed.columns[0] ?? '',
      programs: [parsed.name],
      low,
      high,
      decimals,
      rows: Number(rows),
      ...(securityBits === 0 ? {} : { securityBits }),
      ...(weightTotal === 0 ? {} : { weightTotal: weightTotal * 10 ** (parsed.parameters['weightDecimals'] ?? 0) }),
    });
    const profile = choice.profiles[0] ?? '';
    return {
      ...blank,
      profile: choice.profiles.join(','),
      explanation: choice.explanation,
      scheme: profile.split('-')[0] ?? '',
      degree: Number(/N = (\d+)/.exec(choice.explanation.join(' '))?.[1] ?? 0),
      securityBits: choice.securityBits,
      bytes: BigInt(Math.ceil(choice.uploadedBytesPerValue * Number(rows))),
    };
  } catch (error) {
    const refused = refusalOf(error);
    if (refused instanceof Refused) return { ...blank, reasons: [refused.reason] };
    throw error;
  }
}
