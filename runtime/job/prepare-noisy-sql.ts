import { meetPermits } from '../policy/meet.ts';
import type { Denied } from '../policy/reason.ts';
import { compileDifferential, type DifferentialQuery } from '../query/differential/compile.ts';
import type { ComposedQuery } from '../query/differential/compose.ts';
import { fillNoisyTable } from '../query/differential/noisy-table.ts';
import type { EnforcedQuery } from '../query/enforced.ts';
import type { PlannedQueries } from './planned-queries.ts';
import { prepareComposed } from './prepare-composed.ts';
import { prepareDifferential } from './prepare-differential.ts';
import type { Prepared } from './prepare.ts';
import { datasetsIn, digestsOf, once } from './sql-datasets.ts';
import type { OpenDataset, SqlEngine } from './sql-engine.ts';
import { contextOf, type SqlQuestion } from './sql-question.ts';

/** What the paths of SQL share: the engine, the second gate, and what scales and digests noise. */
export interface NoisySqlNeeds {
  readonly engine: SqlEngine;
  readonly planned: PlannedQueries;
  readonly sha256: (content: string) => string;
  readonly randomBytes: (count: number) => Uint8Array;
}

/** SQL under a rule of mode `differentialPrivacy`: compiled, both gates passed, its loss known; nothing has run. */
export async function prepareNoisySql(needs: NoisySqlNeeds, question: SqlQuestion): Promise<Prepared | Denied> {
  const { engine, planned } = needs;
  const { job, ast, text, permits, open, brought, signal } = question;
  const { party } = job.asker;
  const first = compileDifferential(ast, text, contextOf(question, question));
  if (first.kind === 'denied') return first;
  const datasets = named(statementsOf(first), open);
  const touched = permits.filter(({ agreement }) => datasets.some(({ name }) => name === agreement.dataset));
  const met = meetPermits(touched.map(({ permit }) => permit));
  if (met.kind === 'denied') return met;
  const { release, clause } = met;
  if (release.mode !== 'differentialPrivacy') throw new Error('a private table belongs to no permit');
  // INVARIANT: the terms that bound rows are the terms that scale the noise: compiled again under what is touched.
  const context = contextOf(question, { permits: touched, release, clause });
  const compiled = touched.length < permits.length ? compileDifferential(ast, text, context) : first;
  if (compiled.kind === 'denied') return compiled;
  for (const enforced of exactStatementsOf(compiled)) {
    const misread = await planned.check(enforced, context, signal);
    if (misread !== null) return misread;
  }
  const own = once(named(statementsOf(compiled), brought));
  const from = [...datasets, ...own];
  const noise = { sha256: needs.sha256, entropy: { bytes: needs.randomBytes }, image: engine.image };
  const input = { consumer: party, release, clause, permits: touched, datasets };
  let noisy: Prepared | Denied;
  if (compiled.kind === 'composed') {
    // INVARIANT: what is computed of noisy tables may read public tables beside them, and no private one.
    const tables = context.tables.filter((table) => table.isPublic && table.units.length === 0);
    const post = { ...compiled.post, reads: tables.map(({ physical }) => physical) };
    const empty = compiled.blocks.flatMap((block, index) => fillNoisyTable(block, index, []));
    const misread = await planned.check({ ...post, setup: empty }, { ...context, tables }, signal);
    if (misread !== null) return misread;
    noisy = prepareComposed(
      {
        ...noise,
        schemaOf: (enforced) => engine.schemaOf(enforced),
        run: (enforced, runSignal) => engine.run(enforced, named([enforced], from), party, runSignal),
      },
      { ...compiled, post },
      input,
    );
  } else {
    noisy = prepareDifferential(
      {
        ...noise,
        schemaOf: (query) => engine.schemaOf(query.enforced),
        run: (query, runSignal) => engine.run(query.enforced, from, party, runSignal),
      },
      compiled,
      input,
    );
  }
  if (noisy.kind === 'denied') return noisy;
  // The tree as it was read: what is computed over noisy cells is part of the question too.
  return {
    ...noisy,
    ...digestsOf(own),
    inWords: [...noisy.inWords, ...question.remarks],
    question: needs.sha256(JSON.stringify([noisy.digest, spelled(ast), question.parameters])),
  };
}

/** Datasets that some of the statements name. */
function named(of: readonly EnforcedQuery[], among: readonly OpenDataset[]): readonly OpenDataset[] {
  return among.filter((one) => of.some((query) => datasetsIn(query, [one]).length > 0));
}

/** The statements whose exact numbers get noise. */
function exactStatementsOf(query: DifferentialQuery | ComposedQuery): readonly EnforcedQuery[] {
  return query.kind === 'composed' ? query.blocks.map(({ enforced }) => enforced) : [query.enforced];
}

/** Every statement of a noisy question that reads tables. */
function statementsOf(query: DifferentialQuery | ComposedQuery): readonly EnforcedQuery[] {
  return query.kind === 'composed' ? [...exactStatementsOf(query), query.post] : exactStatementsOf(query);
}

/** A query's tree without the places at which its words stood. */
function spelled(ast: unknown): string {
  return JSON.stringify(ast, (key, value: unknown) => (key === 'query_location' ? undefined : value));
}
