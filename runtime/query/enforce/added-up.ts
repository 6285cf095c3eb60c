import { type Added, type Block, cellName, type Condition } from './block.ts';
import { big, bit } from './combinations.ts';
import { flags, regionsOf } from './siblings.ts';

/**
 * Cells that are sums over rows, in two steps: rows are added up by their keys and by which conditions they meet, all of
 * these together being one small number, and the few sums are added up to cells. Each row is then looked at once, not once
 * for every FILTER and every CASE, and once more for how many rows meet it. All numbers are exact, so the cells are the same.
 */
export interface AddedUp {
  /** Columns of the sums: how many rows, and what they add; to be grouped by `mask` as well, if there is one. */
  readonly sums: readonly string[];
  /** The same where each row is such a sum: `rows` says of how many, `sum` what it holds of a value; null: it holds it not. */
  readonly held: (rows: string, sum: (value: string) => string | null) => readonly string[] | null;
  /** Which conditions a row meets, as an expression over the rows; null: there are no conditions. */
  readonly mask: string | null;
  /** How many different ones there can be. */
  readonly masks: number;
  /** The sums that meet a condition of the cells, or several; null: it is another condition. */
  readonly test: (prefix: string, rows: string) => string | null;
  /** Columns of the groups out of those of the sums: cells, numbers of rows, and regions that have rows. */
  readonly groups: (prefix: string) => readonly string[];
}

/** Names that no column of a table has: they stand beside those by which tables are joined. */
export const MASK = '__gb_mask';
export const OURS = '__gb_';
/** More conditions make more sums than rows are spared. */
const MOST_CONDITIONS = 6;

/**
 * null: not every cell is such a sum. `siblings`: the conditions of which regions are told apart. `hasBits`: with the bits of
 * the units of each group, of both sides of each condition and of each region, as quick.ts finds them in a sample.
 */
export function addedUp(
  block: Block,
  conditions: readonly Condition[],
  { siblings, hasBits = false }: { readonly siblings: readonly Condition[]; readonly hasBits?: boolean },
): AddedUp | null {
  const cells = block.cells.map(({ added }) => added);
  const known = conditions.map(({ sql }) => sql);
  const isKnown = (rows: string | null): boolean => rows === null || known.includes(rows);
  if (conditions.length > MOST_CONDITIONS || !conditions.every((one) => isLeftKnown(one, known))) return null;
  if (!cells.every((one) => one !== undefined && isKnown(one.within) && isKnown(one.per))) return null;
  const values = [...new Set(cells.flatMap((one) => one?.value ?? []))];
  // What a condition leaves out is where its bit is not set.
  const isLeft = (sql: string): boolean => known.some((one) => sql === leftBy(one));
  const bits = known.filter((sql) => !known.some((one) => sql === leftBy(one) && !isLeft(one)));
  const meets = (prefix: string, rows: string): string => {
    const own = bits.findIndex((one) => one === rows);
    const at = own === -1 ? bits.findIndex((one) => rows === leftBy(one)) : own;
    return `((${prefix}${MASK} & ${bit(at)}) ${own === -1 ? '=' : '<>'} 0)`;
  };
  const bitsOf = (prefix: string, u: number): string[] => {
    const own = `${prefix}${OURS}o${u}`;
    const bitsWhere = (test: string): string => `coalesce(bit_count(bit_or(CASE WHEN ${test} THEN ${own} END)), 0)`;
    const left = ({ sql, of, outside }: Condition): string =>
      `${outside === undefined || of === null ? '' : `${meets(prefix, of)} AND `}NOT ${meets(prefix, sql)}`;
    const regions = siblings.length === 0 ? [] : regionsOf(siblings.map(({ sql }) => meets(prefix, sql)));
    return [
      `bit_or(${own}) AS m${u}`,
      ...conditions.flatMap((one, c) => [
        `${bitsWhere(meets(prefix, one.sql))} AS i${c}_${u}`,
        `${bitsWhere(left(one))} AS o${c}_${u}`,
      ]),
      ...regions.map((region, r) => `${bitsWhere(region)} AS x${r}_${u}`),
    ];
  };
  // How many rows have all of the values.
  const allPresent = (prefix: string): string[] => {
    const present = conditions.filter(({ kind, isCounted }) => kind === 'present' || isCounted === true);
    const terms = present.map(({ sql, of }) =>
      of === null ? meets(prefix, sql) : `(NOT ${meets(prefix, of)} OR ${meets(prefix, sql)})`,
    );
    if (terms.length === 0) return [];
    return [`CAST(coalesce(sum(CASE WHEN ${terms.join(' AND ')} THEN ${prefix}${OURS}n END), 0) AS BIGINT) AS na`];
  };
  const units = hasBits ? block.units : [];
  return {
    sums: [
      `count(*) AS ${OURS}n`,
      ...values.map((value, i) => `sum(${value}) AS ${OURS}v${i}`),
      ...units.map(({ oneHot }, u) => `bit_or(${oneHot}) AS ${OURS}o${u}`),
    ],
    held: (rows, sum) => {
      const sums = values.map(sum);
      if (sums.includes(null)) return null;
      return [
        `${rows} AS ${OURS}n`,
        ...sums.map((one, i) => `${one} AS ${OURS}v${i}`),
        ...units.map(({ oneHot }, u) => `${oneHot} AS ${OURS}o${u}`),
      ];
    },
    mask: bits.length === 0 ? null : flags(bits),
    masks: 2 ** bits.length,
    test: (prefix, rows) => testsOf(known, (sql) => meets(prefix, sql)).get(rows) ?? null,
    groups: (prefix) => {
      const of = (name: string, rows: string | null): string =>
        rows === null ? `${prefix}${OURS}${name}` : `CASE WHEN ${meets(prefix, rows)} THEN ${prefix}${OURS}${name} END`;
      const counted = (rows: string | null): string => `CAST(coalesce(sum(${of('n', rows)}), 0) AS BIGINT)`;
      const total = ({ value, within }: Added): string =>
        value === null ? `CAST(${counted(within)} AS HUGEINT)` : `sum(${of(`v${values.indexOf(value)}`, within)})`;
      const cell = (one: Added): string => {
        if (one.as === 'count') return counted(one.within);
        if (one.as === 'sum') return total(one);
        const { unscaled, scale } = one.each ?? { unscaled: 1n, scale: 0 };
        // As the engine takes means of decimals: whole numbers, by how many there are times the power of ten.
        if (scale > 0)
          return `(CAST(CAST(${total(one)} * ${unscaled} AS HUGEINT) AS DOUBLE) / (CAST(${counted(one.per)} AS DOUBLE) * 1e${scale}))`;
        return `(${total(one)} / ${counted(one.per)})`;
      };
      return [
        ...cells.flatMap((one, i) => (one === undefined ? [] : [`${cell(one)} AS ${cellName(i)}`])),
        `${counted(null)} AS n`,
        ...conditions.flatMap(({ kind, sql }, c) => (kind === 'present' ? [] : [`${counted(sql)} AS n${c}`])),
        ...allPresent(prefix),
        ...occupied(siblings.map(({ sql }) => meets(prefix, sql))),
        ...(hasBits ? block.units.flatMap((_, u) => bitsOf(prefix, u)) : []),
      ];
    },
  };
}

/** Whether what a condition leaves out follows from its bit and that of the condition that it narrows. */
function isLeftKnown({ sql, of, outside }: Condition, known: readonly string[]): boolean {
  if (outside === undefined) return true;
  const inside = of === null ? '' : `${of} AND `;
  if (!sql.startsWith(inside) || (of !== null && !known.includes(of))) return false;
  const there = sql.slice(inside.length);
  return outside === `${inside}(${there}) IS NOT TRUE` || outside === `${inside}${there} IS NOT TRUE`;
}

/** Tests of the conditions, and of all and any of two or three, by how others write them (see sketches.ts). */
function testsOf(known: readonly string[], meets: (sql: string) => string): ReadonlyMap<string, string> {
  const tests = new Map<string, string>();
  const sets = known.flatMap((a, i) => [
    [a],
    ...known.slice(0, i).flatMap((b, j) => [[a, b], ...known.slice(0, j).map((c) => [a, b, c])]),
  ]);
  for (const set of sets) {
    const all = set.map((sql) => `(${sql})`).toSorted();
    tests.set(all.join(' AND '), set.map(meets).join(' AND '));
    tests.set(`(${set.toSorted().join(' OR ')})`, set.map(meets).join(' OR '));
  }
  return tests;
}

const leftBy = (rows: string): string => `(${rows} IS NOT TRUE)`;

/** The regions that have rows, see siblings.ts: a bit for each mask of the siblings alone. */
function occupied(siblings: readonly string[]): string[] {
  if (siblings.length === 0) return [];
  const own = siblings.map((isMet, i) => `(CASE WHEN ${isMet} THEN ${big(bit(i))} ELSE ${big(0)} END)`);
  return [`bit_or(${big(1)} << (${own.join(' + ')})) AS occ`];
}
