import type { Block, BlockKey } from '../enforce/block.ts';
import { type Margin, type Margins, marginStatements, shownOf } from '../enforce/margins.ts';
import { hasOverlaps, sketchedBeside, sketchesOf } from '../enforce/sketches.ts';
import { table } from '../enforce/parts.ts';
import { statementsOf, withheld } from '../enforce/statements.ts';
import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import type { Select, Syntax } from '../syntax.ts';
import type { Typed } from '../typed.ts';
import { BIGINT, printType } from '../types.ts';
import type { State } from './state.ts';

/** Most different grouping sets of a query: each is an aggregation of its own. */
const MAX_SETS = 16;

/** The sets of GROUP BY as positions in the list of distinct keys; null when there is one set with all of them. */
export function groupingSets(
  select: Select,
  groups: readonly Typed[],
  keys: readonly BlockKey[],
): readonly (readonly number[])[] | null {
  if (select.groupSets.length < 2) return null;
  const positionOf = (group: Typed): number =>
    keys.findIndex(({ expression }) => printTyped(expression) === printTyped(group));
  const sets = select.groupSets.map((set) =>
    [...new Set(set.flatMap((one) => groups.slice(one, one + 1).map(positionOf)))].toSorted((a, b) => a - b),
  );
  if (new Set(sets.map(String)).size > MAX_SETS)
    refuse(
      'query-too-large',
      `more than ${MAX_SETS} different grouping sets`,
      groups[0]?.at ?? null,
      'send several queries',
    );
  return sets;
}

/** Puts the sets in a chain from the set of all keys to ever coarser ones; what does not fit in stands beside it. */
export function arrange(
  sets: readonly (readonly number[])[],
  blockOf: (set: readonly number[]) => Block,
): Margins & { readonly of: ReadonlyMap<string, Margin> } {
  const different = [...new Map(sets.map((set) => [set.join(), set])).values()];
  const whole = [...new Set(sets.flat())].toSorted((a, b) => a - b);
  const bySize = different.toSorted((a, b) => b.length - a.length);
  const chain: (readonly number[])[] = [whole];
  for (const set of bySize) {
    const last = chain.at(-1) ?? whole;
    if (set.length < last.length && set.every((key) => last.includes(key))) chain.push(set);
  }
  const margins = new Map<string, Margin>();
  for (const set of [...chain, ...different])
    if (!margins.has(set.join())) margins.set(set.join(), { block: blockOf(set), keys: set });
  const marginOf = (set: readonly number[]): Margin[] => {
    const found = margins.get(set.join());
    return found === undefined ? [] : [found];
  };
  const inChain = new Set(chain.map((set) => set.join()));
  return {
    chain: chain.toReversed().flatMap(marginOf),
    beside: different.filter((set) => !inChain.has(set.join())).flatMap(marginOf),
    of: margins,
  };
}

/** The statements of all sets; the result is a SELECT of keys, cells, certificates and `gs`, the number of the set. */
export function compileSets(state: State, sets: readonly (readonly number[])[], whole: Omit<Block, 'name'>): string {
  const margins = arrange(sets, (set) => ({
    ...whole,
    name: `gb${state.nextBlock++}`,
    keys: set.flatMap((index) => whole.keys.slice(index, index + 1)),
    // A merged row of small groups would be one more subtotal; here they are left out.
    terms: whole.terms.smallGroups === 'remainder' ? { ...whole.terms, smallGroups: 'drop' } : whole.terms,
  }));
  for (const { block } of margins.of.values()) {
    const { setup, gate } = statementsOf(block, {
      keepsGroups: true,
      beside: state.sketches === null || block.cells.length === 0 ? [] : sketchedBeside(block, state.sketches.buckets),
    });
    const before = state.setup.length;
    if (gate !== null) state.gates.push({ ...gate, from: before + gate.from, to: before + gate.to });
    state.setup.push(...setup);
  }
  state.setup.push(...marginStatements(margins));
  const asked = new Set(sets.map((set) => set.join()));
  const shown = [...margins.of].filter(([set]) => asked.has(set)).map(([, margin]) => margin);
  state.withheld.push(...shown.map(({ block }) => withheld(block, 'sc')));
  if (whole.cells.length > 0) {
    // Sets of one aggregation were compared with each other already, unless their groups share rows.
    state.shownBlocks += shown.some(({ block }) => hasOverlaps(block)) ? 2 : 1;
    const { sketches } = state;
    for (const { block } of sketches === null ? [] : shown)
      sketches?.blocks.push(sketchesOf(block, sketches.blocks.length, sketches.buckets, 'sc'));
  }
  const isRefusing = whole.terms.smallGroups === 'refuse';
  const none = isRefusing
    ? shown.map(({ block }) => ` AND (SELECT dropped FROM ${table(block, 'z')}) = 0`).join('')
    : '';
  const types = whole.keys.map(({ type }) => printType(type));
  return sets
    .flatMap((set, index) => {
      const margin = margins.of.get(set.join());
      return margin === undefined
        ? []
        : [`SELECT *, CAST(${index} AS BIGINT) AS gs FROM (${shownOf(margin, whole.keys, types)}${none})`];
    })
    .join(' UNION ALL ');
}

/** GROUPING(a, b): one bit for each key that the row's set does not have, the first one highest. */
export function groupingCall(
  sets: readonly (readonly number[])[] | null,
  alias: string,
  args: readonly Syntax[],
  at: Place,
  positionOf: (arg: Syntax) => number,
): Typed {
  const positions = args.map((arg) => {
    const position = positionOf(arg);
    return position === -1 ? refuse('wrong-arguments', '`grouping` takes group keys', arg.at ?? at) : position;
  });
  const mask = (set: readonly number[]): number =>
    positions.reduce((bits, position) => bits * 2 + (set.includes(position) ? 0 : 1), 0);
  const whens = (sets ?? []).map((set, index) => `WHEN ${index} THEN ${mask(set)}`);
  const sql = sets === null ? 'CAST(0 AS BIGINT)' : `CAST((CASE ${alias}.gs ${whens.join(' ')} END) AS BIGINT)`;
  return { kind: 'call', name: 'grouping', args: [], type: BIGINT, digits: null, sql, at };
}
