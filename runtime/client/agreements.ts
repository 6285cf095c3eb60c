import { createPrivateKey } from 'node:crypto';
import { type AgreementTerms, signAgreement, termsOf } from '../contract/agreement.ts';
import { sha256Hex } from '../evidence/entry.ts';
import type { Agreement, JwsSignature } from '../gen/messages.ts';
import type { AgreementServiceClient } from '../gen/services.ts';
import type { CredentialBundle } from '../identity/credential.ts';
import type { CallOptions, Init } from '../rpc/call.ts';
import type {
  AcceptAgreementRequest,
  CounterAgreementRequest,
  OfferAgreementRequest,
  OfferAgreementResponse,
} from '../gen/messages.ts';
import { serviceClient, type Channel } from './channel.ts';
import { GloveboxError } from './error.ts';

/** Agreements of a party; its signature is added where one is asked for. */
export function agreementsClient(channel: Channel, credential: CredentialBundle | null): AgreementServiceClient {
  const service = serviceClient<AgreementServiceClient>(channel, 'AgreementService');
  if (credential === null) return service;
  const signatureOver = (agreement: Agreement): JwsSignature => {
    const { party, signingKey } = credential;
    const by = { party, keyId: `${party}#1`, privateKey: createPrivateKey(signingKey) };
    const { protected: protectedHeader, signature } = signAgreement(checked(agreement), by);
    return { protectedHeader, signature };
  };
  return {
    ...service,
    /** Offers and signs in one go. */
    offer: async (request: Init<OfferAgreementRequest>, options?: CallOptions): Promise<OfferAgreementResponse> => {
      const drafted = await service.offer(request, options);
      if (drafted.agreement?.state !== 'drafted') return drafted;
      const signature = signatureOver(drafted.agreement);
      return await service.sign({ id: drafted.agreement.id, signature }, options);
    },
    /** Counters and signs in one go; active at once when it only narrows an offer that accepts such. */
    counter: async (request: Init<CounterAgreementRequest>, options?: CallOptions) => {
      const answer = await service.counter(request, options);
      if (answer.agreement?.state !== 'drafted') return answer;
      const signature = signatureOver(answer.agreement);
      const { agreement } = await service.sign({ id: answer.agreement.id, signature }, options);
      return { ...answer, agreement };
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

/** What is signed must be what is shown: the content has to name the same parties, dataset, policy and times. */
function checked(agreement: Agreement): AgreementTerms {
  const terms = termsOf(agreement.content);
  const [covered] = terms?.datasets ?? [];
  if (terms === undefined || covered === undefined || terms.datasets.length !== 1) {
    throw notSigned(agreement, 'is not that of an agreement');
  }
  const differing = (
    [
      ['id', agreement.id, terms.id],
      ['provider', agreement.provider, covered.provider],
      ['consumer', agreement.consumer, terms.consumer],
      ['dataset', agreement.dataset, covered.dataset],
      ['policy version', agreement.policyVersion, covered.policyVersion],
      ['policy digest', agreement.policyDigest, covered.policyDigest],
      ['start', agreement.notBeforeMs, terms.notBeforeMs],
      ['end', agreement.notAfterMs, terms.notAfterMs],
      ['purposes', agreement.purposes.join('\n'), terms.purposes.join('\n')],
      ['price plan', agreement.prices === '' ? null : sha256Hex(agreement.prices), terms.pricesDigest],
    ] as const
  ).find(([, shown, signed]) => shown !== signed);
  if (differing !== undefined) throw notSigned(agreement, `has another ${differing[0]} than is shown`);
  return terms;
}

function notSigned(agreement: Agreement, why: string): GloveboxError {
  return new GloveboxError(`the content of agreement \`${agreement.id}\` ${why}; not signed`, {
    status: 9,
    code: 'signature-not-valid',
  });
}
