import { createPrivateKey, randomUUID } from 'node:crypto';
import { signTopUp, type TopUp } from '../contract/top-up.ts';
import type { TopUpCreditResponse } from '../gen/messages.ts';
import type { MeterServiceClient } from '../gen/services.ts';
import type { CredentialBundle } from '../identity/credential.ts';
import { agreementBudget } from '../ledger/budget.ts';
import type { CallOptions } from '../rpc/call.ts';
import { serviceClient, type Channel } from './channel.ts';
import { GloveboxError } from './error.ts';

export interface MetersClient extends MeterServiceClient {
  /** Signs an order over an amount (minor units of the agreement's currency) that was received, and gives it. */
  addCredit(
    of: { readonly agreement: string; readonly amountMinor: bigint; readonly id?: string },
    options?: CallOptions,
  ): Promise<TopUpCreditResponse>;
}

export function metersClient(channel: Channel, credential: CredentialBundle | null): MetersClient {
  const service = serviceClient<MeterServiceClient>(channel, 'MeterService');
  return {
    ...service,
    addCredit: async ({ agreement, amountMinor, id = randomUUID() }, options) => {
      if (credential === null)
        throw new GloveboxError('an order over credit is signed: connect with a credential', {
          status: 9,
          code: 'signature-not-valid',
        });
      const { party: by, signingKey } = credential;
      const budget = agreementBudget('credit', { agreement });
      const order: TopUp = { id, budget, amount: String(amountMinor), by, atMs: Date.now() };
      const signature = signTopUp(order, createPrivateKey(signingKey));
      return await service.topUp({ agreementId: agreement, order: JSON.stringify(order), signature }, options);
    },
  };
}
