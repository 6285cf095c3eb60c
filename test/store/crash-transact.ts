import type { Step } from '../../runtime/store/jobs.ts';
import { CREDIT, event } from './world.ts';

/** The change number `index`: it takes the place of the one before, pays, settles and is on record. */
export function changeOf(index: number): readonly Step[] {
  const common = { owner: 'acme', atMs: 1, body: {} };
  return [
    { do: 'expect', table: 'agreement', id: `a-${index}`, state: null },
    { do: 'put', record: { ...common, table: 'agreement', id: `a-${index}`, state: 'active' } },
    { do: 'topUp', id: `t-${index}`, budget: CREDIT, amount: 1n, body: {} },
    { do: 'record', event: event('agreement.activated', `change-${index}`) },
    { do: 'put', record: { ...common, table: 'settlement', id: `s-${index}`, state: 'closed' } },
    { do: 'remove', table: 'agreement', id: `a-${index - 1}` },
  ];
}
