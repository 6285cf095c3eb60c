import type { Caller } from '../../identity/party.ts';
import type { ResultNote } from '../../job/needs.ts';
import { fetchedEvent } from '../../job/events.ts';
import { TICKET_LIFE_MS } from '../../job/record.ts';
import { Fault } from '../../rpc/fault.ts';
import type { JobRecord } from '../../store/jobs.ts';
import type { Store } from '../../store/store.ts';
import type { GatewayNeeds } from '../needs.ts';
import { SMALL_BYTES } from './result-frames.ts';
import type { Results } from './results.ts';

type Needs = Pick<GatewayNeeds, 'store' | 'nowMs' | 'randomBytes' | 'sha256'> & { readonly results: Results };

/** A ticket as its party gets it. */
export interface IssuedTicket {
  readonly secret: Uint8Array;
  readonly expiresAtMs: number;
}

/** What a consumer may fetch with a ticket, once. A frame may be used until the next one is asked for. */
export async function* openRelease(
  needs: Needs,
  caller: Caller,
  ticket: Uint8Array,
): AsyncGenerator<Uint8Array, void, void> {
  const digest = needs.sha256(ticket);
  const events = [fetchedEvent(digest, needs.nowMs())];
  const redeemed = await needs.store.redeemTicket({ digest, party: caller.party, events });
  // One answer for every ticket that is not good, so that tickets of others cannot be probed.
  const note = redeemed.kind === 'refused' ? null : (redeemed.result as ResultNote | null);
  if (redeemed.kind === 'refused' || note === null || !needs.results.exists(redeemed.job)) {
    throw new Fault(
      'ticket-not-valid',
      'this ticket is not valid: it was used, has expired, or was made for another party; get the job again for a new one',
    );
  }
  yield* needs.results.lend(redeemed.job, note);
}

/** Largest result that goes out with the answer to its job. */
export const MAX_HANDED_OVER_BYTES = SMALL_BYTES;

/** The result of a job whose ticket was used up with its release: what `openRelease` would give for that ticket. */
export async function handOver(results: Results, record: JobRecord): Promise<readonly Uint8Array[]> {
  const note = record.body.result as ResultNote | null;
  if (record.state !== 'released' || note === null) throw new Error('only what was released is handed over');
  const latest = results.take(record.id);
  if (latest !== null) return latest;
  const frames: Uint8Array[] = [];
  for await (const frame of results.read(record.id, note)) frames.push(frame);
  return frames;
}

/** Another ticket for a released job; null when its result is no longer kept. */
export async function newTicket(needs: Needs, record: JobRecord): Promise<IssuedTicket | null> {
  if (record.state !== 'released' || !needs.results.exists(record.id)) return null;
  const secret = needs.randomBytes(32);
  const expiresAtMs = needs.nowMs() + TICKET_LIFE_MS;
  const { kind } = await needs.store.transact([
    { do: 'expect', table: 'job', id: record.id, state: 'released' },
    {
      do: 'put',
      record: {
        table: 'ticket',
        id: needs.sha256(secret),
        owner: record.owner,
        state: 'issued',
        atMs: needs.nowMs(),
        body: { job: record.id, expiresAtMs },
      },
    },
  ]);
  return kind === 'done' ? { secret, expiresAtMs } : null;
}

/** How long a ticket is kept after it has expired, so that a clock that was behind brings none back; milliseconds. */
const KEPT_AFTER_MS = TICKET_LIFE_MS;
const TICKETS_AT_ONCE = 500;

/**
 * Forgets tickets that expired a while ago, used or not: an unknown ticket is refused like one that was used. Answers
 * how many.
 */
export async function sweepTickets(store: Store, nowMs: number): Promise<number> {
  const before = { atMs: nowMs - TICKET_LIFE_MS - KEPT_AFTER_MS, id: '' };
  for (let removed = 0; ;) {
    const old = await store.list('ticket', { before, limit: TICKETS_AT_ONCE });
    if (old.length === 0) return removed;
    await store.transact(old.map(({ id }) => ({ do: 'remove', table: 'ticket', id }) as const));
    removed += old.length;
  }
}
