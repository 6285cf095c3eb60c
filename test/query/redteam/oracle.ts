import type { Cell } from '../../../runtime/release/column-values.ts';
import type { OpenWorld, Seen } from './world.ts';

/** Whose rows are taken out: a condition for each table that has some. */
export interface Person {
  readonly key: string;
  readonly rows: Readonly<Record<string, string>>;
}

export interface Leak {
  readonly kind: 'flip' | 'isolated';
  /** For `flip`: whose removal changed the shape of the answer. For `isolated`: whom a combination of cells speaks of. */
  readonly about: readonly string[];
  readonly how: string;
}

/**
 * What one answer tells about few people, found by running the job again without each person in turn.
 *
 * `flip`: the shape of the answer (denied or not, rows, which cells are NULL, texts) depends on one person.
 * `isolated`: some sum and difference of cells changes with fewer than `minUnits` persons and with nobody else, so it is
 * a statement about them alone, however large each cell is.
 */
export async function leaksOf(
  world: OpenWorld,
  sql: string,
  people: readonly Person[],
  minUnits: number,
): Promise<Leak[]> {
  const whole = await world.ask(sql);
  if (whole.kind !== 'answer') return [];
  const without: Seen[] = [];
  for (const person of people) {
    await world.without(person.rows);
    without.push(await world.ask(sql));
  }
  await world.reset();
  return compare(whole, without, people, minUnits);
}

/**
 * `flipped`: whether somebody without whom the answer has another shape may be one of those whom a combination speaks of. In
 * large tables that is so: cells that differ by a few more than `minUnits` people are told apart only most of the time, so
 * those who make the difference are often enough those without whom a cell is withheld.
 */
export function compare(
  whole: Seen,
  without: readonly Seen[],
  people: readonly Person[],
  minUnits: number,
  flipped: 'nobody' | 'perhaps among them' = 'nobody',
): Leak[] {
  const shape = shapeOf(whole);
  const flips = people.filter((_, i) => shapeOf(without[i] ?? whole) !== shape);
  const leaks: Leak[] = [];
  if (flips.length > 0 && flips.length < people.length) {
    const [first] = flips;
    const other = without[people.findIndex((one) => one === first)];
    leaks.push({
      kind: 'flip',
      about: flips.map(({ key }) => key),
      how: `${shape} against ${other === undefined ? '' : shapeOf(other)}`,
    });
  }
  const steady = people.flatMap((person, i) => (flips.includes(person) ? [] : [{ person, seen: without[i] ?? whole }]));
  const cells = numbers(whole);
  const changes = cells.map((value, c) => steady.map(({ seen }) => value - (numbers(seen)[c] ?? 0)));
  const distinct = dedupe(changes);
  for (const { coefficients, vector } of combinations(distinct)) {
    const size = Math.max(...vector.map(Math.abs), 0);
    const touched = vector.flatMap((one, i) =>
      Math.abs(one) > 1e-9 * Math.max(1, size) + 1e-7 ? [steady[i]?.person.key ?? ''] : [],
    );
    const most = touched.length + (flipped === 'nobody' ? 0 : flips.length);
    if (touched.length > 0 && most < minUnits) {
      leaks.push({ kind: 'isolated', about: touched, how: coefficients.join(' ') });
      break;
    }
  }
  return leaks;
}

function shapeOf(seen: Seen): string {
  if (seen.kind === 'denied') return `denied ${seen.code}`;
  if (seen.kind === 'failed') return 'failed';
  return JSON.stringify([seen.names, seen.types, seen.rows.map((row) => row.map(shapeOfCell)), seen.withheld]);
}

function shapeOfCell(cell: Cell): string {
  return cell === null ? 'NULL' : typeof cell === 'string' || typeof cell === 'boolean' ? `=${String(cell)}` : '#';
}

function numbers(seen: Seen): number[] {
  if (seen.kind !== 'answer') return [];
  return seen.rows.flatMap((row) =>
    row.flatMap((cell) => (typeof cell === 'number' || typeof cell === 'bigint' ? [Number(cell)] : [])),
  );
}

function dedupe(vectors: readonly (readonly number[])[]): (readonly number[])[] {
  const found = new Map(
    vectors.filter((one) => one.some((value) => value !== 0)).map((one) => [JSON.stringify(one), one]),
  );
  return [...found.values()];
}

/** Sums and differences of cells: all of them for few cells, else each cell against pairs and against all others. */
function* combinations(
  vectors: readonly (readonly number[])[],
): Iterable<{ coefficients: number[]; vector: number[] }> {
  const width = vectors[0]?.length ?? 0;
  const of = (coefficients: number[]): { coefficients: number[]; vector: number[] } => ({
    coefficients,
    vector: Array.from({ length: width }, (_, i) =>
      coefficients.reduce((sum, c, v) => sum + c * (vectors[v]?.[i] ?? 0), 0),
    ),
  });
  const n = vectors.length;
  if (n <= 7) {
    for (let code = 1; code < 3 ** n; code++)
      yield of(Array.from({ length: n }, (_, v) => (Math.floor(code / 3 ** v) % 3) - 1));
    return;
  }
  const unit = (v: number, sign = 1): number[] => Array.from({ length: n }, (_, i) => (i === v ? sign : 0));
  for (let a = 0; a < n; a++) {
    yield of(unit(a));
    yield of(Array.from({ length: n }, (_, i) => (i === a ? 1 : -1)));
    for (let b = 0; b < n; b++) if (a !== b) yield of(unit(a).map((c, i) => c + (unit(b, -1)[i] ?? 0)));
  }
}
