import { meetPermits } from '../policy/meet.ts';
import { type Denied, denied, reason } from '../policy/reason.ts';
import { compileQuery } from '../query/compile.ts';
import type { Certificate, OutputColumn } from '../release/candidate.ts';
import { termsOf } from '../release/terms.ts';
import { budgetLines } from './budget-lines.ts';
import { guarded, guardRefusal } from './guarded-run.ts';
import { type Histories, ownersOf } from './histories.ts';
import type { PlannedQueries } from './planned-queries.ts';
import type { Prepared } from './prepare.ts';
import { basisOf, datasetsIn, digestsOf, once, rowsRead } from './sql-datasets.ts';
import type { SqlEngine } from './sql-engine.ts';
import { contextOf, type SqlQuestion } from './sql-question.ts';

/** What the thresholded path of SQL needs: the engine, the second gate, and what was given before. */
export interface AggregateSqlNeeds {
  readonly engine: SqlEngine;
  readonly planned: PlannedQueries;
  readonly histories: Histories;
  readonly sha256: (content: string) => string;
}

/** SQL under a rule of mode `aggregate`: compiled with its thresholds, both gates passed; nothing has run. */
export async function prepareAggregateSql(needs: AggregateSqlNeeds, question: SqlQuestion): Promise<Prepared | Denied> {
  const { engine } = needs;
  const { job, ast, text, permits, open, brought, signal } = question;
  const { party } = job.asker;
  let compiled = compileQuery(ast, text, contextOf(question, question));
  if (compiled.kind === 'denied') return compiled;

  // Terms of datasets that the query does not touch must not weaken or tighten the answer: decide again without them.
  let { release: terms, clause } = question;
  const datasets = datasetsIn(compiled.enforced, open);
  const used = permits.filter(({ agreement }) => datasets.some(({ name }) => name === agreement.dataset));
  // A query over no table at all still runs under the agreements that let its asker in.
  const touched = used.length === 0 ? permits : used;
  if (touched.length < permits.length) {
    const met = meetPermits(touched.map(({ permit }) => permit));
    if (met.kind === 'denied') return met;
    ({ release: terms, clause } = met);
    compiled = compileQuery(ast, text, contextOf(question, { permits: touched, release: terms, clause }));
    if (compiled.kind === 'denied') return compiled;
  }
  if (terms.mode !== 'aggregate') {
    return denied(
      reason('mode-not-available', `SQL in mode \`${terms.mode}\` is not available in this release`, {
        clause,
        remedy: 'name a rule of mode `aggregate`',
      }),
    );
  }

  const { enforced } = compiled;
  const { minUnits } = terms;
  const own = once(datasetsIn(enforced, brought));
  const policies = touched.map(({ permit }) => permit.policy);
  const owners = terms.differencingGuard ? ownersOf(job.asker, policies) : [];
  const unguarded = await guardRefusal(needs.histories, { terms, enforced, owners, clause });
  if (unguarded !== null) return unguarded;
  const context = contextOf({ ...question, brought: own }, { permits: touched, release: terms, clause });
  const misread = await needs.planned.check(enforced, context, signal);
  if (misread !== null) return misread;

  const schema = engine.schemaOf(enforced);
  const outputs = enforced.outputs.map((output, index): OutputColumn => {
    const column = schema[index];
    if (column === undefined) throw new Error('the schema is shorter than the outputs');
    return { ...column, role: output.role };
  });
  const certificates = enforced.certificates.map((one): Certificate => ({
    kind: 'units',
    column: one.name,
    unit: one.unit,
    cells: null,
  }));
  const units = [...new Set(enforced.certificates.map(({ unit }) => unit))];
  return {
    kind: 'prepared',
    datasets: datasets.map(({ name, version, digest, tables }) => ({
      name,
      version,
      digest,
      rows: rowsRead(tables, enforced.reads),
    })),
    ...digestsOf(own),
    columns: compiled.footprint.columns,
    digest: needs.sha256(enforced.canonical),
    terms: termsOf(terms, { clause, units, outputs, mediaTypes: [], isDominanceApplied: true }),
    schema,
    certificates,
    basis: basisOf(enforced, [...open, ...own]),
    budget: budgetLines(party, touched),
    microEpsilon: 0,
    inWords: [...enforced.inWords, ...question.remarks],
    enforcedSql: enforced.canonical,
    guarantee: guaranteeOf(minUnits, units),
    image: engine.image,
    isOrdered: true,
    isDominanceRuled: terms.dominance !== null,
    isGuarded: compiled.isCompared,
    question: needs.sha256(enforced.canonical),
    execute: (runSignal) =>
      guarded(needs.histories, { enforced, owners, minUnits }, (ask) =>
        engine.run(enforced, [...datasets, ...own], party, runSignal, ask),
      ),
  };
}

function guaranteeOf(minUnits: number, units: readonly string[]): string {
  if (units.length === 0) return 'rests on public tables only';
  return `every released cell rests on at least ${minUnits} distinct privacy units (${units.join(', ')}), and so does what its filter left out; no noise was added`;
}
