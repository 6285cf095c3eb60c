import type { Cell } from '../../../runtime/release/column-values.ts';
import type { Person } from './oracle.ts';
import type { OpenWorld, Seen } from './world.ts';

/** Rows as text, so that what was released and what the engine says of the plain tables can be laid side by side. */
export interface Shown {
  readonly names: readonly string[];
  readonly rows: readonly (readonly (string | null)[])[];
}

export interface Isolated {
  /** Whom the sum or difference of cells speaks of. */
  readonly about: readonly string[];
  readonly cells: readonly string[];
}

/** null: no answer. */
export function shown(seen: Seen): Shown | null {
  if (seen.kind !== 'answer') return null;
  return {
    names: seen.names,
    rows: seen.rows.map((row) => row.map((cell, c) => textOf(cell, seen.types[c] ?? '{}'))),
  };
}

export async function plainly(world: OpenWorld, sql: string): Promise<Shown> {
  const { names, rows } = await world.plain(sql);
  const text = (value: unknown): string | null =>
    value === null || value === undefined ? null : (value as { toString(): string }).toString();
  return { names, rows: rows.map((row) => row.map(text)) };
}

function textOf(cell: Cell, type: string): string | null {
  if (cell === null) return null;
  const { kind, scale } = JSON.parse(type) as { kind: string; scale?: number };
  if (kind === 'date32') return new Date(Number(cell) * 86_400_000).toISOString().slice(0, 10);
  if (kind === 'timestampMicros') return new Date(Number(cell) / 1000).toISOString().replace('T', ' ').slice(0, 19);
  return kind === 'decimal128' ? String(Number(cell) / 10 ** (scale ?? 0)) : String(cell);
}

/** What the engine says to every question without each person: no terms, no guard, only what cells would be. */
export async function withoutEach(
  world: OpenWorld,
  questions: readonly string[],
  people: readonly Person[],
): Promise<readonly ReadonlyMap<string, Shown>[]> {
  const found: Map<string, Shown>[] = [];
  for (const person of people) {
    await world.without(person.rows);
    const answers = new Map<string, Shown>();
    for (const sql of questions) answers.set(sql, await plainly(world, sql));
    found.push(answers);
  }
  await world.reset();
  return found;
}

/**
 * A sum or difference of released numbers that changes with fewer than `minUnits` people and with nobody else: a
 * statement about them alone, however large each number is. Rows are matched by the columns named `k…`; a row that is
 * gone without somebody counts as changed with them.
 */
export function isolatedIn(
  released: readonly { readonly sql: string; readonly answer: Shown }[],
  without: readonly ReadonlyMap<string, Shown>[],
  people: readonly Person[],
  minUnits: number,
): Isolated | null {
  const found = new Map<string, { readonly name: string; readonly vector: readonly number[] }>();
  for (const [a, { sql, answer }] of released.entries()) {
    const others = without.map((answers) => numbersOf(answers.get(sql) ?? { names: [], rows: [] }));
    for (const [name, value] of numbersOf(answer)) {
      const vector = others.map((one) => value - (one.get(name) ?? Number.NaN));
      const key = JSON.stringify(vector);
      if (vector.some((one) => one !== 0) && !found.has(key)) found.set(key, { name: `${a}: ${name}`, vector });
    }
  }
  const vectors = [...found.values()];
  for (const signs of combinations(vectors.length)) {
    const touched: string[] = [];
    let gone = 0;
    for (const [p, person] of people.entries()) {
      let sum = 0;
      let size = 0;
      for (const [v, sign] of signs) {
        const change = vectors[v]?.vector[p] ?? 0;
        sum += sign * change;
        size = Math.max(size, Math.abs(change));
      }
      if (Number.isNaN(sum)) gone++;
      else if (Math.abs(sum) > 1e-7 + 1e-9 * size) touched.push(person.key);
      if (touched.length + gone >= minUnits) break;
    }
    const isAlone = signs.length === 1 && gone > 0;
    if ((touched.length > 0 || isAlone) && touched.length + gone < minUnits)
      return { about: touched, cells: signs.map(([v, sign]) => `${sign < 0 ? '-' : '+'} ${vectors[v]?.name}`) };
  }
  return null;
}

/** Numbers in columns named `a…` by the row and column that they stand in. */
function numbersOf({ names, rows }: Shown): Map<string, number> {
  const numbers = new Map<string, number>();
  const times = new Map<string, number>();
  for (const row of rows) {
    const key = keyOf(names, row);
    const time = times.get(key) ?? 0;
    times.set(key, time + 1);
    for (const [c, cell] of row.entries()) {
      const name = names[c] ?? '';
      if (/^a\d+$/.test(name) && cell !== null && cell !== '' && Number.isFinite(Number(cell)))
        numbers.set(`${key} ${time} ${name}`, Number(cell));
    }
  }
  return numbers;
}

export function keyOf(names: readonly string[], row: readonly (string | null)[]): string {
  return row.flatMap((cell, c) => (/^k\d+$/.test(names[c] ?? '') ? [String(cell)] : [])).join(' | ');
}

/** Every sum and difference for few numbers; else of one, two and three, and of one against all others. */
function* combinations(count: number): Iterable<readonly (readonly [number, number])[]> {
  if (count <= 6) {
    for (let code = 1; code < 3 ** count; code++) {
      const signs = Array.from({ length: count }, (_, v) => [v, (Math.floor(code / 3 ** v) % 3) - 1] as const);
      yield signs.filter(([, sign]) => sign !== 0);
    }
    return;
  }
  for (let a = 0; a < count; a++) {
    yield [[a, 1]];
    yield Array.from({ length: count }, (_, v) => [v, v === a ? 1 : -1] as const);
    for (let b = 0; b < a; b++) {
      yield [
        [a, 1],
        [b, -1],
      ];
      if (count > 24) continue;
      for (let c = 0; c < count; c++)
        if (c !== a && c !== b)
          yield [
            [c, 1],
            [a, -1],
            [b, -1],
          ];
    }
  }
}

/** Released numbers that are not what the engine says of the same row; rows without a partner are told too. */
export function wrongIn(answer: Shown, plain: Shown): readonly string[] {
  const rows = Map.groupBy(plain.rows, (row) => keyOf(plain.names, row));
  const wrong: string[] = [];
  if (JSON.stringify(answer.names) !== JSON.stringify(plain.names))
    wrong.push(`names ${JSON.stringify(answer.names)}, not ${JSON.stringify(plain.names)}`);
  for (const row of answer.rows) {
    const key = keyOf(answer.names, row);
    const same = (other: readonly (string | null)[]): boolean =>
      row.every((cell, c) => cell === null || isSame(cell, other[c] ?? 'NULL'));
    const others = rows.get(key) ?? [];
    if (!others.some(same)) wrong.push(`${row.join(' | ')}, not ${others.map((one) => one.join(' | ')).join(' or ')}`);
  }
  return wrong;
}

function isSame(ours: string, theirs: string): boolean {
  if (ours === theirs) return true;
  const [a, b] = [Number(ours), Number(theirs)];
  return Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b));
}
