import type { Rights } from '../rights.ts';
import { baseColumnsOf, distinctColumns, type Typed } from '../typed.ts';
import type { Cell, Condition } from '../enforce/block.ts';
import { PAIR_RIGHTS } from '../pair-rights.ts';
import { refuse } from '../refusal.ts';
import { BIGINT, DOUBLE, familyOf, type SqlType } from '../types.ts';
import { checkScale } from './scale.ts';
import { type Call, cell, real, relationsOf } from './cell.ts';
import { printTyped } from '../print.ts';
import {
  around,
  conditionsFor,
  countedIn,
  countedRests,
  isThere,
  measuredIn,
  relationOf,
  summedIn,
} from './hidden-conditions.ts';
import type { Known } from './known.ts';

/** Aggregates of two columns: correlation, covariance and regression. */
export function pairCell(
  rights: Rights,
  name: string,
  args: readonly Typed[],
  chosen: readonly Typed[],
  suffix: string,
  { syntax, known }: { readonly syntax: Call; readonly known: Known },
): Cell {
  const wanted = PAIR_RIGHTS[name] ?? [];
  const [y, x] = args;
  if (y === undefined || x === undefined || args.length !== 2)
    refuse('wrong-arguments', `\`${name}\` takes two values`, syntax.at);
  for (const arg of [y, x]) {
    if (arg.type === null || familyOf(arg.type) !== 'number' || arg.kind === 'case')
      refuse('type-mismatch', `\`${name}\` needs numbers`, syntax.at);
    for (const one of wanted) rights.measure(arg, one);
    checkScale(arg);
    if (baseColumnsOf(arg).length > 1) refuse('measure-not-allowed', `\`${name}\` takes plain columns`, syntax.at);
  }
  const [realY, realX] = [real(printTyped(y)), real(printTyped(x))];
  if (name !== 'corr' && printTyped(y) === printTyped(x))
    refuse('measure-not-allowed', `\`${name}\` takes two different columns`, syntax.at, 'use var_pop or var_samp');
  const within = around(chosen);
  const there = `(${isThere(y)} AND ${isThere(x)})`;
  const present: Condition = {
    sql: within === null ? there : `${within} AND ${there}`,
    kind: 'present',
    of: within,
    checksOutside: false,
    ...(name === 'regr_count' ? { isCounted: true as const } : {}),
  };
  const counted = [y, x].flatMap((value) => countedIn(value, present.sql));
  // With a value that nearly all share on one side, these tell the other side of whoever differs.
  const factors = [
    { sql: realY, within: present.sql, relation: relationOf([y]) },
    { sql: realX, within: present.sql, relation: relationOf([x]) },
  ];
  const [sql, type] = printPair(name, realY, realX, { there, within, suffix });
  return {
    ...cell(sql, type, [...conditionsFor(chosen, present), ...counted], null, present.sql),
    factors,
    centred: name === 'regr_count' ? [] : [realY, realX],
    addends: name === 'regr_count' ? [] : [...relationsOf(y), ...relationsOf(x)],
    adds: name === 'regr_count' ? [] : [y, x].flatMap(distinctColumns),
    rests: [{ there, within, value: null }, ...[y, x].flatMap((value) => countedRests(value, present.sql))],
    summed: summedIn(meansIn(name, { y, x }).map((value) => ({ value, within: present.sql }))),
    measured: measuredIn(
      [y, x].map((value) => ({ value, within: present.sql })),
      known,
    ),
  };
}

/** Values whose mean it tells, with numbers that stand beside it or alone. */
function meansIn(name: string, { y, x }: { readonly y: Typed; readonly x: Typed }): readonly Typed[] {
  switch (name) {
    case 'regr_avgy':
      return [y];
    case 'regr_avgx':
      return [x];
    case 'regr_intercept':
      return [y, x];
    default:
      return [];
  }
}

function printPair(
  name: string,
  y: string,
  x: string,
  { there, within, suffix }: { readonly there: string; readonly within: string | null; readonly suffix: string },
): readonly [string, SqlType] {
  const both = ` FILTER (WHERE ${within === null ? there : `${within} AND ${there}`})`;
  if (name === 'regr_count') return [`count(*)${both}`, BIGINT];
  if (name === 'regr_avgx' || name === 'regr_avgy') {
    const value = name === 'regr_avgx' ? x : y;
    return [`(fsum(${value})${both} / count(${value})${both})`, DOUBLE];
  }
  return [`${name}(${y}, ${x})${suffix}`, DOUBLE];
}
