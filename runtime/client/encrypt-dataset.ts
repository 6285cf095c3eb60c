import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Vault } from '../decryptor/vault.ts';
import type { Reason, RegisterEncryptedResponse } from '../gen/messages.ts';
import { chooseParameters, type ColumnIntent } from '../homomorphic/choose.ts';
import type { ColumnHeader, ColumnTotals } from '../homomorphic/column.ts';
import { encryptColumn, type ColumnRows } from '../homomorphic/encrypt-column.ts';
import { type Encryption, openEncryption } from '../homomorphic/encryption-threads.ts';
import { type PublicBundle, type SecretBundle, writeBundle } from '../homomorphic/keys.ts';
import { writeUnitFile, type UnitRow } from '../homomorphic/unit-file.ts';
import { UnitCounter, unitTag, type UnitCounts } from '../homomorphic/units.ts';
import type { Glovebox } from './connect.ts';
import { uploadObject } from './homomorphic.ts';

/** Plaintext rows on the key holder's machine; every pass over them is in the same order, group after group. */
export interface PlainTable {
  readonly rows: number;
  units(): AsyncIterable<{ readonly unit: readonly (string | number)[]; readonly group: string | null }>;
  column(name: string): AsyncIterable<ColumnRows>;
}

/** What to encrypt, and for what. */
export interface EncryptionRequest {
  readonly dataset: string;
  readonly description?: string;
  readonly table?: string;
  readonly unitColumn: string;
  readonly groups?: { readonly column: string; readonly names: readonly string[] };
  readonly columns: readonly Omit<ColumnIntent, 'rows' | 'groups' | 'alignment'>[];
  /** Fewest units that any released number may rest on: the decryptor enforces it, whatever the runtime says. */
  readonly minUnits: number;
  /** Threads that encrypt; default: one for each core, once there is enough to do. */
  readonly threads?: number;
}

export interface KeyHolderKeys {
  readonly open: PublicBundle;
  readonly secret: SecretBundle;
  /** 32 random bytes: without them a unit tag names nobody. */
  readonly unitKey: Uint8Array;
}

export interface EncryptionSteps {
  /** Why these parameters, once per column. */
  readonly onChoice?: (column: string, explanation: readonly string[]) => void;
  readonly onProgress?: (step: 'units' | 'encrypt' | 'upload', subject: string, done: number, total: number) => void;
}

export type EncryptionOutcome =
  | { readonly kind: 'registered'; readonly dataset: RegisterEncryptedResponse }
  | { readonly kind: 'refused'; readonly reasons: readonly Reason[] };

/**
 * Encrypts columns on the key holder's machine, uploads them with the public key and the unit tags, pins them in the
 * vault of its decryptor, and registers the dataset. Nothing plain, and no secret key, ever leaves this process.
 */
export async function encryptDataset(
  needs: { readonly glovebox: Glovebox; readonly keys: KeyHolderKeys; readonly vault: Vault; readonly scratch: string },
  table: PlainTable,
  request: EncryptionRequest,
  steps: EncryptionSteps = {},
): Promise<EncryptionOutcome> {
  const { glovebox, keys, vault, scratch } = needs;
  const { dataset } = request;
  const service = glovebox.homomorphic;
  const file = join(scratch, `glovebox-${process.pid}-${Date.now()}.part`);
  try {
    const counts = await writeUnits(keys, table, request, file, steps);
    const bundle = Buffer.from(writeBundle(keys.open));
    const key = await uploadObject(service, { kind: 'publicKey', dataset }, bundle);
    if (key.kind === 'refused') return key;
    const tags = await uploadObject(service, { kind: 'unitTags', dataset }, file, {
      onProgress: (done, total) => steps.onProgress?.('upload', 'units', done, total),
    });
    if (tags.kind === 'refused') return tags;

    const values = table.rows * request.columns.length;
    await using encryption = await openEncryption({ values, asked: request.threads }, { secretKeys: keys.secret.keys });
    const columns: string[] = [];
    for (const intent of request.columns) {
      const choice = chooseParameters({
        ...intent,
        rows: table.rows,
        alignment: counts.alignment,
        ...(request.groups === undefined ? {} : { groups: request.groups.names }),
      });
      steps.onChoice?.(intent.column, choice.explanation);
      const header: ColumnHeader = { ...choice.header, keyId: keys.open.keyId };
      const totals = await encryptTo(encryption, header, table, file, steps);
      const uploaded = await uploadObject(
        service,
        {
          kind: 'column',
          dataset,
          column: intent.column,
          values: BigInt(totals.rows),
          profile: choice.profiles.join(','),
          keyDigest: keys.open.keyId,
        },
        file,
        { onProgress: (done, total) => steps.onProgress?.('upload', intent.column, done, total) },
      );
      if (uploaded.kind === 'refused') return uploaded;
      const { units, groupUnits, maxRowsPerUnit } = counts;
      await vault.pin(
        {
          dataset,
          programs: intent.programs,
          column: { header, totals, units, groupUnits, maxRowsPerUnit, minUnits: request.minUnits },
        },
        file,
      );
      columns.push(totals.digest);
    }
    const registered = await service.registerEncrypted({
      dataset,
      description: request.description ?? '',
      table: request.table ?? '',
      unitColumn: request.unitColumn,
      groupColumn: request.groups?.column ?? '',
      unitTags: tags.object.digest,
      columns,
    });
    if (registered.reasons.length > 0) return { kind: 'refused', reasons: registered.reasons };
    return { kind: 'registered', dataset: registered };
  } finally {
    await rm(file, { force: true });
  }
}

async function writeUnits(
  keys: KeyHolderKeys,
  table: PlainTable,
  request: EncryptionRequest,
  file: string,
  steps: EncryptionSteps,
): Promise<UnitCounts> {
  const counter = new UnitCounter();
  const names = request.groups?.names ?? [];
  async function* tagged(): AsyncGenerator<UnitRow, void> {
    for await (const { unit, group } of table.units()) {
      const index = names.length === 0 ? 0 : names.indexOf(group ?? '');
      if (index < 0) throw new Error('a row belongs to none of the public groups');
      const tag = unitTag(keys.unitKey, unit);
      counter.add(tag, index);
      yield { tag, group: index };
    }
  }
  await writeTo(file, writeUnitFile(tagged()));
  const counts = counter.counts();
  steps.onProgress?.('units', request.unitColumn, counts.rows, counts.rows);
  return counts;
}

export async function encryptTo(
  encryption: Encryption,
  header: ColumnHeader,
  table: Pick<PlainTable, 'rows' | 'column'>,
  file: string,
  steps: EncryptionSteps,
): Promise<ColumnTotals> {
  const onProgress = ({ rows }: { readonly rows: number }): void =>
    steps.onProgress?.('encrypt', header.column, rows, table.rows);
  return await writeTo(file, encryptColumn({ ...encryption, onProgress }, header, table.column(header.column)));
}

/** Writes what a generator yields; answers what it returns. */
export async function writeTo<T>(path: string, pieces: AsyncGenerator<Uint8Array, T>): Promise<T> {
  const file = await open(path, 'w', 0o600);
  try {
    for (;;) {
      const step = await pieces.next();
      if (step.done === true) return step.value;
      await file.writeFile(step.value);
    }
  } finally {
    await file.close();
  }
}
