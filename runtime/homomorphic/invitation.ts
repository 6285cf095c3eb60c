import { COLUMN_LIMITS } from './column.ts';
import { HomomorphicFault } from './fault.ts';
import { BUNDLE_LIMIT_BYTES, type PublicBundle, readPublicBundle, writeBundle } from './keys.ts';
import type { UnitRow } from './unit-file.ts';
import { UNIT_TAG_BYTES } from './units.ts';

/**
 * What a key holder gives to another provider that shall contribute columns: the public keys to encrypt with, the key
 * that turns unit ids into the same tags, and, for columns that shall be joined with its own, the order of its rows.
 * It names no unit, but who has it can tell which of its own units are among them: it goes from hand to hand.
 */
export interface Invitation {
  readonly format: 'glovebox-invitation/1';
  readonly dataset: string;
  readonly open: PublicBundle;
  /** 32 bytes. */
  readonly unitKey: Uint8Array;
  /** Public groups of the dataset; blocks of joined columns are cut alike. */
  readonly groups: readonly string[];
  /** Tags and groups of the key holder's rows, in order; null when columns of other rows are asked for. */
  readonly order: readonly UnitRow[] | null;
}

/** Most rows that an invitation can give an order of. */
export const INVITED_ROWS_LIMIT = 1 << 20;
const RECORD_BYTES = 2 + UNIT_TAG_BYTES;
const LIMIT_BYTES = 2 * BUNDLE_LIMIT_BYTES + 2 * INVITED_ROWS_LIMIT * RECORD_BYTES;
const KEYS = ['format', 'dataset', 'open', 'unitKey', 'groups', 'order'] as const;

/** The invitation as a file. */
export function writeInvitation(invitation: Invitation): string {
  const { format, dataset, open, unitKey, groups, order } = invitation;
  if (order !== null && order.length > INVITED_ROWS_LIMIT)
    throw new HomomorphicFault('bad-column', `cannot invite: at most ${INVITED_ROWS_LIMIT} rows are put in an order`);
  const records = order?.map(({ tag, group }) => Buffer.concat([Uint8Array.of(group & 255, group >> 8), tag]));
  const text = {
    format,
    dataset,
    open: writeBundle(open),
    unitKey: Buffer.from(unitKey).toString('base64'),
    groups,
    order: records === undefined ? null : Buffer.concat(records).toString('base64'),
  } satisfies Record<(typeof KEYS)[number], unknown>;
  return `${JSON.stringify(text)}\n`;
}

/** Reads an invitation from another provider's text; anything unexpected throws `bad-key`. */
export function readInvitation(text: string): Invitation {
  if (text.length > LIMIT_BYTES) return refuse('it is too large');
  const record = recordOf(text);
  if (Object.keys(record).join() !== KEYS.join() || record['format'] !== 'glovebox-invitation/1')
    return refuse('it has other fields than an invitation has');
  const { dataset, open, unitKey, groups, order } = record;
  if (typeof dataset !== 'string' || dataset === '' || dataset.length > 256) return refuse('it names no dataset');
  if (typeof open !== 'string' || typeof unitKey !== 'string') return refuse('its keys are missing');
  const key = Buffer.from(unitKey, 'base64');
  if (key.byteLength !== 32) return refuse('its unit key is damaged');
  if (!isGroups(groups)) return refuse('its groups are not distinct names');
  return {
    format: 'glovebox-invitation/1',
    dataset,
    open: readPublicBundle(Buffer.from(open)),
    unitKey: new Uint8Array(key),
    groups,
    order: order === null ? null : orderOf(order, Math.max(1, groups.length)),
  };
}

function orderOf(text: unknown, groups: number): readonly UnitRow[] {
  if (typeof text !== 'string') return refuse('its order is damaged');
  const bytes = Buffer.from(text, 'base64');
  const rows = bytes.byteLength / RECORD_BYTES;
  if (!Number.isInteger(rows) || rows < 1 || rows > INVITED_ROWS_LIMIT) return refuse('its order is damaged');
  return Array.from({ length: rows }, (_, i) => {
    const group = bytes.readUInt16LE(i * RECORD_BYTES);
    if (group >= groups) return refuse('a row of its order is in a group that does not exist');
    return { tag: new Uint8Array(bytes.subarray(i * RECORD_BYTES + 2, (i + 1) * RECORD_BYTES)), group };
  });
}

function isGroups(input: unknown): input is readonly string[] {
  return (
    Array.isArray(input) &&
    input.length <= COLUMN_LIMITS.groups &&
    input.every((name) => typeof name === 'string' && name !== '' && name.length <= COLUMN_LIMITS.nameLength) &&
    new Set(input).size === input.length
  );
}

function recordOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // said below, without the parser's excerpt: the file holds a key
  }
  return refuse('it is not JSON');
}

function refuse(complaint: string): never {
  throw new HomomorphicFault('bad-key', `cannot read this invitation: ${complaint}`);
}
