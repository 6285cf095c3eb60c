import { type Place, refuse } from '../refusal.ts';
import type { Source } from '../syntax.ts';
import { printable } from './literal.ts';
import { columnName, names } from './names.ts';
import { checkShape, type Json, list, object, type Reading, text } from './node.ts';
import { readExpression } from './read-expression.ts';
import * as shapes from './shapes.ts';

/** `FROM range(…)` and `FROM generate_series(…)`: the only table functions that are offered. */
export function readSeries(node: Json, reading: Reading, at: Place): Source {
  const call = object(node['function']);
  const shape = shapes.EXPRESSIONS['FUNCTION'];
  const name = text(call['function_name']).toLowerCase();
  if (shape === undefined || call['class'] !== 'FUNCTION' || (name !== 'range' && name !== 'generate_series'))
    return refuse(
      'sql-not-allowed',
      `the table function \`${printable(name)}\` is not offered`,
      at,
      'tables of the agreement; range(…), generate_series(…), or a list of constants, (VALUES (1), (2)) AS t(n)',
    );
  checkShape(call, shape, name);
  checkShape(object(call['order_bys']), shapes.NO_ORDER, 'ORDER BY inside a function');
  const args = list(call['children']).map((one) => readExpression(one, reading));
  if (call['filter'] !== null || call['distinct'] === true || args.length < 1 || args.length > 3)
    refuse('wrong-arguments', `\`${name}\` takes one to three constants`, at);
  const columns = names(node['column_name_alias']).map((one) => columnName(one, at));
  if (columns.length > 1) refuse('wrong-arguments', 'more column names than columns', at);
  return { kind: 'series', name, args, alias: text(node['alias'] ?? ''), columns, at };
}
