import { printable } from '../parse/literal.ts';
import { printTyped, quoteText } from '../print.ts';
import { refuse } from '../refusal.ts';
import { agree } from '../resolve/align.ts';
import { alias } from '../rows.ts';
import type { Source } from '../syntax.ts';
import { releasedColumn } from '../typed.ts';
import { printType, TEXT } from '../types.ts';
import { printReleased } from './semi-join.ts';
import type { From, SourceNeeds } from './sources.ts';
import type { Column } from './state.ts';

/**
 * UNPIVOT of what is released: each row once for each of the columns, read once. Over private rows it would make several
 * rows of one, and is not offered.
 */
export function unpivot(from: From, source: Source & { kind: 'unpivot' }, needs: SourceNeeds): From {
  const { entries } = source;
  const at = source.at ?? { words: ['unpivot'] };
  if (from.scope.bases.some(({ table }) => !table.isPublic))
    refuse(
      'rows-not-released',
      'UNPIVOT works on released values, not on private rows',
      at,
      'aggregate first, in a sub-query',
    );
  const all = from.visible.flatMap(({ columns }) => columns);
  const named = entries.map(({ column }) => {
    const found = all.find(({ name }) => name.toLowerCase() === column.toLowerCase());
    return found ?? refuse('column-unknown', `there is no column \`${printable(column)}\` to unpivot`, at);
  });
  const { args, type } = agree(
    named.map(({ expression }) => expression),
    at,
  );
  const kept = all.filter((column) => !named.includes(column));
  const number = needs.state.nextRelation++;
  const certificates = from.released.flatMap((one) => one.certificates);
  const whens = args.map((arg, index) => `WHEN ${index} THEN ${printTyped(arg)}`).join(' ');
  const value = `CAST(CASE u.i ${whens} END AS ${printType(type)})`;
  const columns = [
    ...kept.map(({ expression }, index) => `${printTyped(expression)} AS o${index}`),
    `u.label AS o${kept.length}`,
    `${value} AS o${kept.length + 1}`,
    ...certificates.map(({ sql }, index) => `${sql} AS c${index}`),
  ];
  const labels = entries.map(({ label }, index) => `(${index}, ${quoteText(label)})`).join(', ');
  const list = `(VALUES ${labels}) AS u(i, label)`;
  const select = `SELECT ${columns.join(', ')} ${printReleased(from, [], ` CROSS JOIN ${list}`)}`;
  const filled = source.keepsNulls ? '' : ` WHERE o${kept.length + 1} IS NOT NULL`;
  const visible = [
    ...kept.map((column) => ({ ...column })),
    { name: source.name, type: TEXT },
    { name: source.value, type },
  ].map((column, index): Column => ({
    name: column.name,
    role: 'role' in column ? column.role : 'derived',
    expression: releasedColumn(
      `${alias(number)}.o${index}`,
      'expression' in column ? (column.expression.type ?? TEXT) : column.type,
      at,
    ),
  }));
  return {
    visible: [{ names: [source.alias], columns: visible }],
    scope: { bases: [], equalities: [], predicates: [] },
    released: [
      {
        from: `(SELECT * FROM (${select})${filled}) AS ${alias(number)}`,
        leftOn: null,
        certificates: certificates.map(({ domain }, index) => ({ domain, sql: `${alias(number)}.c${index}` })),
      },
    ],
    merged: [],
  };
}
