import { publicRows } from '../metering/public-figures.ts';
import { meetPermits } from '../policy/meet.ts';
import type { AggregateRelease, Release } from '../policy/model.ts';
import { type Denied, denied, type Reason, reason } from '../policy/reason.ts';
import type { CatalogueTable, QueryContext } from '../query/catalogue.ts';
import { compileQuery } from '../query/compile.ts';
import { compileDifferential, type DifferentialQuery } from '../query/differential/compile.ts';
import type { ComposedQuery } from '../query/differential/compose.ts';
import { fillNoisyTable } from '../query/differential/noisy-table.ts';
import type { EnforcedQuery, HiddenGroup } from '../query/enforced.ts';
import { atDay } from '../query/parse/clock.ts';
import { tableNamesIn } from '../query/parse/table-names.ts';
import { checkText } from '../query/text.ts';
import type { Basis, Certificate, OutputColumn } from '../release/candidate.ts';
import type { ColumnBatch, Schema } from '../release/columns.ts';
import { shapeFor } from '../release/sketch.ts';
import { termsOf } from '../release/terms.ts';
import { budgetLines } from './budget-lines.ts';
import { prepareComposed } from './prepare-composed.ts';
import { prepareDifferential } from './prepare-differential.ts';
import { guardCells } from './guard-cells.ts';
import { type Histories, ownersOf, type StoredSketches } from './histories.ts';
import type { Job, ParameterValue } from './job.ts';
import type { AdmittedPermit, JobNeeds, Preparer } from './needs.ts';
import { ParsedQueries } from './parsed-queries.ts';
import { PlannedQueries } from './planned-queries.ts';
import type { Execution, Prepared } from './prepare.ts';

/** What the SQL path needs: an engine that parses without data, and one that runs our own text in a jail. */
export interface SqlEngine {
  /** Parses in a worker that holds no data. A syntax error is the consumer's own text and may be told. */
  readonly parse: (text: string, signal: AbortSignal) => Promise<ParsedSql>;
  /** The bound plan of text that we printed, made in a worker that holds empty tables of the same shape. */
  readonly plan: (enforced: EnforcedQuery, tables: readonly CatalogueTable[], signal: AbortSignal) => Promise<unknown>;
  /** The dataset behind a permit as this party may see it; denied when its bytes no longer match their digest. */
  readonly open: (permit: AdmittedPermit, party: string, groups: readonly string[]) => Promise<OpenDataset | Denied>;
  /** Tables of the party's own among the names; denied when one is not what was uploaded. Absent: parties have none. */
  readonly bring?: (party: string, names: ReadonlySet<string>) => Promise<readonly OpenDataset[] | Denied>;
  readonly schemaOf: (enforced: EnforcedQuery) => Schema;
  readonly run: (
    enforced: EnforcedQuery,
    datasets: readonly OpenDataset[],
    party: string,
    signal: AbortSignal,
    /** Present when the query has a guard plan: is shown the sketches, says what is withheld. */
    guard?: AskGuard,
  ) => Execution;
  /** Digest of the image in which SQL runs. */
  readonly image: string;
}

export type AskGuard = (sketches: readonly ColumnBatch[]) => Promise<readonly HiddenGroup[]>;

export type ParsedSql =
  | { readonly kind: 'ast'; readonly ast: unknown }
  | { readonly kind: 'invalid'; readonly message: string; readonly at: Reason['at'] };

export interface OpenDataset {
  readonly kind: 'open';
  readonly name: string;
  readonly version: number;
  readonly digest: string;
  /** Path of the layout file, and the name under which the worker attaches it. */
  readonly file: string;
  readonly database: string;
  readonly tables: readonly CatalogueTable[];
}

/** Prepares SQL: parse without data, check every node, rewrite under the rights, check the plan of what we printed. */
export function prepareSql(
  engine: SqlEngine,
  needs: Pick<JobNeeds, 'sha256' | 'randomBytes' | 'nowMs'> & { readonly histories: Histories },
  texts: ParsedQueries = new ParsedQueries((...args) => engine.parse(...args)),
): Preparer {
  const planned = new PlannedQueries((...args) => engine.plan(...args), needs.sha256);
  return async ({ job, permits, release, clause, signal }) => {
    if (job.computation.kind !== 'sql') throw new Error('not an SQL job');
    const { text, parameters } = job.computation;
    const unreadable = checkText(new TextEncoder().encode(text));
    if (unreadable.kind === 'denied') return unreadable;
    // Datasets are looked up while the text is parsed; what is wrong with the text is told first.
    const opening = openAll(engine, permits, job.asker);
    opening.catch(() => undefined);
    const parsed = await texts.parse(job.asker.party, text, signal);
    if (parsed.kind === 'invalid') return denied(reason('sql-syntax', parsed.message, { at: parsed.at }));
    const open = await opening;
    if ('kind' in open) return open;
    const brought = (await engine.bring?.(job.asker.party, tableNamesIn(parsed.ast))) ?? [];
    if ('kind' in brought) return brought;
    const day = new Date(needs.nowMs()).toISOString().slice(0, 10);
    const columnNames = (): readonly string[] =>
      [...open, ...brought].flatMap(({ tables }) =>
        tables.flatMap(({ columns }) => columns.map(({ name, label }) => (label ?? name).toLowerCase())),
      );
    const ast = atDay(parsed.ast, text, day, columnNames);
    const ofDay = ast === parsed.ast ? [] : [`the current date of this job is ${day} (UTC)`];
    if (release.mode === 'differentialPrivacy') {
      const { party } = job.asker;
      const under = (only: readonly AdmittedPermit[], terms: Release, of: string): QueryContext =>
        contextOf(party, only, { open, brought }, terms, of, parameters);
      const first = compileDifferential(ast, text, under(permits, release, clause));
      if (first.kind === 'denied') return first;
      const named = (of: readonly EnforcedQuery[], among: readonly OpenDataset[]): readonly OpenDataset[] =>
        among.filter((one) => of.some((query) => datasetsIn(query, [one]).length > 0));
      const datasets = named(statementsOf(first), open);
      const touched = permits.filter(({ agreement }) => datasets.some(({ name }) => name === agreement.dataset));
      const met = meetPermits(touched.map(({ permit }) => permit));
      if (met.kind === 'denied') return met;
      if (met.release.mode !== 'differentialPrivacy') throw new Error('a private table belongs to no permit');
      // INVARIANT: the terms that bound rows are the terms that scale the noise: compiled again under what is touched.
      const context = under(touched, met.release, met.clause);
      const compiled = touched.length < permits.length ? compileDifferential(ast, text, context) : first;
      if (compiled.kind === 'denied') return compiled;
      for (const enforced of compiled.kind === 'composed'
        ? compiled.blocks.map((one) => one.enforced)
        : [compiled.enforced]) {
        const misread = await planned.check(enforced, context, signal);
        if (misread !== null) return misread;
      }
      const own = once(named(statementsOf(compiled), brought));
      const from = [...datasets, ...own];
      const noise = { sha256: needs.sha256, entropy: { bytes: needs.randomBytes }, image: engine.image };
      const input = { consumer: party, release: met.release, clause: met.clause, permits: touched, datasets };
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
        inWords: [...noisy.inWords, ...ofDay],
        question: needs.sha256(JSON.stringify([noisy.digest, spelled(ast), parameters])),
      };
    }
    const compile = (under: readonly AdmittedPermit[], terms: Release, of: string): ReturnType<typeof compileQuery> =>
      compileQuery(ast, text, contextOf(job.asker.party, under, { open, brought }, terms, of, parameters));
    let compiled = compile(permits, release, clause);
    if (compiled.kind === 'denied') return compiled;

    // Terms of datasets that the query does not touch must not weaken or tighten the answer: decide again without them.
    let terms: Release = release;
    let of = clause;
    const datasets = datasetsIn(compiled.enforced, open);
    const used = permits.filter(({ agreement }) => datasets.some(({ name }) => name === agreement.dataset));
    // A query over no table at all still runs under the agreements that let its asker in.
    const touched = used.length === 0 ? permits : used;
    if (touched.length < permits.length) {
      const met = meetPermits(touched.map(({ permit }) => permit));
      if (met.kind === 'denied') return met;
      ({ release: terms, clause: of } = met);
      compiled = compile(touched, terms, of);
      if (compiled.kind === 'denied') return compiled;
    }
    if (terms.mode !== 'aggregate') {
      return denied(
        reason('mode-not-available', `SQL in mode \`${terms.mode}\` is not available in this release`, {
          clause: of,
          remedy: 'name a rule of mode `aggregate`',
        }),
      );
    }

    const { enforced } = compiled;
    const own = once(datasetsIn(enforced, brought));
    const policies = touched.map(({ permit }) => permit.policy);
    const owners = terms.differencingGuard ? ownersOf(job.asker, policies) : [];
    const unguarded = await guardRefusal(needs.histories, { terms, enforced, owners, clause: of });
    if (unguarded !== null) return unguarded;
    const misread = await planned.check(
      enforced,
      contextOf(job.asker.party, touched, { open, brought: own }, terms, of, parameters),
      signal,
    );
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
    const prepared: Prepared = {
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
      terms: termsOf(terms, { clause: of, units, outputs, mediaTypes: [], isDominanceApplied: true }),
      schema,
      certificates,
      basis: basisOf(enforced, [...open, ...own]),
      budget: budgetLines(job.asker.party, touched),
      microEpsilon: 0,
      inWords: [...enforced.inWords, ...ofDay],
      enforcedSql: enforced.canonical,
      guarantee: guaranteeOf(terms, units),
      image: engine.image,
      isOrdered: true,
      isDominanceRuled: terms.mode === 'aggregate' && terms.dominance !== null,
      isGuarded: enforced.guard !== undefined,
      question: needs.sha256(enforced.canonical),
      execute: (runSignal) =>
        guarded(needs.histories, { enforced, owners, minUnits: terms.minUnits }, (ask) =>
          engine.run(enforced, [...datasets, ...own], job.asker.party, runSignal, ask),
        ),
    };
    return prepared;
  };
}

/** The datasets behind the permits, attached as d0, d1, …; the first that cannot be opened denies. */
async function openAll(
  engine: SqlEngine,
  permits: readonly AdmittedPermit[],
  asker: Job['asker'],
): Promise<readonly OpenDataset[] | Denied> {
  const open: OpenDataset[] = [];
  for (const [index, permit] of permits.entries()) {
    const dataset = await engine.open(permit, asker.party, asker.groups);
    if (dataset.kind === 'denied') return dataset;
    open.push(renamed(dataset, `d${index}`));
  }
  return open;
}

/** Every statement of a noisy question that reads tables. */
function statementsOf(query: DifferentialQuery | ComposedQuery): readonly EnforcedQuery[] {
  return query.kind === 'composed' ? [...query.blocks.map(({ enforced }) => enforced), query.post] : [query.enforced];
}

/** A query's tree without the places at which its words stood. */
function spelled(ast: unknown): string {
  return JSON.stringify(ast, (key, value: unknown) => (key === 'query_location' ? undefined : value));
}

/** Why the guard that the policy demands cannot be had; null when it can. A protection promised is given, or nothing is. */
async function guardRefusal(
  histories: Histories,
  query: {
    readonly terms: AggregateRelease;
    readonly enforced: EnforcedQuery;
    readonly owners: readonly string[];
    readonly clause: string;
  },
): Promise<Denied | null> {
  const { terms, enforced, owners, clause } = query;
  if (owners.length === 0) return null;
  if (shapeFor(terms.minUnits).buckets < terms.minUnits) {
    return denied(
      reason('term-not-available', `answers over ${terms.minUnits} units or more cannot be compared with each other`, {
        clause: `${clause}.release.differencing`,
        remedy: 'ask the provider for a rule with a smaller `minUnits` or without `differencing: guard`',
      }),
    );
  }
  if (enforced.guard === undefined || !(await histories.isFull(owners))) return null;
  return denied(
    reason('history-full', 'you were given more cells than a further one can be compared with', {
      clause: `${clause}.release.differencing`,
      remedy: 'use a rule of mode `differentialPrivacy`',
    }),
  );
}

/** Runs a query whose cells are compared with each other and with what its asker was given before. */
function guarded(
  histories: Histories,
  query: { readonly enforced: EnforcedQuery; readonly owners: readonly string[]; readonly minUnits: number },
  run: (ask?: AskGuard) => Execution,
): Execution {
  const { guard } = query.enforced;
  if (guard === undefined) return run();
  let withheldCells = 0n;
  let sketches: readonly StoredSketches[] = [];
  const execution = run(async (batches) => {
    const { verdict, records } = await histories.judge(query.owners, guard.buckets, (known) =>
      guardCells(guard, query.minUnits, batches, known),
    );
    ({ withheldCells } = verdict);
    sketches = records;
    return verdict.hide;
  });
  return {
    ...execution,
    summary: () => {
      const summary = execution.summary();
      if (summary.kind === 'failed') return summary;
      const { cells } = summary.withheld;
      const all = withheldCells === 0n ? cells : (cells ?? 0n) + withheldCells;
      return { ...summary, sketches, withheld: { ...summary.withheld, cells: all } };
    },
  };
}

/** Datasets whose database our own statements name; a literal that looks like a name can only add one, never hide one. */
function datasetsIn(enforced: EnforcedQuery, open: readonly OpenDataset[]): readonly OpenDataset[] {
  const statements = [...enforced.setup, enforced.result, enforced.summary];
  return open.filter(({ database }) => statements.some((statement) => statement.includes(`"${database}".`)));
}

/**
 * Rows of the tables that our statements read (of all tables when that is not known), as everybody may know them: each
 * table by itself, since a figure of the exact sum would tell more than the figures of the tables.
 */
function rowsRead(tables: OpenDataset['tables'], reads: readonly string[] | undefined): number {
  return tables
    .filter(({ physical }) => reads?.includes(physical) ?? true)
    .reduce((sum, { rowCount }) => sum + publicRows(Number(rowCount), null), 0);
}

/** Public only when every table that our statements read is one that the policy declares public. */
function basisOf(enforced: EnforcedQuery, open: readonly OpenDataset[]): Basis {
  if (enforced.certificates.length > 0 || enforced.reads === undefined) return { kind: 'certified' };
  const tables = open.flatMap((dataset) => dataset.tables);
  const isPublic = (physical: string): boolean => {
    const table = tables.find((one) => one.physical === physical);
    return table !== undefined && table.isPublic && table.units.length === 0;
  };
  return enforced.reads.every(isPublic) ? { kind: 'public' } : { kind: 'certified' };
}

function contextOf(
  consumer: string,
  permits: readonly AdmittedPermit[],
  { open, brought }: { readonly open: readonly OpenDataset[]; readonly brought: readonly OpenDataset[] },
  release: Release,
  clause: string,
  parameters: Readonly<Record<string, ParameterValue>>,
): QueryContext {
  const unguarded = new Set(
    permits.flatMap(({ agreement, permit }) =>
      permit.policy.allow.some(({ release: of }) => of.mode === 'aggregate' && !of.differencingGuard)
        ? [agreement.dataset]
        : [],
    ),
  );
  const tables = open
    .filter(({ name }) => permits.some(({ agreement }) => agreement.dataset === name))
    .flatMap(({ name, tables: all }) =>
      unguarded.has(name) ? all.map((table) => ({ ...table, isUnguarded: true as const })) : all,
    );
  const own = brought.flatMap((dataset) => dataset.tables);
  // One size of sketch for all rules of a policy: what one of them released is compared with what another one would.
  const minima = permits.flatMap(({ permit }) =>
    permit.policy.allow.map((rule) => (rule.release.mode === 'aggregate' ? rule.release.minUnits : 0)),
  );
  return {
    consumer,
    tables: [...tables, ...own],
    release,
    clause,
    parameters,
    largestMinUnits: Math.max(0, ...minima),
  };
}

/** Tables of the same content are one, whatever they are called. */
function once(brought: readonly OpenDataset[]): readonly OpenDataset[] {
  return [...new Map(brought.map((one) => [one.database, one])).values()];
}

function digestsOf(brought: readonly OpenDataset[]): Pick<Prepared, 'brought'> {
  return brought.length === 0 ? {} : { brought: brought.map(({ digest }) => digest).toSorted() };
}

/** Datasets are attached as d0, d1, …; the catalogue names tables accordingly. */
function renamed(dataset: OpenDataset, database: string): OpenDataset {
  const prefix = `"${dataset.database}".`;
  const tables = dataset.tables.map((table) => ({
    ...table,
    physical: table.physical.startsWith(prefix)
      ? `"${database}".${table.physical.slice(prefix.length)}`
      : table.physical,
  }));
  return { ...dataset, database, tables };
}

function guaranteeOf(release: Release, units: readonly string[]): string {
  if (release.mode !== 'aggregate') throw new Error('no guarantee is known for this mode');
  if (units.length === 0) return 'rests on public tables only';
  return `every released cell rests on at least ${release.minUnits} distinct privacy units (${units.join(', ')}), and so does what its filter left out; no noise was added`;
}
