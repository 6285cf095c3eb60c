import type { CatalogueTable } from '../catalogue.ts';
import { BIGINT, printType, type SqlType, TIMESTAMP } from '../types.ts';
import type { Typed } from '../typed.ts';
import { printTyped } from '../print.ts';
import { type Place, refuse } from '../refusal.ts';
import { agree } from '../resolve/align.ts';
import { readText } from '../resolve/constant.ts';
import { type Base, baseColumn } from '../rows.ts';
import type { Literal, Source, TypedConstant } from '../syntax.ts';
import type { From, SourceNeeds } from './sources.ts';

/** Most values of one range or generate_series: each is printed. */
const MAX_SERIES = 2_000;

const NOTHING: From = { visible: [], scope: { bases: [], equalities: [], predicates: [] }, released: [], merged: [] };

const isConstant = (one: Typed): one is TypedConstant => one.kind === 'constant';

/** VALUES: a public table of the consumer's own constants. */
export function readValues(source: Source & { kind: 'values' }, needs: SourceNeeds): From {
  const rows = source.rows.map((row) => row.map((one) => needs.resolveIn(NOTHING, one, 'rows')));
  const [first = []] = rows;
  if (rows.some((row) => row.length !== first.length || !row.every(isConstant)))
    refuse('wrong-arguments', 'VALUES takes rows of constants of one length', source.at);
  const columns = first.map((_, c) =>
    agree(
      rows.flatMap((row) => row.slice(c, c + 1)),
      source.at,
    ),
  );
  const printed = rows.map((__, r) => columns.flatMap(({ args }) => args.slice(r, r + 1).map(printTyped)));
  return listOf(
    {
      rows: printed,
      columns: columns.map(({ type }, c) => ({ label: `col${c}`, type })),
      alias: source.alias,
      listed: first.map((_, c) => rows.flatMap((row) => row.slice(c, c + 1).filter(isConstant))),
    },
    needs,
    source.at,
  );
}

/** range and generate_series of whole numbers, or of moments with an INTERVAL: the list written out. */
export function readSeries(source: Source & { kind: 'series' }, needs: SourceNeeds): From {
  const { name, at } = source;
  const literals = source.args.map((one): Literal => {
    const typed = needs.resolveIn(NOTHING, one, 'rows');
    if (typed.kind === 'constant') return typed.literal;
    return refuse('wrong-arguments', `\`${name}\` takes constants`, at, 'write its ends as constants or parameters');
  });
  const isInclusive = name === 'generate_series';
  const whole = literals.every(({ kind }) => kind === 'integer');
  const values = whole
    ? wholeNumbers(
        literals.map((one) => (one.kind === 'integer' ? one.value : 0n)),
        isInclusive,
        at,
      )
    : moments(literals, isInclusive, name, at);
  const type = whole ? BIGINT : TIMESTAMP;
  const label = source.columns[0] ?? name;
  const rows = values.map((value) => [`CAST('${value}' AS ${printType(type)})`]);
  return listOf({ rows, columns: [{ label, type }], alias: source.alias === '' ? name : source.alias }, needs, at);
}

function wholeNumbers(given: readonly bigint[], isInclusive: boolean, at: Place): string[] {
  const [low, high, step] =
    given.length === 1 ? [0n, given[0] ?? 0n, 1n] : [given[0] ?? 0n, given[1] ?? 0n, given[2] ?? 1n];
  if (step === 0n) refuse('wrong-arguments', 'the step of a series cannot be 0', at);
  const found: string[] = [];
  for (let value = low; isBefore(value, high, step > 0n, isInclusive); value += step) add(found, String(value), at);
  return found;
}

/** As the engine does it: each moment is the one before plus the span, so months can shorten the day for good. */
function moments(literals: readonly Literal[], isInclusive: boolean, name: string, at: Place): string[] {
  const [from, to, step] = literals;
  const start = momentOf(from);
  const end = momentOf(to);
  if (start === null || end === null || step?.kind !== 'interval' || literals.length !== 3)
    return refuse(
      'wrong-arguments',
      `\`${name}\` takes whole numbers, or two dates and an interval`,
      at,
      `${name}(DATE '2024-01-01', DATE '2024-02-01', INTERVAL 1 DAY)`,
    );
  const { months, days, micros } = step;
  const isUp = [months, days, micros].every((part) => part >= 0);
  const isDown = [months, days, micros].every((part) => part <= 0);
  if (isUp === isDown || micros % 1000 !== 0)
    refuse('wrong-arguments', 'the step of a series needs one direction and whole milliseconds', at);
  const found: string[] = [];
  for (let value = start; isBefore(value, end, isUp, isInclusive); value = later(value, months, days, micros))
    add(
      found,
      new Date(value)
        .toISOString()
        .replace('T', ' ')
        .replace(/(\.000)?Z$/, ''),
      at,
    );
  return found;
}

function isBefore<T extends bigint | number>(value: T, end: T, isUp: boolean, isInclusive: boolean): boolean {
  if (isInclusive && value === end) return true;
  return isUp ? value < end : value > end;
}

function add(found: string[], value: string, at: Place): void {
  if (found.length === MAX_SERIES)
    refuse('query-too-large', `a series of more than ${MAX_SERIES} values`, at, 'take a larger step');
  found.push(value);
}

/** Milliseconds since 1970 of a date or timestamp; null for anything else. */
function momentOf(literal: Literal | undefined): number | null {
  if (literal?.kind !== 'date' && literal?.kind !== 'timestamp') return null;
  const read = readText(literal.text, TIMESTAMP);
  const text = read?.kind === 'timestamp' ? read.text : literal.text;
  const found = Date.parse(`${text.includes(':') ? text.replace(' ', 'T') : `${text.trim()}T00:00:00`}Z`);
  return Number.isFinite(found) ? found : null;
}

function later(moment: number, months: number, days: number, micros: number): number {
  const date = new Date(moment);
  const day = date.getUTCDate();
  date.setUTCDate(1);
  date.setUTCMonth(date.getUTCMonth() + months);
  const last = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
  date.setUTCDate(Math.min(day, last));
  return date.getTime() + days * 86_400_000 + micros / 1000;
}

interface List {
  readonly rows: readonly (readonly string[])[];
  readonly columns: readonly { readonly label: string; readonly type: SqlType }[];
  readonly alias: string;
  readonly listed?: readonly (readonly TypedConstant[])[];
}

/** A table of constants: given, so that it does not stand beside private rows. */
function listOf({ rows, columns, alias, listed: constants }: List, needs: SourceNeeds, at: Place): From {
  const names = columns.map((_, c) => `"c${c}"`).join(', ');
  const relation = needs.state.nextRelation++;
  needs.state.listed += 1;
  const nulls = columns.map(({ type }) => `CAST(NULL AS ${printType(type)})`).join(', ');
  const listed = rows.map((row) => `(${row.join(', ')})`).join(', ');
  const physical =
    rows.length === 0
      ? `(SELECT * FROM (VALUES (${nulls})) AS v(${names}) WHERE FALSE)`
      : `(SELECT * FROM (VALUES ${listed}) AS v(${names}))`;
  const table: CatalogueTable = {
    dataset: '',
    names: ['values'],
    physical,
    isPublic: true,
    columns: columns.map(({ label, type }, c) => ({ name: `c${c}`, label, type, grants: [] })),
    units: [],
    joins: 'allowed',
    given: true,
    ...(constants === undefined ? {} : { listed: constants }),
    rowCount: BigInt(rows.length),
  };
  const visible = table.columns.map((column) => ({
    name: column.label ?? column.name,
    role: 'key' as const,
    expression: baseColumn({ relation, table, column }, at),
  }));
  const base: Base = { relation, table, leftOn: null, at };
  return { ...NOTHING, visible: [{ names: [alias], columns: visible }], scope: { ...NOTHING.scope, bases: [base] } };
}
