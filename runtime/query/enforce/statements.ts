import { exactVerdict, isCountedAtOnce } from './exact.ts';
import { contributionStatements } from './contributions.ts';
import { extremumStatements } from './extremum.ts';
import { allMissed, leftHalf, leftOutStatements, prefix } from './left-out.ts';
import { type Block, cellName, type Condition, conditionsOf, isRanked } from './block.ts';
import { cuts, cutsFromTables, factorsOf, factorStatements, preparedSides } from './factors.ts';
import { dominanceStatements } from './dominance.ts';
import { dominatedDifferences } from './dominated-differences.ts';
import { regionCount, siblingsOf, siblingStatements } from './siblings.ts';
import { byPlace, quickVerdict } from './quick.ts';
import { sampleOf } from './sample.ts';
import { isSmall } from './sizes.ts';
import type { Gate } from '../enforced.ts';
import { groups, withParts } from './groups.ts';
import { halvesOf } from './halves.ts';
import { heldGroups } from './held.ts';
import { table, create } from './parts.ts';
import { remainder } from './remainder.ts';
import { verdict, withEnough } from './verdict.ts';
import type { Wanted } from './wanted.ts';

/**
 * The statements that turn rows into cells under the release terms. Each writes one small temporary table:
 *
 *   g  every group: cell values, and for each unit a certificate. Each unit sets one of 64 bits chosen by its keyed
 *      hash, so the number of bits set never exceeds the number of units: enough bits prove the threshold.
 *   b  both halves of the rows, taken and left out, where one pass makes both, and o, which tells them apart: see halves.ts.
 *   p  some of the rows that WHERE left out; nearly always enough to find `minUnits` units.
 *   w  what WHERE left out, over all groups: none, or enough units? Everything is looked at only if p has too few.
 *   l  the same within each group: p, then bits, then exact counts, each only for groups still undecided.
 *   t  the verdict: which groups may be shown, with the cells that may not replaced by NULL. First as far as bits and
 *      samples prove it; if they leave anything open, the tables w, l and y are made and t is made again from them.
 *   y  the verdict with exact counts for the groups that the bits did not prove.
 *   d  for the dominance rule, x  for smoothed min and max: values per unit.
 *   v, m, s, h  instead of t where cells have several conditions: see siblings.ts, which makes t of them.
 *   n  cells that rest on less than the rows that they keep: which are withheld for it; t is made again. See contributions.ts.
 *   j  where there is a dominance rule: which sums are withheld for their differences; t is made again. See dominated-differences.ts.
 *   r  the small groups merged into one, where the policy wants that.
 *   z  how much was withheld, if that itself rests on enough units.
 *
 * Of small tables t is made in one go, and g and p only if something is left open or the caller says that it reads g. Of
 * very small ones units are counted at once, see exact.ts: t is all there is.
 *
 * A join with an empty table of undecided groups ends at once, so the later steps cost nothing when nothing is left.
 */
export function statementsOf(
  block: Block,
  { keepsGroups = false, beside = [] }: { readonly keepsGroups?: boolean; readonly beside?: readonly Wanted[] } = {},
): { readonly setup: readonly string[]; readonly gate: Gate | null } {
  const conditions = conditionsOf(block);
  const siblings = siblingsOf(conditions);
  const isMerged = block.terms.smallGroups === 'remainder' && block.keys.length > 0;
  const isTold = regionCount(siblings, true) > 0;
  const held = beside.length > 0 ? null : heldGroups(block, conditions, isTold ? siblings : []);
  const halves = held === null ? halvesOf(block) : null;
  // Sketches of both halves are read where these are, see lanes.ts.
  const isAlone = !isMerged && !keepsGroups && (beside.length === 0 || halves !== null);
  const contributed = [...contributionStatements(block), ...dominatedDifferences(block)];
  if (isAlone && isCountedAtOnce(block, siblings))
    return { setup: [exactVerdict(block, conditions), ...contributed, ...treatment(block, conditions)], gate: null };
  // Of many groups a sample is large. Where the layout shows the sides of the factors, all rows cost less than that.
  const sides = preparedSides(block);
  const sample = sides === null && halves === null && held === null ? sampleOf(block) : null;
  const regions = regionCount(siblings, sample !== null || held !== null);
  const hasFactors = factorsOf(block).length > 0;
  // A small sample is kept and looked at twice; a large one only once, so its cuts come from elsewhere.
  const isKept = sample !== null && hasFactors && (sample.isSmall || cutsFromTables(block) === null);
  const cut = !hasFactors || sides !== null ? null : isKept ? cuts(block, 'sq') : cutsFromTables(block);
  const hasCuts = cut !== null || sides !== null;
  const parts = { conditions, siblings, regions, sample, cut, prepared: sides, isKept, beside };
  const made = groups(block, parts, { halves, held });
  const [looked, ...leftOut] = leftOutStatements(block, { halves, held });
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
  const before = isMerged && overall !== undefined ? [overall] : [];
  // Each statement costs about a millisecond, which is all that a small table costs: there one makes everything. Of both
  // halves of very many groups one statement makes the verdict, without writing either of them down.
  const isHeldAlone = held !== null && contributed.length === 0;
  const isOne = isQuick && isAlone && (isSmall(block) || halves !== null || isHeldAlone);
  const gg = `gg AS MATERIALIZED (${made.select})`;
  const missed = held === null ? {} : allMissed(block);
  const whole = { ahead: [], g: table(block, 'g'), p: table(block, 'p'), ...missed };
  const left = held === null ? (halves === null ? prefix(block) : leftHalf(block, halves)) : held.left;
  const ahead = looked === undefined ? [] : [`pp AS MATERIALIZED (${left})`];
  const one = {
    ahead: [...made.ahead, gg, ...ahead],
    g: 'gg',
    p: 'pp',
    ...(halves === null ? missed : byPlace(block, halves)),
  };
  const first = [
    ...made.before,
    ...(isOne ? [] : [...seen, ...before]),
    ...(isQuick ? [quickVerdict(block, conditions, regions, isOne ? one : whole)] : []),
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
  return { setup: [...first, ...exactly, ...contributed, ...treatment(block, conditions)], gate };
}

/** What the policy's way with small groups needs besides. */
function treatment(block: Block, conditions: readonly Condition[]): string[] {
  return [
    ...(block.terms.smallGroups === 'remainder' && block.keys.length > 0 ? [remainder(block, conditions)] : []),
    ...(block.terms.smallGroups === 'refuse' ? [create(block, 'z', withheld(block))] : []),
  ];
}

/** How many cells were withheld; the number of dropped groups is told only when enough units stand behind them. */
export function withheld(block: Block, part = 't'): string {
  const perGroup = Math.max(1, block.cells.length);
  const nulled = block.cells.map((_, i) => `count(*) FILTER (WHERE ok AND ${cellName(i)} IS NULL)`).join(' + ') || '0';
  return `SELECT CAST(count(*) FILTER (WHERE NOT ok AND enough) * ${perGroup} AS BIGINT) AS dropped, CAST(${nulled} AS BIGINT) AS nulled FROM ${table(block, part)}`;
}
