import { X509Certificate } from 'node:crypto';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { DecryptResponse } from '../../gen/messages.ts';
import type { SignedTranscript } from '../../homomorphic/transcript.ts';
import { type Authority, issueCredential, serverNameOf } from '../../rpc/authority.ts';
import { codecOf } from '../../rpc/translate.ts';
import { RUNTIME_PARTY } from '../parties/party-fields.ts';
import type { DecryptorBody } from '../records.ts';

/** How long a decryptor may take to answer a connection, and a request, milliseconds. */
export const CONNECT_TIMEOUT_MS = 3000;
/** A decryptor that works on another result takes no connection meanwhile; by then this one's budget is spent. */
export const BUSY_TIMEOUT_MS = 2 * 60_000;
export const DECRYPT_TIMEOUT_MS = 10 * 60_000;
const CHUNK_BYTES = 1 << 20;
const MAX_ANSWER_BYTES = 4 << 20;
const METHOD = '/glovebox.decryptor.v1.DecryptorService/Decrypt';
/** A client certificate is made anew before it is this old. */
const CERTIFICATE_LIFE_MS = 12 * 3_600_000;

/** The way to key holders' decryptors. */
export interface DecryptorLinks {
  isReachable(decryptor: DecryptorBody): Promise<boolean>;
  /** Asks for the scalars of a result; null when the decryptor refused or could not be reached: it says nothing more. */
  decrypt(
    decryptor: DecryptorBody,
    request: { readonly transcript: SignedTranscript; readonly result: Uint8Array },
    signal: AbortSignal,
  ): Promise<DecryptResponse | null>;
}

/** Calls decryptors over mutual TLS: each is known by the certificate that its provider gave, by nothing else. */
export function decryptorLinks(authority: Authority, nowMs: () => number): DecryptorLinks {
  let own: { readonly key: Buffer; readonly certificate: Buffer; readonly untilMs: number } | null = null;
  const connect = async ({ address, certificate }: DecryptorBody): Promise<Client> => {
    if (own === null || own.untilMs < nowMs()) {
      const { bundle } = await issueCredential(authority, {
        party: RUNTIME_PARTY,
        roles: [],
        server: '',
        nowMs: nowMs(),
        days: 1,
      });
      own = {
        key: Buffer.from(bundle.key),
        certificate: Buffer.from(bundle.certificate),
        untilMs: nowMs() + CERTIFICATE_LIFE_MS,
      };
    }
    const name = /^CN=(\S+)$/m.exec(new X509Certificate(certificate).subject)?.[1] ?? '';
    return new Client(address, credentials.createSsl(Buffer.from(certificate), own.key, own.certificate), {
      'grpc.ssl_target_name_override': serverNameOf({ name }),
      'grpc.enable_http_proxy': 0,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': MAX_ANSWER_BYTES,
    });
  };
  const ready = (client: Client, timeoutMs: number): Promise<boolean> =>
    new Promise((resolve) => client.waitForReady(Date.now() + timeoutMs, (error) => resolve(error === undefined)));
  /** Decryptors that took a result and have not answered yet: they are there, though they may not answer a greeting. */
  const working = new Map<string, number>();
  const nameOf = ({ address, certificate }: DecryptorBody): string => `${address}\n${certificate}`;
  return {
    isReachable: async (decryptor) => {
      if ((working.get(nameOf(decryptor)) ?? 0) > 0) return true;
      const client = await connect(decryptor).catch(() => null);
      if (client === null) return false;
      try {
        return await ready(client, CONNECT_TIMEOUT_MS);
      } finally {
        client.close();
      }
    },
    decrypt: async (decryptor, { transcript, result }, signal) => {
      const client = await connect(decryptor).catch(() => null);
      if (client === null) return null;
      const close = (): void => client.close();
      signal.addEventListener('abort', close, { once: true });
      const name = nameOf(decryptor);
      let isWorking = false;
      try {
        if (signal.aborted || !(await ready(client, BUSY_TIMEOUT_MS))) return null;
        isWorking = true;
        working.set(name, (working.get(name) ?? 0) + 1);
        const codec = codecOf('DecryptRequest');
        const answer = await new Promise<Buffer | null>((resolve) => {
          const call = client.makeClientStreamRequest(
            METHOD,
            same,
            same,
            new Metadata(),
            { deadline: Date.now() + DECRYPT_TIMEOUT_MS },
            (error, bytes) => resolve(error === null ? (bytes ?? null) : null),
          );
          signal.addEventListener('abort', () => call.cancel(), { once: true });
          if (signal.aborted) call.cancel();
          void (async () => {
            const send = async (part: unknown): Promise<void> => {
              if (!call.write(codec.encode({ part }))) await new Promise((drained) => call.once('drain', drained));
            };
            await send({ kind: 'transcript', transcript });
            for (let at = 0; at < result.byteLength; at += CHUNK_BYTES)
              await send({ kind: 'chunk', chunk: result.subarray(at, at + CHUNK_BYTES) });
            call.end();
          })();
        });
        return answer === null ? null : (codecOf('DecryptResponse').decode(answer) as DecryptResponse);
      } catch {
        return null;
      } finally {
        const others = (working.get(name) ?? 0) - (isWorking ? 1 : 0);
        if (others > 0) working.set(name, others);
        else working.delete(name);
        signal.removeEventListener('abort', close);
        client.close();
      }
    },
  };
}

function same(bytes: Buffer): Buffer {
  return bytes;
}
