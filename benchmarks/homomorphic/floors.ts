import type { Backend, BackendContext, Ciphertext, Plaintext } from '../../runtime/homomorphic/backend.ts';
import { channelShapes } from '../../runtime/homomorphic/column-file.ts';
import type { ColumnBlock } from '../../runtime/homomorphic/column.ts';
import { freshShape } from '../../runtime/homomorphic/layout.ts';
import type { Plan, PlanOutput } from '../../runtime/homomorphic/plan.ts';
import { PROFILES, slotCount } from '../../runtime/homomorphic/profiles.ts';

/** CPU milliseconds of the same work done two ways, turn by turn, so that what slows the machine down meets both. */
export interface PairedCpu {
  readonly computeMs: readonly number[];
  readonly primitivesMs: readonly number[];
}

/** Least CPU time of one turn: the clocks of some machines go in steps of 4 ms. */
const TURN_MS = 120;

/** Measures two ways of one computation in alternating turns, each of as many rounds as its clock needs. */
export function pairedCpu(turns: number, compute: () => void, primitives: () => void): PairedCpu {
  compute();
  primitives();
  const [computeMs, primitivesMs]: [number[], number[]] = [[], []];
  for (let turn = 0; turn < turns; turn++) {
    computeMs.push(cpuOf(compute));
    primitivesMs.push(cpuOf(primitives));
  }
  return { computeMs, primitivesMs };
}

/** CPU milliseconds of one round, by repeating until enough was measured: no guess of how many that takes. */
function cpuOf(work: () => void): number {
  const before = process.cpuUsage();
  for (let rounds = 1; ; rounds++) {
    work();
    const { user, system } = process.cpuUsage(before);
    const ms = (user + system) / 1000;
    if (ms >= TURN_MS) return ms / rounds;
  }
}

/**
 * The program of a plan done with the library's operations one by one, from the same wire bytes: load (which validates),
 * multiply by a constant, add, multiply, relinearise, rescale, and save. This is the floor that our compute stage is held
 * to; it says nothing about the answer, which the benchmark checks on our side.
 */
export function primitivesOf(
  plan: Plan,
  backend: Backend,
  columns: readonly (readonly ColumnBlock[])[],
): Disposable & { readonly run: () => void } {
  const owned = new DisposableStack();
  const steps = plan.outputs.map((output) => {
    const he = backend.open(PROFILES[output.profile]);
    if (output.work === 'product') return () => products(he, plan, output, columns);
    if (output.work === 'logistic') return logistic(he, plan, output, columns, owned);
    return linear(he, plan, output, columns, owned);
  });
  return { run: () => steps.forEach((step) => step()), [Symbol.dispose]: () => owned.dispose() };
}

function load(he: BackendContext, plan: Plan, column: number, channel: number, block: ColumnBlock): Ciphertext {
  const { header } = plan.inputs[column] ?? { header: null };
  const shape = header === null ? undefined : channelShapes({ ...header, form: 'full' })[channel];
  return he.load(shape ?? freshShape(he.profile, 'full'), block.channels[channel] ?? new Uint8Array(0));
}

const longestOf = (columns: readonly (readonly ColumnBlock[])[]): number =>
  Math.max(...columns.map((blocks) => blocks.length));

function linear(
  he: BackendContext,
  plan: Plan,
  output: PlanOutput,
  columns: readonly (readonly ColumnBlock[])[],
  owned: DisposableStack,
): () => void {
  const weights = output.terms.map(({ weight }): Plaintext | null =>
    weight === 1n ? null : owned.use(he.encodeIntegers(new BigInt64Array(slotCount(he.profile)).fill(weight))),
  );
  return () => {
    using stack = new DisposableStack();
    let sum: Ciphertext | null = null;
    for (let index = 0; index < longestOf(columns); index++) {
      for (const [i, term] of output.terms.entries()) {
        const block = columns[term.column]?.[index];
        if (block === undefined || (output.group !== null && block.group !== output.group)) continue;
        const loaded = load(he, plan, term.column, term.channel, block);
        const plain = weights[i] ?? null;
        using one = plain === null ? null : loaded;
        const summand = plain === null || one === null ? loaded : he.multiplyPlain(one, plain);
        sum = added(he, stack, sum, summand);
      }
    }
    if (sum !== null) he.body(sum);
  };
}

/** The sum with one more summand, which is spent; the first one becomes the sum, and `stack` its owner. */
function added(he: BackendContext, stack: DisposableStack, sum: Ciphertext | null, summand: Ciphertext): Ciphertext {
  if (sum === null) return stack.use(summand);
  using spent = summand;
  he.addTo(sum, spent);
  return sum;
}

function products(
  he: BackendContext,
  plan: Plan,
  output: PlanOutput,
  columns: readonly (readonly ColumnBlock[])[],
): void {
  const [a, b] = output.terms;
  if (a === undefined || b === undefined) return;
  using stack = new DisposableStack();
  let sum: Ciphertext | null = null;
  for (let index = 0; index < longestOf(columns); index++) {
    const [x, y] = [columns[a.column]?.[index], columns[b.column]?.[index]];
    if (x === undefined || y === undefined) continue;
    using left = load(he, plan, a.column, a.channel, x);
    using right = load(he, plan, b.column, b.channel, y);
    const product = he.multiply(left, right);
    sum = added(he, stack, sum, product);
  }
  if (sum !== null) he.body(sum);
}

/** Operation for operation what the cubic takes: see `LogisticEvaluator`. */
function logistic(
  he: BackendContext,
  plan: Plan,
  output: PlanOutput,
  columns: readonly (readonly ColumnBlock[])[],
  owned: DisposableStack,
): () => void {
  const [, q1 = 1, q2 = 1, q3 = 1] = he.profile.primes.map(Number);
  const s = he.profile.scale;
  const constant = (value: number, scale: number, like?: Ciphertext): Plaintext =>
    owned.use(
      he.encodeReals(new Float64Array(slotCount(he.profile)).fill(value), {
        scale,
        ...(like === undefined ? {} : { like }),
      }),
    );
  const weights = (plan.logistic?.weights ?? []).map((weight) => constant(weight, q3));
  const [, c1 = 0, c2 = 0, c3 = 0] = plan.logistic?.cubic ?? [];
  let known: { readonly c1: Plaintext; readonly c2: Plaintext; readonly c3: Plaintext } | null = null;
  return () => {
    using stack = new DisposableStack();
    let sum: Ciphertext | null = null;
    for (let index = 0; index < longestOf(columns); index++) {
      using turn = new DisposableStack();
      let linearSum: Ciphertext | null = null;
      for (const [i, term] of output.terms.entries()) {
        const block = columns[term.column]?.[index];
        const plain = weights[i];
        if (block === undefined || plain === undefined) continue;
        using loaded = load(he, plan, term.column, term.channel, block);
        const weighted = turn.use(he.multiplyPlain(loaded, plain));
        if (linearSum === null) linearSum = weighted;
        else he.addTo(linearSum, weighted);
      }
      if (linearSum === null) continue;
      he.rescale(linearSum);
      he.setScale(linearSum, s);
      using square = he.multiply(linearSum, linearSum);
      he.relinearise(square);
      he.rescale(square);
      he.setScale(square, (s * s) / q2);
      const third = known?.c3 ?? constant(c3, q2, linearSum);
      using inner = he.multiplyPlain(linearSum, third);
      he.rescale(inner);
      he.setScale(inner, s);
      const second = known?.c2 ?? constant(c2, s, inner);
      he.addPlainTo(inner, second);
      const score = he.multiply(square, inner);
      he.relinearise(score);
      he.rescale(score);
      he.setScale(score, s);
      const first = known?.c1 ?? constant(c1, (s * s) / q1, linearSum);
      using slope = he.multiplyPlain(linearSum, first);
      he.rescale(slope);
      he.dropToLevelOf(slope, score);
      he.setScale(slope, s);
      he.addTo(score, slope);
      known ??= { c1: first, c2: second, c3: third };
      sum = added(he, stack, sum, score);
    }
    if (sum !== null) he.body(sum);
  };
}
