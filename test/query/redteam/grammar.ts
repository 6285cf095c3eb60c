import { familyOf } from '../../../runtime/query/types.ts';
import type { OpenWorld } from './world.ts';

/** A source of choices that is the same for the same seed. */
export class Choice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Mulberry32: small, and good enough to pick alternatives. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  of<T>(options: readonly T[]): T {
    const one = options[this.below(options.length)];
    if (one === undefined) throw new Error('nothing to choose from');
    return one;
  }

  some<T>(options: readonly T[], most: number): T[] {
    const left = [...options];
    return Array.from({ length: Math.min(left.length, 1 + this.below(most)) }, () =>
      left.splice(this.below(left.length), 1),
    ).flat();
  }
}

interface Column {
  readonly sql: string;
  readonly family: string;
  readonly rights: ReadonlySet<string>;
  readonly functions: ReadonlySet<string>;
  /** Values that stand in the data, as SQL. */
  readonly values: readonly string[];
}

/** FROM clauses of a world with the columns that they bring, each with what the policy grants. */
export interface Source {
  readonly from: string;
  readonly columns: readonly Column[];
}

/** How tables of a world are joined: FROM text and the tables with the names they have in it. */
export type Joins = readonly { readonly from: string; readonly tables: Readonly<Record<string, string>> }[];

/** `units`: columns that count distinct units; how many values another column has can change with one person. */
export async function sourcesOf(world: OpenWorld, joins: Joins, units: RegExp): Promise<Source[]> {
  const columnsOf = async (table: string, as: string): Promise<Column[]> => {
    const found = world.context.tables.find(({ names }) => names.includes(table));
    const columns: Column[] = [];
    for (const { name, type, grants } of found?.columns ?? []) {
      const { rows } = await world.plain(`SELECT DISTINCT ${name}::VARCHAR FROM ${table} ORDER BY 1 LIMIT 12`);
      const family = familyOf(type) ?? '';
      const values = rows.flatMap(([value]) => {
        if (value === null || value === undefined) return [];
        const text = (value as { toString(): string }).toString();
        if (family === 'number' || family === 'boolean') return /^[-\d.]+$|^(true|false)$/.test(text) ? [text] : [];
        return [`'${text.replaceAll("'", "''")}'`];
      });
      const everything = ['group', 'filter', 'join'];
      columns.push({
        sql: as === '' ? name : `${as}.${name}`,
        family,
        rights: new Set(
          (found?.isPublic === true ? everything : grants.flatMap(({ rights }) => rights)).filter(
            (right) => right !== 'countDistinct' || units.test(name),
          ),
        ),
        functions: new Set(grants.flatMap(({ functions }) => functions)),
        values,
      });
    }
    return columns;
  };
  const sources: Source[] = [];
  for (const { from, tables } of joins) {
    const columns: Column[] = [];
    for (const [table, as] of Object.entries(tables)) columns.push(...(await columnsOf(table, as)));
    sources.push({ from, columns });
  }
  return sources;
}

/** One question as an analyst, or somebody who only looks like one, would write it. */
export function question(pick: Choice, sources: readonly Source[]): string {
  const source = pick.of(sources);
  const shapes: readonly (readonly [number, () => string])[] = [
    [6, () => grouped(pick, source)],
    [2, () => row(pick, source)],
    [2, () => grouped(pick, source, pick.of(['ROLLUP', 'CUBE', 'SETS']))],
    [1, () => `${grouped(pick, source, null, 2)} UNION ALL ${grouped(pick, source, null, 2, true)}`],
    [1, () => `SELECT *, rank() OVER (ORDER BY a0 DESC) AS place FROM (${grouped(pick, source)}) q`],
    [1, () => `WITH q AS (${grouped(pick, source)}) SELECT sum(a0) AS s, max(a0) AS m, count(*) AS n FROM q`],
    [1, () => perUnit(pick, source)],
    [1, () => withTotal(pick, source)],
  ];
  let at = pick.below(shapes.reduce((sum, [weight]) => sum + weight, 0));
  for (const [weight, make] of shapes) {
    if (at < weight) return make();
    at -= weight;
  }
  return row(pick, source);
}

const having = (source: Source, right: string): Column[] => source.columns.filter(({ rights }) => rights.has(right));

function row(pick: Choice, source: Source): string {
  return `SELECT ${cells(pick, source, 4)} FROM ${source.from}${where(pick, source)}`;
}

function grouped(
  pick: Choice,
  source: Source,
  sets: string | null = null,
  width: number | null = null,
  total = false,
): string {
  const columns = having(source, 'group');
  if (columns.length === 0) return row(pick, source);
  const keys = width !== null ? [pick.of(columns)] : pick.some(columns, 3);
  const texts = keys.map((column) => key(pick, column));
  const items = texts.map((text, i) => `${total ? 'NULL' : width !== null ? `(${text})::VARCHAR` : text} AS k${i}`);
  const names = keys.map((_, i) => `k${i}`);
  const measure = width === null ? cells(pick, source, 3) : 'count(*) AS a0';
  const condition = where(pick, source, total ? 0.2 : 0.4);
  if (total) return `SELECT ${items.join(', ')}, ${measure} FROM ${source.from}${condition}`;
  const by = sets === null ? names.join(', ') : setsOf(pick, sets, names);
  const after = sets === null && pick.chance(0.15) ? ` HAVING count(*) > ${pick.below(5)}` : '';
  const order = width === null && pick.chance(0.2) ? ` ORDER BY a0 DESC, ALL LIMIT ${1 + pick.below(4)}` : '';
  return `SELECT ${items.join(', ')}, ${measure} FROM ${source.from}${condition} GROUP BY ${by}${after}${order.replace(', ALL', `, ${names.join(', ')}`)}`;
}

function setsOf(pick: Choice, kind: string, names: readonly string[]): string {
  if (kind !== 'SETS') return `${kind} (${names.join(', ')})`;
  const sets = pick.some(
    Array.from(
      { length: 2 ** names.length },
      (_, bits) => `(${names.filter((__, i) => (bits >> i) % 2 === 1).join(', ')})`,
    ),
    4,
  );
  return `GROUPING SETS (${sets.join(', ')})`;
}

function key(pick: Choice, { sql, family, values }: Column): string {
  const constants = values.length > 0 ? values : ["''"];
  if (pick.chance(0.55)) return sql;
  switch (family) {
    case 'text':
      return pick.of([
        `upper(${sql})`,
        `left(${sql}, 1)`,
        `length(${sql})`,
        `${sql} = ${pick.of(constants)}`,
        `coalesce(${sql}, 'none')`,
        `CASE WHEN ${sql} IN (${pick.some(constants, 3).join(', ')}) THEN 'some' ELSE 'rest' END`,
        `nullif(${sql}, ${pick.of(constants)})`,
      ]);
    case 'number':
      return pick.of([
        `${sql} // ${1 + pick.below(30)}`,
        `${sql} % 2`,
        `${sql} > ${pick.of(values.length > 0 ? values : ['0'])}`,
      ]);
    case 'date':
      return pick.of([
        `month(${sql})`,
        `date_trunc('month', ${sql})`,
        `dayofweek(${sql})`,
        `strftime(${sql}, '%Y-%m')`,
      ]);
    default:
      return sql;
  }
}

function where(pick: Choice, source: Source, chance = 0.5): string {
  return having(source, 'filter').length === 0 || !pick.chance(chance) ? '' : ` WHERE ${predicate(pick, source)}`;
}

function predicate(pick: Choice, source: Source, depth = 2): string {
  if (depth > 0 && pick.chance(0.3)) {
    const word = pick.of(['AND', 'OR', 'AND NOT']);
    return `(${predicate(pick, source, depth - 1)} ${word} ${predicate(pick, source, depth - 1)})`;
  }
  const { sql, family, values } = pick.of(having(source, 'filter'));
  if (family === 'boolean') return pick.of([sql, `NOT ${sql}`, `${sql} IS NULL`]);
  const constants = values.length > 0 ? values : ['NULL'];
  return pick.of([
    `${sql} = ${pick.of(constants)}`,
    `${sql} <> ${pick.of(constants)}`,
    `${sql} IN (${pick.some(constants, 3).join(', ')})`,
    `${sql} >= ${pick.of(constants)}`,
    `${sql} BETWEEN ${pick.of(constants)} AND ${pick.of(constants)}`,
    `${sql} IS NOT NULL`,
    `${sql} IS DISTINCT FROM ${pick.of(constants)}`,
  ]);
}

function cells(pick: Choice, source: Source, most: number): string {
  return Array.from({ length: 1 + pick.below(most) }, (_, i) => `${cell(pick, source)} AS a${i}`).join(', ');
}

function cell(pick: Choice, source: Source): string {
  const filters = having(source, 'filter');
  const measures = source.columns.filter(({ functions, family }) => family === 'number' && functions.has('sum'));
  const condition = (): string => (filters.length === 0 ? 'TRUE' : predicate(pick, source, 1));
  const filter = (): string => (pick.chance(0.25) && filters.length > 0 ? ` FILTER (WHERE ${condition()})` : '');
  const distinct = having(source, 'countDistinct');
  const any = (): string =>
    pick.of(source.columns.filter(({ rights }) => rights.has('group') || rights.has('countDistinct'))).sql;
  const forms: (() => string)[] = [() => `count(*)${filter()}`, () => `count(${any()})${filter()}`];
  if (distinct.length > 0) forms.push(() => `count(DISTINCT ${pick.of(distinct).sql})${filter()}`);
  if (distinct.length > 0 && filters.length > 0)
    forms.push(() => {
      const { sql } = pick.of(distinct);
      return `count(DISTINCT CASE WHEN ${condition()} THEN ${sql} WHEN ${condition()} THEN ${sql} END)`;
    });
  if (filters.length > 0) {
    forms.push(
      () => `sum(CASE WHEN ${condition()} THEN 1 ELSE 0 END)`,
      () => `avg((${condition()})::INT)`,
      () => `count_if(${condition()})`,
    );
  }
  if (measures.length > 0) {
    const measure = (): string => pick.of(measures).sql;
    const granted = (name: string): Column[] => measures.filter(({ functions }) => functions.has(name));
    forms.push(
      () => `sum(${measure()})${filter()}`,
      () => `sum(${measure()})${filter()}`,
      () => `avg(${measure()})${filter()}`,
      () => `sum(${measure()} ${pick.of(['+', '-', '*'])} ${measure()})`,
      () => `sum(${measure()} * ${pick.of(['2', '0.5', '1.1'])} + ${pick.of(['0', '1', '100'])})`,
      () => `sum(CASE WHEN ${condition()} THEN ${measure()} ${pick.of(['', 'ELSE 0 ', 'ELSE 1 '])}END)`,
      () => `avg(CASE WHEN ${condition()} THEN ${measure()} END)`,
      () => `sum(CASE WHEN ${condition()} THEN ${measure()} WHEN ${condition()} THEN ${measure()} END)`,
      () => `count(${measure()})${filter()}`,
      () => `sum(coalesce(${measure()}, ${pick.of(['0', '7'])}))`,
    );
    for (const [name, call] of [
      ['stddev', 'stddev'],
      ['variance', 'variance'],
      ['quantile', 'median'],
    ] as const)
      if (granted(name).length > 0) forms.push(() => `${call}(${pick.of(granted(name)).sql})${filter()}`);
    if (granted('correlation').length > 1)
      forms.push(
        () =>
          `corr(${pick
            .some(granted('correlation'), 2)
            .map(({ sql }) => sql)
            .concat(measure())
            .slice(0, 2)
            .join(', ')})`,
      );
  }
  const extremes = having(source, 'extremum');
  if (extremes.length > 0) forms.push(() => `${pick.of(['min', 'max'])}(${pick.of(extremes).sql})${filter()}`);
  return pick.of(forms)();
}

/** An aggregate for each unit and one over all of them. */
function perUnit(pick: Choice, source: Source): string {
  const units = having(source, 'join').filter(({ rights }) => rights.has('countDistinct'));
  const measures = source.columns.filter(({ functions, family }) => family === 'number' && functions.has('sum'));
  if (units.length === 0) return row(pick, source);
  const inner = measures.length > 0 && pick.chance(0.6) ? `sum(${pick.of(measures).sql})` : 'count(*)';
  return `SELECT ${pick.of(['avg(n)', 'sum(n)', 'count(*)', 'count(n)'])} AS a0 FROM (SELECT ${pick.of(units).sql} AS u, ${inner} AS n FROM ${source.from}${where(pick, source)} GROUP BY u) q`;
}

function withTotal(pick: Choice, source: Source): string {
  const columns = having(source, 'group');
  if (columns.length === 0) return row(pick, source);
  const measure = cell(pick, source);
  return `SELECT ${pick.of(columns).sql} AS k0, ${measure} AS a0, (SELECT ${measure} FROM ${source.from}${where(pick, source, 0.3)}) AS a1 FROM ${source.from} GROUP BY k0`;
}
