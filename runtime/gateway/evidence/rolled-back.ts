import type { Step } from '../../store/jobs.ts';
import type { StoredRecord } from '../../store/records.ts';
import type { Store } from '../../store/store.ts';
import type { LogEvent } from '../needs.ts';

/** What a witness has seen of this log that does not fit to it. */
export type OtherHistory =
  /** More entries than there are: an older copy of the whole data directory runs. */
  | { readonly kind: 'ahead'; readonly size: number }
  /** Other entries at the same places. */
  | { readonly kind: 'forked' };

export interface ClaimNeeds {
  readonly store: Store;
  readonly nowMs: () => number;
  readonly sha256: (content: string) => string;
  readonly log: (event: LogEvent) => void;
  /** How many witnesses have to say so before everything is stopped; default: 1. */
  readonly quorum?: number;
}

/** Settings of what each witness says of our history: `ahead N` and `forked` hold, `overruled` and `cleared` do not. */
const PREFIX = 'otherHistory/';
const holds = ({ id, state }: StoredRecord): boolean =>
  id.startsWith(PREFIX) && (state === 'forked' || state.startsWith('ahead '));

/**
 * A witness remembers what a data directory that was put back cannot: budgets would be refilled, and what was released
 * since would not be known. So when as many witnesses as the quorum say so, the kill switch for everything is thrown, as
 * after `restore`, and an operator lifts it who has compared.
 *
 * What a witness says is not signed, so one that lies (or whoever answers in its place) can stop a runtime once: each
 * claim is recorded once however often and with whatever numbers it is repeated, and lifting the switch overrules it,
 * on record, until that witness cosigns this log again.
 */
export async function stopForOtherHistory(
  { store, nowMs, sha256, log, quorum = 1 }: ClaimNeeds,
  witness: string,
  seen: OtherHistory,
): Promise<'stopped' | 'noted' | 'known' | 'overruled'> {
  const id = `${PREFIX}${witness}`;
  const known = store.peek('setting', id);
  if (known?.state === 'overruled') return 'overruled';
  if (known !== undefined && holds(known)) return 'known';
  const others = store.peekAll('setting').filter((one) => one.id !== id && holds(one)).length;
  const isStopped = others + 1 >= quorum;
  const state = seen.kind === 'ahead' ? `ahead ${seen.size}` : 'forked';
  const what =
    seen.kind === 'ahead' ? `has seen ${seen.size} entries of this log` : 'has seen another history of this log';
  const note = `witness ${witness} ${what}: an older copy of the state seems to run; what was spent since is not known`;
  const atMs = nowMs();
  const subjects = [{ name: 'switch/all', sha256: sha256(note) }];
  const alert = { reason: 'log-rolled-back', seen: seen.kind, claims: others + 1, quorum };
  const stop: readonly Step[] = [
    { do: 'put', record: { table: 'switch', id: 'all', owner: 'operator', state: 'on', atMs, body: { note } } },
    { do: 'record', event: { kind: 'switch', atMs, subjects, facts: { scope: 'all', state: 'on', by: 'runtime' } } },
  ];
  await store.transact([
    { do: 'put', record: { table: 'setting', id, owner: '', state, atMs, body: {} } },
    { do: 'record', event: { kind: 'alert', atMs, subjects, facts: alert } },
    ...(isStopped ? stop : []),
  ]);
  log({ level: 'error', event: 'log.rolledBack', facts: { witness, seen: state, isStopped, note } });
  return isStopped ? 'stopped' : 'noted';
}

/** The steps that overrule what witnesses say now: part of the transaction in which an operator lifts the switch. */
export function overrulingSteps({ store, nowMs }: Pick<ClaimNeeds, 'store' | 'nowMs'>): readonly Step[] {
  return store
    .peekAll('setting')
    .filter(holds)
    .map((record) => ({ do: 'put', record: { ...record, state: 'overruled', atMs: nowMs() } }));
}

/** A witness cosigned this log: what it said before is over, and it is believed again. */
export async function believeAgain(
  { store, nowMs }: Pick<ClaimNeeds, 'store' | 'nowMs'>,
  witness: string,
): Promise<void> {
  const record = store.peek('setting', `${PREFIX}${witness}`);
  if (record === undefined || record.state === 'cleared') return;
  await store.transact([{ do: 'put', record: { ...record, state: 'cleared', atMs: nowMs() } }]);
}
