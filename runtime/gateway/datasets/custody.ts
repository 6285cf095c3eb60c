import type { CatalogServiceHandlers } from '../../gen/services.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { checkNote, requireRole } from '../access.ts';
import { evidence, type GatewayNeeds } from '../needs.ts';
import type { DatasetBody, PartyBody } from '../records.ts';

/** Who keeps a dataset for its provider. */
type CustodyBody = { readonly custodian: string; readonly note: string };

/** Where custody of a dataset is on record. */
export const custodyId = (dataset: string): string => `custodian/${dataset}`;

/** The party that keeps a dataset for its provider; null: the provider does. */
export function custodianOf({ store }: Pick<GatewayNeeds, 'store'>, dataset: string): string | null {
  const found = store.peek<CustodyBody>('setting', custodyId(dataset));
  return found?.state === 'named' ? found.body.custodian : null;
}

/** Whether the caller keeps this dataset, by its provider's word. The role alone keeps nothing. */
export const keeps = (needs: Pick<GatewayNeeds, 'store'>, caller: Caller, dataset: string): boolean =>
  // Roles may be given anew (a party of another runtime): who may ask has stopped to keep.
  hasRole(caller, 'custodian') && !hasRole(caller, 'consumer') && custodianOf(needs, dataset) === caller.party;

/**
 * A provider names who keeps a dataset for it: that party registers new versions of it, verifies it and deletes what has to
 * be deleted. It attaches no policy, concludes no agreement, confirms no grade, and is given no result: nobody who
 * holds the rows may ask for answers about them, so a consumer cannot be a custodian.
 */
export function custodyHandler(needs: GatewayNeeds): Pick<CatalogServiceHandlers, 'setCustodian'> {
  const { store } = needs;
  return {
    setCustodian: async (caller, request) => {
      requireRole(caller, 'name custodians', 'provider');
      checkNote(request.note);
      const dataset = store.peek<DatasetBody>('dataset', request.dataset);
      if (dataset?.owner !== caller.party) throw new Fault('not-found', `no dataset \`${request.dataset}\` of yours`);
      const { custodian, note } = request;
      const party = custodian === '' ? undefined : store.peek<PartyBody>('party', custodian);
      if (custodian !== '' && (party?.state !== 'admitted' || !party.body.roles.includes('custodian')))
        throw new Fault('not-found', `no admitted party \`${custodian}\` with the role \`custodian\``);
      if (party?.body.roles.includes('consumer') === true)
        throw new Fault('wrong-state', `party \`${custodian}\` is a consumer, too: who may ask cannot hold the rows`);
      const before = store.peek<CustodyBody>('setting', custodyId(dataset.id));
      const state = custodian === '' ? 'ended' : 'named';
      const record: StoredRecord<CustodyBody> = {
        table: 'setting',
        id: custodyId(dataset.id),
        owner: caller.party,
        state,
        atMs: needs.nowMs(),
        body: { custodian, note },
      };
      const outcome = await store.transact([
        { do: 'expect', table: 'setting', id: record.id, state: before?.state ?? null },
        { do: 'put', record },
        {
          do: 'record',
          event: evidence(
            needs,
            'dataset.custody',
            [{ name: `dataset/${dataset.id}`, sha256: dataset.body.digest.replace('sha256:', '') }],
            {
              custodian: custodian === '' ? 'none' : needs.pseudonymOf(custodian),
              by: needs.pseudonymOf(caller.party),
            },
          ),
        },
      ]);
      if (outcome.kind === 'refused')
        throw new Fault('conflict', `the custodian of \`${dataset.id}\` was changed meanwhile: look at it again`);
      return { dataset: dataset.id, custodian };
    },
  };
}
