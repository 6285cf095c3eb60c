import type { Wanted } from './wanted.ts';
import { printTyped, quoteName } from '../print.ts';
import { alias, type Base, isOnly, printScope } from '../rows.ts';
import { type Block, conditionsOf, type Factor } from './block.ts';
import {
  all,
  create,
  groupBy,
  isSomebody,
  joinGroups,
  keyNames,
  keysAs,
  type Look,
  matchGroups,
  predicates,
  sameKeys,
  table,
} from './parts.ts';
import { groupsOf, hasManyGroups } from './sizes.ts';

/**
 * A factor that has one value for nearly everybody makes a product a filter: `sum(cost * (1 + 1000 * smoker))` and
 * `sum(cost)` tell the cost of the one smoker, whatever the numbers are. So a sum of products is withheld where, for some
 * value, fewer than `minUnits` units have a row in which the factor is another one; nobody at all may, or enough. It is
 * what FILTER is held to, for every value that could have been filtered by. Rows whose product is missing add nothing and
 * do not count.
 *
 * Cut the values in two at any point: a given value lies on one side, so whoever has a row on the other side has another
 * value there. Enough units on each side of one cut therefore prove the rule for every value at once, and any part of the
 * rows can prove it. The cut is the mean of some rows: where it falls decides how often the proof succeeds, never the
 * answer, because groups that it leaves open are counted exactly.
 */
export function factorsOf(block: Block): readonly Factor[] {
  const found = block.cells.flatMap(({ factors }) => factors ?? []);
  return [...new Map(found.map((one) => [`${one.sql} | ${one.within ?? ''}`, one])).values()];
}

/** Rows of which the mean is taken where no sample of the block's rows is at hand. */
const CUT_ROWS = 2_048;
/** Larger values would overflow the mean, and with it the query. */
const LARGEST = '1e100';

/** The cut of each factor: `c0`, `c1`, … of one row, from the values `v0`, `v1`, … of `from`. */
export function cuts(block: Block, from: string): string {
  return `SELECT ${factorsOf(block)
    .map((_, f) => `${mean(`v${f}`)} AS c${f}`)
    .join(', ')} FROM ${from}`;
}

/** The same from the first rows of the tables that the factors speak of; null when a factor speaks of several. */
export function cutsFromTables(block: Block): string | null {
  const parts = new Map<Base, string[]>();
  for (const [f, factor] of factorsOf(block).entries()) {
    const base = block.scope.bases.find(({ relation }) => relation === factor.relation);
    if (base === undefined || base.table.physical.startsWith('(')) return null;
    parts.set(base, [...(parts.get(base) ?? []), `${mean(factor.sql)} AS c${f}`]);
  }
  const selects = [...parts].map(([base, means], i) => {
    const own = block.scope.predicates.filter((term) => isOnly(term, base)).map(printTyped);
    const name = alias(base.relation);
    const columns = base.table.columns.map((column) => `${name}.${quoteName(column.name)}`).join(', ');
    const rows = `SELECT ${columns} FROM ${base.table.physical} AS ${name} WHERE ${all(own)} LIMIT ${CUT_ROWS}`;
    return `(SELECT ${means.join(', ')} FROM (${rows}) AS ${name}) AS sp${i}`;
  });
  return `SELECT * FROM ${selects.join(' CROSS JOIN ')}`;
}

function mean(sql: string): string {
  return `avg(CASE WHEN abs(${sql}) < ${LARGEST} THEN ${sql} END)`;
}

/** With so many groups rows enough for each of them are looked at, so more of the half of the bits are set than by chance. */
const PREPARED = { mostUnits: 24, sparedBits: 3, straying: 4 };

/**
 * The words of the layout that show on which side of a cut the values of every factor are, by factor and unit. Null where
 * they are not there for some factor, would hold too few bits, or where few rows prove as much: with few groups.
 */
export function preparedSides(block: Block): readonly (readonly string[])[] | null {
  const factors = factorsOf(block);
  if (factors.length === 0 || conditionsOf(block).length > 0 || !hasManyGroups(block)) return null;
  const { minUnits } = block.terms;
  if (minUnits > MAX_PACKED_UNITS && (minUnits > PREPARED.mostUnits || !hasManyRows(block))) return null;
  const words = factors.map(({ column, relation, within }) =>
    block.units.flatMap((unit) => {
      const word = column === undefined || unit.relation !== relation ? undefined : unit.sides?.get(column);
      return word === undefined || within !== null ? [] : [word];
    }),
  );
  return words.every((own) => own.length === block.units.length) ? words : null;
}

/** Whether groups of the mean size set more bits of a half than the minimum asks for, with room for smaller ones. */
function hasManyRows(block: Block): boolean {
  const rows = -32 * Math.log(1 - (block.terms.minUnits + PREPARED.sparedBits) / 32);
  const most = Math.max(...block.scope.bases.map(({ table }) => Number(table.rowCount)));
  return most / groupsOf(block) >= 2 * PREPARED.straying * rows;
}

/** The bits of `cutBits`, out of words that the layout prepared. */
export function preparedBits(words: readonly (readonly string[])[]): Wanted[] {
  return words.flatMap((own, f) =>
    own.map((word, u): Wanted => ({ name: `q${f}_${u}`, call: 'bit_or', value: word, rows: null })),
  );
}

/** Up to so many units both sides of a cut fit into one column: half of its 64 bits each, which few units seldom share. */
const MAX_PACKED_UNITS = 16;
const HALF = "CAST('4294967295' AS UBIGINT)";

/** Whether the bits of both sides share a column. */
export const isPacked = (block: Block): boolean =>
  block.terms.minUnits <= MAX_PACKED_UNITS || preparedSides(block) !== null;

/**
 * Bits of the units on each side of the cuts `sp.c0`, `sp.c1`, …: `l` for low, `h` for high, or `q` with low bits for
 * low and high bits for high. Each aggregate costs as much as the cell itself, hence one for both where it will do.
 */
export function cutBits(block: Block, look: Look): string[] {
  return look.factors.flatMap(({ sql, within }, f) =>
    block.units.flatMap((_, u) => {
      const bits = look.oneHot[u] ?? '';
      const inside = within === null ? '' : `${within} AND `;
      if (isPacked(block)) {
        const half = folded(bits);
        const sides = `WHEN ${inside}${sql} > sp.c${f} THEN ${half} << 32 WHEN ${inside}${sql} <= sp.c${f} THEN ${half}`;
        return [`bit_or(CASE ${sides} ELSE CAST('0' AS UBIGINT) END) AS q${f}_${u}`];
      }
      return (['l', 'h'] as const).map((side) => {
        const cut = `${inside}${sql} ${side === 'l' ? '<=' : '>'} sp.c${f}`;
        // Not FILTER: with many groups, selecting rows for each aggregate costs more than adding nothing.
        const bit = `CASE WHEN ${cut} THEN ${bits} ELSE CAST('0' AS UBIGINT) END`;
        return `coalesce(bit_count(bit_or(${bit})), 0) AS ${side}${f}_${u}`;
      });
    }),
  );
}

/**
 * Bits of a unit's rows on either side of the first factor's cut, folded as they are there. Where they prove the rule for the
 * factor they prove the group, and where they do not it is counted exactly: so nothing need be looked at for it.
 */
export const wholeFromSides = (u: number): string => folded(`q0_${u}`);

/** Bits of a unit on whichever side, out of a word that shows both. */
export const folded = (word: string): string => `((${word} & ${HALF}) | (${word} >> 32))`;

/** Whether the bits of a group prove the rule for a factor. */
function proven(block: Block, f: number, from: string): string {
  const k = block.terms.minUnits;
  const sides = (u: number): readonly string[] =>
    isPacked(block)
      ? [`bit_count(${from}q${f}_${u} & ${HALF})`, `bit_count(${from}q${f}_${u} >> 32)`]
      : [`${from}l${f}_${u}`, `${from}h${f}_${u}`];
  return all(block.units.flatMap((_, u) => sides(u).map((bits) => `coalesce(${bits}, 0) >= ${k}`)));
}

/** Whether the bits leave any factor open. */
export function openFactors(block: Block, from: string): string[] {
  return factorsOf(block).map((_, f) => `NOT (${proven(block, f, from)})`);
}

/** For each factor the groups that the bits left open, counted: units less those who have one and the same value only. */
export function factorStatements(block: Block, hasBits: boolean): string[] {
  const k = block.terms.minUnits;
  const names = keyNames(block);
  return factorsOf(block).map((factor, f) => {
    const undecided = hasBits ? ` AND NOT (${proven(block, f, '')})` : '';
    const open = `SELECT ${[...names, '1 AS open'].join(', ')} FROM ${table(block, 'g')} WHERE n >= ${k}${undecided}`;
    const there = [
      ...predicates(block),
      ...(factor.within === null ? [] : [factor.within]),
      `${factor.sql} IS NOT NULL`,
    ];
    const columns = [...keysAs(block), `${factor.sql} AS v`, ...block.units.map(({ hash }, u) => `${hash} AS h${u}`)];
    const rows = `SELECT ${columns.join(', ')} ${printScope(block.scope, there, joinGroups(block, open))}`;
    const counted = block.units.map((_, u) => differing(block, u));
    const on = block.units.slice(1).map((_, u) => ` JOIN d${u + 1} ON (${sameKeys(block, 'd0', `d${u + 1}`)})`);
    const isFine = block.units.map((_, u) => `(d${u}.low = d${u}.high OR d${u}.units >= ${k})`);
    const answer = `SELECT ${[...keyNames(block, 'd0.'), `(${all(isFine)}) AS fine`].join(', ')} FROM d0${on.join('')}`;
    return create(block, `f${f}`, `WITH r AS MATERIALIZED (${rows}), ${counted.join(', ')} ${answer}`);
  });
}

/** Per group: the ends of its values, and the units who differ from whatever value is shared by most. */
function differing(block: Block, u: number): string {
  const names = keyNames(block);
  const somebody = `count(*) FILTER (WHERE ${isSomebody('h')})`;
  const perUnit = `SELECT ${[...names, `h${u} AS h`, 'min(v) AS a', 'max(v) AS b'].join(', ')} FROM r${groupBy([...names, `h${u}`])}`;
  const perValue = `SELECT ${[...names, 'a', 'b', `${somebody} AS n`, `(CASE WHEN a = b THEN ${somebody} ELSE 0 END) AS m`].join(', ')} FROM (${perUnit}) GROUP BY ${[...names, 'a', 'b'].join(', ')}`;
  const ofGroup = ['min(a) AS low', 'max(b) AS high', 'sum(n) - max(m) AS units'];
  return `d${u} AS (SELECT ${[...names, ...ofGroup].join(', ')} FROM (${perValue})${groupBy(names)})`;
}

export function factorTests(
  block: Block,
  hasBits: boolean,
): { readonly joins: readonly string[]; readonly testsFor: (cell: number) => string[] } {
  const factors = factorsOf(block);
  return {
    joins: factors.map((_, f) => matchGroups(block, `f${f}`, `f${f}`)),
    testsFor: (index) =>
      (block.cells[index]?.factors ?? []).map((own) => {
        const f = factors.findIndex(({ sql, within }) => sql === own.sql && within === own.within);
        const counted = `coalesce(f${f}.fine, FALSE)`;
        return hasBits ? `((${proven(block, f, 'g.')}) OR ${counted})` : counted;
      }),
  };
}
