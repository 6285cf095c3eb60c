import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Reason } from '../gen/messages.ts';
import { chooseParameters } from '../homomorphic/choose.ts';
import type { ColumnHeader } from '../homomorphic/column.ts';
import { type Contribution } from '../homomorphic/contribution.ts';
import type { PinnedColumn } from '../homomorphic/decryptor.ts';
import type { Invitation } from '../homomorphic/invitation.ts';
import { openEncryption } from '../homomorphic/encryption-threads.ts';
import { type UnitRow, writeUnitFile } from '../homomorphic/unit-file.ts';
import { UnitCounter, unitTag } from '../homomorphic/units.ts';
import type { Glovebox } from './connect.ts';
import {
  encryptTo,
  type EncryptionRequest,
  type EncryptionSteps,
  type PlainTable,
  writeTo,
} from './encrypt-dataset.ts';
import { uploadObject } from './homomorphic.ts';

/** What a provider lets another compute on. */
export interface ContributionRequest {
  readonly contributor: string;
  readonly columns: EncryptionRequest['columns'];
  readonly programs: readonly string[];
  /** Fewest of its units that any released number may rest on. */
  readonly minUnits: number;
  /** Threads that encrypt; default: one for each core, once there is enough to do. */
  readonly threads?: number;
}

export type ContributionOutcome =
  | { readonly kind: 'contributed'; readonly contribution: Contribution }
  | { readonly kind: 'refused'; readonly reasons: readonly Reason[] };

/**
 * Encrypts columns under another provider's public key, uploads them for its dataset with tags of their units, and
 * answers what to hand to that provider. Nothing plain leaves this process; who holds the secret key could read the
 * columns, which is why they go to nobody but the runtime and that provider. With an invitation that has an order, rows
 * are put into it: units that are not there are missing values. Throws a `RangeError` when a unit has several rows then.
 */
export async function contributeColumns(
  needs: { readonly glovebox: Glovebox; readonly invitation: Invitation; readonly scratch: string },
  table: PlainTable,
  request: ContributionRequest,
  steps: EncryptionSteps = {},
): Promise<ContributionOutcome> {
  const { glovebox, invitation, scratch } = needs;
  const { dataset, open } = invitation;
  const service = glovebox.homomorphic;
  const file = join(scratch, `glovebox-${process.pid}-${Date.now()}.part`);
  const rows = invitation.order === null ? await ownOrder(invitation, table) : await givenOrder(invitation, table);
  try {
    const counter = new UnitCounter();
    for (const { tag, group } of rows.tags) counter.add(tag, group);
    const counts = counter.counts();
    await writeTo(file, writeUnitFile(rows.tags));
    const tags = await uploadObject(service, { kind: 'unitTags', dataset }, file);
    if (tags.kind === 'refused') return tags;
    const values = rows.tags.length * request.columns.length;
    await using encryption = await openEncryption({ values, asked: request.threads }, { publicKeys: open.keys });
    const columns: PinnedColumn[] = [];
    for (const intent of request.columns) {
      const choice = chooseParameters({
        ...intent,
        isNullable: intent.isNullable === true || rows.isPartial,
        mode: 'publicKey',
        rows: rows.tags.length,
        alignment: counts.alignment,
        groups: invitation.groups,
      });
      const missing = choice.profiles.find((id) => !open.keys.some(({ profile }) => profile === id));
      if (missing !== undefined) throw new RangeError(`the invitation has no public key of profile ${missing}`);
      steps.onChoice?.(intent.column, choice.explanation);
      const header: ColumnHeader = { ...choice.header, keyId: open.keyId };
      const totals = await encryptTo(encryption, header, { rows: rows.tags.length, column: rows.column }, file, steps);
      const uploaded = await uploadObject(
        service,
        {
          kind: 'column',
          dataset,
          column: intent.column,
          values: BigInt(totals.rows),
          profile: choice.profiles.join(','),
          keyDigest: open.keyId,
          contribution: { programs: request.programs, minUnits: request.minUnits, unitTags: tags.object.digest },
        },
        file,
        { onProgress: (done, total) => steps.onProgress?.('upload', intent.column, done, total) },
      );
      if (uploaded.kind === 'refused') return uploaded;
      const { units, groupUnits, maxRowsPerUnit } = counts;
      columns.push({ header, totals, units, groupUnits, maxRowsPerUnit, minUnits: request.minUnits });
    }
    const { contributor, programs } = request;
    return {
      kind: 'contributed',
      contribution: { format: 'glovebox-contribution/1', dataset, contributor, programs, columns },
    };
  } finally {
    await rm(file, { force: true });
  }
}

interface OrderedRows {
  readonly tags: readonly UnitRow[];
  /** Whether a unit of the order has no row here. */
  readonly isPartial: boolean;
  readonly column: PlainTable['column'];
}

/** Rows as they are in the table, group after group. */
async function ownOrder({ unitKey, groups }: Invitation, table: PlainTable): Promise<OrderedRows> {
  const tags: UnitRow[] = [];
  for await (const { unit, group } of table.units())
    tags.push({ tag: unitTag(unitKey, unit), group: Math.max(0, groups.indexOf(group ?? '')) });
  return { tags, isPartial: false, column: (name) => table.column(name) };
}

/** One row for each of the invitation's, in its order; a unit that is not in the table is a missing value. */
async function givenOrder({ unitKey, groups, order }: Invitation, table: PlainTable): Promise<OrderedRows> {
  const wanted = order ?? [];
  const nameOf = (tag: Uint8Array): string => Buffer.from(tag).toString('latin1');
  const placeOf = new Map<string, number>();
  let rows = 0;
  for await (const { unit } of table.units()) placeOf.set(nameOf(unitTag(unitKey, unit)), rows++);
  if (placeOf.size !== rows) throw new RangeError('a unit has several rows: rows can be joined when each unit has one');
  const places = wanted.map(({ tag }) => placeOf.get(nameOf(tag)));
  if (new Set(wanted.map(({ tag }) => nameOf(tag))).size !== wanted.length)
    throw new RangeError('the invitation has units with several rows: rows can be joined when each unit has one');
  return {
    tags: wanted,
    isPartial: places.includes(undefined),
    async *column(name) {
      const values: (number | bigint | null)[] = [];
      for await (const part of table.column(name)) for (const value of part.values) values.push(value);
      for (let at = 0; at < wanted.length;) {
        let end = at;
        while (end < wanted.length && wanted[end]?.group === wanted[at]?.group) end++;
        const group = groups[wanted[at]?.group ?? 0];
        const part = places.slice(at, end).map((place) => (place === undefined ? null : (values[place] ?? null)));
        yield group === undefined ? { values: part } : { group, values: part };
        at = end;
      }
    },
  };
}
