import type {
  CiphertextHeader,
  CiphertextKind,
  CiphertextObject,
  UploadCiphertextRequest,
  UploadCiphertextResponse,
} from '../../gen/messages.ts';
import { HomomorphicFault } from '../../homomorphic/fault.ts';
import { BUNDLE_LIMIT_BYTES } from '../../homomorphic/keys.ts';
import { isProfileId } from '../../homomorphic/profiles.ts';
import { UNIT_FILE_LIMIT_BYTES } from '../../homomorphic/unit-file.ts';
import type { Caller } from '../../identity/party.ts';
import { reason } from '../../policy/reason.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { requireRole } from '../access.ts';
import { type IncomingFile, MAX_PARTIALS } from './ciphertext-files.ts';
import { type HomomorphicNeeds, takeIn } from './ciphertext-intake.ts';
import { evidence } from '../needs.ts';
import { type CiphertextBody, objectId } from '../records.ts';

/** Largest object of each kind, bytes; the formats' own limits are narrower still. */
export const UPLOAD_LIMITS: Readonly<Record<CiphertextBody['kind'], number>> = {
  publicKey: BUNDLE_LIMIT_BYTES,
  column: 256 * 2 ** 30,
  query: 128 * 2 ** 20,
  unitTags: UNIT_FILE_LIMIT_BYTES,
};
/** Objects of one party. */
export const MAX_OBJECTS = 4096;
/** Public keys of one party: a consumer must not be able to fill the disk with them. */
export const MAX_KEYS = 64;
const PROGRESS_EVERY_BYTES = 8 << 20;
const DIGEST = /^sha256:[0-9a-f]{64}$/;

const KINDS: Readonly<Partial<Record<CiphertextKind, CiphertextBody['kind']>>> = {
  publicKey: 'publicKey',
  column: 'column',
  query: 'query',
  unitTags: 'unitTags',
};

/** Receives an upload part by part: what is whole and valid is kept and recorded, what was interrupted can go on. */
export async function* receiveUpload(
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
    const own = objectId(caller.party, '');
    const underWay = [...busy].filter((one) => one.startsWith(own)).map((one) => one.slice(own.length));
    // this one is among them
    if ((await needs.files.sweep(caller.party, needs.nowMs(), underWay)) > MAX_PARTIALS && header.offset === 0n)
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

/** Throws when it is none. */
export function requireDigest(digest: string): void {
  if (!DIGEST.test(digest)) throw new Fault('argument-not-valid', 'a digest is `sha256:` and 64 hexadecimal digits');
}

/** What is wrong with a caller's bytes, as an answer. */
export class Refused extends Error {
  readonly reason: ReturnType<typeof reason>;
  constructor(cause: HomomorphicFault) {
    super('refused', { cause });
    this.reason = reason(cause.code, cause.message, {
      remedy: 'make the object again with this version of the client',
    });
  }
}

/** What is wrong with a caller's bytes is an answer; anything else is a fault of ours, or the caller's going away. */
export function refusalOf(error: unknown): unknown {
  return error instanceof HomomorphicFault && error.blame === 'caller' ? new Refused(error) : error;
}

/** A digest without its algorithm. */
export const bare = (digest: string): string => digest.replace('sha256:', '');

/** An object as it is told. */
export function messageOf({ owner, state, atMs, body }: StoredRecord<CiphertextBody>): CiphertextObject {
  return {
    digest: body.digest,
    kind: body.kind,
    profile: body.profile,
    dataset: body.dataset,
    column: body.column,
    values: BigInt(body.values),
    size: BigInt(body.size),
    storedAtMs: atMs,
    isRevoked: state !== 'stored',
    owner,
  };
}
