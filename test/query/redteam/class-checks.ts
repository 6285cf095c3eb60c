import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isolatedIn, shown, type Shown, withoutEach } from './leave-one-out.ts';
import { MIN_UNITS, PRACTICE } from './classes-world.ts';
import { type Person } from './oracle.ts';
import { OpenWorld, type Seen } from './world.ts';

/** Attacks of one class by what has to become of them. Group keys are called k0, k1 …, numbers a0, a1 …. */
export interface Attacks {
  /** Refused before anything is read. */
  readonly denied?: readonly string[];
  /** Answered without a row, or with NULL in every cell that is not a key. */
  readonly nothing?: readonly string[];
  /** Answered, but nothing of it, nor a sum or difference of it, speaks of few. */
  readonly harmless?: readonly string[];
  /** The same without person 7, but for the numbers. */
  readonly alike?: readonly string[];
}

/** What stands in the rows of person 7, of the annex, and of the one odd moment. */
const OWN = /rare|Ulm|gold|not a number|1899|1000000|1999999|12345|03:25:45|032545|^100000{2,}|'annex'|9{20}/;

export const EVERYBODY: readonly Person[] = Array.from({ length: 40 }, (_, i) => ({
  key: `p${i}`,
  rows: { people: `person = ${i}`, visits: `person = ${i}` },
}));

/** What is wrong with the answers to these attacks, in words, by class. One world for all: laying rows out is what costs. */
export async function problemsOf(
  classes: Readonly<Record<string, Attacks>>,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const world = await OpenWorld.open(PRACTICE);
  try {
    const problems = new Map<string, string[]>();
    const released: { readonly sql: string; readonly answer: Shown; readonly own: string[] }[] = [];
    for (const [name, attacks] of Object.entries(classes)) {
      const own: string[] = [];
      problems.set(name, own);
      for (const sql of attacks.denied ?? []) {
        const seen = await ask(world, sql);
        if (seen.kind !== 'denied') own.push(`not denied: ${sql}: ${told(seen)}`);
      }
      for (const sql of attacks.nothing ?? []) {
        const seen = await ask(world, sql);
        if (seen.kind !== 'answer' || valuesOf(seen).some((value) => value !== null))
          own.push(`not silent: ${sql}: ${told(seen)}`);
      }
      for (const sql of attacks.harmless ?? []) {
        const seen = await ask(world, sql);
        const answer = shown(seen);
        if (answer === null) own.push(`not answered: ${sql}: ${told(seen)}`);
        else released.push({ sql, answer, own });
        if (answer?.rows.some((row) => row.some((cell) => cell !== null && OWN.test(cell))) === true)
          own.push(`tells a person's own: ${sql}: ${told(seen)}`);
      }
    }
    const without = await withoutEach(
      world,
      released.map(({ sql }) => sql),
      EVERYBODY,
    );
    for (const { own, ...one } of released) {
      const leak = isolatedIn([one], without, EVERYBODY, MIN_UNITS);
      if (leak !== null)
        own.push(
          `speaks of ${leak.about.join()}: ${leak.cells.join(' ')}: ${one.sql}: ${JSON.stringify(one.answer.rows)}`,
        );
    }
    const alike = Object.entries(classes).flatMap(([name, attacks]) =>
      (attacks.alike ?? []).map((sql) => ({ sql, own: problems.get(name) ?? [] })),
    );
    const before: string[] = [];
    for (const { sql } of alike) before.push(outline(await ask(world, sql)));
    if (alike.length > 0) await world.without(EVERYBODY[7]?.rows ?? {});
    for (const [i, { sql, own }] of alike.entries()) {
      const now = outline(await ask(world, sql));
      if (now !== before[i] || now.includes('failed')) own.push(`not alike: ${sql}: ${before[i]} and ${now}`);
    }
    return problems;
  } finally {
    await world.close();
  }
}

/** Tests that promise it, class by class. */
export function promiseHarmless(classes: Readonly<Record<string, Attacks>>): void {
  const judged = problemsOf(classes);
  for (const name of Object.keys(classes))
    it(`nothing is told of few people by ${name}`, async () => {
      assert.deepEqual((await judged).get(name), []);
    });
}

/** What of an answer must not hang on one person: all but numbers. */
function outline(seen: Seen): string {
  if (seen.kind !== 'answer') return JSON.stringify(seen);
  const rows = seen.rows.map((row) => row.map((cell) => (cell === null || typeof cell === 'string' ? cell : '#')));
  return JSON.stringify([seen.names, seen.types, rows, seen.withheld]);
}

async function ask(world: OpenWorld, sql: string): Promise<Seen> {
  try {
    return await world.ask(sql);
  } catch (error) {
    // Text that the parser refuses, or several statements: the gateway answers the same.
    return { kind: 'denied', code: 'sql-syntax', message: String(error) };
  }
}

/** Cells that are not keys; a row without any counts as one that tells something. */
function valuesOf(seen: Seen & { readonly kind: 'answer' }): unknown[] {
  const cells = seen.names.flatMap((name, i) => (/^k\d+$/.test(name) ? [] : [i]));
  return seen.rows.flatMap((row) => (cells.length === 0 ? ['row'] : cells.map((i) => row[i] ?? null)));
}

const told = (seen: Seen): string =>
  JSON.stringify(seen, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)).slice(0, 300);
