import type { Job } from '../../runtime/gen/messages.ts';
import type { Held } from './stage.ts';

/** What of a job differs between two runs of the same: names, times and what commits to them. */
const OWN: ReadonlySet<string> = new Set([
  // Of the bytes that it holds, numbers included, and random.
  'resultDigest',
  'resultSalt',
  'id',
  'agreementIds',
  'submittedAtMs',
  'endedAtMs',
  'elapsedMs',
  'receipt',
  'ticket',
  'ticketExpiresAtMs',
  'resultBytes',
  'bytesReleased',
]);

/**
 * Everything that a consumer holds after a job, without what is told per job anyway and without the numbers in released
 * cells: two datasets that differ by one customer must give the same text.
 */
export function outlineOf({ job, table }: Held): string {
  const rows = (table?.toArray() ?? []).map((row) =>
    Object.values((row as { toJSON(): Record<string, unknown> }).toJSON()).map((cell) =>
      cell === null ? 'NULL' : typeof cell === 'string' || typeof cell === 'boolean' ? String(cell) : '#',
    ),
  );
  // How many cells were withheld rests on enough units, as released cells do; an order by released numbers follows them.
  const withheld = job.withheld === null ? null : { ...job.withheld, cells: job.withheld.cells === null ? null : '#' };
  const lines = rows.map((row) => row.join(' | ')).toSorted();
  return JSON.stringify([jobOutline({ ...job, withheld: null }), withheld, lines], (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  ).replaceAll(/job-[0-9a-f]+/g, 'job');
}

function jobOutline(job: Job): unknown {
  return JSON.parse(
    JSON.stringify(job, (key, value: unknown) =>
      OWN.has(key) ? undefined : typeof value === 'bigint' ? String(value) : value,
    ),
  );
}
