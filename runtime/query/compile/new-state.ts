import type { AggregateRelease } from '../../policy/model.ts';
import type { QueryContext } from '../catalogue.ts';
import type { Footprint } from '../footprint.ts';
import { Rights } from '../rights.ts';
import type { State } from './state.ts';

/** What a query is compiled with at its beginning; `buckets`: size of the sketches by which cells are compared, null: none. */
export function newState(context: QueryContext, terms: AggregateRelease, buckets: number | null): State {
  return {
    context,
    terms,
    rights: new Rights(),
    setup: [],
    gates: [],
    withheld: [],
    words: [],
    reads: new Set(),
    brought: 0,
    listed: 0,
    borrowed: [],
    nextRelation: 0,
    nextBlock: 0,
    sketches: buckets === null ? null : { buckets, blocks: [] },
    shownBlocks: 0,
    compiled: 0,
  };
}

/** A dataset is touched when FROM names a table of it, even if no column is used: `select count(*) from visits`. */
export function footprintOf(state: State): Footprint {
  const { tables } = state.context;
  const footprint = state.rights.footprint();
  const read = tables
    .filter(({ physical, brought }) => brought !== true && state.reads.has(physical))
    .map(({ dataset }) => dataset);
  return { ...footprint, datasets: [...new Set([...read, ...footprint.datasets])].toSorted() };
}
