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
  const release = new NoisedGroups(plan, shared, entropy);
  for (const group of groups) release.add(group);
  return release.finish();
}

/**
 * A release that takes its groups one by one and keeps only what may appear, so that no number of groups has to be refused:
 * "more than n groups" would be an answer without noise.
 */
export class NoisedGroups {
  readonly #plan: NoisedPlan;
  readonly #shared: NoisedQueries;
  readonly #uniform: Uniform;
  /** Public keys that are still to be answered. */
  readonly #declared: ReadonlySet<string> | null;
  readonly #exact = new Map<string, ExactGroup>();
  readonly #passed = new Map<string, NoisedRow>();

  constructor(plan: NoisedPlan, shared: NoisedQueries, entropy: Entropy) {
    this.#plan = plan;
    this.#shared = shared;
    this.#uniform = new Uniform(entropy);
    this.#declared = plan.keys.kind === 'public' ? new Set(plan.keys.keys.map(keyText)) : null;
  }

  /** Throws when a group comes twice that was kept. */
  add(group: ExactGroup): void {
    const key = keyText(group.key);
    if (this.#exact.has(key) || this.#passed.has(key)) throw new Error('the exact part answered a group twice');
    if (this.#declared !== null) {
      if (this.#declared.has(key)) this.#exact.set(key, group);
      return;
    }
    const answers = noisyAnswers(this.#shared, readerOf(group), this.#uniform);
    if (passes(this.#shared, answers))
      this.#passed.set(key, { key: group.key, aggregates: estimatesOf(this.#shared, answers) });
  }

  finish(): NoisedRelease {
    const { keys } = this.#plan;
    const rows =
      keys.kind === 'public'
        ? keys.keys.map((key) =>
            publicRow(this.#plan, this.#shared, key, this.#exact.get(keyText(key)) ?? null, this.#uniform),
          )
        : // The order of the exact part tells how rows are stored.
          [...this.#passed.values()].toSorted((a, b) => compareRows(a.key, b.key));
    const noise = this.#shared.queries.map(({ query, noise }) => ({ query: query.id, noise }));
    return { rows, loss: lossOf(this.#plan), noise, threshold: this.#shared.threshold };
  }
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
