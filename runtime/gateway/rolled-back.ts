import type { Store } from '../store/store.ts';
import type { LogEvent } from './needs.ts';

/** What a witness has seen of this log that does not fit to it. */
export type OtherHistory =
  /** More entries than there are: an older copy of the whole data directory runs. */
  | { readonly kind: 'ahead'; readonly size: number }
  /** Other entries at the same places. */
  | { readonly kind: 'forked' };

/**
 * A witness remembers what a data directory that was put back cannot: budgets would be refilled, and what was released
 * since would not be known. So the kill switch for everything is thrown, as after `restore`, and an operator lifts it who
 * has compared. Once for each thing that a witness says: what an operator lifted stays lifted.
 */
export async function stopForOtherHistory(
  needs: {
    readonly store: Store;
    readonly nowMs: () => number;
    readonly sha256: (content: string) => string;
    readonly log: (event: LogEvent) => void;
  },
  witness: string,
  seen: OtherHistory,
): Promise<'stopped' | 'known'> {
  const { store, nowMs, sha256, log } = needs;
  const id = `otherHistory/${witness}`;
  const state = seen.kind === 'ahead' ? `ahead ${seen.size}` : 'forked';
  const known = store.peek('setting', id)?.state;
  // Once it has been ahead, it will have seen another history as soon as this log has grown as long: nothing new.
  if (known === state || (known !== undefined && seen.kind === 'forked')) return 'known';
  const what =
    seen.kind === 'ahead' ? `has seen ${seen.size} entries of this log` : 'has seen another history of this log';
  const note = `witness ${witness} ${what}: an older copy of the state seems to run; what was spent since is not known`;
  const atMs = nowMs();
  const subjects = [{ name: 'switch/all', sha256: sha256(note) }];
  await store.transact([
    { do: 'put', record: { table: 'setting', id, owner: '', state, atMs, body: {} } },
    { do: 'put', record: { table: 'switch', id: 'all', owner: 'operator', state: 'on', atMs, body: { note } } },
    { do: 'record', event: { kind: 'alert', atMs, subjects, facts: { reason: 'log-rolled-back', seen: seen.kind } } },
    { do: 'record', event: { kind: 'switch', atMs, subjects, facts: { scope: 'all', state: 'on', by: 'runtime' } } },
  ]);
  log({ level: 'error', event: 'log.rolledBack', facts: { witness, seen: state, note } });
  return 'stopped';
}
