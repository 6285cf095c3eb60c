import type { Gate } from '../enforced.ts';
import { printTyped } from '../print.ts';
import { printScope } from '../rows.ts';
import { type Block, type Cell, cellName, type Rest, splitPredicates } from './block.ts';
import {
  all,
  create,
  gate,
  groupBy,
  isSomebody,
  inKeyOrder,
  joinGroups,
  keyNames,
  keysAs,
  noneOrEnough,
  unitsIn,
  recreate,
  sameKeys,
  table,
} from './parts.ts';
import { big, bit, combinationsTable, MAX_SIBLINGS } from './combinations.ts';
import { halvesOf } from './halves.ts';
import { somethingMissing } from './left-out.ts';
import { isSmall } from './sizes.ts';
import { byMask } from './siblings.ts';
import { refuse } from '../refusal.ts';

/**
 * Conditions are judged by the rows that they keep and leave out. Where not every row adds to a cell, that is too little:
 * `NOT (diagnosis = 'rare' OR is_phone_call)` leaves out many people, but if calls have no cost, the two sums of costs
 * differ by what the one patient cost. So of cells over values that may be missing only rows with the value are looked at,
 * and of counts of units the units of which no row is left: a count of units is not a sum over rows.
 *
 * For each such measure the sets of rows (or units) that WHERE and the conditions of its cells keep are added and
 * subtracted, with and without all of the group ahead of WHERE, as siblings.ts does with conditions. Where a combination is
 * carried by somebody but by fewer than `minUnits` units, the last set in it is withheld.
 *
 * Every difference of two sums over rows is a sum over the rows with a coefficient that is not 0; every difference of two
 * counts of units likewise one over units. So what is shown speaks of nobody or of enough.
 */
interface Measure {
  readonly there: string | null;
  readonly value: string | null;
  /** What its cells keep, as conditions within the group ahead of WHERE; what WHERE alone keeps first, to be withheld last. */
  readonly sets: readonly string[];
}

/** The measures of a block whose cells rest on less than the rows that they keep, and have something left out. */
function measuresOf(block: Block): readonly Measure[] {
  const setOf = setsOf(block);
  const whole = setOf({ within: null });
  const found = new Map<string, { readonly rest: Rest; readonly within: Set<string> }>();
  const own = restsIn(block);
  const rests = block.cells.flatMap(own);
  for (const rest of rests.toSorted((a, b) => Number(a.within !== null) - Number(b.within !== null))) {
    const key = measureKey(rest);
    const known = found.get(key) ?? { rest, within: new Set<string>() };
    found.set(key, known);
    known.within.add(setOf(rest));
  }
  return [...found.values()]
    .filter(({ within }) => whole !== all([]) || within.size > 1 || !within.has(whole))
    .map(({ rest: { there, value }, within }) => {
      if (within.size > MAX_SIBLINGS)
        refuse(
          'query-too-large',
          `more than ${MAX_SIBLINGS} different conditions in aggregates`,
          null,
          'group by them',
        );
      return { there, value, sets: [...within] };
    });
}

/**
 * What the cells of a block rest on. Columns that a join equates name the same units: `count(DISTINCT p.pid)` less
 * `count(DISTINCT v.patient) FILTER (…)` is a difference of one measure, so where several columns name them, units stand for
 * the values of each.
 */
function restsIn(block: Block): (cell: Cell) => readonly Rest[] {
  const named = Map.groupBy(
    block.cells.flatMap((cell) => cell.rests ?? []),
    ({ unit }) => unit ?? null,
  );
  const isOneColumn = (domain: string): boolean => new Set(named.get(domain)?.map(({ value }) => value)).size < 2;
  return ({ rests = [] }) =>
    rests.map((rest) => {
      const unit = block.units.find(({ domain }) => domain === rest.unit);
      if (unit === undefined || rest.value === null || isOneColumn(unit.domain)) return rest;
      const within = [...(rest.within === null ? [] : [`(${rest.within})`]), `${rest.value} IS NOT NULL`];
      return { ...rest, there: isSomebody(unit.hash), value: unit.hash, within: within.join(' AND ') };
    });
}

const measureKey = ({ there, value }: Pick<Rest, 'there' | 'value'>): string => JSON.stringify([there, value]);

/** What the cells of a block keep, as conditions: what WHERE keeps within groups, and their own. */
function setsOf(block: Block): (rest: Pick<Rest, 'within'>) => string {
  const others = splitPredicates(block).others.map(printTyped);
  return ({ within }) => all([...others, ...(within === null ? [] : [`(${within})`])]);
}

/** Statements after which the verdict `t` withholds the cells whose measures subtract to few units; often none. */
export function contributionStatements(block: Block): string[] {
  const measures = measuresOf(block);
  if (measures.length === 0) return [];
  const names = keyNames(block);
  const statements = Array.from({ length: Math.ceil(measures.length / PER_STATEMENT) }, (_, part) => {
    const first = part * PER_STATEMENT;
    const made = measures
      .slice(first, first + PER_STATEMENT)
      .map((measure, index) =>
        measure.value === null
          ? fewRows(block, measure, first + index)
          : fewHolders(block, measure, measure.value, first + index),
      );
    const parts = made.flatMap((one) => one.parts);
    return create(block, `n${part}`, `WITH ${parts.join(', ')} ${made.map((one) => one.hidden).join(' UNION ALL ')}`);
  });
  const cells = block.cells.flatMap((cell, i) => {
    const tests = testsOf(block, measures, cell);
    return tests.length === 0 ? [] : [`CASE WHEN ${all(tests)} THEN t.${cellName(i)} END AS ${cellName(i)}`];
  });
  const found = statements.map((_, part) => `SELECT * FROM ${table(block, `n${part}`)}`).join(' UNION ALL ');
  const hidden = measures.map((_, index) => `bit_or(hidden) FILTER (WHERE measure = ${index}) AS h${index}`);
  const byGroup = `SELECT ${[...names, ...hidden].join(', ')} FROM (${found})${groupBy(names)}`;
  const select = `SELECT t.* REPLACE (${cells.join(', ')}) FROM ${table(block, 't')} AS t LEFT JOIN (${byGroup}) AS n ON (${sameKeys(block, 't', 'n')})${inKeyOrder(block, 't.')}`;
  return [...statements, recreate(block, 't', select)];
}

/** Measures that share a statement: the number of statements is limited, and each costs a little by itself. */
const PER_STATEMENT = 8;

/** Whether what is said of a cell here has to be looked at for it to be shown. */
export function restsOnLess(block: Block, cell: Cell): boolean {
  return testsOf(block, measuresOf(block), cell).length > 0;
}

function testsOf(block: Block, measures: readonly Measure[], cell: Cell): string[] {
  const setOf = setsOf(block);
  return restsIn(block)(cell).flatMap((rest) => {
    const index = measures.findIndex((one) => measureKey(one) === measureKey(rest));
    const at = measures[index]?.sets.indexOf(setOf(rest)) ?? -1;
    return at === -1 ? [] : [`(coalesce(n.h${index}, ${big(0)}) & ${big(bit(at))}) = ${big(0)}`];
  });
}

const maskOf = (sets: readonly string[]): string =>
  sets.map((sql, i) => `(CASE WHEN ${sql} THEN ${big(bit(i))} ELSE ${big(0)} END)`).join(' + ');

/** The combinations, each with the set that is withheld when it is carried by few. */
function listed(sets: readonly string[]): string {
  const every = bit(sets.length) - 1n;
  const columns = ['plus', `coalesce(minus, ${big(every)}) AS minus`, 'whole', 'last'];
  return `(SELECT ${columns.join(', ')} FROM ${combinationsTable(sets.length)}) AS p`;
}

const carried = (mask: string): string => `(p.whole + bit_count(${mask} & p.plus) - bit_count(${mask} & p.minus)) <> 0`;

const COMBINATION = ['p.plus', 'p.minus', 'p.whole', 'p.last'];

/** Common tables, and the SELECT over them that yields `measure` and the sets to withhold by group. */
interface Few {
  readonly parts: readonly string[];
  readonly hidden: string;
}

const hiddenBy = (names: readonly string[], index: number): string =>
  `SELECT ${[...names, `${index} AS measure`, 'bit_or(last) AS hidden'].join(', ')} FROM n_s${index}${groupBy(names)}`;

/** Lets no row through where all that is kept less is what WHERE leaves out, and it leaves out nothing. */
function ifSomethingIsMissing(block: Block, sets: readonly string[]): string {
  const isWhole = sets.length === 1 && sets[0] === setsOf(block)({ within: null });
  const missing = isWhole && !isSmall(block) && halvesOf(block) === null ? somethingMissing(block) : [];
  return missing.length === 0 ? '' : gate(block, `SELECT 1 AS open WHERE ${all(missing)}`);
}

/** By bits, and what they leave open by exact counts. */
function fewRows(block: Block, { there, sets }: Measure, index: number): Few {
  const some = ifSomethingIsMissing(block, sets);
  const k = block.terms.minUnits;
  const names = keyNames(block);
  const where = [...splitPredicates(block).ofKeys.map(printTyped), ...(there === null ? [] : [there])];
  const few = (counts: readonly string[]): string => counts.map((count) => `${count} < ${k}`).join(' OR ');
  const hashes = block.units.map((unit, u) => `${unit.hash} AS h${u}`);
  const by = [...keyNames(block, 'm.'), ...COMBINATION];
  const again = [...keyNames(block, 'p.'), ...COMBINATION];
  const open = joinGroups(block, `SELECT DISTINCT ${[...names, '1 AS open'].join(', ')} FROM n_q${index}`);
  const parts = [
    `n_m${index} AS MATERIALIZED (${byMask(block, printScope(block.scope, where, some), sets)})`,
    `n_q${index} AS MATERIALIZED (SELECT ${by.join(', ')} FROM n_m${index} AS m CROSS JOIN ${listed(sets)} WHERE ${carried('m.mask')} GROUP BY ${by.join(', ')} HAVING ${few(block.units.map((_, u) => `bit_count(bit_or(m.b${u}))`))})`,
    `n_d${index} AS MATERIALIZED (SELECT DISTINCT ${[...keysAs(block), `${maskOf(sets)} AS mask`, ...hashes].join(', ')} ${printScope(block.scope, where, open)})`,
    `n_s${index} AS MATERIALIZED (SELECT ${again.join(', ')} FROM n_q${index} AS p JOIN n_d${index} AS d ON (${sameKeys(block, 'p', 'd')}) WHERE ${carried('d.mask')} GROUP BY ${again.join(', ')} HAVING ${few(block.units.map((_, u) => unitsIn(`d.h${u}`)))})`,
  ];
  return { parts, hidden: hiddenBy(names, index) };
}

/**
 * Each value once, with the sets that hold a row of it and the bits of the units that hold it: for nearly every combination
 * enough. Who holds which value is counted for groups alone of which the bits leave something open.
 */
function fewHolders(block: Block, { there, sets }: Measure, counted: string, index: number): Few {
  const some = ifSomethingIsMissing(block, sets);
  const k = block.terms.minUnits;
  const names = keyNames(block);
  const where = [...splitPredicates(block).ofKeys.map(printTyped), ...(there === null ? [] : [there])];
  const few = (counts: readonly string[]): string => counts.map((count) => `${count} < ${k}`).join(' OR ');
  const values = [...keysAs(block), `${counted} AS value`];
  const hot = block.units.map((unit, u) => `${unit.oneHot} AS o${u}`);
  const bits = block.units.map((_, u) => `bit_or(o${u}) AS b${u}`);
  const hashes = block.units.map((unit, u) => `${unit.hash} AS h${u}`);
  const by = [...keyNames(block, 'e.'), ...COMBINATION];
  const again = [...keyNames(block, 'p.'), ...COMBINATION];
  const open = joinGroups(block, `SELECT DISTINCT ${[...names, '1 AS open'].join(', ')} FROM n_q${index}`);
  const held = `${sameKeys(block, 'd', 'e')} AND d.value = e.value`;
  const rows = `SELECT ${[...values, ...hot, `${maskOf(sets)} AS mask`].join(', ')} ${printScope(block.scope, where, some)}`;
  const holders = block.units.map((_, u) => unitsIn(`d.h${u}`));
  const parts = [
    `n_e${index} AS MATERIALIZED (SELECT ${[...names, 'value', 'bit_or(mask) AS mask', ...bits].join(', ')} FROM (${rows})${groupBy([...names, 'value'])})`,
    `n_q${index} AS MATERIALIZED (SELECT ${by.join(', ')} FROM n_e${index} AS e CROSS JOIN ${listed(sets)} WHERE ${carried('e.mask')} GROUP BY ${by.join(', ')} HAVING ${few(block.units.map((_, u) => `bit_count(bit_or(e.b${u}))`))})`,
    `n_d${index} AS MATERIALIZED (SELECT DISTINCT ${[...values, ...hashes].join(', ')} ${printScope(block.scope, where, open)})`,
    `n_s${index} AS MATERIALIZED (SELECT ${again.join(', ')} FROM n_q${index} AS p JOIN n_d${index} AS d ON (${sameKeys(block, 'p', 'd')}) JOIN n_e${index} AS e ON (${held}) WHERE ${carried('e.mask')} GROUP BY ${again.join(', ')} HAVING ${few(holders)})`,
  ];
  return { parts, hidden: hiddenBy(names, index) };
}

/**
 * For rows that are aggregated per unit and then once more: whether WHERE takes a whole group of the inner query from few
 * units, or rows with a value of it. Statements, and the conditions under which anything may be shown.
 */
export function innerGuards(
  block: Block,
  rests: readonly Rest[],
): { readonly setup: string[]; readonly gates: readonly Gate[]; readonly guards: string[] } {
  const k = block.terms.minUnits;
  const kept = all(block.scope.predicates.map(printTyped).toSorted());
  const measures = new Map(
    [{ there: null, value: null }, ...rests].map(({ there, value }) => [
      measureKey({ there, value }),
      { there, value },
    ]),
  );
  const names = keyNames(block);
  const hashes = block.units.map((_, u) => `h${u}`);
  const made = [...measures.values()].map(({ there, value }, index) => {
    const columns = [
      ...keysAs(block),
      `${value ?? 'TRUE'} AS value`,
      ...block.units.map((unit, u) => `${unit.hash} AS h${u}`),
      `coalesce(${kept}, FALSE) AS kept`,
    ];
    const by = [...names, 'value', ...hashes];
    const counts = hashes.flatMap((hash, u) => [
      `${unitsIn(hash, ' FILTER (WHERE NOT kept)')} AS x${u}`,
      `${unitsIn(hash, ' FILTER (WHERE NOT whole)')} AS y${u}`,
    ]);
    const counted = (some: readonly string[]): string => {
      const rows = `SELECT ${columns.join(', ')} ${printScope(block.scope, [...(there === null ? [] : [there]), ...some])}`;
      const groups = `SELECT ${[...hashes, 'bool_or(kept) AS kept', 'bool_and(kept) AS whole'].join(', ')} FROM (${rows})${groupBy(by)}`;
      return `SELECT ${counts.join(', ')} FROM (${groups})`;
    };
    const found = hashes.flatMap((_, u) => [`x${u}`, `y${u}`]);
    const part = `i${index}`;
    return {
      // Enough among some of the units are enough among all of them; whether there are none, all of them tell.
      statements: isSmall(block)
        ? [create(block, part, counted([]))]
        : [
            create(
              block,
              part,
              `SELECT *, (${found.map((count) => `${count} < ${k}`).join(' OR ')}) AS open FROM (${counted(someOf(block))})`,
            ),
            recreate(block, part, `SELECT *, FALSE AS open FROM (${counted([])})`),
          ],
      guards: found.map((count) => noneOrEnough(`(SELECT ${count} FROM ${table(block, part)})`, k)),
      table: `${block.name}_${part}`,
    };
  });
  const setup = made.flatMap(({ statements }) => statements);
  const gates = made.flatMap(({ statements: [, exactly], table: decided }) => {
    const from = exactly === undefined ? -1 : setup.indexOf(exactly);
    return from === -1 ? [] : [{ from, to: from + 1, table: decided }];
  });
  return { setup, gates, guards: made.flatMap(({ guards }) => guards) };
}

/** Which units are looked at first: one of a hundred and twenty-eight, with all of its rows. A range is found without looking at each row. */
const someOf = ({ units }: Block): readonly string[] =>
  units.slice(0, 1).map(({ hash }) => `(${hash} > ${big(0)} AND ${hash} < ${big(2n ** 57n)})`);
