import type { Json } from '../evidence/canonical-json.ts';

/** Every kind of record the store keeps. Ledger balances and evidence have tables of their own. */
export const TABLES = [
  'party',
  'credential',
  'dataset',
  'policy',
  'agreement',
  'switch',
  'setting',
  'job',
  'reservation',
  'ticket',
  'usage',
  'duty',
  'sketch',
  'question',
  'cosignature',
  'topUp',
  'dispute',
  'approval',
  'delegation',
  'ciphertext',
  'alert',
  'project',
  'settlement',
  'consumerTable',
  'trust',
  'salt',
] as const;
export type TableName = (typeof TABLES)[number];

/** Small tables that every request needs: the gateway's thread holds a copy, so reading them waits for nothing. */
export const MIRRORED: readonly TableName[] = [
  'party',
  'credential',
  'dataset',
  'policy',
  'agreement',
  'switch',
  'setting',
  'ciphertext',
  'approval',
  'delegation',
  'dispute',
  'project',
  'settlement',
  'consumerTable',
  'trust',
  'salt',
];

/** One stored thing. `owner`, `state` and `atMs` can be searched; the rest is in `body` (canonical JSON) or `bytes`. */
export interface StoredRecord<Body extends Json = Json> {
  readonly table: TableName;
  readonly id: string;
  /** What it belongs to: a job's party, a policy's dataset. Empty when nothing. */
  readonly owner: string;
  readonly state: string;
  readonly atMs: number;
  readonly body: Body;
  /** Binary content, e.g. a sketch of released cells. */
  readonly bytes?: Uint8Array;
}

/** What to look for in a table; newest first. */
export interface RecordFilter {
  readonly owner?: string;
  readonly state?: string;
  /** Only records older than this one (by time, then id): the next page. */
  readonly before?: { readonly atMs: number; readonly id: string };
  readonly limit?: number;
}

export const MAX_PAGE = 1000;
export const MAX_RECORD_BYTES = 16 * 1024 * 1024;
export const MAX_ID_CHARACTERS = 512;
