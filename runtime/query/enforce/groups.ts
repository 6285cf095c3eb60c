import { printTyped } from '../print.ts';
import { printScope } from '../rows.ts';
import { addedUp } from './added-up.ts';
import { addedFirst } from './ahead.ts';
import { type Block, cellName, type Condition } from './block.ts';
import { cutBits, isPacked, preparedBits, wholeFromSides } from './factors.ts';
import { occupied } from './siblings.ts';
import { bitColumns, lookAtRows, lookAtSample } from './quick.ts';
import { create, groupBy, keyNames, keysAs, type Look, predicates, sameKeys } from './parts.ts';
import { type Halves, HALVES } from './halves.ts';
import type { Held } from './held.ts';
import { printWanted, type Wanted } from './wanted.ts';

interface GroupsParts {
  readonly conditions: readonly Condition[];
  readonly siblings: readonly Condition[];
  readonly regions: number;
  readonly sample: { readonly from: string; readonly isSmall: boolean } | null;
  /** Yields the cuts of the factors; null: there are none to make. */
  readonly cut: string | null;
  /** Words of the layout that show the sides of the factors; null: they are cut here, or there are none. */
  readonly prepared: readonly (readonly string[])[] | null;
  /** What else is wanted of every group. */
  readonly beside: readonly Wanted[];
  /** Whether the sample is read twice. */
  readonly isKept: boolean;
}

/** A SELECT with the parts of the WITH that it needs, and the statements that make the tables that it reads. */
interface Made {
  readonly before: readonly string[];
  readonly ahead: readonly string[];
  readonly select: string;
}

/** The SELECT of the table g: every group with its cells, counts and bits. */
export function groups(
  block: Block,
  { conditions, siblings, regions, sample, cut, prepared, isKept, beside: wanted }: GroupsParts,
  { halves, held }: { readonly halves: Halves | null; readonly held: Held | null },
): Made {
  const sums = [
    ...block.cells.map((cell, i) => `${cell.sql} AS ${cellName(i)}`),
    'count(*) AS n',
    ...conditions.flatMap((condition, c) =>
      condition.kind === 'present' ? [] : [`count(*) FILTER (WHERE ${condition.sql}) AS n${c}`],
    ),
    ...allPresent(conditions),
    ...occupied(siblings, regions),
    ...wanted.map(printWanted),
  ];
  const rows = [...keysAs(block), ...sums];
  const by = groupBy(block.keys.map((key) => printTyped(key.expression)));
  const isDerived = prepared !== null || (cut !== null && isPacked(block));
  const counted = (from: string): string => {
    const units = block.units.map((_, u) => `coalesce(bit_count(m${u}), 0) AS u${u}`).join(', ');
    const masks = block.units.map((_, u) => `${wholeFromSides(u)} AS m${u}`).join(', ');
    return `SELECT *, ${units} FROM (${isDerived ? `SELECT *, ${masks} FROM (${from})` : from})`;
  };
  if (held !== null) return { before: [], ahead: [], select: counted(held.groups) };
  const beside = cut === null ? '' : ' CROSS JOIN sp';
  const sp = cut === null ? [] : [`sp AS MATERIALIZED (${cut})`];
  const bitsOver = (look: Look): string[] => [
    ...bitColumns(block, conditions, look, { hasRegions: regions > 0, hasWhole: !isDerived }),
    ...(prepared !== null ? preparedBits(prepared).map(printWanted) : cut === null ? [] : cutBits(block, look)),
  ];
  if (halves !== null) {
    const columns = [...sums, ...bitsOver(lookAtRows(block, conditions))];
    const both = `SELECT ${[`${halves.place} AS place`, ...columns].join(', ')} ${halves.from(beside)}${groupBy([halves.place])}`;
    const tables = [
      ...(halves.beside === undefined ? [] : [halves.beside]),
      create(block, HALVES, `${withParts(sp)}${both}`),
    ];
    return { before: tables, ahead: [], select: counted(halves.half('taken', columns.map(nameOf))) };
  }
  const told = regions === 0 ? [] : siblings;
  // Of many groups and the sides of conditions a sample would be nearly as large as the table; and values that some rows of a
  // condition lack may be so few that a small one shows too little.
  const isRare = new Set(conditions.map(({ kind }) => kind)).size > 1;
  const isChosen = conditions.some(({ kind }) => kind === 'chosen');
  if (isChosen && (sample?.isSmall !== true || isRare) && cut === null && prepared === null) {
    const added = addedUp(block, conditions, { siblings: told, hasBits: true });
    const few = added === null ? null : addedFirst(block, { added, wanted });
    if (few !== null) return { before: [], ahead: [], select: counted(few) };
  }
  if (prepared !== null && sp.length === 0 && conditions.length === 0) {
    const added = addedUp(block, conditions, { siblings: [] });
    const few = added === null ? null : addedFirst(block, { added, wanted: [...wanted, ...preparedBits(prepared)] });
    if (few !== null) return { before: [], ahead: [], select: counted(few) };
  }
  if (sample === null) {
    const where = printScope(block.scope, predicates(block), beside);
    const select = `SELECT ${[...rows, ...bitsOver(lookAtRows(block, conditions))].join(', ')} ${where}${by}`;
    return { before: [], ahead: sp, select: counted(select) };
  }
  const { look, columns } = lookAtSample(block, conditions);
  const bits = bitsOver(look);
  const found = bits.map(nameOf);
  const seen = found.map((name) => (name.startsWith('m') ? `s.${name}` : `coalesce(s.${name}, 0) AS ${name}`));
  const on = sameKeys(block, 'g', 's');
  const looked = `SELECT ${columns.join(', ')} ${sample.from}`;
  const from = isKept ? `sq${beside}` : `(${looked}) AS sq${beside}`;
  const sampled = `SELECT ${[...keyNames(block), ...bits].join(', ')} FROM ${from}${groupBy(keyNames(block))}`;
  // Where values are only missing, one count tells whether any is.
  const isPresent = conditions.length > 0 && conditions.every(({ kind }) => kind === 'present');
  const added = isPresent ? null : addedUp(block, conditions, { siblings: told });
  const few = added === null ? null : addedFirst(block, { added, wanted });
  const select = few ?? `SELECT ${rows.join(', ')} ${printScope(block.scope, predicates(block))}${by}`;
  const joined = `SELECT ${['g.*', ...seen].join(', ')} FROM (${select}) AS g LEFT JOIN (${sampled}) AS s ON (${on})`;
  const parts = isKept ? [`sq AS MATERIALIZED (${looked})`, ...sp] : sp;
  return { before: [], ahead: parts, select: counted(joined) };
}

/** What a printed column is called. */
const nameOf = (column: string): string => column.slice(column.lastIndexOf(' ') + 1);

export function withParts(parts: readonly string[]): string {
  return parts.length === 0 ? '' : `WITH ${parts.join(', ')} `;
}

/** A plain column that is asked to have a value. */
const COLUMN_THERE = /^(r\d+\."(?:[^"]|"")+") IS NOT NULL$/;

/** Nearly always every row has every value: one count over all conditions of that kind sees it. */
function allPresent(conditions: readonly Condition[]): string[] {
  const present = conditions.filter(({ kind, isCounted }) => kind === 'present' || isCounted === true);
  if (present.length === 0) return [];
  const terms = present.map(({ sql, of }) => (of === null ? `(${sql})` : `((${of}) IS NOT TRUE OR (${sql}))`));
  // Of one column: counting its values costs less than picking the rows that have one.
  const [only] = present;
  const column = present.length === 1 && only?.of === null ? COLUMN_THERE.exec(only.sql)?.[1] : undefined;
  if (column !== undefined) return [`count(${column}) AS na`];
  return [`count(*) FILTER (WHERE ${[...new Set(terms)].join(' AND ')}) AS na`];
}
