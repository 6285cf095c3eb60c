import type { TwinMarginal, TwinTable } from '../../dataset/twin.ts';
import type { Caller } from '../../identity/party.ts';
import type { ResultNote } from '../../job/needs.ts';
import type { RecordedMarginal } from '../../job/prepare.ts';
import { type Reason, reason } from '../../policy/reason.ts';
import type { Cell } from '../../release/column-values.ts';
import type { Schema } from '../../release/columns.ts';
import { Fault } from '../../rpc/fault.ts';
import { cellsOfFrames } from '../../rpc/frame-rows.ts';
import type { JobRecord } from '../../store/jobs.ts';
import type { GatewayNeeds } from '../needs.ts';
import { newTicket, openRelease } from '../results/release-tickets.ts';
import type { Results } from '../results/results.ts';

/** Most jobs that one twin is drawn from. */
const MAX_MARGINAL_JOBS = 32;
/** Most rows of a result that a column is drawn from. */
const MAX_ROWS = 100_000;

export type MarginalNeeds = Pick<GatewayNeeds, 'store' | 'nowMs' | 'randomBytes' | 'sha256'> & {
  readonly results: Results;
};

/** Columns of a twin that follow noisy counts, or every reason why a named job cannot be used. */
type FoundMarginals =
  | { readonly kind: 'marginals'; readonly marginals: readonly (TwinMarginal & { readonly job: string })[] }
  | { readonly kind: 'refused'; readonly reasons: readonly Reason[] };

/**
 * What the caller was told of columns of a table, in jobs of its own under differential privacy. It is post-processing of
 * released bytes and costs nothing more: each result is fetched with a ticket, so that what nobody could fetch now (the
 * agreement ended, a switch is on) is not read here either, and the fetch is on record.
 */
export async function marginalsFor(
  needs: MarginalNeeds,
  caller: Caller,
  { jobIds, ...twin }: TwinOf & { readonly jobIds: readonly string[] },
): Promise<FoundMarginals> {
  if (jobIds.length > MAX_MARGINAL_JOBS)
    throw new Fault('argument-not-valid', `a twin is drawn from at most ${MAX_MARGINAL_JOBS} jobs`);
  const chosen: { readonly record: JobRecord; readonly marginal: RecordedMarginal }[] = [];
  const reasons: Reason[] = [];
  for (const id of jobIds) {
    const found = await usable(needs, caller, id, twin);
    const other = 'code' in found ? undefined : chosen.find((one) => one.marginal.column === found.marginal.column);
    if ('code' in found) reasons.push(found);
    else if (other === undefined) chosen.push(found);
    else reasons.push(notUsable(id, `column \`${found.marginal.column}\` is job \`${other.record.id}\`'s already`));
  }
  if (reasons.length > 0) return { kind: 'refused', reasons };
  const marginals: (TwinMarginal & { readonly job: string })[] = [];
  for (const { record, marginal } of chosen) {
    const rows = await fetched(needs, caller, record);
    if (rows === undefined) return { kind: 'refused', reasons: [unknown(record.id)] };
    const weighted = weightsOf(marginal, rows);
    if (!weighted.choices.some(({ weight }) => weight > 0))
      return { kind: 'refused', reasons: [notUsable(record.id, 'none of its noisy counts is above zero')] };
    marginals.push({ column: marginal.column, job: record.id, ...weighted });
  }
  return { kind: 'marginals', marginals };
}

interface TwinOf {
  readonly dataset: string;
  readonly version: number;
  readonly table: Pick<TwinTable, 'name' | 'columns' | 'schema'>;
}

async function usable(
  needs: MarginalNeeds,
  caller: Caller,
  id: string,
  { dataset, version, table }: TwinOf,
): Promise<{ readonly record: JobRecord; readonly marginal: RecordedMarginal } | Reason> {
  const record = await needs.store.job(id);
  // One answer for jobs of others and for none, so that nobody's jobs can be probed.
  if (record === undefined || record.owner !== caller.party) return unknown(id);
  const details = record.body.details as Readonly<Record<string, unknown>>;
  if (record.state !== 'released') return notUsable(id, 'it released nothing');
  if (details['kind'] !== 'sql' || details['mode'] !== 'differentialPrivacy')
    return notUsable(id, 'it was not answered under a rule of mode `differentialPrivacy`');
  if (typeof details['marginal'] !== 'string')
    return notUsable(id, 'it says something else than the counts of one column', SHAPES);
  const marginal = JSON.parse(details['marginal']) as RecordedMarginal;
  if (marginal.dataset !== dataset) return notUsable(id, `it is about dataset \`${marginal.dataset}\``);
  if (marginal.version !== version)
    return notUsable(
      id,
      `it is about version ${marginal.version} of \`${dataset}\`, which is at version ${version} now`,
    );
  if (marginal.table !== table.name)
    return notUsable(id, `it is about table \`${marginal.table}\`, the twin is of \`${table.name}\``);
  const place = table.columns.findIndex(({ name }) => name === marginal.column);
  const schema = JSON.parse((record.body.result as ResultNote).schema) as Schema;
  const told = marginal.key === null ? null : schema[marginal.key]?.type;
  if (place < 0 || (told !== null && JSON.stringify(told) !== JSON.stringify(table.schema[place]?.type)))
    return notUsable(id, `column \`${marginal.column}\` is not in the twin as it was answered`);
  return needs.results.exists(id) ? { record, marginal } : unknown(id);
}

const SHAPES =
  '`SELECT column, count(*) FROM table GROUP BY column`, or `SELECT histogram(column) FROM table`, without conditions or LIMIT';

const notUsable = (
  id: string,
  why: string,
  remedy = 'name jobs of your own that count the values of one column',
): Reason => reason('marginal-not-usable', `no column of the twin can be drawn from job \`${id}\`: ${why}`, { remedy });

const unknown = (id: string): Reason =>
  reason('result-unknown', `no released result \`${id}\` of yours is kept and given out now`, {
    remedy: 'name jobs of your own that were released within the last day; or run the query again',
  });

/** The rows of a released result, through the one door by which results leave; undefined where it is shut. */
async function fetched(
  needs: MarginalNeeds,
  caller: Caller,
  record: JobRecord,
): Promise<readonly (readonly Cell[])[] | undefined> {
  const ticket = await newTicket(needs, record);
  if (ticket === null) return undefined;
  const schema = JSON.parse((record.body.result as ResultNote).schema) as Schema;
  try {
    return await cellsOfFrames(schema, openRelease(needs, caller, ticket.secret), MAX_ROWS);
  } catch (error) {
    if (error instanceof Fault && error.code === 'ticket-not-valid') return undefined;
    throw error;
  }
}

/** Noise makes counts negative: nobody is drawn from those. */
const weightOf = (cell: Cell | undefined): number =>
  typeof cell === 'bigint' || typeof cell === 'number' ? Math.max(0, Number(cell)) : 0;

function weightsOf({ key, ends }: RecordedMarginal, rows: readonly (readonly Cell[])[]): Pick<TwinMarginal, 'choices'> {
  if (key !== null) return { choices: rows.map((row) => ({ cell: row[key] ?? null, weight: weightOf(row[1 - key]) })) };
  const counts = rows[0] ?? [];
  return {
    choices: counts.map((count, bin) => ({
      from: ends?.[bin] ?? 0,
      to: ends?.[bin + 1] ?? 0,
      isLast: bin === counts.length - 1,
      weight: weightOf(count),
    })),
  };
}
