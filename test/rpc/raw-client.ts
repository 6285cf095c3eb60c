import { Client, credentials, Metadata, type ChannelCredentials } from '@grpc/grpc-js';
import type { CredentialBundle } from '../../runtime/identity/credential.ts';
import type { SmallRuntime } from './small-runtime.ts';

/** A client without any of our client's care: it sends whatever bytes it is given. */
export function rawClient(
  runtime: Pick<SmallRuntime, 'address'>,
  credential: CredentialBundle | null,
  channel?: ChannelCredentials,
  named?: CredentialBundle,
): Client {
  const serverName = (credential ?? named)?.serverName;
  const secure =
    credential === null
      ? credentials.createInsecure()
      : credentials.createSsl(
          Buffer.from(credential.ca),
          Buffer.from(credential.key),
          Buffer.from(credential.certificate),
        );
  return new Client(runtime.address, channel ?? secure, {
    'grpc.max_receive_message_length': -1,
    'grpc.max_send_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
    ...(serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName }),
  });
}

export interface RawAnswer {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
  readonly message: Buffer;
  readonly messages: readonly Buffer[];
}

const same = (bytes: Buffer): Buffer => bytes;

/** Sends `requests` (one message or several) to a method and answers whatever comes back; never rejects. */
export async function call(
  client: Client,
  path: string,
  requests: Buffer | readonly Buffer[],
  headers: Metadata = new Metadata(),
  timeoutMs = 10_000,
): Promise<RawAnswer> {
  return await new Promise((resolve) => {
    const messages: Buffer[] = [];
    const stream = client.makeBidiStreamRequest(path, same, same, headers, { deadline: Date.now() + timeoutMs });
    stream.on('data', (message: Buffer) => messages.push(message));
    stream.on('error', () => {});
    stream.on('status', ({ code, details, metadata }) =>
      resolve({ code, details, metadata, messages, message: messages[0] ?? Buffer.alloc(0) }),
    );
    for (const request of Buffer.isBuffer(requests) ? [requests] : requests) stream.write(request);
    stream.end();
  });
}
