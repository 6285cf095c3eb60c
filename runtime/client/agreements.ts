import type { Agreement, JwsSignature } from '../gen/messages.ts';
import type { AgreementServiceClient } from '../gen/services.ts';
import type { CredentialBundle } from '../identity/credential.ts';
import { signJws } from '../identity/jws.ts';
import type { CallOptions, Init } from '../rpc/call.ts';
import type { AcceptAgreementRequest, OfferAgreementRequest, OfferAgreementResponse } from '../gen/messages.ts';
import { serviceClient, type Channel } from './channel.ts';
import { GloveboxError } from './error.ts';

/** Agreements of a party; its signature is added where one is asked for. */
export function agreementsClient(channel: Channel, credential: CredentialBundle | null): AgreementServiceClient {
  const service = serviceClient<AgreementServiceClient>(channel, 'AgreementService');
  if (credential === null) return service;
  const signatureOver = (agreement: Agreement): JwsSignature =>
    signJws(checked(agreement), { kind: 'agreement', party: credential.party, key: credential.signingKey });
  return {
    ...service,
    /** Offers and signs in one go. */
    offer: async (request: Init<OfferAgreementRequest>, options?: CallOptions): Promise<OfferAgreementResponse> => {
      const drafted = await service.offer(request, options);
      if (drafted.agreement?.state !== 'drafted') return drafted;
      const signature = signatureOver(drafted.agreement);
      return await service.sign({ id: drafted.agreement.id, signature }, options);
    },
    /** Reads the agreement, signs its content and accepts it. */
    accept: async (request: Init<AcceptAgreementRequest>, options?: CallOptions) => {
      if (request.signature !== undefined && request.signature !== null) return await service.accept(request, options);
      const id = request.id ?? '';
      const { agreement } = await service.get({ id }, options);
      if (agreement === null)
        throw new GloveboxError(`there is no agreement \`${id}\``, { status: 5, code: 'not-found' });
      return await service.accept({ id, signature: signatureOver(agreement) }, options);
    },
  };
}

/** What is signed must be what is shown: the content has to name the same parties, dataset and policy. */
function checked(agreement: Agreement): string {
  const content: unknown = JSON.parse(agreement.content);
  const texts = new Set<unknown>();
  const collect = (value: unknown): void => {
    if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) collect(inner);
    else texts.add(value);
  };
  collect(content);
  for (const field of ['provider', 'consumer', 'dataset', 'policyDigest'] as const) {
    if (!texts.has(agreement[field])) {
      throw new GloveboxError(`the content of agreement \`${agreement.id}\` does not name its ${field}; not signed`, {
        status: 9,
        code: 'signature-not-valid',
      });
    }
  }
  return agreement.content;
}
