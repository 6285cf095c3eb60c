import { randomUUID } from 'node:crypto';
import { mandateContent } from '../contract/mandate.ts';
import type { Mandate } from '../gen/messages.ts';
import type { PartyServiceClient } from '../gen/services.ts';
import type { CredentialBundle } from '../identity/credential.ts';
import { signJws } from '../identity/jws.ts';
import type { CallOptions } from '../rpc/call.ts';
import { serviceClient, type Channel } from './channel.ts';
import { GloveboxError } from './error.ts';

/** What a mandate is to say; the rest is added. */
export interface MandateTerms {
  readonly delegate: string;
  /** Ids of agreements; empty: all. */
  readonly agreements?: readonly string[];
  /** Milliseconds since 1970; default: now. */
  readonly notBeforeMs?: number;
  /** Milliseconds since 1970, at most 366 days after the start. */
  readonly notAfterMs: number;
}

export interface PartiesClient extends PartyServiceClient {
  /** Lays out a mandate, signs it with the key of the credential, and gives it. */
  mandate(terms: MandateTerms, options?: CallOptions): Promise<Mandate | null>;
}

export function partiesClient(channel: Channel, credential: CredentialBundle | null): PartiesClient {
  const service = serviceClient<PartyServiceClient>(channel, 'PartyService');
  return {
    ...service,
    mandate: async (terms, options) => {
      if (credential === null)
        throw new GloveboxError('a mandate is signed: connect with a credential', {
          status: 9,
          code: 'signature-not-valid',
        });
      const { authority } = await service.whoAmI({}, options);
      const { delegate, agreements = [], notBeforeMs = Date.now(), notAfterMs } = terms;
      const { party, signingKey: key } = credential;
      const id = `mdt-${randomUUID()}`;
      const content = mandateContent({
        id,
        authority,
        principal: party,
        delegate,
        agreements,
        notBeforeMs,
        notAfterMs,
      });
      const signature = signJws(content, { kind: 'mandate', party, key });
      return (await service.grantMandate({ content, signature }, options)).mandate;
    },
  };
}
