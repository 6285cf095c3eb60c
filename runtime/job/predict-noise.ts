/** What a noisy answer will be worth, said before it runs: from the policy and the query alone, never from rows. */
import { deviation, halfWidth } from '../release/noise.ts';
import { exactId, type Mechanism, MISS, type NoisyAnswer } from '../release/mechanisms/mechanism.ts';
import { columnNames } from '../release/noised-table.ts';
import type { NoisedPlan, NoisedQueries } from '../release/noised-plan.ts';
import type { DifferentialQuery } from '../query/differential/compile.ts';
import type { NoisyBlock } from '../query/differential/noisy-block.ts';
import type { ColumnAccuracy } from './prepare.ts';

/** So large that setting negative counts to 0 does not narrow the interval. */
const LARGE = 2n ** 52n;

/** Half-widths of 95 % intervals of columns whose error does not depend on what is counted. */
export function predictedErrors(query: DifferentialQuery, shared: NoisedQueries): readonly ColumnAccuracy[] {
  return query.outputs.flatMap((output) =>
    'aggregate' in output ? predictedError(query, output.aggregate, shared) : [],
  );
}

/** The same of one aggregate: an entry for each of its columns, none when its error depends on what is counted. */
export function predictedError(
  { aggregates }: Pick<NoisyBlock, 'aggregates'>,
  index: number,
  shared: NoisedQueries,
): readonly ColumnAccuracy[] {
  const [aggregate, mechanism] = [aggregates[index], shared.mechanisms[index]];
  if (aggregate === undefined || mechanism === undefined || !FIXED.has(aggregate.aggregate.kind)) return [];
  const names = columnNames(aggregate.name, aggregate.aggregate);
  const value = aggregate.aggregate.kind === 'sum' ? 0n : LARGE;
  return mechanism
    .estimate((id) => imagined(mechanism, shared, { id, value }))
    .map(({ low, high }, i) => ({
      column: names[i] ?? aggregate.name,
      halfWidth: (high - low) / 2,
      confidence: 1 - MISS,
    }));
}

const FIXED: ReadonlySet<string> = new Set(['count', 'countDistinct', 'histogram', 'sum']);

function imagined(
  mechanism: Mechanism,
  shared: NoisedQueries,
  { id, value }: { readonly id: string; readonly value: bigint },
): NoisyAnswer {
  const found = shared.queries.find(({ query }) => query.id === id);
  const own = mechanism.queries.find((query) => query.id === id);
  if (found === undefined || own === undefined) throw new Error(`no noise is planned for query ${id}`);
  return { values: own.evaluate(() => value), noise: found.noise };
}

/** The same in words, with what depends on the number of rows. */
export function noiseInWords(
  query: Pick<NoisyBlock, 'aggregates'>,
  plan: NoisedPlan,
  shared: NoisedQueries,
): readonly string[] {
  const ratios = query.aggregates.flatMap(({ name, aggregate }): readonly string[] => {
    if (aggregate.kind !== 'avg') return [];
    const wanted = `centred ${exactId({ kind: 'sum', measure: aggregate.measure.name })}`;
    const sum = shared.queries.find(({ query: asked }) => asked.id === wanted);
    if (sum === undefined) return [];
    const { numerator, denominator } = aggregate.measure.step;
    const width = (halfWidth(sum.noise, MISS) * Number(numerator)) / Number(denominator);
    return [`error of ${name}: about ±${rounded(width)} divided by the number of rows behind it`];
  });
  const [first] = shared.queries;
  const rows = shared.queries.find(({ query: asked }) => asked.id === 'rows') ?? first;
  const threshold =
    shared.threshold === null || rows === undefined
      ? []
      : [
          `${plan.keys.kind === 'private' ? 'groups appear' : 'cells are shown'} when their noisy row count reaches ${shared.threshold} (noise of standard deviation ${rounded(deviation(rows.noise))})`,
        ];
  return [...ratios, ...threshold];
}

const rounded = (value: number): number => Number(value.toPrecision(3));
