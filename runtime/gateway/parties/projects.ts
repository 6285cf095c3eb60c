import type { Project as ProjectMessage } from '../../gen/messages.ts';
import type { AgreementServiceHandlers } from '../../gen/services.ts';
import { MAX_AGREEMENT_DATASETS } from '../../contract/agreement.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { requireRole } from '../access.ts';
import type { GatewayNeeds } from '../needs.ts';
import type { AgreementBody, ProjectBody } from '../records.ts';

/** Most projects of one party. */
export const MAX_PROJECTS = 100;
const PROJECT_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** A party's project among the records. */
export const projectId = (owner: string, name: string): string => `${owner}/${name}`;

/**
 * Projects: names for sets of agreements, of one or several providers. A job that names one runs under all of its
 * agreements, so under the strictest of all their policies. They give no right that the agreements do not give.
 */
export function projectHandlers(
  needs: Pick<GatewayNeeds, 'store' | 'nowMs'>,
): Pick<AgreementServiceHandlers, 'saveProject' | 'listProjects'> {
  const { store } = needs;
  const mine = (party: string): readonly StoredRecord<ProjectBody>[] =>
    store.peekAll<ProjectBody>('project').filter(({ owner }) => owner === party);
  return {
    saveProject: async (caller, request) => {
      requireRole(caller, 'have projects', 'consumer');
      const { name } = request;
      if (!PROJECT_NAME.test(name))
        throw new Fault(
          'argument-not-valid',
          `\`${name}\` is not a project name: lower-case letters, digits and \`-\``,
        );
      const id = projectId(caller.party, name);
      const agreements = [...new Set(request.agreementIds)];
      if (agreements.length === 0) {
        if (store.peek('project', id) === undefined) throw new Fault('not-found', `no project \`${name}\` of yours`);
        await store.transact([{ do: 'remove', table: 'project', id }]);
        return { project: null };
      }
      if (agreements.length > MAX_AGREEMENT_DATASETS)
        throw new Fault('argument-not-valid', `a project has at most ${MAX_AGREEMENT_DATASETS} agreements`);
      const datasets = agreements.map((one) => agreementOf(needs, caller.party, one).dataset);
      const twice = datasets.find((one, at) => datasets.indexOf(one) !== at);
      if (twice !== undefined)
        throw new Fault('argument-not-valid', `two of the agreements are for dataset \`${twice}\`: name one`);
      if (store.peek('project', id) === undefined && mine(caller.party).length >= MAX_PROJECTS)
        throw new Fault('argument-not-valid', `a party has at most ${MAX_PROJECTS} projects: remove one first`);
      const record: StoredRecord<ProjectBody> = {
        table: 'project',
        id,
        owner: caller.party,
        state: 'saved',
        atMs: needs.nowMs(),
        body: { name, agreements },
      };
      await store.put(record);
      return { project: messageOf(needs, record) };
    },
    listProjects: (caller) =>
      Promise.resolve({
        projects: mine(caller.party)
          .toSorted((a, b) => (a.id < b.id ? -1 : 1))
          .map((one) => messageOf(needs, one)),
      }),
  };
}

function agreementOf(needs: Pick<GatewayNeeds, 'store'>, party: string, id: string): AgreementBody {
  const agreement = needs.store.peek<AgreementBody>('agreement', id);
  if (agreement?.body.consumer !== party) throw new Fault('not-found', `no agreement \`${id}\` of yours`);
  return agreement.body;
}

function messageOf(needs: Pick<GatewayNeeds, 'store'>, { body }: StoredRecord<ProjectBody>): ProjectMessage {
  const bodies = body.agreements.map((id) => needs.store.peek<AgreementBody>('agreement', id)?.body);
  return {
    name: body.name,
    agreementIds: body.agreements,
    datasets: bodies.map((one) => one?.dataset ?? ''),
    providers: bodies.map((one) => one?.provider ?? ''),
  };
}
