import type { HomomorphicServiceHandlers } from '../../gen/services.ts';
import { hasRole } from '../../identity/party.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { pageOf } from '../access.ts';
import { chosenParameters } from './chosen-parameters.ts';
import type { HomomorphicNeeds } from './ciphertext-intake.ts';
import { bare, messageOf, receiveUpload, requireDigest } from './ciphertext-upload.ts';
import { fetchContribution, withdrawContribution } from './contributed-columns.ts';
import { encryptedDatasets } from './encrypted-dataset.ts';
import { evidence } from '../needs.ts';
import { type CiphertextBody, type DatasetBody, objectId } from '../records.ts';

/** Ciphertext in, by digest: everything is validated in a jailed worker before it is kept. */
export function homomorphicService(needs: HomomorphicNeeds): Partial<HomomorphicServiceHandlers> {
  const busy = new Set<string>();
  const datasets = encryptedDatasets(needs);
  return {
    upload: (caller, request, call) => receiveUpload(needs, busy, caller, request, call.signal),
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
        // the key holder sees what was contributed to its datasets, to accept it or not
        .filter(({ owner, body }) => seesAll || owner === caller.party || body.contribution?.to === caller.party)
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
    chooseParameters: (_caller, request) => Promise.resolve(chosenParameters(request)),
    registerEncrypted: (caller, request) => datasets.register(caller, request),
    setDecryptor: (caller, request) => datasets.setDecryptor(caller, request),
    fetch: (caller, request, call) => fetchContribution(needs, caller, request, call.signal),
    withdraw: (caller, request) => withdrawContribution(needs, caller, request),
    getTranscriptKey: () => Promise.resolve({ publicKey: needs.transcriptKey }),
  };
}
