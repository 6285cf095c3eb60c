import { createPrivateKey, randomUUID } from 'node:crypto';
import { signTopUp, topUpPayload } from '../contract/top-up.ts';
import type { GrantBudgetResponse } from '../gen/messages.ts';
import type { BudgetServiceClient } from '../gen/services.ts';
import type { CredentialBundle } from '../identity/credential.ts';
import { type BudgetKind, consumerBudget, datasetBudget } from '../ledger/budget.ts';
import type { CallOptions } from '../rpc/call.ts';
import { type Channel, serviceClient } from './channel.ts';
import { GloveboxError } from './error.ts';

/** What a provider adds to a budget; `consumer` empty: the budget that all consumers share. */
export interface BudgetGrant {
  readonly dataset: string;
  readonly consumer: string;
  /** Mode of the rule, e.g. `differentialPrivacy`; empty with an empty consumer. */
  readonly mode: string;
  readonly kind: BudgetKind & ('microEpsilon' | 'nanoRho' | 'femtoDelta' | 'count');
  /** In the whole units of the kind. */
  readonly amount: bigint;
}

export interface BudgetsClient extends BudgetServiceClient {
  /** Signs an order with the own key and sends it. Throws when there is no credential. */
  topUp(grant: BudgetGrant, options?: CallOptions): Promise<GrantBudgetResponse>;
}

/** Budgets as a party sees them; top-ups are signed here. */
export function budgetsClient(channel: Channel, credential: CredentialBundle | null): BudgetsClient {
  const service = serviceClient<BudgetServiceClient>(channel, 'BudgetService');
  return {
    ...service,
    topUp: async ({ dataset, consumer, mode, kind, amount }, options) => {
      if (credential === null)
        throw new GloveboxError('a top-up is signed: connect with a credential', {
          status: 16,
          code: 'signature-not-valid',
        });
      const budget =
        consumer === '' ? datasetBudget(kind, { dataset }) : consumerBudget(kind, { dataset, consumer, rule: mode });
      const order = { id: randomUUID(), budget, amount: String(amount), by: credential.party, atMs: Date.now() };
      const signature = signTopUp(order, createPrivateKey(credential.signingKey));
      const text = Buffer.from(topUpPayload(order)).toString('utf8');
      return await service.grant({ order: text, signature, dataset, consumer, mode, kind }, options);
    },
  };
}
