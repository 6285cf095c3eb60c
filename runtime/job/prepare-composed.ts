/** A differentially private question of several aggregations: noise for each, then the engine computes with noisy tables. */
import type { DifferentialPrivacyRelease, Release } from '../policy/model.ts';
import { type Denied, denied, reason } from '../policy/reason.ts';
import type { ComposedQuery } from '../query/differential/compose.ts';
import { type NoisyBlock, planOf } from '../query/differential/noisy-block.ts';
import { blockOf } from '../query/differential/noisy-select.ts';
import { fillNoisyTable, MAX_NOISY_TEXT } from '../query/differential/noisy-table.ts';
import type { EnforcedQuery } from '../query/enforced.ts';
import type { Loss } from '../release/accounting.ts';
import type { OutputColumn } from '../release/candidate.ts';
import { type Cell, rowsOf } from '../release/column-values.ts';
import type { ColumnBatch, Schema } from '../release/columns.ts';
import type { Entropy } from '../release/entropy.ts';
import {
  type GroupKeys,
  lossOf,
  lossOfAll,
  type NoisedPlan,
  type NoisedQueries,
  queriesOf,
  shareBudget,
} from '../release/noised-plan.ts';
import type { CellAccuracy } from '../release/noised-table.ts';
import { NoisedGroups, type NoisedRow } from '../release/release-noised.ts';
import { termsOf } from '../release/terms.ts';
import { budgetLines } from './budget-lines.ts';
import { differentialLossLines } from './loss-lines.ts';
import type { AdmittedPermit } from './admission.ts';
import { noiseInWords, predictedError } from './predict-noise.ts';
import { CONFIDENCE, errorsOf, groupKeysOf, groupOf, tooManyKeys } from './prepare-differential.ts';
import type { ColumnAccuracy, Execution, ExecutionSummary, Prepared } from './prepare.ts';
import type { OpenDataset } from './sql-engine.ts';

export interface ComposedNeeds {
  readonly sha256: (content: string) => string;
  readonly entropy: Entropy;
  readonly image: string;
  readonly schemaOf: (enforced: EnforcedQuery) => Schema;
  /** Runs one of our statements in a jailed worker, with the datasets that it names. */
  readonly run: (enforced: EnforcedQuery, signal: AbortSignal) => Execution;
}

/** The loss of all parts is reserved before the first one runs, and is spent whatever comes of any of them. */
export function prepareComposed(
  needs: ComposedNeeds,
  query: ComposedQuery,
  input: {
    readonly consumer: string;
    readonly release: DifferentialPrivacyRelease;
    readonly clause: string;
    readonly permits: readonly AdmittedPermit[];
    readonly datasets: readonly OpenDataset[];
  },
): Prepared | Denied {
  const { release, clause, permits, datasets, consumer } = input;
  const keys: GroupKeys[] = [];
  for (const block of query.blocks) {
    const own = groupKeysOf(block);
    if (own === null) return tooManyKeys(clause);
    keys.push(own);
  }
  const whole = query.blocks.map((block, index) =>
    planOf(
      release,
      block.rowsPerUnit,
      block.aggregates.map(({ aggregate }) => aggregate),
      keys[index] ?? { kind: 'private' },
    ),
  );
  const shared = sharesOf(whole, clause);
  if ('kind' in shared) return shared;
  const { plans, queries, loss } = shared;
  const parts = query.blocks.map((block, index): Part => {
    const [plan, own] = [plans[index], queries[index]];
    if (plan === undefined || own === undefined) throw new Error('a part of a job has no plan');
    return { block, plan, shared: own, schema: needs.schemaOf(block.enforced) };
  });
  if (!fit(parts)) return tooManyKeys(clause);
  const charged = { microEpsilon: release.microEpsilonPerJob, delta: release.delta };
  const full = needs.schemaOf(query.post);
  const schema = full.slice(0, query.post.outputs.length);
  const outputs = schema.map((column, index): OutputColumn => ({
    ...column,
    role: query.post.outputs[index]?.role ?? 'derived',
  }));
  const canonical = [...query.blocks.map(({ enforced }) => enforced.canonical), query.post.canonical].join(';\n');
  const isApproximate = release.noise === 'gaussian' || plans.some((plan) => plan.keys.kind === 'private');
  const rows = Math.max(...query.blocks.map((block) => block.rowsPerUnit));
  return {
    kind: 'prepared',
    datasets: datasets.map(({ name, version, digest }) => ({ name, version, digest, rows: 0 })),
    columns: query.footprint.columns,
    digest: needs.sha256(canonical),
    terms: termsOf(release as Release, { clause, units: [], outputs, mediaTypes: [], isDominanceApplied: false }),
    schema,
    certificates: [],
    basis: { kind: 'noised', ...charged },
    budget: [
      ...budgetLines(consumer, permits),
      ...differentialLossLines(consumer, permits, loss, release.microEpsilonPerJob),
    ],
    microEpsilon: release.microEpsilonPerJob,
    enforcedSql: canonical,
    inWords: parts.flatMap((part, index) => partInWords(part, index, parts.length)),
    errors: query.origins.flatMap((origin, index) => {
      const column = schema[index]?.name ?? '';
      const widths = Object.entries(origin ?? {}).map(([domain, aggregate]) => {
        const part = parts[blockOf(domain)];
        return part === undefined ? [] : predictedError(part.block, aggregate, part.shared);
      });
      if (widths.length === 0 || widths.some((one) => one.length === 0)) return [];
      return [{ column, halfWidth: Math.max(...widths.flat().map((one) => one.halfWidth)), confidence: CONFIDENCE }];
    }),
    guarantee: `differential privacy per privacy unit with epsilon ${release.microEpsilonPerJob / 1e6}${isApproximate ? ` and delta ${release.delta}` : ''} for the ${parts.length} noisy ${parts.length === 1 ? 'answer' : 'answers'} behind the result together: adding or removing one unit (at most ${rows} rows of each count) changes the probability of any result by at most that factor`,
    image: needs.image,
    isOrdered: true,
    execute: (signal) => execute(needs, query, parts, full, signal),
  };
}

/** What each part may spend, and the loss that is charged: the whole budget of the job, rounding and all. */
function sharesOf(
  whole: readonly NoisedPlan[],
  clause: string,
): { readonly plans: readonly NoisedPlan[]; readonly queries: readonly NoisedQueries[]; readonly loss: Loss } | Denied {
  const plain = whole.find(({ keys }) => keys.kind === 'private') ?? whole[0];
  if (plain === undefined) throw new Error('a question without a noisy answer');
  try {
    const plans = shareBudget(whole);
    const loss = lossOf(plain);
    const parts = lossOfAll(plans);
    const [spent, charged] = [parts, loss].map((one) => (one.kind === 'pure' ? one.microEpsilon : one.nanoRho));
    // INVARIANT: the price of a job is at least the sum of what it releases.
    if (parts.kind !== loss.kind || (spent ?? 0) > (charged ?? 0) || parts.femtoDelta > loss.femtoDelta)
      throw new Error('the parts of a job cost more than the job');
    return { plans, queries: plans.map(queriesOf), loss };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return denied(
      reason('budget-too-small', `the privacy budget of one job cannot answer this: ${error.message}`, {
        clause,
        remedy: 'ask for fewer aggregates, or in several queries',
      }),
    );
  }
}

/** Whether what is known to come out can be handed to the engine: said before anything is spent. */
function fit(parts: readonly Part[]): boolean {
  const widest = -Number.MAX_VALUE;
  const text = parts.map(({ block, plan: { keys } }, index) => {
    const rows = keys.kind === 'public' ? keys.keys.map((key) => [...key, ...block.aggregates.map(() => widest)]) : [];
    return fillNoisyTable(block, index, rows);
  });
  return lengthOf(text.flat()) <= MAX_NOISY_TEXT;
}

const lengthOf = (statements: readonly string[]): number => statements.reduce((sum, { length }) => sum + length, 0);

interface Part {
  readonly block: NoisyBlock;
  readonly plan: NoisedPlan;
  readonly shared: NoisedQueries;
  readonly schema: Schema;
}

function partInWords({ block, plan, shared }: Part, index: number, of: number): readonly string[] {
  const { budget } = plan;
  const price = budget.kind === 'laplace' ? `epsilon ${budget.microEpsilon / 1e6}` : `rho ${budget.nanoRho / 1e9}`;
  const asked = block.aggregates.map(({ name }) => name).join(', ');
  const by =
    block.keys.length === 0
      ? 'over everything'
      : `by ${block.keys.length === 1 ? 'one group key' : `${block.keys.length} group keys`}`;
  const share = of === 1 ? [] : [`noisy answer ${index + 1} of ${of} (${asked} ${by}): ${price} of the job's budget`];
  return [...(index === 0 ? block.enforced.inWords : []), ...share, ...noiseInWords(block, plan, shared)];
}

function execute(
  needs: ComposedNeeds,
  query: ComposedQuery,
  parts: readonly Part[],
  full: Schema,
  signal: AbortSignal,
): Execution {
  let summary: ExecutionSummary = { kind: 'failed' };
  async function* batches(): AsyncGenerator<ColumnBatch, void, void> {
    const answers: (readonly NoisedRow[])[] = [];
    let cpuMs = 0;
    for (const part of parts) {
      const exact = needs.run(part.block.enforced, signal);
      const groups = new NoisedGroups(part.plan, part.shared, needs.entropy);
      for await (const batch of exact.batches)
        for (const row of rowsOf(part.schema, batch)) groups.add(groupOf(part.block, row));
      const ended = exact.summary();
      if (ended.kind === 'failed') return;
      cpuMs += ended.cpuMs;
      answers.push(groups.finish().rows);
    }
    // INVARIANT: from here on nothing exact is looked at: the statement that follows reads noisy tables and public ones.
    const setup = parts.flatMap(({ block }, index) =>
      fillNoisyTable(block, index, (answers[index] ?? []).map(cellsOf)),
    );
    // How many private keys there are is told by the noise alone, so this much of them is not known beforehand.
    if (lengthOf(setup) > MAX_NOISY_TEXT) return;
    const computed = needs.run({ ...query.post, setup }, signal);
    const rows: Cell[][] = [];
    const taken: ColumnBatch[] = [];
    for await (const batch of computed.batches) {
      rows.push(...rowsOf(full, batch));
      taken.push({ rowCount: batch.rowCount, columns: batch.columns.slice(0, query.post.outputs.length) });
    }
    const ended = computed.summary();
    if (ended.kind === 'failed') return;
    summary = {
      kind: 'done',
      rowsScanned: 0,
      cpuMs: cpuMs + ended.cpuMs,
      withheld: { cells: null, reasons: [] },
      errors: errorsIn(query, answers, rows),
    };
    yield* taken;
  }
  return { batches: batches(), summary: () => summary };
}

const MAX_INT64 = 2n ** 63n - 1n;

function cellsOf({ key, aggregates }: NoisedRow): readonly Cell[] {
  return [
    ...key,
    ...aggregates.map((estimates) => {
      const [estimate] = estimates ?? [];
      if (estimate === undefined) return null;
      const { integer, value } = estimate;
      return integer === null ? value : integer > MAX_INT64 ? MAX_INT64 : integer;
    }),
  ];
}

/** Intervals of the cells that the answer shows as they are, found by the row numbers that came along. */
function errorsIn(
  query: ComposedQuery,
  answers: readonly (readonly NoisedRow[])[],
  rows: readonly (readonly Cell[])[],
): readonly ColumnAccuracy[] {
  const width = query.post.outputs.length;
  const accuracy = rows.flatMap((row, number) => {
    const behind = new Map(
      query.post.certificates.flatMap(({ unit }, index) => {
        const found = answers[blockOf(unit)]?.[Number(row[width + index])];
        return found === undefined ? [] : [[unit, found] as const];
      }),
    );
    return query.origins.flatMap((origin, index): readonly CellAccuracy[] => {
      const shown = Object.entries(origin ?? {}).flatMap(([domain, aggregate]) => {
        const estimate = behind.get(domain)?.aggregates[aggregate]?.[0];
        return estimate === undefined ? [] : [estimate];
      });
      const [only, ...others] = shown;
      // A row that two noisy answers could be behind is not guessed about.
      if (only === undefined || others.length > 0 || row[index] === null) return [];
      const { low, high, noiseScale } = only;
      return [{ row: number, column: query.post.outputs[index]?.name ?? '', low, high, noiseScale }];
    });
  });
  return errorsOf(accuracy, rows.length);
}
