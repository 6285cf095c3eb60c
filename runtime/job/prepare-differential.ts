import type { DifferentialPrivacyRelease, Release } from '../policy/model.ts';
import { type Denied, denied, reason } from '../policy/reason.ts';
import type { DifferentialQuery } from '../query/differential/compile.ts';
import { type NoisyBlock, planOf } from '../query/differential/noisy-block.ts';
import { type Cell, rowsOf } from '../release/column-values.ts';
import type { ColumnBatch, Schema } from '../release/columns.ts';
import type { Entropy } from '../release/entropy.ts';
import { exactId } from '../release/mechanisms/mechanism.ts';
import {
  type GroupKeys,
  lossOf,
  type NoisedPlan,
  type NoisedQueries,
  queriesOf,
  WHOLE_TABLE,
} from '../release/noised-plan.ts';
import type { CellAccuracy, NoisedNames } from '../release/noised-table.ts';
import { type ExactGroup, NoisedGroups } from '../release/release-noised.ts';
import { termsOf } from '../release/terms.ts';
import { budgetLines } from './budget-lines.ts';
import { differentialLossLines } from './loss-lines.ts';
import type { AdmittedPermit } from './admission.ts';
import { noiseInWords, predictedErrors } from './predict-noise.ts';
import type { ColumnAccuracy, Execution, ExecutionSummary, Prepared } from './prepare.ts';
import { answerColumns, presentNoisy } from './present-noisy.ts';
import type { OpenDataset } from './sql-engine.ts';

export interface DifferentialNeeds {
  readonly sha256: (content: string) => string;
  readonly entropy: Entropy;
  readonly image: string;
  /** Column types of what the exact statement yields. */
  readonly schemaOf: (query: DifferentialQuery) => Schema;
  /** Runs the exact statement in a jailed worker. */
  readonly run: (query: DifferentialQuery, signal: AbortSignal) => Execution;
}

/** Most rows that public keys may span. */
const MAX_PUBLIC_ROWS = 10_000;

/**
 * A differentially private job: exact whole numbers come from the worker, noise is drawn in the gateway, and only the
 * noisy table goes to the gate. The loss is reserved before anything runs and is spent whatever comes of it.
 */
export function prepareDifferential(
  needs: DifferentialNeeds,
  query: DifferentialQuery,
  input: {
    readonly consumer: string;
    readonly release: DifferentialPrivacyRelease;
    readonly clause: string;
    readonly permits: readonly AdmittedPermit[];
    readonly datasets: readonly OpenDataset[];
  },
): Prepared | Denied {
  const { release, clause, permits, datasets, consumer } = input;
  const exactSchema = needs.schemaOf(query);
  const keyTypes = query.keys.map((_, index) => exactSchema[index]?.type ?? { kind: 'utf8' as const });
  const keys = groupKeysOf(query);
  if (keys === null) return tooManyKeys(clause);
  const plan = planOf(
    release,
    query.rowsPerUnit,
    query.aggregates.map(({ aggregate }) => aggregate),
    keys,
  );
  const shared = queriesOf(plan);
  const charged = { microEpsilon: release.microEpsilonPerJob, delta: release.delta };
  const names = {
    keys: query.keys.map(({ name }, index) => ({
      name,
      type: keyTypes[index] ?? { kind: 'utf8' as const },
      nullable: true,
    })),
    aggregates: query.aggregates,
  };
  const outputs = answerColumns(query, names);
  const schema: Schema = outputs.map(({ name, type, nullable }) => ({ name, type, nullable }));
  return {
    kind: 'prepared',
    datasets: datasets.map(({ name, version, digest }) => ({ name, version, digest, rows: 0 })),
    columns: query.footprint.columns,
    digest: needs.sha256(query.enforced.canonical),
    terms: termsOf(release as Release, { clause, units: [], outputs, mediaTypes: [], isDominanceApplied: false }),
    schema,
    certificates: [],
    basis: { kind: 'noised', ...charged },
    budget: [
      ...budgetLines(consumer, permits),
      ...differentialLossLines(consumer, permits, lossOf(plan), release.microEpsilonPerJob),
    ],
    microEpsilon: release.microEpsilonPerJob,
    enforcedSql: query.enforced.canonical,
    inWords: [...query.enforced.inWords, ...noiseInWords(query, plan, shared)],
    errors: predictedErrors(query, shared),
    guarantee: `differential privacy per privacy unit with epsilon ${release.microEpsilonPerJob / 1e6}${keys.kind === 'private' || release.noise === 'gaussian' ? ` and delta ${release.delta}` : ''}: adding or removing one unit (at most ${query.rowsPerUnit} rows of each count) changes the probability of any result by at most that factor`,
    image: needs.image,
    isOrdered: true,
    ...marginalIn(query, datasets),
    execute: (signal) => execute(needs, query, { plan, shared, names, exactSchema }, signal),
  };
}

function marginalIn({ marginal }: DifferentialQuery, datasets: readonly OpenDataset[]): Pick<Prepared, 'marginal'> {
  const read = datasets.find(({ name }) => name === marginal?.dataset);
  return marginal === null || read === undefined ? {} : { marginal: { ...marginal, version: read.version } };
}

interface Noising {
  readonly plan: NoisedPlan;
  readonly shared: NoisedQueries;
  readonly names: NoisedNames;
  readonly exactSchema: Schema;
}

function execute(needs: DifferentialNeeds, query: DifferentialQuery, noising: Noising, signal: AbortSignal): Execution {
  const exact = needs.run(query, signal);
  let summary: ExecutionSummary = { kind: 'failed' };
  async function* batches(): AsyncGenerator<ColumnBatch, void, void> {
    const groups = new NoisedGroups(noising.plan, noising.shared, needs.entropy);
    for await (const batch of exact.batches)
      for (const row of rowsOf(noising.exactSchema, batch)) groups.add(groupOf(query, row));
    const ended = exact.summary();
    if (ended.kind === 'failed') return;
    const { batch, accuracy } = presentNoisy(query, groups.finish(), noising.names);
    // The number of rows of a private table is nobody's business here, and would tell of one person exactly.
    summary = { ...ended, rowsScanned: 0, errors: errorsOf(accuracy, batch.rowCount) };
    yield batch;
  }
  return { batches: batches(), summary: () => summary };
}

/** An exact answer as the noise step takes it. */
export function groupOf(query: NoisyBlock, row: readonly Cell[]): ExactGroup {
  const width = query.keys.length;
  return {
    key: row.slice(0, width),
    values: new Map(query.exact.map((column, index) => [exactId(column), wholeOf(row[width + index])])),
  };
}

function wholeOf(cell: Cell | undefined): bigint {
  if (typeof cell === 'bigint') return cell;
  throw new Error('the exact part answered something that is not a whole number');
}

/** Most cells whose intervals are told one by one. */
const MAX_TOLD_CELLS = 20_000;

/** The widest interval of each column, half of it, and the intervals of its cells. */
export function errorsOf(accuracy: readonly CellAccuracy[], rows: number): readonly ColumnAccuracy[] {
  const columns = new Map<string, CellAccuracy[]>();
  for (const one of accuracy) {
    const known = columns.get(one.column);
    if (known === undefined) columns.set(one.column, [one]);
    else known.push(one);
  }
  return [...columns].map(([column, cells]): ColumnAccuracy => {
    const halfWidth = cells.reduce((most, { low, high }) => Math.max(most, (high - low) / 2), 0);
    if (rows * columns.size > MAX_TOLD_CELLS) return { column, halfWidth, confidence: CONFIDENCE };
    const byRow = new Map(cells.map((one) => [one.row, one]));
    const of = (pick: (one: CellAccuracy) => number): number[] =>
      // A cell that was withheld has no interval; null is what JSON makes of NaN.
      Array.from({ length: rows }, (_, row) => {
        const one = byRow.get(row);
        return one === undefined ? Number.NaN : pick(one);
      });
    const told = { low: of(({ low }) => low), high: of(({ high }) => high), noiseScale: of((one) => one.noiseScale) };
    return { column, halfWidth, confidence: CONFIDENCE, cells: told };
  });
}

export const CONFIDENCE = 0.95;

/** Which groups appear; null when public keys span more rows than an answer may have. */
export function groupKeysOf(query: NoisyBlock): GroupKeys | null {
  if (query.keys.length === 0) return WHOLE_TABLE;
  const lists = query.keys.map(({ values }) => values);
  if (lists.some((list) => list === null)) return { kind: 'private' };
  const total = lists.reduce((product, list) => product * (list?.length ?? 0), 1);
  if (total > MAX_PUBLIC_ROWS) return null;
  let keys: readonly (readonly Cell[])[] = [[]];
  for (const list of lists) keys = keys.flatMap((key) => (list ?? []).map((cell) => [...key, cell]));
  return { kind: 'public', keys };
}

export function tooManyKeys(clause: string): Denied {
  return denied(
    reason('too-many-keys', `the declared keys span more than ${MAX_PUBLIC_ROWS} rows`, {
      clause,
      remedy: 'group by fewer columns',
    }),
  );
}
