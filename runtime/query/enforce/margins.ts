import { printTyped } from '../print.ts';
import { printScope } from '../rows.ts';
import { type Block, type Cell, cellName, keyName, splitPredicates } from './block.ts';
import { all, create, groupBy, joinGroups, keyNames, keysAs, predicates, sameKeys, table, unitsIn } from './parts.ts';

/**
 * GROUPING SETS, ROLLUP and CUBE: a subtotal minus the cells below it that are shown is a statement about those that are
 * not. So cells are withheld in addition (complementary suppression; Hundepool et al., Statistical Disclosure Control,
 * 2012, §4.4), and here is why nothing is left to subtract.
 *
 * The sets are put in a chain, each finer than the one before it, down to the set of all keys (made for this even when it
 * is not asked for). Along the chain the groups form a tree. From the top down, what a shown group has below it that is
 * not shown must rest on nobody or on at least `minUnits` units, and so must what WHERE left out of it; where it does not, the smallest shown group below
 * it is withheld too, and below a withheld group all is withheld. So the tree falls into parts — the lowest shown groups,
 * and for each shown group the rest of it — that each rest on nobody or on enough units. Every sum or difference of shown
 * cells counts each part wholly or not at all, hence speaks of enough units or of nobody.
 *
 * Sets beside the chain could cut such a part in two. Their groups are shown only where every group of all keys in them
 * is shown: then they are sums of what is there anyway.
 *
 * Cells: a sum with conditions, products, or shares that dominance looks at is shown in a subtotal only if it is shown in
 * everything below; a plain one also if what is withheld below was withheld as a whole. count(DISTINCT …) besides needs
 * that nobody or enough units stand in several of the groups below, because it is less than their sum by exactly those; and
 * where units are what is counted, that each cell below counts all of them or enough fewer: what it leaves are the units
 * that stand in other groups alone.
 */
export interface Margins {
  /** From coarse to fine; the last one has all keys. */
  readonly chain: readonly Margin[];
  readonly beside: readonly Margin[];
}

export interface Margin {
  readonly block: Block;
  /** Positions of the block's keys in the list of all keys, ascending. */
  readonly keys: readonly number[];
}

/** Statements that make, from the verdicts `t` of every block, the tables `sc` with what may be shown of each. */
export function marginStatements({ chain, beside }: Margins): string[] {
  const finest = chain.at(-1);
  if (finest === undefined) throw new Error('grouping sets without a set');
  const downwards = chain.flatMap((margin, level) => verdictBelow(margin, level === 0 ? null : chain[level - 1]));
  const lowest = create(finest.block, 'sc', lowestCells(finest.block));
  const upwards = chain
    .slice(0, -1)
    .map((margin, level) => [margin, chain[level + 1] ?? finest] as const)
    .toReversed();
  return [
    ...downwards,
    lowest,
    ...upwards.flatMap(([margin, below]) => cellsAbove(margin, below, [below], false)),
    ...beside.flatMap((margin, i) => cellsAbove(margin, finest, [...chain, ...beside.slice(0, i)], true)),
  ];
}

const cellNames = (block: Block, from: string): string[] => block.cells.map((_, i) => `${from}.${cellName(i)}`);
const certificates = (block: Block, from: string): string[] => block.units.map((_, u) => `${from}.c${u}`);
const flag = (name: string, isThere: boolean): string => (isThere ? name : 'FALSE');

/** Matches the keys of a coarser margin with the same keys of a finer one. */
function under(above: Margin, below: Margin, from: { readonly above: string; readonly below: string }): string {
  const on = above.keys.map(
    (key, i) => `${from.above}.${keyName(i)} IS NOT DISTINCT FROM ${from.below}.${keyName(below.keys.indexOf(key))}`,
  );
  return on.length === 0 ? 'TRUE' : on.join(' AND ');
}

/** Names of the keys that a finer margin shares with a coarser one, in the finer one's table. */
function sharedKeys(above: Margin, below: Margin, from: string): string[] {
  return above.keys.map((key) => `${from}.${keyName(below.keys.indexOf(key))}`);
}

/** `sf`: which groups are shown, judged from the top down. */
function verdictBelow(margin: Margin, above: Margin | null | undefined): string[] {
  const { block } = margin;
  const t = table(block, 't');
  if (above === null || above === undefined) {
    return [create(block, 'sf', `SELECT ${[...keyNames(block), 'ok', 'enough'].join(', ')} FROM ${t}`)];
  }
  const k = block.terms.minUnits;
  const parent = ` JOIN ${table(above.block, 'sf')} AS p ON (${under(above, margin, { above: 'p', below: 't' })})`;
  const sizes = ` JOIN ${table(block, 'g')} AS g ON (${sameKeys(block, 'g', 't')})`;
  const first = `SELECT ${[...keyNames(block, 't.'), '(t.ok AND p.ok) AS ok', 'p.ok AS under', 't.enough AS enough', 'g.n AS n'].join(', ')} FROM ${t} AS t${parent}${sizes}`;
  const hidden = `SELECT ${[...keyNames(block), '1 AS open'].join(', ')} FROM ${table(block, 'sa')} WHERE under AND NOT ok`;
  const rest = printScope(block.scope, predicates(block), joinGroups(block, hidden));
  const shared = sharedKeys(above, margin, 'f');
  const few = block.units.map((unit) => `${unitsIn(unit.hash)} < ${k}`).join(' OR ');
  const named = (names: readonly string[]): string[] => names.map((name, i) => `${name} AS ${keyName(i)}`);
  const residual = `SELECT ${[...named(shared), 'FALSE AS outside'].join(', ')} ${rest}${groupBy(shared)} HAVING count(*) > 0 AND (${few})`;
  const leftOut = leftOutBelow(margin, above);
  const own = sharedKeys(above, margin, 'a');
  const partition = own.length === 0 ? '' : `PARTITION BY ${own.join(', ')}`;
  const helps = leftOut === null ? 'TRUE' : '(NOT r.outside OR e.open IS NOT NULL)';
  const order = [`CASE WHEN ${helps} THEN 0 ELSE 1 END`, 'a.n', ...keyNames(block, 'a.')].join(', ');
  const needs = `SELECT ${[...keyNames(above.block), 'bool_or(outside) AS outside'].join(', ')} FROM ${table(block, 'sr')}${groupBy(keyNames(above.block))} HAVING count(*) > 0`;
  const joined = ` JOIN (${needs}) AS r ON (${under(above, margin, { above: 'r', below: 'a' })})${leftOut === null ? '' : ` LEFT JOIN ${table(block, 'se')} AS e ON (${sameKeys(block, 'a', 'e')})`}`;
  const ranked = `SELECT ${[...keyNames(block, 'a.'), `row_number() OVER (${partition} ORDER BY ${order}) AS place`, `bool_or(${helps}) OVER (${partition}) AS helped`].join(', ')} FROM ${table(block, 'sa')} AS a${joined} WHERE a.ok`;
  // Where no single group makes the rest large enough, all go: the rest is then the group above, which is.
  const picked = `SELECT * FROM (${ranked}) WHERE place = 1 OR NOT helped`;
  return [
    create(block, 'sa', first),
    ...(leftOut === null ? [] : leftOut.setup),
    create(block, 'sr', leftOut === null ? residual : `${residual} UNION ALL ${leftOut.few}`),
    create(
      block,
      'sf',
      `SELECT ${[...keyNames(block, 'a.'), '(a.ok AND q.place IS NULL) AS ok', 'a.enough AS enough'].join(', ')} FROM ${table(block, 'sa')} AS a LEFT JOIN (${picked}) AS q ON (${sameKeys(block, 'a', 'q')})`,
    ),
  ];
}

/**
 * What WHERE left out of withheld groups must be nobody or enough too, as in every shown group: the rest of a group is as
 * good as shown. `sl` has the units left out of each group near a withheld one, `se` the groups with enough of them.
 */
function leftOutBelow(
  margin: Margin,
  above: Margin,
): { readonly setup: readonly string[]; readonly few: string } | null {
  const { block } = margin;
  const { others } = splitPredicates(block);
  if (others.length === 0) return null;
  const k = block.terms.minUnits;
  const sa = table(block, 'sa');
  const touched = `SELECT DISTINCT ${[...sharedKeys(above, margin, 'x').map((name, i) => `${name} AS ${keyName(i)}`), '1 AS open'].join(', ')} FROM ${sa} AS x WHERE x.under AND NOT x.ok`;
  const near = `SELECT DISTINCT ${[...keyNames(block, 'a.'), '1 AS open'].join(', ')} FROM ${sa} AS a JOIN (${touched}) AS p ON (${under(above, margin, { above: 'p', below: 'a' })}) WHERE a.under`;
  const outside = [`(${all(others.map(printTyped))}) IS NOT TRUE`];
  const hashes = block.units.map((unit, u) => `${unit.hash} AS h${u}`);
  const rows = `SELECT DISTINCT ${[...keyNames(block, 'f.'), ...hashes].join(', ')} ${printScope(block.scope, outside, joinGroups(block, near))}`;
  const counts = block.units.map((_, u) => unitsIn(`l.h${u}`));
  const enough = `SELECT ${[...keyNames(block, 'l.'), '1 AS open'].join(', ')} FROM ${table(block, 'sl')} AS l${groupBy(keyNames(block, 'l.'))} HAVING ${all(counts.map((count) => `${count} >= ${k}`))}`;
  const own = sharedKeys(above, margin, 'l');
  const named = own.map((name, i) => `${name} AS ${keyName(i)}`);
  const few = `SELECT ${[...named, 'TRUE AS outside'].join(', ')} FROM ${table(block, 'sl')} AS l JOIN ${sa} AS a ON (${sameKeys(block, 'a', 'l')}) WHERE NOT a.ok${groupBy(own)} HAVING count(*) > 0 AND (${counts.map((count) => `${count} < ${k}`).join(' OR ')})`;
  return { setup: [create(block, 'sl', rows), create(block, 'se', enough)], few };
}

function lowestCells(block: Block): string {
  const columns = [
    ...keyNames(block, 't.'),
    ...cellNames(block, 't'),
    ...certificates(block, 't'),
    's.ok AS ok',
    's.enough AS enough',
  ];
  return `SELECT ${columns.join(', ')} FROM ${table(block, 't')} AS t JOIN ${table(block, 'sf')} AS s ON (${sameKeys(block, 't', 's')})`;
}

/** `sc` of a margin, from `sc` of the one below it, and of those that are there already. */
function cellsAbove(margin: Margin, below: Margin, made: readonly Margin[], isBeside: boolean): string[] {
  const { block } = margin;
  const shared = sharedKeys(margin, below, 'b');
  const missing = block.cells.map((_, i) => `bool_or(b.ok AND b.${cellName(i)} IS NULL) AS z${i}`);
  const named = shared.map((name, i) => `${name} AS ${keyName(i)}`);
  const seen = `SELECT ${[...named, 'bool_or(NOT b.ok) AS hid', ...missing].join(', ')} FROM ${table(below.block, 'sc')} AS b${groupBy(shared)}`;
  const isCounted = block.cells.some(isDistinct);
  const near = block.cells.some(isUnits) ? made.flatMap((other) => nearlyAll(margin, other)) : [];
  const ok = isBeside ? '(t.ok AND NOT s.hid)' : 'f.ok';
  const cells = block.cells.map((cell, i) => {
    const tests = [`NOT s.z${i}`, `(NOT s.hid OR ${wholeOf(block, cell)})`];
    if (isDistinct(cell))
      tests.push(
        flag(
          'coalesce(o.fine, FALSE)',
          cell.conditions.every(({ kind }) => kind === 'present'),
        ),
        ...(isUnits(cell) ? near.map((_, n) => `NOT coalesce(c${n}.y${i}, FALSE)`) : []),
      );
    return `CASE WHEN ${tests.join(' AND ')} THEN t.${cellName(i)} END AS ${cellName(i)}`;
  });
  const joins = [
    ` JOIN ${table(block, 'g')} AS g ON (${sameKeys(block, 't', 'g')})`,
    ` JOIN (${seen}) AS s ON (${sameKeys(block, 't', 's')})`,
    ...(isBeside ? [] : [` JOIN ${table(block, 'sf')} AS f ON (${sameKeys(block, 't', 'f')})`]),
    ...(isCounted ? [` LEFT JOIN ${table(block, 'so')} AS o ON (${sameKeys(block, 't', 'o')})`] : []),
    ...near.map((select, n) => ` LEFT JOIN (${select}) AS c${n} ON (${sameKeys(block, 't', `c${n}`)})`),
  ];
  const columns = [
    ...keyNames(block, 't.'),
    ...cells,
    ...certificates(block, 't'),
    `${ok} AS ok`,
    't.enough AS enough',
  ];
  return [
    ...(isCounted ? [create(block, 'so', overlap(margin, below))] : []),
    create(block, 'sc', `SELECT ${columns.join(', ')} FROM ${table(block, 't')} AS t${joins.join('')}`),
  ];
}

const isDistinct = (cell: Cell): boolean => cell.sql.startsWith('count(DISTINCT ');

const isUnits = (cell: Cell): boolean => (cell.rests ?? []).some(({ unit }) => unit != null);

/** For each group of a margin, the counts of units that differ by few from one shown in a margin above or below it. */
function nearlyAll(margin: Margin, other: Margin): string[] {
  const { block } = margin;
  const isBelow = margin.keys.every((key) => other.keys.includes(key));
  if (!isBelow && !other.keys.every((key) => margin.keys.includes(key))) return [];
  const on = isBelow
    ? under(margin, other, { above: 't', below: 'b' })
    : under(other, margin, { above: 'b', below: 't' });
  const few = block.cells.flatMap((cell, i) =>
    isUnits(cell)
      ? [`bool_or(abs(t.${cellName(i)} - b.${cellName(i)}) BETWEEN 1 AND ${block.terms.minUnits - 1}) AS y${i}`]
      : [],
  );
  const keys = keyNames(block, 't.');
  return [
    `SELECT ${[...keys, ...few].join(', ')} FROM ${table(block, 't')} AS t JOIN ${table(other.block, 'sc')} AS b ON (${on}) WHERE b.ok${groupBy(keys)}`,
  ];
}

/** Whether a cell of withheld groups below counts exactly the units that those were judged by. */
function wholeOf(block: Block, cell: Cell): string {
  const isChosen = cell.conditions.some(({ kind }) => kind === 'chosen');
  const isWeighed = (cell.weight !== null || (cell.centred ?? []).length > 0) && block.terms.dominance !== null;
  if (isChosen || isWeighed || (cell.factors ?? []).length > 0) return 'FALSE';
  // Where every row of the group has every value, the rows of its parts have too.
  return cell.conditions.length === 0 ? 'TRUE' : 'g.na = g.n';
}

/** Whether nobody or enough units stand in several groups of the margin below. */
function overlap(margin: Margin, below: Margin): string {
  const { block } = margin;
  const k = block.terms.minUnits;
  const own = sharedKeys(margin, below, 'd');
  const parts = block.units.map((unit, u) => {
    const rows = `SELECT DISTINCT ${[...keysAs(below.block), `${unit.hash} AS h`].join(', ')} ${printScope(block.scope, predicates(block))}`;
    const named = own.map((name, i) => `${name} AS ${keyName(i)}`);
    const counted = `SELECT ${[...named, 'd.h AS h', 'count(*) AS m'].join(', ')} FROM (${rows}) AS d${groupBy([...own, 'd.h'])}`;
    return `(SELECT ${[...keyNames(block), `${unitsIn('h', ' FILTER (WHERE m > 1)')} AS x${u}`].join(', ')} FROM (${counted})${groupBy(keyNames(block))}) AS u${u}`;
  });
  const joined = parts.map((part, u) => (u === 0 ? part : ` JOIN ${part} ON (${sameKeys(block, 'u0', `u${u}`)})`));
  const fine = all(block.units.map((_, u) => `(u${u}.x${u} = 0 OR u${u}.x${u} >= ${k})`));
  return `SELECT ${[...keyNames(block, 'u0.'), `${fine} AS fine`].join(', ')} FROM ${joined.join('')}`;
}

/** What may be shown of one margin, with NULL for the keys that it does not have. */
export function shownOf(margin: Margin, keys: Block['keys'], types: readonly string[]): string {
  const { block } = margin;
  const columns = keys.map((_, i) => {
    const own = margin.keys.indexOf(i);
    return own === -1
      ? `CAST(NULL AS ${types[i] ?? 'VARCHAR'}) AS ${keyName(i)}`
      : `s.${keyName(own)} AS ${keyName(i)}`;
  });
  return `SELECT ${[...columns, ...cellNames(block, 's'), ...certificates(block, 's')].join(', ')} FROM ${table(block, 'sc')} AS s WHERE s.ok`;
}
