import { refuse } from '../refusal.ts';
import type { WindowSyntax } from '../syntax.ts';
import { type Json, list, placeIn, type Reading, text } from './node.ts';
import { readExpression } from './read-expression.ts';
import { readOrders } from './read.ts';

const FRAME_ENDS: Readonly<Record<string, readonly ['ROWS' | 'RANGE' | 'any', string]>> = {
  UNBOUNDED_PRECEDING: ['any', 'UNBOUNDED PRECEDING'],
  UNBOUNDED_FOLLOWING: ['any', 'UNBOUNDED FOLLOWING'],
  CURRENT_ROW_RANGE: ['RANGE', 'CURRENT ROW'],
  CURRENT_ROW_ROWS: ['ROWS', 'CURRENT ROW'],
  EXPR_PRECEDING_ROWS: ['ROWS', 'PRECEDING'],
  EXPR_FOLLOWING_ROWS: ['ROWS', 'FOLLOWING'],
  EXPR_PRECEDING_RANGE: ['RANGE', 'PRECEDING'],
  EXPR_FOLLOWING_RANGE: ['RANGE', 'FOLLOWING'],
};

const EXCLUSIONS: Readonly<Record<string, string>> = {
  CURRENT_ROW: ' EXCLUDE CURRENT ROW',
  GROUP: ' EXCLUDE GROUP',
  TIES: ' EXCLUDE TIES',
};

/** Reads a window call; its frame is kept in words that we print ourselves. */
export function readWindow(node: Json, reading: Reading): WindowSyntax {
  const start = FRAME_ENDS[String(node['start'])];
  const end = FRAME_ENDS[String(node['end'])];
  if (start === undefined || end === undefined)
    refuse('sql-not-allowed', 'this window frame is not offered', placeIn(node));
  const unit = start[0] === 'ROWS' || end[0] === 'ROWS' ? 'ROWS' : 'RANGE';
  if (unit === 'ROWS' && (start[0] === 'RANGE' || end[0] === 'RANGE')) {
    refuse('sql-not-allowed', 'this window frame is not offered', placeIn(node));
  }
  const optional = (key: string) => (node[key] === null ? null : readExpression(node[key], reading));
  const name = text(node['function_name']).toLowerCase();
  const args = list(node['children']).map((one) => readExpression(one, reading));
  return {
    name: name === 'count' && args.length === 0 ? 'count_star' : name,
    args,
    partitions: list(node['partitions']).map((one) => readExpression(one, reading)),
    orders: readOrders(node['orders'], reading),
    frame: { unit, start: start[1], end: end[1], exclude: EXCLUSIONS[String(node['exclude_clause'])] ?? '' },
    filter: optional('filter_expr'),
    distinct: node['distinct'] === true,
    ignoresNulls: node['ignore_nulls'] === true,
    startOffset: optional('start_expr'),
    endOffset: optional('end_expr'),
    offset: optional('offset_expr'),
    fallback: optional('default_expr'),
  };
}
