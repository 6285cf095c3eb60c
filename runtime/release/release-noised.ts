/**
 * The release half of differential privacy: exact integers in, noisy estimates out.
 *
 * Two seams, so that the guarantee can be tested without an engine. *Exact evaluation* is anybody's (SQL in the worker, a
 * loop in a test): it fills `ExactGroup`s for the columns that `queriesOf(plan).reads` lists, over rows bounded to M per unit
 * and measures clipped to the grid. *Release* is `releaseNoised`: the only function that sees exact numbers and returns others.
 */
import type { Loss } from './accounting.ts';
import type { Cell } from './column-values.ts';
import type { Entropy } from './entropy.ts';
import { exactId, single, type Estimate, type NoisyAnswer, type ReadExact } from './mechanisms/mechanism.ts';
import { draw, type Noise } from './noise.ts';
import { lossOf, queriesOf, type NoisedPlan, type NoisedQueries } from './noised-plan.ts';
import { compareRows } from './sort-rows.ts';
import { Uniform } from './uniform.ts';

/** Exact answers of one group, by `exactId`. Never leaves the trusted part. */
export interface ExactGroup {
  readonly key: readonly Cell[];
  readonly values: ReadonlyMap<string, bigint>;
}

/** One released group: the estimates of each aggregate, or null where too few units stand behind a public key. */
export interface NoisedRow {
  readonly key: readonly Cell[];
  readonly aggregates: readonly (readonly Estimate[] | null)[];
}

export interface NoisedRelease {
  readonly rows: readonly NoisedRow[];
  readonly loss: Loss;
  /** The noise of each query: public, it follows from the plan alone. */
  readonly noise: readonly { readonly query: string; readonly noise: Noise }[];
  readonly threshold: bigint | null;
}

/**
 * Adds noise to every query of every group and keeps the groups that may appear. Throws when the exact part left out a
 * column or answered a group twice: a fault of ours, never a property of rows.
 *
 * The noise of a group is drawn whether or not it passes, and public keys without rows get noise on zero.
 */
export function releaseNoised(plan: NoisedPlan, groups: Iterable<ExactGroup>, entropy: Entropy): NoisedRelease {
  return releaseWith(plan, queriesOf(plan), groups, entropy);
}

/** The same for a plan whose queries are worked out already, when it is released many times. */
export function releaseWith(
  plan: NoisedPlan,
  shared: NoisedQueries,
  groups: Iterable<ExactGroup>,
  entropy: Entropy,
): NoisedRelease {
  const uniform = new Uniform(entropy);
  const exact = new Map<string, ExactGroup>();
  for (const group of groups) {
    const key = keyText(group.key);
    if (exact.has(key)) throw new Error('the exact part answered a group twice');
    exact.set(key, group);
  }
  const rows =
    plan.keys.kind === 'public'
      ? plan.keys.keys.map((key) => publicRow(plan, shared, key, exact.get(keyText(key)) ?? null, uniform))
      : privateRows(shared, [...exact.values()], uniform);
  const noise = shared.queries.map(({ query, noise }) => ({ query: query.id, noise }));
  return { rows, loss: lossOf(plan), noise, threshold: shared.threshold };
}

function publicRow(
  plan: NoisedPlan,
  shared: NoisedQueries,
  key: readonly Cell[],
  group: ExactGroup | null,
  uniform: Uniform,
): NoisedRow {
  const answers = noisyAnswers(shared, group === null ? () => 0n : readerOf(group), uniform);
  const aggregates = passes(shared, answers) ? estimatesOf(shared, answers) : plan.aggregates.map(() => null);
  return { key, aggregates };
}

function privateRows(shared: NoisedQueries, groups: readonly ExactGroup[], uniform: Uniform): readonly NoisedRow[] {
  return (
    groups
      .flatMap((group): NoisedRow[] => {
        const answers = noisyAnswers(shared, readerOf(group), uniform);
        return passes(shared, answers) ? [{ key: group.key, aggregates: estimatesOf(shared, answers) }] : [];
      })
      // The order of the exact part tells how rows are stored.
      .toSorted((a, b) => compareRows(a.key, b.key))
  );
}

type Answers = ReadonlyMap<string, NoisyAnswer>;

function noisyAnswers({ queries }: NoisedQueries, read: ReadExact, uniform: Uniform): Answers {
  return new Map(
    queries.map(({ query, noise }) => {
      const values = query.evaluate(read).map((value) => value + draw(uniform, noise));
      return [query.id, { values, noise }];
    }),
  );
}

function passes({ threshold }: NoisedQueries, answers: Answers): boolean {
  return threshold === null || single(answerFrom(answers, exactId({ kind: 'rows' }))) >= threshold;
}

function estimatesOf({ mechanisms }: NoisedQueries, answers: Answers): readonly (readonly Estimate[])[] {
  return mechanisms.map((mechanism) => mechanism.estimate((id) => answerFrom(answers, id)));
}

function answerFrom(answers: Answers, id: string): NoisyAnswer {
  const answer = answers.get(id);
  if (answer === undefined) throw new Error(`no noisy answer for query ${id}`);
  return answer;
}

function readerOf(group: ExactGroup): ReadExact {
  return (column) => {
    const value = group.values.get(exactId(column));
    if (value === undefined) throw new Error(`the exact part left out ${exactId(column)}`);
    return value;
  };
}

/** Equal for equal keys only; the type is part of the text, so 1, 1n and '1' differ. */
function keyText(key: readonly Cell[]): string {
  return JSON.stringify(key.map((cell) => [typeof cell, cell === null ? null : String(cell)]));
}
