import type { SelectBlock } from './clauses.ts';
import { apply, type Candidate, type Edit, type Query } from './edit.ts';

/**
 * `LEFT JOIN visits v ON v.patient = p.id WHERE v.visit IS NULL` asks by the linked column who has none: another one may be
 * empty in a row that is there.
 */
export function whoHasNone(query: Query, block: SelectBlock): readonly Candidate[] {
  const from = block.clauses.find(({ name }) => name === 'from');
  const where = block.clauses.find(({ name }) => name === 'where');
  if (from === undefined || where === undefined) return [];
  const joins = query.text.slice(from.start, from.end);
  return where.items.flatMap((item): readonly Candidate[] => {
    const said = query.text.slice(item.start, item.end);
    const [, table, column] = /^(\w+)\.(\w+)\s+is\s+null$/i.exec(said) ?? [];
    if (table === undefined || column === undefined) return [];
    const own = new RegExp(
      `\\b${table}\\.(\\w+)\\s*=[^=]|=\\s*${table}\\.(\\w+)|\\busing\\s*\\(\\s*(\\w+)\\s*\\)`,
      'i',
    ).exec(joins);
    const link = own?.slice(1).find((one) => one !== undefined);
    if (link === undefined || link.toLowerCase() === column.toLowerCase()) return [];
    const by = `${table}.${link} IS NULL`;
    return apply(
      query,
      [{ start: item.start, end: item.end, by }],
      `\`${by}\`, the column of the join, in place of \`${said}\``,
    );
  });
}

export function innerJoins(query: Query): readonly Candidate[] {
  const edits = query.tokens.flatMap(({ kind, text, start }, index): readonly Edit[] => {
    if (kind !== 'word' || !['left', 'right', 'full'].includes(text)) return [];
    const next = query.tokens[index + 1];
    const join = next?.text === 'outer' ? query.tokens[index + 2] : next;
    return join?.kind === 'word' && join.text === 'join' ? [{ start, end: join.end, by: 'join' }] : [];
  });
  return edits.length === 0 ? [] : apply(query, edits, 'inner joins in place of outer ones');
}
