import type { Select, SelectItem, Syntax } from '../syntax.ts';

type Replace = (one: Syntax) => Syntax | null;

/** What a SELECT puts out, asks of groups and orders by, with parts as `found` says; it leaves what it answers null to. */
export function mapSelect(select: Select, found: Replace): Select {
  const mapped = (syntax: Syntax): Syntax => mapSyntax(syntax, found);
  return {
    ...select,
    items: select.items.map((item): SelectItem => ({ ...item, expression: mapped(item.expression) })),
    orders: select.orders.map((one) => ({ ...one, expression: mapped(one.expression) })),
    having: select.having === null ? null : mapped(select.having),
    qualify: select.qualify === null ? null : mapped(select.qualify),
  };
}

/** The same of one expression, not looking into sub-queries. */
export function mapSyntax(syntax: Syntax, found: Replace): Syntax {
  const inside = (one: Syntax): Syntax => mapSyntax(one, found);
  const instead = found(syntax);
  if (instead !== null) return instead;
  switch (syntax.kind) {
    case 'call':
      return {
        ...syntax,
        args: syntax.args.map(inside),
        filter: syntax.filter === null ? null : inside(syntax.filter),
      };
    case 'cast':
      return { ...syntax, arg: inside(syntax.arg) };
    case 'case':
      return {
        ...syntax,
        whens: syntax.whens.map(({ when, value }) => ({ when: inside(when), value: inside(value) })),
        otherwise: syntax.otherwise === null ? null : inside(syntax.otherwise),
      };
    case 'window': {
      const { window } = syntax;
      const orders = window.orders.map((one) => ({ ...one, expression: inside(one.expression) }));
      return {
        ...syntax,
        window: { ...window, args: window.args.map(inside), partitions: window.partitions.map(inside), orders },
      };
    }
    case 'constant':
    case 'parameter':
    case 'column':
    case 'star':
    case 'subquery':
      return syntax;
    default:
      return syntax satisfies never;
  }
}
