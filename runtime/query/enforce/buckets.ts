import { repeatsRows } from '../differential/fan-out.ts';
import { LARGE_ROWS } from '../layout.ts';
import { printTyped } from '../print.ts';
import { alias, type Base, printScope, reference, type ScopeUnit } from '../rows.ts';
import type { Block } from './block.ts';
import { atPlace, tagIn, UNIT_ROW, UNIT_ROWS } from './lanes.ts';
import { groupBy, keyNames, keysAs, predicates, table } from './parts.ts';

/** Sketches of the contributors to cells by buckets: see release/sketch.ts for what they are. */

/** Column of a per-unit relation of a small table: the sum of the tags of the unit's rows. */
export const UNIT_TAGS = '__gb_gt';

/** One series of cells: rows of `base` that meet `condition`, or their units. */
export interface BucketSeries {
  readonly s: number;
  readonly unit: ScopeUnit;
  /** null: units are counted, not rows. */
  readonly base: Base | null;
  readonly condition: string;
  /** A row counts as often as joins repeat it. */
  readonly isRepeated?: boolean;
  /** Of values per unit: where the number and the tags of the rows stand that one is made of; absent: those of all rows. */
  readonly place?: number;
}

const PARTITIONS = [0, 1, 2];
const big = (value: number): string => `CAST('${value}' AS UBIGINT)`;
const wide = (sql: string): string => `CAST(${sql} AS HUGEINT)`;
/** What a unit's hash adds to the check of its bucket. */
const check = (hash: string): string => `(xor(${hash}, ${hash} >> ${big(32)}) & ${big(0xffff_ffff)})`;

/** Reads the sketches of series of one unit and table: twelve columns, see `GuardPlan.sketches`. */
export function bucketSketches(
  block: Block,
  index: number,
  series: readonly BucketSeries[],
  buckets: number,
): readonly string[] {
  const [first] = series;
  if (first === undefined) throw new Error('a sketch of nothing');
  const bucket = (hash: string, partition: number): string =>
    `(${partition === 0 ? hash : `(${hash} >> ${big(21 * partition)})`} % ${big(buckets)})`;
  const placed = (hash: string): string =>
    `(${bucket(hash, 0)} + ${big(buckets)} * ${bucket(hash, 1)} + ${big(buckets ** 2)} * ${bucket(hash, 2)})`;
  const { base } = first;
  const at = ['bb % ' + big(buckets), `(bb // ${big(buckets)}) % ${big(buckets)}`, `bb // ${big(buckets ** 2)}`];
  if (base === null || first.isRepeated === true || !isOnceEach(block, base)) {
    const once = sumsOnce(block, series, placed);
    return [read(block, index, series, { aggregated: once, at: PARTITIONS.map((p) => [p, at[p] ?? '']) })];
  }
  // Of a large table nearly every unit is in a place of its own in all three partitions together, so each is looked at by itself.
  if (base.table.rowCount >= LARGE_ROWS)
    return PARTITIONS.map((partition) => {
      const aggregated = sumsOfRows(block, series, base, (hash) => bucket(hash, partition));
      return read(block, index, series, { aggregated, at: [[partition, 'bb']] });
    });
  const aggregated = sumsOfRows(block, series, base, placed);
  return [read(block, index, series, { aggregated, at: PARTITIONS.map((p) => [p, at[p] ?? '']) })];
}

/** Whether each row of the scope is another row of the table. */
function isOnceEach({ scope }: Block, base: Base): boolean {
  if (base.table.physical.startsWith('(') || base.leftOn !== null) return false;
  return scope.bases.length === 1 || !repeatsRows(scope, base);
}

/** Keys, place and sums of rows that stand in the scope once each. */
function sumsOfRows(
  block: Block,
  series: readonly BucketSeries[],
  base: Base,
  placed: (hash: string) => string,
): string {
  const { hash } = (series[0] as BucketSeries).unit;
  const sums = series.flatMap(({ condition, s, unit }) => {
    const filter = condition === 'TRUE' ? '' : ` FILTER (WHERE ${condition})`;
    return [
      `count(*)${filter} AS n${s}`,
      `sum(${wide(unit.hash)})${filter} AS h${s}`,
      `sum(${wide(check(unit.hash))})${filter} AS x${s}`,
      `sum(${wide(tagIn({ unit, base }))})${filter} AS t${s}`,
    ];
  });
  const keys = block.keys.map(({ expression }) => printTyped(expression));
  return `SELECT ${[...keysAs(block), `${placed(hash)} AS bb`, ...sums].join(', ')} ${printScope(block.scope, predicates(block))}${groupBy([...keys, placed(hash)])}`;
}

/** The same of each row of the table once, however often joins repeat it (or just so often); or of each unit once. */
function sumsOnce(block: Block, series: readonly BucketSeries[], placed: (hash: string) => string): string {
  const { unit, base, isRepeated = false } = series[0] as BucketSeries;
  if (isRepeated && base === null) throw new Error('units cannot be repeated');
  const names = keyNames(block);
  const keys = block.keys.map(({ expression }) => printTyped(expression));
  const isPerUnit = base?.table.physical.startsWith('(') === true;
  const own = (column: string): string => (base === null ? '' : reference(base.relation, column));
  const row = base === null ? [] : [isPerUnit ? own(UNIT_ROW) : `${alias(base.relation)}.rowid`];
  const places = isPerUnit ? [...new Set(series.map(({ place }) => place))] : [];
  const weights = isPerUnit
    ? places.flatMap((place) => [
        `min(${own(atPlace(UNIT_ROWS, place))}) AS ${atPlace('gn', place)}`,
        `min(${own(atPlace(UNIT_TAGS, place))}) AS ${atPlace('gt', place)}`,
      ])
    : base === null
      ? []
      : [`min(${tagIn({ unit, base })}) AS gt`];
  const flags = series.map(({ condition, s }) =>
    isRepeated ? `count(*) FILTER (WHERE ${condition}) AS m${s}` : `count(*) FILTER (WHERE ${condition}) > 0 AS f${s}`,
  );
  const once = `SELECT ${[...keysAs(block), ...row.map((id) => `${id} AS rid`), `${unit.hash} AS uh`, ...weights, ...flags].join(', ')} ${printScope(block.scope, predicates(block))}${groupBy([...keys, ...row, unit.hash])}`;
  const summed = (place: number | undefined): readonly string[] => {
    if (!isPerUnit)
      return [
        'count(*)',
        `sum(${wide('uh')})`,
        `sum(${wide(check('uh'))})`,
        row.length === 0 ? `sum(${wide('0')})` : `sum(${wide('gt')})`,
      ];
    const [gn, gt] = [atPlace('gn', place), atPlace('gt', place)];
    return [`sum(${gn})`, `sum(${wide('uh')} * ${gn})`, `sum(${wide(check('uh'))} * ${gn})`, `sum(${gt})`];
  };
  const sums = series.flatMap(({ s, place }) => {
    if (isRepeated) {
      const [gn, gt] = isPerUnit ? [atPlace('gn', place), atPlace('gt', place)] : ['1', 'gt'];
      const all = [wide(gn), `${wide('uh')} * ${gn}`, `${wide(check('uh'))} * ${gn}`, wide(gt)];
      return ['n', 'h', 'x', 't'].map((name, i) => `sum(${all[i]} * m${s}) AS ${name}${s}`);
    }
    const filter = ` FILTER (WHERE f${s})`;
    return summed(place).map((sql, i) => `${sql}${filter} AS ${['n', 'h', 'x', 't'][i]}${s}`);
  });
  return `SELECT ${[...names, `${placed('uh')} AS bb`, ...sums].join(', ')} FROM (${once})${groupBy([...names, placed('uh')])}`;
}

interface Reading {
  /** Keys, place and sums. */
  readonly aggregated: string;
  /** Partitions, each with what says the bucket of a place. */
  readonly at: readonly (readonly [number, string])[];
}

function read(block: Block, index: number, series: readonly BucketSeries[], { aggregated, at }: Reading): string {
  const on =
    keyNames(block)
      .map((name) => `a.${name} IS NOT DISTINCT FROM i.${name}`)
      .join(' AND ') || 'TRUE';
  const columns = series.flatMap(({ s }) => [`a.n${s}`, `a.h${s}`, `a.x${s}`, `a.t${s}`, `i.s${s}`]);
  const numbered = `SELECT ${['i.id AS id', 'a.bb AS bb', ...columns].join(', ')} FROM a JOIN ${table(block, 'i')} AS i ON (${on})`;
  const mask = `CAST(4294967295 AS HUGEINT)`;
  const word = (sql: string, shift: number): string =>
    `CAST(${shift === 0 ? sql : `(${sql} >> ${shift})`} & ${mask} AS BIGINT)`;
  const sketches = series.flatMap(({ s }) =>
    at.map(([partition, of]) => {
      const total = (name: string): string => `CAST(sum(${wide(`${name}${s}`)}) AS HUGEINT)`;
      const words = [
        word(total('n'), 0),
        ...[0, 32, 64].map((shift) => word(total('h'), shift)),
        word(total('x'), 0),
        ...[0, 32].map((shift) => word(total('t'), shift)),
      ];
      const head = [index, s].map((value) => `CAST(${value} AS BIGINT)`);
      return `SELECT ${[...head, 'id', `CAST(${partition} AS BIGINT)`, `CAST(${of} AS BIGINT)`, ...words].join(', ')} FROM b WHERE s${s} AND n${s} > 0 GROUP BY id, ${of}`;
    }),
  );
  return `WITH a AS MATERIALIZED (${aggregated}), b AS MATERIALIZED (${numbered}) ${sketches.join(' UNION ALL ')}`;
}
