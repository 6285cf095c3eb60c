import { createHash } from 'node:crypto';
import { digestFile, digestValue } from '../../dataset/digest.ts';
import type { DatasetManifest } from '../../dataset/metadata.ts';
import { checkDatasetName } from '../../dataset/names.ts';
import type { Verification } from '../../dataset/verify.ts';
import type {
  RegisterEncryptedRequest,
  RegisterEncryptedResponse,
  SetDecryptorRequest,
  SetDecryptorResponse,
} from '../../gen/messages.ts';
import { PROFILES } from '../../homomorphic/profiles.ts';
import type { UnitCounts } from '../../homomorphic/units.ts';
import type { Caller } from '../../identity/party.ts';
import { reason } from '../../policy/reason.ts';
import { Fault } from '../../rpc/fault.ts';
import type { StoredRecord } from '../../store/records.ts';
import { requireRole } from '../access.ts';
import type { CiphertextFiles } from './ciphertext-files.ts';
import type { ColumnFacts, HomomorphicNeeds } from './ciphertext-intake.ts';
import { contributedTo } from './contributed-columns.ts';
import { gradingRecord } from '../policies/dataset-grade.ts';
import { evidence } from '../needs.ts';
import { type CiphertextBody, type DatasetBody, type DecryptorBody, type EncryptedBody, objectId } from '../records.ts';

/** Most columns of an encrypted dataset. */
export const MAX_COLUMNS = 256;
const MAX_CERTIFICATE_LENGTH = 16 * 1024;
const ADDRESS = /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]{1,253}):([1-9]\d{0,4})$/;

export const decryptorId = (dataset: string): string => `decryptor/${dataset}`;

/** Datasets whose columns are ciphertext: made of uploaded objects, which stay where they are. */
export function encryptedDatasets(needs: HomomorphicNeeds): {
  register(caller: Caller, request: RegisterEncryptedRequest): Promise<RegisterEncryptedResponse>;
  setDecryptor(caller: Caller, request: SetDecryptorRequest): Promise<SetDecryptorResponse>;
} {
  const own = (
    caller: Caller,
    digest: string,
    kind: CiphertextBody['kind'],
    isContributed = false,
  ): StoredRecord<CiphertextBody> => {
    const found =
      needs.store.peek<CiphertextBody>('ciphertext', objectId(caller.party, digest)) ??
      (isContributed ? contributedTo(needs, caller.party, digest) : undefined);
    if (found === undefined || found.body.kind !== kind || found.state !== 'stored')
      throw new Fault(
        'not-found',
        `no ${kind === 'column' ? 'column' : 'unit tags'} of yours with digest \`${digest}\``,
      );
    return found;
  };
  return {
    register: async (caller, request) => {
      requireRole(caller, 'register datasets', 'provider');
      checkName(request.dataset);
      const existing = needs.store.peek<DatasetBody>('dataset', request.dataset);
      if (existing !== undefined && existing.owner !== caller.party)
        throw new Fault('already-exists', `the name \`${request.dataset}\` is taken`);
      if (existing !== undefined && existing.body.encrypted === undefined)
        throw new Fault('conflict', `dataset \`${request.dataset}\` is one of plaintext: choose another name`);
      if (request.columns.length === 0 || request.columns.length > MAX_COLUMNS)
        throw new Fault('argument-not-valid', `an encrypted dataset has 1 to ${MAX_COLUMNS} columns`);
      const found = request.columns.map((digest) => own(caller, digest, 'column', request.addsContributions));
      const whole = request.addsContributions
        ? grown(request, existing, found)
        : made(request, JSON.parse(own(caller, request.unitTags, 'unitTags').body.facts) as UnitCounts, found);
      if (typeof whole === 'string') {
        const reasons = [reason('encrypted-dataset-odd', `cannot register \`${request.dataset}\`: ${whole}`)];
        return { version: 0, digest: '', units: 0n, rows: 0n, reasons };
      }
      const { encrypted, description } = whole;
      const version = (existing?.body.version ?? 0) + 1;
      const digest = digestValue({ dataset: request.dataset, version, ...encrypted });
      const record: StoredRecord<DatasetBody> = {
        table: 'dataset',
        id: request.dataset,
        owner: caller.party,
        state: 'registered',
        atMs: needs.nowMs(),
        body: {
          version,
          digest,
          description,
          grade: existing?.body.grade ?? null,
          ...(existing?.body.gradeConfirmed === undefined ? {} : { gradeConfirmed: existing.body.gradeConfirmed }),
          registeredAtMs: needs.nowMs(),
          findings: [],
          encrypted,
        },
      };
      const recorded = await needs.store.transact([
        { do: 'expect', table: 'dataset', id: record.id, state: existing === undefined ? null : existing.state },
        { do: 'put', record },
        { do: 'put', record: gradingRecord(needs, record) },
        {
          do: 'record',
          event: evidence(
            needs,
            'dataset.registered',
            [{ name: `dataset/${record.id}@${version}`, sha256: digest.replace('sha256:', '') }],
            {
              provider: needs.pseudonymOf(caller.party),
              tables: 1,
              isEncrypted: true,
              contributors: new Set(encrypted.columns.flatMap(({ owner }) => owner ?? [])).size,
            },
          ),
        },
      ]);
      if (recorded.kind === 'refused')
        throw new Fault('conflict', `dataset \`${record.id}\` was registered meanwhile: look at it again`);
      return { version, digest, units: BigInt(encrypted.units), rows: BigInt(encrypted.rows), reasons: [] };
    },
    setDecryptor: async (caller, request) => {
      const dataset = needs.store.peek<DatasetBody>('dataset', request.dataset);
      if (dataset === undefined || dataset.owner !== caller.party || dataset.body.encrypted === undefined)
        throw new Fault('not-found', `no encrypted dataset \`${request.dataset}\` of yours`);
      const { address, certificate } = request;
      if (address !== '' && (!ADDRESS.test(address) || Number(address.split(':').at(-1)) > 65_535))
        throw new Fault('argument-not-valid', 'the address is not HOST:PORT');
      if (address !== '' && (certificate.length > MAX_CERTIFICATE_LENGTH || !certificate.includes('BEGIN CERTIFICATE')))
        throw new Fault(
          'argument-not-valid',
          'the certificate of the decryptor is missing: it lies in its data directory',
        );
      const body: DecryptorBody = { address, certificate };
      const record: StoredRecord<DecryptorBody> = {
        table: 'setting',
        id: decryptorId(request.dataset),
        owner: caller.party,
        state: address === '' ? 'removed' : 'set',
        atMs: needs.nowMs(),
        body,
      };
      const sha256 = createHash('sha256').update(JSON.stringify(body)).digest('hex');
      await needs.store.transact([
        { do: 'put', record },
        {
          do: 'record',
          event: evidence(needs, 'decryptor.set', [{ name: `decryptor/${request.dataset}`, sha256 }], {
            provider: needs.pseudonymOf(caller.party),
          }),
        },
      ]);
      return { address, isReachable: address !== '' && (await needs.isReachable(body)) };
    },
  };
}

/** What policies and the catalogue see of an encrypted dataset: names and types, with the unit that stayed at home. */
export function encryptedManifest(
  dataset: string,
  body: DatasetBody,
  columnOf: (digest: string, contributor: string | undefined) => CiphertextBody | undefined,
): DatasetManifest | null {
  const { encrypted } = body;
  if (encrypted === undefined) return null;
  const stored = encrypted.columns.map(({ digest, owner }) => columnOf(digest, owner));
  const text = (name: string): { readonly name: string; readonly type: { readonly kind: 'text' } } => ({
    name,
    type: { kind: 'text' },
  });
  const columns = encrypted.columns.map(({ column }, index) => {
    const facts = stored[index]?.facts;
    const { header } = (facts === undefined ? { header: null } : JSON.parse(facts)) as {
      header: ColumnFacts['header'] | null;
    };
    const isReal = header?.channels.some(({ profile }) => PROFILES[profile].scheme === 'ckks') === true;
    return {
      name: column,
      type: isReal
        ? ({ kind: 'double' } as const)
        : ({ kind: 'decimal', width: 38, scale: header?.decimals ?? 0 } as const),
    };
  });
  const plain = [encrypted.unitColumn, encrypted.groupColumn].filter((name) => name !== '').map(text);
  return {
    dataset,
    version: body.version,
    tables: [
      {
        name: encrypted.table,
        file: '',
        columns: [...plain, ...columns],
        rowCount: encrypted.rows,
        bytes: stored.reduce((sum, one) => sum + (one?.size ?? 0), 0),
        digest: body.digest,
      },
    ],
    notes: [],
    digest: body.digest,
  };
}

interface WholeDataset {
  readonly encrypted: EncryptedBody;
  readonly description: string;
}

/** A dataset of these columns; a text says what is wrong with it. */
function made(
  request: RegisterEncryptedRequest,
  units: UnitCounts,
  found: readonly StoredRecord<CiphertextBody>[],
): WholeDataset | string {
  const problem = problemOf(
    request,
    units,
    found.map(({ body }) => body),
  );
  if (problem !== null) return problem;
  const encrypted: EncryptedBody = {
    table: request.table === '' ? 'data' : request.table,
    unitColumn: request.unitColumn,
    groupColumn: request.groupColumn,
    keyId: found[0]?.body.keyId ?? '',
    rows: units.rows,
    units: units.units,
    groupUnits: units.groupUnits,
    columns: found.map(entryOf),
  };
  return { encrypted, description: request.description };
}

/** The current version with contributed columns beside those that it has; a text says what is wrong with it. */
function grown(
  { dataset, multipliesContributions }: RegisterEncryptedRequest,
  existing: StoredRecord<DatasetBody> | undefined,
  found: readonly StoredRecord<CiphertextBody>[],
): WholeDataset | string {
  const current = existing?.body.encrypted;
  if (existing === undefined || current === undefined) return 'it has no columns of yours yet: encrypt those first';
  for (const { body } of found) {
    if (body.contribution === undefined) return `column \`${body.column}\` is your own: register it with all of yours`;
    if (body.dataset !== dataset) return `column \`${body.column}\` was contributed to another dataset`;
    if (body.keyId !== current.keyId) return 'its columns are encrypted under different keys';
    const { header } = JSON.parse(body.facts) as ColumnFacts;
    if (header.groups.length > 0 && current.groupColumn === '')
      return `column \`${body.column}\` has groups without a name`;
  }
  const columns = [
    ...current.columns,
    ...found.map((one) => ({ ...entryOf(one), mayMultiply: multipliesContributions })),
  ];
  const names = new Set([current.unitColumn, current.groupColumn, ...columns.map(({ column }) => column)]);
  if (columns.length > MAX_COLUMNS) return `it would have more than ${MAX_COLUMNS} columns`;
  if (names.size !== columns.length + (current.groupColumn === '' && !names.has('') ? 1 : 2))
    return 'two of its columns have one name';
  return { encrypted: { ...current, columns }, description: existing.body.description };
}

const entryOf = ({ owner, body }: StoredRecord<CiphertextBody>): EncryptedBody['columns'][number] =>
  body.contribution === undefined
    ? { column: body.column, digest: body.digest }
    : { column: body.column, digest: body.digest, owner };

function problemOf(
  request: RegisterEncryptedRequest,
  units: UnitCounts,
  columns: readonly CiphertextBody[],
): string | null {
  const names = new Set([request.unitColumn, request.groupColumn, ...columns.map(({ column }) => column)]);
  if (names.size !== columns.length + 2 && !(request.groupColumn === '' && names.has('')))
    return 'two of its columns have one name';
  if (request.unitColumn === '') return 'its privacy unit has no name';
  if (new Set(columns.map(({ keyId }) => keyId)).size !== 1) return 'its columns are encrypted under different keys';
  for (const { column, dataset, facts, contribution } of columns) {
    if (dataset !== request.dataset) return `column \`${column}\` was uploaded for another dataset`;
    const { header, upload } = JSON.parse(facts) as ColumnFacts;
    if (header.groups.length > 0 && request.groupColumn === '') return `column \`${column}\` has groups without a name`;
    if (contribution !== undefined) return `column \`${column}\` is contributed to the dataset of another provider`;
    if (upload.rows !== units.rows) return `column \`${column}\` has other rows than the unit tags`;
    if (header.alignment !== units.alignment) return `column \`${column}\` is not aligned with the unit tags`;
    if (Math.max(1, header.groups.length) < units.groupUnits.length)
      return `column \`${column}\` has fewer groups than the unit tags`;
  }
  return null;
}

function checkName(dataset: string): void {
  try {
    checkDatasetName(dataset);
  } catch (cause) {
    throw new Fault('argument-not-valid', (cause as Error).message, { cause });
  }
}

/** Reads every stored byte of an encrypted dataset again and compares with what the worker stored. */
export async function verifyEncrypted(
  files: CiphertextFiles,
  dataset: StoredRecord<DatasetBody>,
  objectOf: (id: string) => CiphertextBody | undefined,
): Promise<Verification> {
  const changed: { file: string; problem: string }[] = [];
  for (const { column, digest, owner = dataset.owner } of dataset.body.encrypted?.columns ?? []) {
    const facts = objectOf(objectId(owner, digest))?.facts;
    const expected = facts === undefined ? '' : (JSON.parse(facts) as ColumnFacts).stored.digest;
    const actual = await digestFile(files.pathOf(owner, digest)).catch(() => null);
    if (actual === null) changed.push({ file: column, problem: 'it is gone' });
    else if (actual.digest !== expected) changed.push({ file: column, problem: 'its bytes were changed' });
  }
  if (changed.length > 0) return { kind: 'changed', files: changed };
  const manifest = encryptedManifest(dataset.id, dataset.body, (digest, owner = dataset.owner) =>
    objectOf(objectId(owner, digest)),
  );
  if (manifest === null) throw new Error('the dataset is not one of ciphertext');
  return { kind: 'intact', manifest };
}
