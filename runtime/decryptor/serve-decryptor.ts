import { randomBytes, type KeyObject, X509Certificate } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Server, ServerCredentials, status, type ServerReadableStream, type sendUnaryData } from '@grpc/grpc-js';
import type { DecryptRequest } from '../gen/messages.ts';
import { ClaimFile } from '../homomorphic/claim-file.ts';
import { verifyAndDecrypt, type DecryptOutcome } from '../homomorphic/decryptor.ts';
import type { PublicBundle, SecretBundle } from '../homomorphic/keys.ts';
import { openKeyedBackend } from '../homomorphic/keyed-backend.ts';
import type { SignedTranscript, Transcript } from '../homomorphic/transcript.ts';
import { parseSpiffeId } from '../identity/names.ts';
import { answerTime } from '../release/quantum.ts';
import { codecOf } from '../rpc/translate.ts';
import type { Vault } from './vault.ts';

/** Limits of a decryptor. */
export const DECRYPTOR_LIMITS = {
  /** Largest result of one job, bytes. */
  resultBytes: 256 << 20,
  /** Requests that wait; one is worked on. */
  waiting: 16,
  messageBytes: 2 << 20,
  /** Answers leave in slots: a refusal at the first check and one at the last look alike. */
  stepMs: 100,
  growth: 1.3,
} as const;

export interface DecryptorOptions {
  readonly vault: Vault;
  readonly secret: SecretBundle;
  readonly open: PublicBundle;
  readonly host: string;
  readonly port: number;
  /** Certificate of the runtime's authority, PEM: from the key holder's own credential. */
  readonly runtimeAuthority: string;
  readonly runtimeKey: KeyObject;
  /** Whether an agreement is active for this consumer, by the key holder's own books or question. */
  readonly isAgreed: (transcript: Transcript, dataset: string) => Promise<boolean>;
  readonly nowMs: () => number;
  /** True reasons, for the key holder's eyes. */
  readonly log: (event: string, facts: Readonly<Record<string, unknown>>) => void;
}

export interface RunningDecryptor extends AsyncDisposable {
  readonly port: number;
}

const PATH = '/glovebox.decryptor.v1.DecryptorService/Decrypt';

/** Serves decryption to one runtime, over mutual TLS. A refusal is one answer, whatever its reason. */
export async function serveDecryptor(options: DecryptorOptions): Promise<RunningDecryptor> {
  const { vault } = options;
  const claims = await ClaimFile.open(vault.claims);
  const approximate = await ClaimFile.open(vault.approximateClaims);
  const { certificate, key } = await vault.certificate([options.host], options.nowMs());
  let waiting = 0;
  let last: Promise<unknown> = Promise.resolve();
  /** One after another: each needs the secret key in memory, in an instance of its own. */
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work);
    last = turn.catch(() => undefined);
    return turn;
  };
  const server = new Server({ 'grpc.max_receive_message_length': DECRYPTOR_LIMITS.messageBytes });
  server.addService(
    {
      Decrypt: {
        path: PATH,
        requestStream: true,
        responseStream: false,
        requestSerialize: same,
        requestDeserialize: same,
        responseSerialize: same,
        responseDeserialize: same,
      },
    },
    {
      Decrypt: (call: ServerReadableStream<Buffer, Buffer>, callback: sendUnaryData<Buffer>): void => {
        if (!isRuntime(call)) {
          options.log('decryptor.stranger', { peer: call.getPeer() });
          callback({ code: status.PERMISSION_DENIED, details: 'not for you' });
          return;
        }
        if (waiting >= DECRYPTOR_LIMITS.waiting) {
          callback({ code: status.RESOURCE_EXHAUSTED, details: 'too many requests' });
          return;
        }
        waiting++;
        void (async () => {
          const started = performance.now();
          const outcome = await received(call)
            .then((request) => inTurn(() => decrypt(options, { claims, approximate }, request)))
            .catch((reason: unknown): DecryptOutcome => {
              options.log('decryptor.refused', { reason });
              return { kind: 'refused' };
            });
          const elapsed = performance.now() - started;
          await delay(answerTime(elapsed, DECRYPTOR_LIMITS) - elapsed);
          callback(null, answerOf(outcome));
        })().finally(() => waiting--);
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(
      `${options.host}:${options.port}`,
      ServerCredentials.createSsl(
        Buffer.from(options.runtimeAuthority),
        [{ cert_chain: Buffer.from(certificate), private_key: Buffer.from(key) }],
        true,
      ),
      (error, bound) => (error === null ? resolve(bound) : reject(error)),
    );
  });
  return {
    port,
    [Symbol.asyncDispose]: async () => {
      server.forceShutdown();
      await last;
      await claims[Symbol.asyncDispose]();
      await approximate[Symbol.asyncDispose]();
    },
  };
}

/** An instance for this request only: the secret key is gone from memory with it. */
async function decrypt(
  options: DecryptorOptions,
  { claims, approximate }: { readonly claims: ClaimFile; readonly approximate: ClaimFile },
  request: { readonly transcript: SignedTranscript; readonly result: Uint8Array },
): Promise<DecryptOutcome> {
  const { vault, secret, open } = options;
  const backend = await openKeyedBackend({ secretKeys: secret.keys, relinearisationKeys: open.keys });
  const outcome = await verifyAndDecrypt(
    {
      backend,
      runtimeKey: options.runtimeKey,
      findColumn: async (digest) => (await vault.find(digest))?.column ?? null,
      openColumn: (digest) => Promise.resolve(vault.read(digest)),
      isAgreed: async (transcript) => {
        const pins = await Promise.all(transcript.inputs.map(({ digest }) => vault.find(digest)));
        const [first] = pins;
        if (first === null || first === undefined || transcript.keyId !== secret.keyId) return false;
        const isMeant = pins.every(
          (pin) => pin !== null && pin.dataset === first.dataset && pin.programs.includes(transcript.program.name),
        );
        return isMeant && (await options.isAgreed(transcript, first.dataset));
      },
      claimOnce: (jobId) => claims.claimOnce(jobId),
      countApproximate: async (jobId) => {
        await approximate.claimOnce(jobId);
        return approximate.size;
      },
      randomBytes: (length) => new Uint8Array(randomBytes(length)),
      log: ({ jobId, reason }) => options.log('decryptor.refused', { job: jobId, reason }),
    },
    request,
  );
  if (outcome.kind === 'released') options.log('decryptor.released', { job: outcome.jobId, units: outcome.units });
  return outcome;
}

async function received(
  call: ServerReadableStream<Buffer, Buffer>,
): Promise<{ readonly transcript: SignedTranscript; readonly result: Uint8Array }> {
  const codec = codecOf('DecryptRequest');
  let transcript: SignedTranscript | null = null;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const message of call as AsyncIterable<Buffer>) {
    const { part } = codec.decode(message) as DecryptRequest;
    if (part?.kind === 'transcript' && transcript === null) ({ transcript } = part);
    else if (part?.kind === 'chunk' && transcript !== null) {
      bytes += part.chunk.byteLength;
      if (bytes > DECRYPTOR_LIMITS.resultBytes) throw new Error('the result is too large');
      chunks.push(part.chunk);
    } else throw new Error('a part is out of turn');
  }
  if (transcript === null) throw new Error('there is no transcript');
  return { transcript, result: Buffer.concat(chunks) };
}

/** The runtime's own certificate, and no party's: the authority is the same for both. */
function isRuntime(call: ServerReadableStream<Buffer, Buffer>): boolean {
  const raw = call.getAuthContext().sslPeerCertificate?.raw;
  if (raw === undefined) return false;
  const names = new X509Certificate(raw).subjectAltName ?? '';
  return parseSpiffeId(/^URI:([^,]+)$/.exec(names)?.[1] ?? '')?.party === 'runtime';
}

function answerOf(outcome: DecryptOutcome): Buffer {
  const released = outcome.kind === 'released';
  return codecOf('DecryptResponse').encode({
    isReleased: released,
    withheld: released ? outcome.withheld : 0,
    scalars: released
      ? outcome.scalars.map(({ name, group, number, exact, errorBound }) => ({
          name,
          group: group ?? '',
          number,
          exact: exact ?? '',
          errorBound,
        }))
      : [],
  });
}

function same(bytes: Buffer): Buffer {
  return bytes;
}
