import { alias, isOnly, printScope, privateBases, reference } from '../rows.ts';
import { printTyped } from '../print.ts';
import { type Block, conditionsOf } from './block.ts';
import { factorsOf, isPacked } from './factors.ts';
import { predicates } from './parts.ts';
import { groupsOf, isByJoined, MIN_ROWS_TO_SAMPLE, ROWS_PER_GROUP, SAMPLE, UNEVEN } from './sizes.ts';

/** With so many groups that the most would be exceeded, rows enough for each of them, if they are at most a share of all rows. */
const MANY_SHARE = 1 / 4;
/** More rows for each of many groups are not looked at. */
const MOST_PER_GROUP = 160;
/** How often a row out of its place falls into a bit that is set already, and how far counts stray: generous, because groups are uneven. */
const STRAYING = { factor: 1.5, rows: 12, deviations: 4.5 };
/** Of the rows of FILTER and CASE there are fewer, of those that meet several fewer still, and few lack a value. */
const CHOSEN = 4;
/** Smaller tables cost nothing to join to a sample. */
const MAX_ROWS_BESIDE = 65_536;
/** All larger ones together may hold this share of the sampled table's rows: the sample is looked up in each of their rows. */
const MAX_SHARE_BESIDE = 1 / 3;

/**
 * FROM, WHERE and LIMIT of a sample of the block's rows, when that is likely to prove every group; else
 * null. Units found in any part of a group's rows are units of the group, so a sample can prove a threshold and never
 * fakes one; groups that it leaves open are counted exactly later. Only this choice, never an answer, follows from what
 * is known of the columns.
 */
export function sampleOf(block: Block): { readonly from: string; readonly isSmall: boolean } | null {
  const [base] = privateBases(block.scope).toSorted((a, b) => Number(b.table.rowCount - a.table.rowCount));
  if (base === undefined || base.leftOn !== null) return null;
  if (base.table.rowCount < MIN_ROWS_TO_SAMPLE || base.table.physical.startsWith('(')) return null;
  const limit = rowsToLookAt(block, Number(base.table.rowCount));
  if (limit === null) return null;
  const isSmall = limit <= SAMPLE.most;
  const heavy = block.scope.bases.filter(
    ({ relation, table }) => relation !== base.relation && (!table.isPublic || table.rowCount > MAX_ROWS_BESIDE),
  );
  if (heavy.length === 0) {
    const rows = [...predicates(block), ...apart(block, base.relation)];
    return { from: `${printScope(block.scope, rows)} LIMIT ${limit}`, isSmall };
  }
  // The other tables are read whole, so the sample is taken ahead of the joins; conditions on other tables, and joins
  // beyond those that link the tables, could leave next to nothing of it. That a partner is found nearly always holds.
  const own = block.scope.predicates.filter((term) => isOnly(term, base));
  const others = block.scope.predicates.filter((term) => !own.includes(term));
  const isThinned = others.some((term) => block.scope.bases.every(({ found }) => found !== term));
  if (isThinned || block.scope.equalities.length >= block.scope.bases.length) return null;
  const beside = heavy.reduce((sum, { table }) => sum + Number(table.rowCount), 0);
  if (!isSmall || beside > Number(base.table.rowCount) * MAX_SHARE_BESIDE) return null;
  const columns = [
    ...base.table.columns.map(({ name }) => name),
    ...block.units.filter(({ relation }) => relation === base.relation).flatMap((unit) => unit.columns),
  ];
  const where = own.length === 0 ? '' : ` WHERE ${own.map(printTyped).join(' AND ')}`;
  const names = columns.map((name) => reference(base.relation, name));
  const sql = `(SELECT ${names.join(', ')} FROM ${base.table.physical} AS ${alias(base.relation)}${where} LIMIT ${limit})`;
  return { from: printScope(block.scope, others.map(printTyped), '', { relation: base.relation, sql }), isSmall };
}

/**
 * What every row meets, so that the sample is no part of the plan that reads all rows: an engine that finds the same join
 * twice makes it once and keeps all of its rows, which costs more than either.
 */
function apart(block: Block, relation: number): string[] {
  const unit = block.units.find((one) => one.relation === relation);
  return unit === undefined || block.scope.bases.length === 1
    ? []
    : [`((${unit.oneHot} & CAST(0 AS UBIGINT)) = CAST(0 AS UBIGINT))`];
}

/** Rows that nearly always prove every group; null when that is unknown, or too many. */
function rowsToLookAt(block: Block, rowCount: number): number | null {
  const groups = groupsOf(block);
  const conditions = conditionsOf(block);
  const few = Math.max(SAMPLE.least, groups * ROWS_PER_GROUP * (conditions.length > 0 ? CHOSEN : 1));
  if (few <= SAMPLE.most) return few;
  const times = Math.max(conditions.some(({ kind }) => kind === 'chosen') ? CHOSEN : 1, isByJoined(block) ? UNEVEN : 1);
  const many = Math.ceil(groups * rowsPerGroup(block, 'sides') * times);
  return many <= rowCount * MANY_SHARE ? many : null;
}

/**
 * Rows to look at for each of many groups, so that nearly every one of them shows units enough: of the whole group, or on
 * both sides of the cuts of its factors. Groups get more or fewer rows than the mean, as chance has it.
 */
export function rowsPerGroup(block: Block, of: 'whole' | 'sides'): number {
  const { minUnits } = block.terms;
  const sides = of === 'sides' && factorsOf(block).length > 0 ? 2 : 1;
  const bits = sides === 2 && isPacked(block) ? 32 : 64;
  if (minUnits >= bits) return MOST_PER_GROUP;
  const set = -bits * Math.log(1 - minUnits / bits);
  const rows = STRAYING.factor * set + STRAYING.rows;
  const mean = ((STRAYING.deviations + Math.sqrt(STRAYING.deviations ** 2 + 4 * rows)) / 2) ** 2;
  return Math.min(MOST_PER_GROUP, Math.ceil(sides * mean));
}
