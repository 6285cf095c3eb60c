import { extremumJoins, extremumStatements } from './extremum.ts';
import { leftOutStatements, prefix } from './left-out.ts';
import { printTyped } from '../print.ts';
import { printScope } from '../rows.ts';
import {
  type Block,
  type Cell,
  cellName,
  type Condition,
  conditionsOf,
  isRanked,
  keyName,
  outsideOf,
  splitPredicates,
} from './block.ts';
import { cutBits, cuts, cutsFromTables, factorsOf, factorStatements, factorTests } from './factors.ts';
import { dominanceStatements, dominanceTest } from './dominance.ts';
import { bitsOf, occupied, regionCount, shownBits, siblingsOf, siblingStatements } from './siblings.ts';
import { bitColumns, type Look, lookAtRows, isSmall, lookAtSample, quickVerdict, sampleOf } from './quick.ts';
import type { Gate } from '../enforced.ts';

/**
 * The statements that turn rows into cells under the release terms. Each writes one small temporary table:
 *
 *   g  every group: cell values, and for each unit a certificate. Each unit sets one of 64 bits chosen by its keyed
 *      hash, so the number of bits set never exceeds the number of units: enough bits prove the threshold.
 *   p  some of the rows that WHERE left out; nearly always enough to find `minUnits` units.
 *   w  what WHERE left out, over all groups: none, or enough units? Everything is looked at only if p has too few.
 *   l  the same within each group: p, then bits, then exact counts, each only for groups still undecided.
 *   t  the verdict: which groups may be shown, with the cells that may not replaced by NULL. First as far as bits and
 *      samples prove it; if they leave anything open, the tables w, l and y are made and t is made again from them.
 *   y  the verdict with exact counts for the groups that the bits did not prove.
 *   d  for the dominance rule, x  for smoothed min and max: values per unit.
 *   v, m, s, h  instead of t where cells have several conditions: see siblings.ts, which makes t of them.
 *   r  the small groups merged into one, where the policy wants that.
 *   z  how much was withheld, if that itself rests on enough units.
 *
 * Of small tables t is made in one go, and g and p only if something is left open or the caller says that it reads g.
 *
 * A join with an empty table of undecided groups ends at once, so the later steps cost nothing when nothing is left.
 */
export function statementsOf(
  block: Block,
  { keepsGroups = false }: { readonly keepsGroups?: boolean } = {},
): { readonly setup: readonly string[]; readonly gate: Gate | null } {
  const conditions = conditionsOf(block);
  const siblings = siblingsOf(conditions);
  const sample = sampleOf(block);
  const regions = regionCount(siblings, sample !== null);
  const hasFactors = factorsOf(block).length > 0;
  // A small sample is kept and looked at twice; a large one only once, so its cuts come from elsewhere.
  const isKept = sample !== null && hasFactors && (sample.isSmall || cutsFromTables(block) === null);
  const cut = !hasFactors ? null : isKept ? cuts(block, 'sq') : cutsFromTables(block);
  const hasCuts = cut !== null;
  const made = groups(block, { conditions, siblings, regions, sample, cut, isKept });
  const [looked, ...leftOut] = leftOutStatements(block);
  const seen = [
    create(block, 'g', `${withParts(made.ahead)}${made.select}`),
    ...(looked === undefined ? [] : [looked]),
  ];
  // Dominance and smoothed extremes look at every unit anyway, and some products and cells that subtract are too many or
  // too tangled to be looked at beforehand: there is no short way for them.
  const isQuick =
    block.terms.dominance === null &&
    siblings.length > 0 === regions > 0 &&
    hasFactors === hasCuts &&
    !block.cells.some(isRanked);
  // The merged row of small groups asks what was left out over all groups, whichever way the verdict is found.
  const [overall, ...within] = leftOut;
  const isMerged = block.terms.smallGroups === 'remainder' && block.keys.length > 0;
  const before = isMerged && overall !== undefined ? [overall] : [];
  // Each statement costs about a millisecond, which is all that a small table costs: there one makes everything.
  const isOne = isQuick && isSmall(block) && !isMerged && !keepsGroups;
  const p = looked === undefined ? [] : [`pp AS MATERIALIZED (${prefix(block)})`];
  const quick = isOne
    ? { ahead: [...made.ahead, `gg AS MATERIALIZED (${made.select})`, ...p], g: 'gg', p: 'pp' }
    : { ahead: [], g: table(block, 'g'), p: table(block, 'p') };
  const first = [
    ...(isOne ? [] : [...seen, ...before]),
    ...(isQuick ? [quickVerdict(block, conditions, regions, quick)] : []),
  ];
  const exactly = [
    ...(isOne ? seen : []),
    ...(isMerged ? within : leftOut),
    ...dominanceStatements(block),
    ...factorStatements(block, hasCuts),
    ...extremumStatements(block),
    verdict(block, conditions, hasCuts),
    ...(siblings.length === 0 ? [] : siblingStatements(block, siblings)),
    withEnough(block, isQuick),
  ];
  const gate = isQuick ? { from: first.length, to: first.length + exactly.length, table: `${block.name}_t` } : null;
  return { setup: [...first, ...exactly, ...treatment(block, conditions)], gate };
}

/** What the policy's way with small groups needs besides. */
function treatment(block: Block, conditions: readonly Condition[]): string[] {
  return [
    ...(block.terms.smallGroups === 'remainder' && block.keys.length > 0 ? [remainder(block, conditions)] : []),
    ...(block.terms.smallGroups === 'refuse' ? [create(block, 'z', withheld(block))] : []),
  ];
}

export function table(block: Block, part: string): string {
  return `temp."${block.name}_${part}"`;
}

export function create(block: Block, part: string, select: string): string {
  return `CREATE TEMP TABLE "${block.name}_${part}" AS ${select}`;
}

export const keysAs = (block: Block): string[] =>
  block.keys.map((key, i) => `${printTyped(key.expression)} AS ${keyName(i)}`);
export const keyNames = (block: Block, from = ''): string[] => block.keys.map((_, i) => `${from}${keyName(i)}`);
export const groupBy = (names: readonly string[]): string =>
  names.length === 0 ? '' : ` GROUP BY ${names.join(', ')}`;
export const predicates = (block: Block): string[] => block.scope.predicates.map(printTyped).toSorted();
export const all = (terms: readonly string[]): string => (terms.length === 0 ? 'TRUE' : terms.join(' AND '));

/** Joins rows of the scope to a list of groups. */
export function joinGroups(block: Block, select: string): string {
  if (block.keys.length === 0) return gate(block, select);
  const on = block.keys.map((key, i) => `${printTyped(key.expression)} IS NOT DISTINCT FROM f.${keyName(i)}`);
  return ` JOIN (${select}) AS f ON (${on.join(' AND ')})`;
}

/**
 * Lets rows through only if `select` yields one. An equality that every row meets, so that the engine joins by hash and
 * stops at once when the other side is empty; a cross join would read everything first.
 */
export function gate(block: Block, select: string): string {
  const on = block.units.map((unit) => `(${unit.oneHot} & CAST(0 AS UBIGINT)) = f.open`);
  return ` JOIN (SELECT CAST(0 AS UBIGINT) AS open FROM (${select})) AS f ON (${on.join(' AND ')})`;
}

/** Joins a table of this block to another one, group by group. */
export function matchGroups(block: Block, part: string, as: string): string {
  const on = block.keys.map((_, i) => `g.${keyName(i)} IS NOT DISTINCT FROM ${as}.${keyName(i)}`);
  return ` LEFT JOIN ${table(block, part)} AS ${as} ON (${on.length === 0 ? 'TRUE' : on.join(' AND ')})`;
}

interface GroupsParts {
  readonly conditions: readonly Condition[];
  readonly siblings: readonly Condition[];
  readonly regions: number;
  readonly sample: { readonly from: string } | null;
  /** Yields the cuts of the factors; null: there are none to make. */
  readonly cut: string | null;
  /** Whether the sample is read twice. */
  readonly isKept: boolean;
}

/** A SELECT with the parts of the WITH that it needs. */
interface Made {
  readonly ahead: readonly string[];
  readonly select: string;
}

function groups(block: Block, { conditions, siblings, regions, sample, cut, isKept }: GroupsParts): Made {
  const rows = [
    ...keysAs(block),
    ...block.cells.map((cell, i) => `${cell.sql} AS ${cellName(i)}`),
    'count(*) AS n',
    ...conditions.flatMap((condition, c) =>
      condition.kind === 'present' ? [] : [`count(*) FILTER (WHERE ${condition.sql}) AS n${c}`],
    ),
    ...allPresent(conditions),
    ...occupied(siblings, regions),
  ];
  const by = groupBy(block.keys.map((key) => printTyped(key.expression)));
  const units = block.units.map((_, u) => `coalesce(bit_count(m${u}), 0) AS u${u}`);
  const beside = cut === null ? '' : ' CROSS JOIN sp';
  const sp = cut === null ? [] : [`sp AS MATERIALIZED (${cut})`];
  const bitsOver = (look: Look): string[] => [
    ...bitColumns(block, conditions, look, regions > 0),
    ...(cut === null ? [] : cutBits(block, look)),
  ];
  if (sample === null) {
    const where = printScope(block.scope, predicates(block), beside);
    const select = `SELECT ${[...rows, ...bitsOver(lookAtRows(block, conditions))].join(', ')} ${where}${by}`;
    return { ahead: sp, select: `SELECT *, ${units.join(', ')} FROM (${select})` };
  }
  const { look, columns } = lookAtSample(block, conditions);
  const bits = bitsOver(look);
  const found = bits.map((column) => column.slice(column.lastIndexOf(' ') + 1));
  const seen = found.map((name) => (name.startsWith('m') ? `s.${name}` : `coalesce(s.${name}, 0) AS ${name}`));
  const on = all(block.keys.map((_, i) => `g.${keyName(i)} IS NOT DISTINCT FROM s.${keyName(i)}`));
  const looked = `SELECT ${columns.join(', ')} ${sample.from}`;
  const from = isKept ? `sq${beside}` : `(${looked}) AS sq${beside}`;
  const sampled = `SELECT ${[...keyNames(block), ...bits].join(', ')} FROM ${from}${groupBy(keyNames(block))}`;
  const select = `SELECT ${rows.join(', ')} ${printScope(block.scope, predicates(block))}${by}`;
  const joined = `SELECT ${['g.*', ...seen].join(', ')} FROM (${select}) AS g LEFT JOIN (${sampled}) AS s ON (${on})`;
  const parts = isKept ? [`sq AS MATERIALIZED (${looked})`, ...sp] : sp;
  return { ahead: parts, select: `SELECT *, ${units.join(', ')} FROM (${joined})` };
}

function withParts(parts: readonly string[]): string {
  return parts.length === 0 ? '' : `WITH ${parts.join(', ')} `;
}

/** Nearly always every row has every value: one count over all conditions of that kind sees it. */
function allPresent(conditions: readonly Condition[]): string[] {
  const present = conditions.filter(({ kind }) => kind === 'present');
  if (present.length === 0) return [];
  const terms = present.map(({ sql, of }) => (of === null ? `(${sql})` : `((${of}) IS NOT TRUE OR (${sql}))`));
  return [`count(*) FILTER (WHERE ${[...new Set(terms)].join(' AND ')}) AS na`];
}

/** Groups whose bits left something open. Fewer rows than `minUnits` cannot hold `minUnits` units: decided. */
function openGroups(block: Block, conditions: readonly Condition[]): string {
  const k = block.terms.minUnits;
  const open = [...block.units.map((_, u) => `u${u} < ${k}`), ...openConditions(block, conditions, '')];
  return `SELECT ${[...keyNames(block), '1 AS open'].join(', ')} FROM ${table(block, 'g')} WHERE n >= ${k} AND (${open.join(' OR ')})`;
}

/** Conditions whose two sides the bits did not prove. */
export function openConditions(block: Block, conditions: readonly Condition[], from: string): string[] {
  const k = block.terms.minUnits;
  return [
    ...conditions.flatMap((condition, c) => {
      if (condition.kind === 'present') return [];
      const bits = block.units.map((_, u) => `${from}i${c}_${u} < ${k} OR ${from}o${c}_${u} < ${k}`).join(' OR ');
      return [`(${from}n${c} >= ${k} AND ${from}n${c} < ${from}n AND (${bits}))`];
    }),
    ...(conditions.some(({ kind }) => kind === 'present') ? [`${from}na < ${from}n`] : []),
  ];
}

/** The rows that the groups hold when nothing was left out: those of the one table there is. null: not to be told so. */
export function rowsOfAll(block: Block): bigint | null {
  const [base, ...more] = block.scope.bases;
  return base === undefined || more.length > 0 || base.table.rowCount === 0n ? null : base.table.rowCount;
}

function exactColumns(block: Block, conditions: readonly Condition[]): string[] {
  return [
    ...conditions.flatMap(({ kind, sql }, c) =>
      kind === 'present' ? [`count(*) FILTER (WHERE ${sql}) AS n${c}`] : [],
    ),
    ...block.units.flatMap((unit, u) => [
      `count(DISTINCT ${unit.hash}) AS u${u}`,
      ...conditions.flatMap((condition, c) => [
        `count(DISTINCT ${unit.hash}) FILTER (WHERE ${condition.sql}) AS i${c}_${u}`,
        ...(condition.checksOutside
          ? [`count(DISTINCT ${unit.hash}) FILTER (WHERE ${outsideOf(condition)}) AS o${c}_${u}`]
          : []),
      ]),
    ]),
  ];
}

function exact(block: Block, conditions: readonly Condition[]): string {
  const columns = [...keyNames(block, 'f.'), ...exactColumns(block, conditions)];
  const from = printScope(block.scope, predicates(block), joinGroups(block, openGroups(block, conditions)));
  return `SELECT ${columns.join(', ')} ${from}${groupBy(keyNames(block, 'f.'))}`;
}

/** Units behind a group: whatever proved more of them. */
const unitsBehind = (u: number): string => `greatest(g.u${u}, coalesce(e.u${u}, 0))`;

function noneOrEnough(units: string, k: number): string {
  return `(${units} = 0 OR ${units} >= ${k})`;
}

/** Groups in the order of their keys, so that nothing later can depend on the order in which rows were met. */
export function inKeyOrder(block: Block, from: string): string {
  return block.keys.length === 0 ? '' : ` ORDER BY ${keyNames(block, from).join(', ')}`;
}

function verdict(block: Block, conditions: readonly Condition[], hasCuts: boolean): string {
  const k = block.terms.minUnits;
  const hasFilter = block.scope.predicates.length > 0;
  const inGroups = hasFilter && block.keys.length > 0 && splitPredicates(block).others.length > 0;
  const tests = block.units.flatMap((_, u) => [
    `${unitsBehind(u)} >= ${k}`,
    ...(hasFilter ? [noneOrEnough(`(SELECT x${u} FROM ${table(block, 'w')})`, k)] : []),
    ...(inGroups ? [noneOrEnough(`l.x${u}`, k)] : []),
  ]);
  tests.push(...(block.scope.guards ?? []));
  const cells = block.cells.map(
    (cell, i) => `${guarded(block, conditions, { cell, index: i, hasCuts })} AS ${cellName(i)}`,
  );
  const certificates = block.units.map((_, u) => `CAST(least(${unitsBehind(u)}, ${k}) AS BIGINT) AS c${u}`);
  const joins = [
    ` LEFT JOIN e ON (${block.keys.map((_, i) => `g.${keyName(i)} IS NOT DISTINCT FROM e.${keyName(i)}`).join(' AND ') || 'TRUE'})`,
    ...(inGroups ? [matchGroups(block, 'l', 'l')] : []),
    ...dominanceTest(block).joins,
    ...factorTests(block, hasCuts).joins,
    ...extremumJoins(block),
  ];
  const siblings = siblingsOf(conditions);
  const own = siblings.map((condition) => all(conditionTests(block, conditions, condition, 'exact')));
  const columns = [
    ...keyNames(block, 'g.'),
    ...cells,
    ...certificates,
    `(${tests.join(' AND ')}) AS ok`,
    ...(siblings.length === 0 ? [] : [`${shownBits(own)} AS shown`]),
  ];
  return create(
    block,
    siblings.length === 0 ? 'y' : 'v',
    `WITH e AS MATERIALIZED (${exact(block, conditions)}) SELECT ${columns.join(', ')} FROM ${table(block, 'g')} AS g${joins.join('')}`,
  );
}

/** The exact verdict, and whether the dropped groups rest on enough units together to be counted. */
function withEnough(block: Block, isAgain: boolean): string {
  const k = block.terms.minUnits;
  const dropped = `SELECT ${[...keyNames(block), '1 AS open'].join(', ')} FROM ${table(block, 'y')} WHERE NOT ok`;
  const distinct = block.units.map((unit) => `count(DISTINCT ${unit.hash})`);
  const least = distinct.length === 1 ? (distinct[0] ?? '0') : `least(${distinct.join(', ')})`;
  const units = `SELECT ${least} ${printScope(block.scope, predicates(block), joinGroups(block, dropped))}`;
  const select = `SELECT *, coalesce((${units}) >= ${k}, FALSE) AS enough FROM ${table(block, 'y')}${inKeyOrder(block, '')}`;
  return isAgain ? create(block, 't', select).replace('CREATE', 'CREATE OR REPLACE') : create(block, 't', select);
}

/** The value of a cell where it rests on enough units and what it leaves of its group does too; else NULL. */
function guarded(
  block: Block,
  conditions: readonly Condition[],
  { cell, index, hasCuts }: { readonly cell: Cell; readonly index: number; readonly hasCuts: boolean },
): string {
  const tests = [
    ...cellTests(block, conditions, cell, 'exact'),
    ...dominanceTest(block).testsFor(index),
    ...factorTests(block, hasCuts).testsFor(index),
  ];
  const value = isRanked(cell) ? `x${index}.v` : `g.${cellName(index)}`;
  return tests.length === 0 ? value : `CASE WHEN ${tests.join(' AND ')} THEN ${value} END`;
}

/** What a cell has to meet; `quick`: by bits alone, for groups that those leave nothing open of. */
export function cellTests(
  block: Block,
  conditions: readonly Condition[],
  cell: Cell,
  how: 'quick' | 'exact',
): string[] {
  return cell.conditions.flatMap((own) => conditionTests(block, conditions, own, how));
}

function conditionTests(
  block: Block,
  conditions: readonly Condition[],
  own: Condition,
  how: 'quick' | 'exact',
): string[] {
  const c = conditions.findIndex(({ sql }) => sql === own.sql);
  const chosen = conditions[c]?.kind === 'chosen';
  // A value that is missing somewhere leaves its group open.
  if (how === 'quick' && !chosen) return ['g.na = g.n'];
  const exactUnits = (side: 'i' | 'o', u: number): string =>
    chosen ? `greatest(g.${side}${c}_${u}, coalesce(e.${side}${c}_${u}, 0))` : `coalesce(e.${side}${c}_${u}, 0)`;
  const units = (side: 'i' | 'o', u: number): string => (how === 'quick' ? `g.${side}${c}_${u}` : exactUnits(side, u));
  const rows = (of: string | null): string => {
    const index = conditions.findIndex(({ sql }) => sql === of);
    if (index === -1) return 'g.n';
    if (how === 'quick' && conditions[index]?.kind === 'present') return rows(conditions[index].of);
    return conditions[index]?.kind === 'chosen' ? `g.n${index}` : `coalesce(e.n${index}, 0)`;
  };
  const test = cellTest(block, own, { units, rows });
  return chosen ? test : [`(g.na = g.n OR (${test.join(' AND ')}))`];
}

interface Counts {
  readonly units: (side: 'i' | 'o', unit: number) => string;
  readonly rows: (condition: string | null) => string;
}

/** A condition that all rows meet takes nothing away; any other needs enough units on each side of it. */
function cellTest(block: Block, condition: Condition, { units, rows }: Counts): string[] {
  const k = block.terms.minUnits;
  const [own, around] = [rows(condition.sql), rows(condition.of)];
  return block.units.map((_, u) => {
    const rest = condition.checksOutside ? ` AND ${noneOrEnough(units('o', u), k)}` : '';
    return `(${own} = g.n OR ${own} = ${around} OR (${own} >= ${k} AND ${units('i', u)} >= ${k}${rest}))`;
  });
}

/** All groups that may not be shown, as one row, under the same rules. */
function remainder(block: Block, conditions: readonly Condition[]): string {
  const k = block.terms.minUnits;
  const dropped = `SELECT ${[...keyNames(block), '1 AS open'].join(', ')} FROM ${table(block, 't')} WHERE NOT ok`;
  const counted = [
    ...block.cells.map((cell, i) => `${cell.sql} AS ${cellName(i)}`),
    'count(*) AS n',
    ...conditions.flatMap(({ sql, kind }, c) => (kind === 'chosen' ? [`count(*) FILTER (WHERE ${sql}) AS n${c}`] : [])),
    ...exactColumns(block, conditions),
  ];
  const inside = `SELECT ${counted.join(', ')} ${printScope(block.scope, predicates(block), joinGroups(block, dropped))}`;
  const { others } = splitPredicates(block);
  const missed = others.length > 0;
  const distinct = block.units.map((unit, u) => `count(DISTINCT ${unit.hash}) AS x${u}`);
  const outside = missed
    ? ` CROSS JOIN (SELECT ${distinct.join(', ')} ${printScope(block.scope, [`(${all(others.map(printTyped))}) IS NOT TRUE`], joinGroups(block, dropped))}) AS q`
    : '';
  const hasFilter = block.scope.predicates.length > 0;
  const tests = block.units.flatMap((_, u) => [
    `g.u${u} >= ${k}`,
    ...(missed ? [noneOrEnough(`q.x${u}`, k)] : []),
    ...(hasFilter ? [noneOrEnough(`(SELECT x${u} FROM ${table(block, 'w')})`, k)] : []),
  ]);
  tests.push(...(block.scope.guards ?? []));
  const cells = block.cells.map((cell, i) => {
    const isJudged = cell.weight !== null || (cell.centred ?? []).length > 0;
    const isWeighed = (isJudged && block.terms.dominance !== null) || (cell.factors ?? []).length > 0;
    if (isWeighed || isRanked(cell) || bitsOf(cell, siblingsOf(conditions)) > 0n) return `NULL AS ${cellName(i)}`;
    const rows = (of: string | null): string => {
      const index = conditions.findIndex(({ sql }) => sql === of);
      return index === -1 ? 'g.n' : `g.n${index}`;
    };
    const enough = cell.conditions.flatMap((condition) => {
      const c = conditions.findIndex(({ sql }) => sql === condition.sql);
      return cellTest(block, condition, { units: (side, u) => `g.${side}${c}_${u}`, rows });
    });
    return `CASE WHEN ${all(enough)} THEN g.${cellName(i)} END AS ${cellName(i)}`;
  });
  const columns = [
    ...block.keys.map((_, i) => `NULL AS ${keyName(i)}`),
    ...cells,
    ...block.units.map((_, u) => `CAST(least(g.u${u}, ${k}) AS BIGINT) AS c${u}`),
  ];
  return create(
    block,
    'r',
    `SELECT ${columns.join(', ')} FROM (${inside}) AS g${outside} WHERE ${tests.join(' AND ')}`,
  );
}

/** How many cells were withheld; the number of dropped groups is told only when enough units stand behind them. */
export function withheld(block: Block, part = 't'): string {
  const perGroup = Math.max(1, block.cells.length);
  const nulled = block.cells.map((_, i) => `count(*) FILTER (WHERE ok AND ${cellName(i)} IS NULL)`).join(' + ') || '0';
  return `SELECT CAST(count(*) FILTER (WHERE NOT ok AND enough) * ${perGroup} AS BIGINT) AS dropped, CAST(${nulled} AS BIGINT) AS nulled FROM ${table(block, part)}`;
}
