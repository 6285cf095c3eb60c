import type { Reason } from '../../policy/reason.ts';
import { type Clause, type ClauseName, type Item, type SelectBlock, selectBlocks } from './clauses.ts';
import type { KnownColumn } from './known-columns.ts';
import { offsetOf, type Token, tokensOf } from './tokens.ts';
import { innerJoins, whoHasNone } from './outer-joins.ts';
import { functionsInstead, nearestName } from './instead.ts';
import { type Candidate, type Edit, type Query, type Place, drop, apply } from './edit.ts';
import { columnOf, tablesNamed, withoutAlias, aliasOf, nameIn, expressionText } from './item-names.ts';

/** What no edit of ours can mend. */
const HOPELESS: ReadonlySet<string> = new Set(['sql-syntax', 'query-too-long', 'query-not-utf8', 'query-too-deep']);

/** Most columns of `SELECT *` that become aggregates. */
const MAX_STAR_COLUMNS = 6;

/** Edits that may answer one reason, the one that keeps most of the question first. */
export function candidatesFor(text: string, why: Reason, columns: readonly KnownColumn[]): readonly Candidate[] {
  if (HOPELESS.has(why.code)) return [];
  const tokens = tokensOf(text);
  if (tokens === null) return [];
  const blocks = selectBlocks(tokens);
  const offset = why.at === null ? null : offsetOf(text, why.at);
  const query: Query = { text, tokens, blocks, columns };
  switch (why.code) {
    case 'sql-several-statements':
      return firstStatement(query);
    case 'rows-not-released':
    case 'rows-picked':
    case 'column-not-grouped':
      return [...blocks]
        .reverse()
        .flatMap((block) => [...aggregated(query, block, offset), ...withoutPicking(query, block)]);
    case 'outer-join-private':
      return [...query.blocks.flatMap((block) => whoHasNone(query, block)), ...innerJoins(query)];
    case 'column-unknown':
    case 'table-unknown':
      return [...renamed(query, offset), ...atPlace(query, offset)];
    default:
      return atPlace(query, offset);
  }
}

/** What can be done with the item that a reason points at. */
function atPlace(query: Query, offset: number | null): readonly Candidate[] {
  if (offset === null) return [];
  const block = query.blocks.findLast(({ start, end }) => start <= offset && offset <= end);
  const clause = block?.clauses.findLast(({ start, end }) => start <= offset && offset <= end);
  if (block === undefined || clause === undefined) return [];
  const item = clause.items.find(({ start, end }) => start <= offset && offset < end) ?? clause.items.at(-1);
  if (item === undefined) return [];
  const said = shortText(query.text.slice(item.start, item.end));
  const dropped = { clause: clause.name, item, said };
  switch (clause.name) {
    case 'select':
      return [
        ...asKeyOrText(query, block, item, offset),
        ...spans(query, item),
        ...otherFunctions(query, item, offset),
        ...withoutOutput(query, block, dropped),
      ];
    case 'where':
      return drop(query, block, [{ clause, item }], `without the condition \`${said}\``);
    case 'group':
      return withoutKey(query, block, dropped);
    case 'having':
    case 'qualify':
    case 'order':
      return drop(query, block, [{ clause, item }], `without \`${said}\` in ${WORDS[clause.name]}`);
    case 'limit':
      return apply(query, [{ start: clause.start, end: clause.end, by: '' }], 'without LIMIT');
    case 'from':
    case 'window':
      return [];
  }
}

const WORDS: Readonly<Record<ClauseName, string>> = {
  select: 'SELECT',
  from: 'FROM',
  where: 'WHERE',
  group: 'GROUP BY',
  having: 'HAVING',
  qualify: 'QUALIFY',
  window: 'WINDOW',
  order: 'ORDER BY',
  limit: 'LIMIT',
};

interface Dropped {
  readonly clause: ClauseName;
  readonly item: Item;
  readonly said: string;
}

const ONE_OF: ReadonlySet<string> = new Set(['any_value', 'arbitrary', 'first', 'last']);
const LISTS: ReadonlySet<string> = new Set(['list', 'array_agg']);
const TEXTS: ReadonlySet<string> = new Set(['string_agg', 'group_concat', 'listagg']);
/** Other databases' names of calls that take the same arguments. */
const SAME_CALL: Readonly<Record<string, string>> = { nvl: 'coalesce', ifnull: 'coalesce', isnull: 'coalesce' };

/** `any_value(name)` or `list(name)` of rows as the key `name`; `list(x ORDER BY y)` of what is released as one text. */
function asKeyOrText(query: Query, block: SelectBlock, item: Item, offset: number): readonly Candidate[] {
  const at = item.tokens.findLastIndex(
    ({ kind, start }, index) => kind === 'word' && item.tokens[index + 1]?.text === '(' && start <= offset,
  );
  const [name, first] = [item.tokens[at], item.tokens[at + 2]];
  const close = closing(item.tokens, at + 1);
  const [last, end] = [item.tokens[close - 1], item.tokens[close]?.end];
  if (name === undefined || first === undefined || last === undefined || end === undefined) return [];
  const inside = query.text.slice(first.start, last.end);
  const said = shortText(query.text.slice(name.start, end));
  const same = SAME_CALL[name.text];
  if (same !== undefined)
    return apply(query, [{ start: name.start, end: name.end, by: same }], `\`${same}\` in place of \`${name.text}\``);
  const makesText = TEXTS.has(name.text) || LISTS.has(name.text);
  const isOfRows = makesText && readsTable(query, block);
  if (LISTS.has(name.text) && !isOfRows) {
    const order = /\s+order\s+by\s.*$/is.exec(inside)?.[0] ?? '';
    const value = order === '' ? inside : inside.slice(0, -order.length);
    const by = `string_agg(CAST(${value} AS VARCHAR), ', '${order === '' ? ` ORDER BY ${value}` : order})`;
    return apply(query, [{ start: name.start, end, by }], `one text, \`${by}\`, in place of \`${said}\``);
  }
  const group = clauseOf(block, 'group');
  if (!(ONE_OF.has(name.text) || isOfRows) || group === undefined) return [];
  const key = /^(?:distinct\s+)?(\S+?)(?:\s*,.*|\s+order\s+by\s.*)?$/is.exec(inside)?.[1] ?? inside;
  const path = item.tokens.slice(at + 2, close).filter(({ text }) => text !== 'distinct');
  const column = columnOf(query, path.slice(0, key.split('.').length * 2 - 1));
  if (column !== undefined && !column.isPublic && !column.rights.has('group')) return [];
  const edits = [
    { start: name.start, end, by: key },
    { start: group.end, end: group.end, by: `, ${key}` },
  ];
  return apply(query, edits, `the key \`${key}\` in place of \`${said}\``);
}

/** Whether a block reads a table and not what a sub-query or WITH released. */
function readsTable({ tokens }: Query, block: SelectBlock): boolean {
  const [first] = clauseOf(block, 'from')?.items[0]?.tokens ?? [];
  const isNamed = first !== undefined && first.kind !== 'mark';
  return (
    isNamed &&
    !tokens.some(({ text }, at) => text === first.text && tokens[at + 1]?.text === 'as' && tokens[at + 2]?.text === '(')
  );
}

const SECONDS: Readonly<Record<string, number>> = { second: 1, minute: 60, hour: 3600, day: 86_400, week: 604_800 };
const DAYS: Readonly<Record<string, number>> = { week: 7, month: 30.4375, quarter: 91.3125, year: 365.25 };
const PART = String.raw`\s*([^(),]+(?:\([^()]*\))?)\s*`;
const DIFFERENCE = new RegExp(String.raw`\b(?:date_?diff|date_?sub)\s*\(\s*'(\w+?)s?'\s*,${PART},${PART}\)`, 'i');

const SUBTRACTED = /\b(?:avg|sum|median|stddev)\s*\(\s*([\w.]+\s*-\s*[\w.]+)\s*\)/i;

/** Time between moments that is not cut off, in place of whole hours or years. */
function spans(query: Query, item: Item): readonly Candidate[] {
  const written = query.text.slice(item.start, item.end);
  const [call, unit = '', from = '', to = ''] = DIFFERENCE.exec(written) ?? [];
  if (call === undefined) {
    const between = SUBTRACTED.exec(written);
    const by = `epoch(${between?.[1] ?? ''})`;
    const at = item.start + (between?.index ?? 0) + (between?.[0].indexOf(between[1] ?? '') ?? 0);
    return between?.[1] === undefined
      ? []
      : apply(
          query,
          [{ start: at, end: at + between[1].length, by }],
          `\`${by}\`, in seconds, in place of a span of time`,
        );
  }
  const [seconds, days] = [SECONDS[unit.toLowerCase()], DAYS[unit.toLowerCase()]];
  const made = [
    ...(seconds === undefined ? [] : [`epoch(${to.trim()} - ${from.trim()}) / ${seconds}`]),
    ...(days === undefined ? [] : [`date_diff('day', ${from.trim()}, ${to.trim()}) / ${days}`]),
  ];
  const start = item.start + written.indexOf(call);
  return made.flatMap((by) =>
    apply(
      query,
      [{ start, end: start + call.length, by }],
      `\`${by}\`, which cuts nothing off, in place of \`${shortText(call)}\``,
    ),
  );
}

/** `min(cost)` → `quantile_cont(cost, 0.05)`, `avg(cost)`, … as far as the policy grants them on that column. */
function otherFunctions(query: Query, item: Item, offset: number): readonly Candidate[] {
  const at = item.tokens.findLastIndex(
    ({ kind, start }, index) => kind === 'word' && item.tokens[index + 1]?.text === '(' && start <= offset,
  );
  const name = item.tokens[at];
  if (name === undefined) return [];
  const close = closing(item.tokens, at + 1);
  const inside = item.tokens.slice(at + 2, close).filter(({ text }) => text !== 'distinct' && text !== 'all');
  const end = item.tokens[close]?.end;
  const [first, last] = [inside[0], inside.at(-1)];
  if (end === undefined || first === undefined || last === undefined) return [];
  const comma = inside.findIndex(({ kind, text }) => kind === 'mark' && text === ',');
  const argument = comma === -1 ? inside : inside.slice(0, comma);
  const value = query.text.slice(first.start, argument.at(-1)?.end ?? last.end);
  // A column of a sub-query has its rights from what it is made of: what is granted is seen when it is tried.
  const column = columnOf(query, argument) ?? (isExtreme(name.text) ? UNKNOWN : undefined);
  if (column === undefined) return [];
  const isDistinct = item.tokens[at + 2]?.text === 'distinct' && name.text !== 'count';
  const plain = isDistinct ? [(one: string) => `${name.text}(${one})`] : [];
  return [...plain, ...functionsInstead(name.text, column)].flatMap((make) =>
    apply(
      query,
      [{ start: name.start, end, by: make(value) }],
      `\`${make(value)}\` in place of \`${shortText(query.text.slice(name.start, end))}\``,
    ),
  );
}

const isExtreme = (name: string): boolean => ['min', 'max', 'median'].includes(name);

const UNKNOWN: KnownColumn = {
  table: '',
  name: '',
  isPublic: false,
  rights: new Set(),
  functions: new Set(['quantile', 'avg']),
};

/** Leaves an output out; one that is alone becomes `count(*)`. A key of the same text goes with it. */
function withoutOutput(query: Query, block: SelectBlock, { item, said }: Dropped): readonly Candidate[] {
  const select = clauseOf(block, 'select');
  if (select === undefined) return [];
  const also = keysLike(query, block, item);
  if (select.items.length > 1)
    return drop(query, block, [{ clause: select, item }, ...also], `without the column \`${said}\``);
  return drop(query, block, also, `\`count(*)\` in place of \`${said}\``, [
    { start: item.start, end: item.end, by: 'count(*)' },
  ]);
}

/** Leaves a key out of GROUP BY, and out of SELECT and ORDER BY where the same is written. */
function withoutKey(query: Query, block: SelectBlock, { item, said }: Dropped): readonly Candidate[] {
  const [group, select] = [clauseOf(block, 'group'), clauseOf(block, 'select')];
  if (group === undefined || select === undefined) return [];
  const position = item.tokens.length === 1 && item.tokens[0]?.kind === 'number' ? Number(item.tokens[0].text) : null;
  const output =
    position === null
      ? select.items.find(
          (one) => expressionText(query, one) === expressionText(query, item) || aliasOf(one) === nameIn(item),
        )
      : select.items[position - 1];
  if (output === undefined) return drop(query, block, [{ clause: group, item }], `without the key \`${said}\``);
  const what = `without the key \`${shortText(query.text.slice(output.start, output.end))}\``;
  const also = [{ clause: group, item }, ...keysLike(query, block, output).filter((one) => one.item !== item)];
  return select.items.length > 1
    ? drop(query, block, [{ clause: select, item: output }, ...also], what)
    : drop(query, block, also, what, [{ start: output.start, end: output.end, by: 'count(*)' }]);
}

/** Keys and orders that repeat an output, by its text, its alias or its position. */
function keysLike(query: Query, block: SelectBlock, output: Item): readonly Place[] {
  const select = clauseOf(block, 'select');
  const position = String((select?.items.indexOf(output) ?? -1) + 1);
  const names = new Set([expressionText(query, output), aliasOf(output) ?? '', nameIn(output) ?? '', position]);
  names.delete('');
  return (['group', 'order'] as const).flatMap((name) => {
    const clause = clauseOf(block, name);
    if (clause === undefined) return [];
    return clause.items.flatMap((item) =>
      names.has(expressionText(query, item)) || names.has(nameIn(item) ?? '') ? [{ clause, item }] : [],
    );
  });
}

/** Rows become aggregates: grantable columns are keys, measures are averaged, and the rows are counted. */
function aggregated(query: Query, block: SelectBlock, offset: number | null): readonly Candidate[] {
  const [select, from, group] = [clauseOf(block, 'select'), clauseOf(block, 'from'), clauseOf(block, 'group')];
  if (select === undefined || from === undefined) return [];
  if (offset !== null && !(block.start <= offset && offset <= block.end)) return [];
  const outputs = select.items.map((item) => outputInstead(query, item));
  const kept = [...new Set(outputs.flatMap(({ by }) => by))];
  const isCounted = kept.some((one) => /\bcount\s*\(/i.test(one));
  const list = isCounted ? kept : [...kept, 'count(*)'];
  const keys = [...new Set(outputs.flatMap(({ key }) => (key === null ? [] : [key])))];
  const whole = { start: select.items[0]?.start ?? select.end, end: select.items.at(-1)?.end ?? select.end };
  const limits = block.clauses.filter(({ name }) => name === 'limit' || name === 'order');
  const edits: Edit[] = [
    { ...whole, by: list.join(', ') },
    ...limits.map(({ start, end }) => ({ start, end, by: '' })),
  ];
  const after = block.clauses.findLast(({ name }) => name === 'from' || name === 'where') ?? from;
  if (group !== undefined)
    edits.push({ start: group.start, end: group.end, by: keys.length === 0 ? '' : `group by ${keys.join(', ')}` });
  else if (keys.length > 0) edits.push({ start: after.end, end: after.end, by: ` group by ${keys.join(', ')}` });
  const change =
    keys.length === 0
      ? `aggregates (${shortText(list.join(', '))}) in place of rows`
      : `aggregates (${shortText(list.join(', '))}) for each ${keys.join(', ')} in place of rows`;
  return apply(query, edits, change);
}

/** What stands in an aggregated query where this output stood, and the key that it needs. */
function outputInstead(query: Query, item: Item): { readonly by: readonly string[]; readonly key: string | null } {
  const written = query.text.slice(item.start, item.end);
  if (item.tokens.some(({ text }, index) => AGGREGATES.has(text) && item.tokens[index + 1]?.text === '('))
    return { by: [written], key: null };
  const isStar = item.tokens.at(-1)?.text === '*' && item.tokens.length <= 3;
  if (isStar) {
    const used = tablesNamed(query);
    const averaged = query.columns
      .filter(({ table, functions }) => used.has(table.toLowerCase()) && functions.has('avg'))
      .slice(0, MAX_STAR_COLUMNS);
    return { by: averaged.map(({ name }) => `avg(${quotedIfNeeded(name)})`), key: null };
  }
  const column = columnOf(query, withoutAlias(item.tokens));
  if (column === undefined) return { by: [], key: null };
  const expression = expressionText(query, item);
  if (column.isPublic || column.rights.has('group')) return { by: [written], key: expression };
  const [best] = ['avg', 'sum', 'count'].filter((one) => column.functions.has(one as 'avg'));
  return { by: best === undefined ? [] : [`${best}(${expression})`], key: null };
}

const AGGREGATES: ReadonlySet<string> = new Set(
  'count sum avg min max stddev stddev_samp stddev_pop variance var_samp var_pop corr regr_slope median quantile_cont histogram approx_quantile approx_count_distinct count_if countif sum_if'.split(
    ' ',
  ),
);

/** Without ORDER BY and LIMIT, which would pick rows. */
function withoutPicking(query: Query, block: SelectBlock): readonly Candidate[] {
  const picking = block.clauses.filter(({ name }) => name === 'order' || name === 'limit');
  return picking.length === 0
    ? []
    : apply(
        query,
        picking.map(({ start, end }) => ({ start, end, by: '' })),
        'without ORDER BY and LIMIT over rows',
      );
}

function firstStatement(query: Query): readonly Candidate[] {
  const end = query.tokens.find(({ kind, text }) => kind === 'mark' && text === ';')?.start;
  return end === undefined ? [] : [{ text: query.text.slice(0, end).trim(), change: 'the first statement only' }];
}

/** A misspelt name becomes the one of the policy that is nearest to it. */
function renamed(query: Query, offset: number | null): readonly Candidate[] {
  if (offset === null) return [];
  const at = query.tokens.findIndex(({ start, end }) => start <= offset && offset < end);
  const names = [...new Set(query.columns.flatMap(({ name, table }) => [name, table]))];
  return query.tokens.slice(Math.max(0, at), at + 3).flatMap((token): readonly Candidate[] => {
    if (at < 0 || (token.kind !== 'word' && token.kind !== 'quoted')) return [];
    const nearest = nearestName(token.text, names);
    if (nearest === null) return [];
    const by = quotedIfNeeded(nearest);
    // The same name, misspelt everywhere in the same way.
    const edits = query.tokens
      .filter((one) => one.kind === token.kind && one.text === token.text)
      .map(({ start, end }) => ({ start, end, by }));
    return apply(query, edits, `\`${nearest}\` in place of \`${token.text}\``);
  });
}

const clauseOf = (block: SelectBlock, name: ClauseName): Clause | undefined =>
  block.clauses.find((clause) => clause.name === name);

function closing(tokens: readonly Token[], open: number): number {
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    if (tokens[i]?.text === '(' && tokens[i]?.kind === 'mark') depth++;
    if (tokens[i]?.text === ')' && tokens[i]?.kind === 'mark' && --depth === 0) return i;
  }
  return tokens.length;
}

const quotedIfNeeded = (name: string): string =>
  /^[a-z_][a-z0-9_]*$/i.test(name) ? name : `"${name.replaceAll('"', '""')}"`;

const shortText = (text: string): string => (text.length > 80 ? `${text.slice(0, 79)}…` : text).replaceAll(/\s+/g, ' ');
