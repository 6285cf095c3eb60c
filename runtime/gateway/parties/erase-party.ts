import type { PartyServiceHandlers } from '../../gen/services.ts';
import { Fault } from '../../rpc/fault.ts';
import type { Step } from '../../store/jobs.ts';
import type { StoredRecord } from '../../store/records.ts';
import { checkNote, requireRole } from '../access.ts';
import { evidence, type GatewayNeeds } from '../needs.ts';
import { partyMessage } from './party-record.ts';
import type { AgreementBody, CredentialBody, DisputeBody, PartyBody } from '../records.ts';

/** Alerts about a party that are removed in one transaction; those beyond are removed by erasing it again. */
const MAX_ALERTS = 1000;

/**
 * Makes a party that has left nobody in the log: its salt, certificates, groups, place, notes and alerts are deleted. The
 * log keeps its entries and every receipt verifies; who they were about cannot be told from it any more. Its name stays
 * taken, since agreements, jobs and bills that others have to keep are by that name.
 */
export function erasureHandlers(needs: GatewayNeeds): Pick<PartyServiceHandlers, 'erase'> {
  const { store, pseudonyms } = needs;
  return {
    erase: async (caller, request) => {
      requireRole(caller, 'erase parties', 'operator');
      checkNote(request.note);
      const { name } = request;
      const party = store.peek<PartyBody>('party', name);
      if (party === undefined) throw new Fault('not-found', `no party \`${name}\``);
      if (party.state !== 'exited')
        throw new Fault('wrong-state', `party \`${name}\` is ${party.state}: it is erased once it has exited`);
      const isOf = (agreement: string): boolean => {
        const { provider, consumer } = store.peek<AgreementBody>('agreement', agreement)?.body ?? {};
        return provider === name || consumer === name;
      };
      const unsettled = store
        .peekAll<DisputeBody>('dispute')
        .find(({ state, body }) => state === 'open' && (body.openedBy === name || isOf(body.agreement)));
      if (unsettled !== undefined)
        throw new Fault('wrong-state', `dispute \`${unsettled.id}\` with party \`${name}\` is open: resolve it first`);
      const salt = pseudonyms.erase(name, needs.nowMs());
      const isShared = store.peek('salt', name) === undefined;
      const was = needs.pseudonymOf(name);
      const erased: StoredRecord<PartyBody> = {
        ...party,
        body: {
          roles: party.body.roles,
          groups: [],
          spiffeId: '',
          fingerprint: '',
          credentialExpiresAtMs: 0,
          signingPublicKey: '',
          jurisdiction: null,
          note: request.note,
          ...(party.body.authority === undefined ? {} : { authority: party.body.authority }),
        },
      };
      const credentials = store.peekAll<CredentialBody>('credential').filter(({ owner }) => owner === name);
      const alerts = await store.list('alert', { owner: name, limit: MAX_ALERTS });
      const steps: readonly Step[] = [
        { do: 'expect', table: 'party', id: name, state: 'exited' },
        { do: 'put', record: erased },
        ...[...credentials, ...alerts].map(({ table, id }): Step => ({ do: 'remove', table, id })),
        ...(salt === undefined ? [] : [salt]),
        {
          do: 'record',
          // Whose salt is gone is told by the pseudonym alone: it leads nowhere now.
          event: evidence(needs, 'party.erased', [{ name: `party/${was}`, sha256: needs.sha256(was) }], {
            by: needs.pseudonymOf(caller.party),
          }),
        },
      ];
      const outcome = await store.transact(steps);
      if (outcome.kind === 'refused')
        throw new Fault('conflict', `party \`${name}\` was changed meanwhile: look at it again`);
      return { party: partyMessage(erased), removedAlerts: alerts.length, isShared };
    },
  };
}
