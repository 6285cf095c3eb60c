import type { PolicyLiteral } from '../../policy/model.ts';
import { type Block, cellName, keyName, splitPredicates } from '../enforce/block.ts';
import { printLiteral, printTyped, quoteName, quoteText } from '../print.ts';
import { readText } from '../resolve/constant.ts';
import { alias } from '../rows.ts';
import { printType } from '../types.ts';

/** Most rows that public key lists may span. */
const MAX_PUBLIC_KEYS = 10_000;

/**
 * `smallGroups: null`: small groups appear with their keys and without values. That is safe only when the keys are
 * known anyway, and it must not tell empty groups from small ones: so every combination of the declared values
 * appears, whether rows exist or not. Keys without a declared list are left out like with `drop`.
 */
export function emitKeys(block: Block, shown: string): string {
  const lists = block.keys.map(({ expression }) => {
    const base = expression.kind === 'column' ? expression.base : null;
    const values = base?.column.grants.map((grant) => grant.values).find((one) => Array.isArray(one));
    return Array.isArray(values) && base !== null ? printList(values, base.column.type) : null;
  });
  const total = lists.reduce((product, list) => product * (list?.length ?? 0), 1);
  if (lists.some((list) => list === null) || total === 0 || total > MAX_PUBLIC_KEYS || block.keys.length === 0)
    return shown;
  const k = block.terms.minUnits;
  const keys = block.keys.map((_, i) => keyName(i));
  const lists_ = lists.map(
    (list, i) => `(VALUES ${(list ?? []).map((value) => `(${value})`).join(', ')}) AS p${i}(${keyName(i)})`,
  );
  // Under the names of the tables, so that what WHERE says of keys alone picks among the listed ones as among rows.
  const byRelation = new Map<number, number[]>();
  for (const [i, { expression }] of block.keys.entries()) {
    const relation = expression.kind === 'column' ? (expression.base?.relation ?? 0) : 0;
    byRelation.set(relation, [...(byRelation.get(relation) ?? []), i]);
  }
  const tables = [...byRelation].map(([relation, own]) => {
    const named = own.map((i) => `p${i}.${keyName(i)} AS ${columnOf(block, i)}`);
    return `(SELECT ${named.join(', ')} FROM ${own.map((i) => lists_[i]).join(' CROSS JOIN ')}) AS ${alias(relation)}`;
  });
  const { ofKeys } = splitPredicates(block);
  const where = ofKeys.length === 0 ? '' : ` WHERE ${ofKeys.map(printTyped).join(' AND ')}`;
  const on = keys.map((key) => `shown.${key} IS NOT DISTINCT FROM known.${key}`).join(' AND ');
  const columns = [
    ...keys.map((key) => `coalesce(shown.${key}, known.${key}) AS ${key}`),
    ...block.cells.map((_, i) => `shown.${cellName(i)} AS ${cellName(i)}`),
    ...block.units.map((_, u) => `coalesce(shown.c${u}, CAST(${k} AS BIGINT)) AS c${u}`),
  ];
  const listed = block.keys.map(({ expression }, i) => `${printTyped(expression)} AS ${keyName(i)}`);
  const known = `SELECT ${listed.join(', ')} FROM ${tables.join(' CROSS JOIN ')}${where}`;
  return `SELECT ${columns.join(', ')} FROM (${shown}) AS shown FULL JOIN (${known}) AS known ON (${on})`;
}

function columnOf(block: Block, index: number): string {
  const expression = block.keys[index]?.expression;
  return quoteName(expression?.kind === 'column' ? (expression.base?.column.name ?? '') : '');
}

function printList(values: readonly PolicyLiteral[], type: Parameters<typeof printType>[0]): string[] | null {
  const printed = values.map((value) => {
    const text = value.kind === 'number' ? value.text : value.kind === 'boolean' ? String(value.value) : value.value;
    const literal = readText(text, type);
    return literal === null
      ? null
      : `CAST(${literal.kind === 'text' ? quoteText(literal.value) : printLiteral(literal)} AS ${printType(type)})`;
  });
  return printed.every((one) => one !== null) ? printed : null;
}
