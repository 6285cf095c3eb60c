import type { Dataset as DatasetMessage, DatasetTable } from '../../gen/messages.ts';
import { DatasetError } from '../../dataset/dataset-error.ts';
import type { DatasetManifest } from '../../dataset/metadata.ts';
import { type Caller, hasRole } from '../../identity/party.ts';
import { packInWords } from '../../policy/grade-pack.ts';
import type { Grade, TablePolicy } from '../../policy/model.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { isOpenTo, pinnedPolicy } from '../agreement-record.ts';
import { findStoredTable } from '../../dataset/catalogue.ts';
import { custodianOf, keeps } from './custody.ts';
import { proposedGradeOf } from '../policies/dataset-grade.ts';
import type { GatewayNeeds } from '../needs.ts';
import { versionsOf } from '../policies/policy-service.ts';
import { type AgreementBody, type DatasetBody, type PolicyBody, policyOf } from '../records.ts';

/** Told to insiders in a list, where nothing more is known of such a dataset. */
const FILES_CHANGED = 'its files are not what was registered: `dataset verify` names them';

/** What describing a dataset needs beside the records. */
export interface ManifestNeeds extends GatewayNeeds {
  readonly manifestOf: (dataset: string, version: number) => Promise<DatasetManifest>;
}

/** What a provider did wrong is told in full: it is the provider's own data. */
export function faultOf(error: unknown): unknown {
  if (!(error instanceof DatasetError)) return error;
  const code = { conflict: 'conflict', 'not-found': 'not-found', changed: 'dataset-changed' } as const;
  return new Fault(error.code in code ? code[error.code as keyof typeof code] : 'argument-not-valid', error.message, {
    cause: error,
  });
}

/** Who sees all of a dataset but its rows: its provider, operators and auditors. */
export const isInsider = (caller: Caller, dataset: StoredRecord<DatasetBody>): boolean =>
  dataset.owner === caller.party || hasRole(caller, 'operator', 'auditor');

/** Consumers see what they have an offer of or an agreement for, custodians what they keep. */
export function maySee(needs: GatewayNeeds, caller: Caller, dataset: StoredRecord<DatasetBody>): boolean {
  return (
    isInsider(caller, dataset) ||
    keeps(needs, caller, dataset.id) ||
    policySeenBy(needs, caller, dataset.id) !== undefined
  );
}

export function policySeenBy(
  needs: GatewayNeeds,
  caller: Caller,
  dataset: string,
): StoredRecord<PolicyBody> | undefined {
  const agreement = needs.store
    .peekAll<AgreementBody>('agreement')
    .filter((record) => record.body.dataset === dataset && isOpenTo(caller.party, record, needs.nowMs()))
    .toSorted((a, b) => b.body.policyVersion - a.body.policyVersion)[0];
  return agreement === undefined ? undefined : pinnedPolicy(needs, agreement.body);
}

/**
 * A consumer is shown the columns that its policy names, with their rights, and no exact counts of rows or bytes. Throws
 * Fault `dataset-changed` when the files are not what was registered; in a list such a dataset has no tables instead, so
 * that one does not hide all.
 */
export async function messageOf(
  needs: ManifestNeeds,
  caller: Caller,
  dataset: StoredRecord<DatasetBody>,
  { version = 0, isListed = false }: { readonly version?: number; readonly isListed?: boolean } = {},
): Promise<DatasetMessage> {
  const inside = isInsider(caller, dataset);
  const { body } = dataset;
  const shown = version === 0 || !inside ? body.version : version;
  const manifest = await needs.manifestOf(dataset.id, shown).catch((error: unknown) => {
    if (isListed && error instanceof DatasetError) return null;
    throw faultOf(error);
  });
  const record = inside ? versionsOf(needs, dataset.id)[0] : policySeenBy(needs, caller, dataset.id);
  const policy = record === undefined ? null : policyOf(record.body);
  const stored = manifest ?? { tables: [] };
  const tables = stored.tables.flatMap((table): readonly DatasetTable[] => {
    const ruled = policy?.tables.find((one) => findStoredTable(stored, one)?.name === table.name);
    if (!inside && ruled === undefined) return [];
    const columns = table.columns
      .filter(({ name }) => inside || ruled?.columns.some((column) => column.name === name) === true)
      .map(({ name, type }) => ({
        name,
        type:
          type.kind === 'integer'
            ? `integer${type.bits}`
            : type.kind === 'decimal'
              ? `decimal(${type.width},${type.scale})`
              : type.kind,
        nullable: true,
        rights: rightsOf(ruled, name),
        suggestedGrade: inside ? suggestedFor(body, table.name, name) : ('unspecified' as const),
        recognisedAs: inside
          ? (body.findings.find((finding) => finding.startsWith(`${table.name}.${name}: `))?.split(': ')[1] ?? '')
          : '',
      }));
    return [
      {
        name: table.name,
        columns,
        rowCount: inside ? BigInt(table.rowCount) : null,
        bytes: inside ? BigInt(table.bytes) : null,
        digest: inside ? table.digest : '',
        privacyUnit:
          ruled?.privacyUnits.map(({ columns: keys }) => (keys.length === 0 ? 'row' : keys.join(' + '))) ?? [],
      },
    ];
  });
  return {
    name: dataset.id,
    version: shown,
    description: body.description,
    provider: dataset.owner,
    grade: body.grade ?? policy?.grade ?? 'unspecified',
    digest: manifest?.digest ?? body.digest,
    registeredAtMs: body.registeredAtMs,
    tables,
    policyVersion: record?.body.version ?? 0,
    policyDigest: record === undefined ? '' : `sha256:${record.body.digest}`,
    findings: inside ? [...(manifest === null ? [FILES_CHANGED] : []), ...body.findings] : [],
    proposedGrade: inside ? proposedGradeOf(body) : ('unspecified' as const),
    isGradeConfirmed: body.gradeConfirmed !== undefined,
    custodian: inside || keeps(needs, caller, dataset.id) ? (custodianOf(needs, dataset.id) ?? '') : '',
    gradeRules: inside && body.grade !== null ? packInWords(body.grade) : [],
  };
}

function rightsOf(table: TablePolicy | undefined, column: string): readonly string[] {
  return [...new Set(table?.columns.find(({ name }) => name === column)?.grants.flatMap(({ rights }) => rights))];
}

const suggestedFor = ({ proposedGrades }: DatasetBody, table: string, column: string): Grade | 'unspecified' =>
  proposedGrades?.find((one) => one.table === table && one.column === column)?.grade ?? 'unspecified';
