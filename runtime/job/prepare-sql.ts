import { denied, reason } from '../policy/reason.ts';
import { atDay } from '../query/parse/clock.ts';
import { tableNamesIn } from '../query/parse/table-names.ts';
import { checkText } from '../query/text.ts';
import type { Histories } from './histories.ts';
import type { JobNeeds, Preparer } from './needs.ts';
import { ParsedQueries } from './parsed-queries.ts';
import { PlannedQueries } from './planned-queries.ts';
import { prepareAggregateSql } from './prepare-aggregate-sql.ts';
import { prepareNoisySql } from './prepare-noisy-sql.ts';
import { openAll } from './sql-datasets.ts';
import type { OpenDataset, SqlEngine } from './sql-engine.ts';

/**
 * Prepares SQL: parse without data, check every node, rewrite under the rights, check the plan of what we printed. A text
 * that cannot be read is denied with its place; a dataset whose bytes changed is denied.
 */
export function prepareSql(
  engine: SqlEngine,
  needs: Pick<JobNeeds, 'sha256' | 'randomBytes' | 'nowMs'> & { readonly histories: Histories },
  texts: ParsedQueries = new ParsedQueries((...args) => engine.parse(...args)),
): Preparer {
  const planned = new PlannedQueries((...args) => engine.plan(...args), needs.sha256);
  return async ({ job, permits, release, clause, signal }) => {
    if (job.computation.kind !== 'sql') throw new Error('not an SQL job');
    const { text, parameters } = job.computation;
    const { party } = job.asker;
    const unreadable = checkText(new TextEncoder().encode(text));
    if (unreadable.kind === 'denied') return unreadable;
    // Datasets are looked up while the text is parsed; what is wrong with the text is told first.
    const opening = openAll(engine, permits, job.asker);
    opening.catch(() => undefined);
    const parsed = await texts.parse(party, text, signal);
    if (parsed.kind === 'invalid')
      return denied(reason('sql-syntax', parsed.message, { at: parsed.at, remedy: parsed.remedy }));
    const open = await opening;
    if ('kind' in open) return open;
    const brought = (await engine.bring?.(party, tableNamesIn(parsed.ast))) ?? [];
    if ('kind' in brought) return brought;
    const day = new Date(needs.nowMs()).toISOString().slice(0, 10);
    const ast = atDay(parsed.ast, text, day, () => columnNamesOf([...open, ...brought]));
    const remarks = ast === parsed.ast ? [] : [`the current date of this job is ${day} (UTC)`];
    const question = { job, ast, text, parameters, permits, release, clause, open, brought, remarks, signal };
    return release.mode === 'differentialPrivacy'
      ? prepareNoisySql({ ...needs, engine, planned }, question)
      : prepareAggregateSql({ ...needs, engine, planned }, question);
  };
}

/** Names by which a query may mean a column, in lower case. */
function columnNamesOf(datasets: readonly OpenDataset[]): readonly string[] {
  return datasets.flatMap(({ tables }) =>
    tables.flatMap(({ columns }) => columns.map(({ name, label }) => (label ?? name).toLowerCase())),
  );
}
