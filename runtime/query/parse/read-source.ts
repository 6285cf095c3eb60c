import { refuse } from '../refusal.ts';
import type { Source } from '../syntax.ts';
import { MAX_ITEMS } from '../text.ts';
import { printable } from './literal.ts';
import { columnName, names } from './names.ts';
import { checkShape, deeper, list, malformed, object, placeIn, type Reading, text } from './node.ts';
import { readPivot, readUnpivot } from './pivot.ts';
import { optional, readExpression } from './read-expression.ts';
import { readStatement } from './read.ts';
import { readSeries } from './series.ts';
import * as shapes from './shapes.ts';

/** What follows FROM: a table, a sub-query, a list, a series, a pivot, or a join of two of them. */
export function readSource(value: unknown, reading: Reading): Source {
  return deeper(reading, () => {
    const node = object(value);
    const type = String(node['type']);
    const shape = Object.hasOwn(shapes.SOURCES, type) ? shapes.SOURCES[type] : undefined;
    const at = placeIn(node);
    if (type === 'SHOW_REF')
      refuse(
        'sql-not-allowed',
        'DESCRIBE, SUMMARIZE and SHOW are not offered',
        at ?? { words: ['describe', 'summarize', 'show'] },
        '`dataset show` lists tables, columns and what may be done with each',
      );
    if (shape === undefined) refuse('sql-not-allowed', `${printable(type)} after FROM is not offered`, at);
    checkShape(node, shape, type === 'JOIN' ? 'JOIN' : 'FROM');
    const alias = text(node['alias'] ?? '');
    switch (type) {
      case 'EMPTY':
        return { kind: 'none' };
      case 'BASE_TABLE':
        return {
          kind: 'table',
          name: text(node['table_name']),
          schema: text(node['schema_name']),
          catalog: text(node['catalog_name']),
          alias,
          at,
        };
      case 'SUBQUERY': {
        const query = readStatement(node['subquery'], reading);
        return {
          kind: 'derived',
          query,
          alias,
          columns: names(node['column_name_alias']).map((name) => columnName(name, at)),
          at,
        };
      }
      case 'EXPRESSION_LIST': {
        const rows = list(node['values']).map((row) => list(row).map((one) => readExpression(one, reading)));
        if (rows.length > MAX_ITEMS || rows.some((row) => row.length > MAX_ITEMS))
          refuse('query-too-large', `VALUES has more than ${MAX_ITEMS} rows or columns`, at);
        return { kind: 'values', rows, alias, at };
      }
      case 'PIVOT':
        return list(node['unpivot_names']).length > 0 ? readUnpivot(node, reading, at) : readPivot(node, reading, at);
      case 'TABLE_FUNCTION':
        return readSeries(node, reading, at);
      case 'JOIN': {
        const isCross = node['ref_type'] === 'CROSS';
        return {
          kind: 'join',
          type: isCross ? 'cross' : (JOIN_TYPES[String(node['join_type'])] ?? malformed()),
          left: readSource(node['left'], reading),
          right: readSource(node['right'], reading),
          condition: optional(node['condition'], reading),
          using: names(node['using_columns']),
          ...(node['ref_type'] === 'NATURAL' ? { isNatural: true as const } : {}),
          at,
        };
      }
      default:
        return malformed();
    }
  });
}

const JOIN_TYPES: Readonly<Record<string, 'inner' | 'left' | 'right' | 'full' | 'semi' | 'anti'>> = {
  INNER: 'inner',
  LEFT: 'left',
  RIGHT: 'right',
  FULL: 'full',
  SEMI: 'semi',
  ANTI: 'anti',
};
