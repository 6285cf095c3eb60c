import type { TwinTable } from '../../dataset/twin.ts';
import type { DatasetManifest } from '../../dataset/metadata.ts';
import type { TwinDatasetRequest, TwinDatasetResponse } from '../../gen/messages.ts';
import type { Caller } from '../../identity/party.ts';
import { grantsFor } from '../../policy/rights.ts';
import { Fault } from '../../rpc/fault.ts';
import { ipcStream } from '../../rpc/ipc-stream.ts';
import type { StoredRecord } from '../../store/records.ts';
import { isInsider, policySeenBy } from './dataset-message.ts';
import type { GatewayNeeds } from '../needs.ts';
import { versionsOf } from '../policies/policy-service.ts';
import { type DatasetBody, type PartyBody, policyOf } from '../records.ts';
import { type MarginalNeeds, marginalsFor } from './twin-marginals.ts';
import { twinTables } from './twin-tables.ts';

type TwinNeeds = GatewayNeeds &
  MarginalNeeds & {
    readonly manifestOf: (dataset: string, version: number) => Promise<DatasetManifest>;
  };

/**
 * The twin of one table of a dataset that the caller may know of: first where each column comes from, then the rows. Made
 * of the policy that the caller sees, and of noisy answers that it holds and names.
 */
export async function* datasetTwin(
  needs: TwinNeeds,
  caller: Caller,
  dataset: StoredRecord<DatasetBody>,
  request: TwinDatasetRequest,
): AsyncGenerator<TwinDatasetResponse, void, void> {
  const inside = isInsider(caller, dataset);
  const record = inside ? versionsOf(needs, dataset.id)[0] : policySeenBy(needs, caller, dataset.id);
  if (record === undefined)
    throw new Fault('not-found', `dataset \`${request.name}\` has no policy yet: there is nothing to make a twin of`);
  const { version } = dataset.body;
  const manifest = await needs.manifestOf(dataset.id, version);
  const groups = needs.store.peek<PartyBody>('party', caller.party)?.body.groups ?? [];
  const options = {
    rows: request.rows,
    seed: Number(request.seed % 2n ** 31n),
    // The provider sees every column that its policy names, a consumer those that it grants.
    mayRead: inside
      ? () => true
      : (column: Parameters<typeof grantsFor>[0]) => grantsFor(column, caller.party, groups).length > 0,
  };
  const tableOf = (tables: readonly TwinTable[]): TwinTable => {
    const found =
      request.table === '' && tables.length === 1 ? tables[0] : tables.find(({ name }) => name === request.table);
    if (found !== undefined) return found;
    throw new Fault(
      'argument-not-valid',
      `name one of the tables ${tables.map(({ name }) => name).join(', ')}: \`--table\``,
    );
  };
  const policy = policyOf(record.body);
  // One row tells names and types.
  const declared = tableOf(twinTables(manifest, policy, { ...options, rows: 1 }));
  const jobIds = request.marginalJobIds;
  const found = await marginalsFor(needs, caller, { dataset: dataset.id, version, table: declared, jobIds });
  if (found.kind === 'refused') {
    yield { ...NOTHING, reasons: found.reasons };
    return;
  }
  const { marginals } = found;
  const drawn = new Map(marginals.length === 0 ? [] : [[declared.name, marginals]]);
  const twin = tableOf(twinTables(manifest, policy, { ...options, marginals: drawn }));
  const jobs = new Map(marginals.map(({ column, job }) => [column, job]));
  yield { ...NOTHING, columns: twin.columns.map(({ name }) => ({ name, jobId: jobs.get(name) ?? '' })) };
  for (const chunk of ipcStream(twin.schema, [twin.batch])) yield { ...NOTHING, chunk };
}

const NOTHING: TwinDatasetResponse = { chunk: new Uint8Array(), reasons: [], columns: [] };
