import type { Syntax } from '../syntax.ts';
import { AGGREGATES, OTHER_AGGREGATES, RELEASED_AGGREGATES } from '../functions.ts';

export function isAggregateCall(syntax: Syntax): boolean {
  return (
    syntax.kind === 'call' &&
    (Object.hasOwn(AGGREGATES, syntax.name) ||
      RELEASED_AGGREGATES.includes(syntax.name) ||
      OTHER_AGGREGATES.includes(syntax.name))
  );
}

/** Whether an aggregate stands in the expression; not looking into sub-queries and windows. */
export function hasAggregate(syntax: Syntax): boolean {
  switch (syntax.kind) {
    case 'call':
      return isAggregateCall(syntax) || syntax.name === 'grouping' || syntax.args.some(hasAggregate);
    case 'case':
      return (
        syntax.whens.some(({ when, value }) => hasAggregate(when) || hasAggregate(value)) ||
        (syntax.otherwise !== null && hasAggregate(syntax.otherwise))
      );
    case 'cast':
      return hasAggregate(syntax.arg);
    case 'window':
      return [
        ...syntax.window.args,
        ...syntax.window.partitions,
        ...syntax.window.orders.map((one) => one.expression),
      ].some(hasAggregate);
    case 'constant':
    case 'parameter':
    case 'column':
    case 'star':
    case 'subquery':
      return false;
    default:
      return syntax satisfies never;
  }
}
