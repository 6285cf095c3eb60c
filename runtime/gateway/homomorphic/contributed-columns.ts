import type {
  FetchCiphertextRequest,
  FetchCiphertextResponse,
  WithdrawColumnRequest,
  WithdrawColumnResponse,
} from '../../gen/messages.ts';
import type { Caller } from '../../identity/party.ts';
import { Fault } from '../../rpc/fault.ts';
import { DEFAULT_RPC_LIMITS } from '../../rpc/limits.ts';
import type { StoredRecord } from '../../store/records.ts';
import type { HomomorphicNeeds } from './ciphertext-intake.ts';
import { bare, messageOf, requireDigest } from './ciphertext-upload.ts';
import { evidence } from '../needs.ts';
import { type CiphertextBody, type DatasetBody, objectId } from '../records.ts';

/** A column that was contributed to a dataset of this party and was not taken back; undefined otherwise. */
export function contributedTo(
  needs: Pick<HomomorphicNeeds, 'store'>,
  party: string,
  digest: string,
): StoredRecord<CiphertextBody> | undefined {
  return needs.store
    .peekAll<CiphertextBody>('ciphertext')
    .find(
      ({ state, body }) =>
        state === 'stored' && body.digest === digest && body.kind === 'column' && body.contribution?.to === party,
    );
}

/** The bytes of a contributed column, for the key holder that it was encrypted for. */
export async function* fetchContribution(
  needs: HomomorphicNeeds,
  caller: Caller,
  { digest }: FetchCiphertextRequest,
  signal: AbortSignal,
): AsyncGenerator<FetchCiphertextResponse, void, void> {
  requireDigest(digest);
  const found = contributedTo(needs, caller.party, digest);
  if (found === undefined) throw new Fault('not-found', 'no column with this digest is contributed to you');
  for await (const chunk of needs.files.read(found.owner, digest)) {
    signal.throwIfAborted();
    const step = DEFAULT_RPC_LIMITS.maxChunkBytes;
    for (let at = 0; at < chunk.byteLength; at += step) yield { chunk: chunk.subarray(at, at + step) };
  }
}

/** Takes a contributed column back: running jobs over the dataset are stopped, no new one computes on it. */
export async function withdrawContribution(
  needs: HomomorphicNeeds,
  caller: Caller,
  { digest }: WithdrawColumnRequest,
): Promise<WithdrawColumnResponse> {
  requireDigest(digest);
  const found = needs.store.peek<CiphertextBody>('ciphertext', objectId(caller.party, digest));
  if (found?.body.contribution === undefined)
    throw new Fault('not-found', 'you contributed no column with this digest');
  const withdrawn: StoredRecord<CiphertextBody> = { ...found, state: 'withdrawn' };
  await needs.store.transact([
    { do: 'put', record: withdrawn },
    {
      do: 'record',
      event: evidence(needs, 'contribution.withdrawn', [{ name: 'ciphertext/column', sha256: bare(digest) }], {
        party: needs.pseudonymOf(caller.party),
      }),
    },
  ]);
  const concerned = new Set(
    needs.store
      .peekAll<DatasetBody>('dataset')
      .filter(({ body }) => body.encrypted?.columns.some((column) => column.digest === digest) === true)
      .map(({ id }) => id),
  );
  needs.live.stop((job) => job.datasets.some((name) => concerned.has(name)));
  return { object: messageOf(withdrawn) };
}
