/**
 * Sums and differences of sets of rows (or values) that are looked at: of up to five sets all with coefficients -1, 0, 1;
 * of up to ten all of four terms; of more all of three. The whole group is a term too. Besides, each set against all others,
 * and the group without all that are shown.
 *
 * Sums alone are left out: each of their sets rests on enough units.
 */
interface Combination {
  readonly plus: bigint;
  /** null: all that are shown. */
  readonly minus: bigint | null;
  readonly whole: 0 | 1;
}

/** Each set is one bit of an UBIGINT. */
export const MAX_SIBLINGS = 60;
/** Most sets for which every combination is tried: 3^5 of them, each with and without the whole group. */
const MAX_EXHAUSTIVE = 5;
/** Most sets of which four terms are combined. */
const MAX_QUADRUPLES = 10;
/** Most sets whose combinations are written out; of more the engine makes the triples itself. */
const MAX_LISTED = 16;

export const bit = (index: number): bigint => 1n << BigInt(index);
export const big = (value: bigint | number): string => `CAST('${value}' AS UBIGINT)`;

/**
 * The combinations of `count` sets as a table `p(plus, minus, whole, last)`. `minus` NULL: all that are shown. `last`: the
 * last set in it; for NULL the last of all.
 */
export function combinationsTable(count: number): string {
  const every = bit(count) - 1n;
  const rows = combinationsOf(count).map(({ plus, minus, whole }) => {
    const last = bit((plus | (minus ?? every)).toString(2).length - 1);
    return `(${plus}, ${minus ?? 'NULL'}, ${whole}, ${last})`;
  });
  const wide = (name: string): string => `CAST(${name} AS UBIGINT) AS ${name}`;
  const listed = `SELECT ${wide('plus')}, ${wide('minus')}, whole, ${wide('last')} FROM (VALUES ${rows.join(', ')}) AS c(plus, minus, whole, last)`;
  return `(${count <= MAX_LISTED ? listed : `${listed} UNION ALL ${triples(count)}`}) AS p`;
}

/** One set less two others, for so many sets that a list would be longer than the query may be. */
function triples(count: number): string {
  const bits = `(VALUES ${Array.from({ length: count }, (_, i) => `(${big(bit(i))})`).join(', ')})`;
  return `SELECT a.one AS plus, b.one + c.one AS minus, 0 AS whole, greatest(a.one, c.one) AS last FROM ${bits} AS a(one) CROSS JOIN ${bits} AS b(one) CROSS JOIN ${bits} AS c(one) WHERE b.one < c.one AND a.one <> b.one AND a.one <> c.one`;
}

function combinationsOf(count: number): Combination[] {
  if (count <= MAX_EXHAUSTIVE) {
    return Array.from({ length: 3 ** count }, (_, code) => code).flatMap((code) => {
      let [plus, minus] = [0n, 0n];
      for (let i = 0; i < count; i++) {
        const coefficient = Math.floor(code / 3 ** i) % 3;
        if (coefficient === 1) plus |= bit(i);
        if (coefficient === 2) minus |= bit(i);
      }
      return [
        // The mirror image of a combination without the whole group says the same.
        ...(plus > minus ? [{ plus, minus, whole: 0 as const }] : []),
        ...(plus + minus > 0n ? [{ plus, minus, whole: 1 as const }] : []),
      ];
    });
  }
  const every = bit(count) - 1n;
  const terms = count <= MAX_QUADRUPLES ? 4 : 3;
  const ofSets = count <= MAX_LISTED ? terms : 2;
  return [
    { plus: 0n, minus: null, whole: 1 },
    ...Array.from({ length: count }, (_, i): Combination => ({ plus: bit(i), minus: every - bit(i), whole: 0 })),
    ...subsets(count, 2, ofSets).flatMap((sets) => signed(sets, 0)),
    ...subsets(count, 1, terms - 1).flatMap((sets) => signed(sets, 1)),
  ];
}

/** All choices of `least` to `most` of `count` sets. */
function subsets(count: number, least: number, most: number): number[][] {
  let found: number[][] = [[]];
  const all: number[][] = [];
  for (let size = 1; size <= most; size++) {
    found = found.flatMap((sets) =>
      Array.from({ length: count - 1 - (sets.at(-1) ?? -1) }, (_, i) => [...sets, (sets.at(-1) ?? -1) + 1 + i]),
    );
    if (size >= least) all.push(...found);
  }
  return all;
}

/** These sets with every sign, if at least one is taken away; mirror images once. */
function signed(sets: readonly number[], whole: 0 | 1): Combination[] {
  return Array.from({ length: 2 ** sets.length }, (_, signs) => signs).flatMap((signs) => {
    const [plus, minus] = [0, 1].map((sign) =>
      sets.reduce((sum, set, i) => (((signs >> i) & 1) === sign ? sum | bit(set) : sum), 0n),
    );
    if (plus === undefined || minus === undefined || minus === 0n) return [];
    return whole === 1 || plus > minus ? [{ plus, minus, whole }] : [];
  });
}
