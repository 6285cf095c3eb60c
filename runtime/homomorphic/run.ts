import type { Backend, Ciphertext } from './backend.ts';
import { channelShapes } from './column-file.ts';
import type { ColumnBlock, ColumnHeader } from './column.ts';
import { HomomorphicFault } from './fault.ts';
import { LinearAccumulator } from './kernels/linear-accumulator.ts';
import { PairAccumulator } from './kernels/product-accumulator.ts';
import { CIPHERTEXT_BODY_OFFSET, freshShape, type CiphertextShape } from './layout.ts';
import { LogisticEvaluator } from './logistic.ts';
import { termMagnitude, type Plan, type PlanOutput } from './plan.ts';
import { PROFILES, dataPrimeCount } from './profiles.ts';
import { checkCiphertextFrame } from './validate.ts';

/** One result ciphertext: residues only, its header follows from the plan. */
export interface ResultPart {
  readonly output: number;
  readonly segment: number;
  readonly body: Uint8Array;
}

/** The shape of an output's ciphertexts. */
export function outputShape(plan: Plan, output: PlanOutput): CiphertextShape {
  const fresh = freshShape(PROFILES[output.profile], 'full');
  if (output.work === 'logistic' && plan.logistic !== null) {
    return { ...fresh, primeCount: plan.logistic.primeCount, scale: plan.logistic.scale };
  }
  return { ...fresh, polynomials: output.polynomials };
}

/**
 * Runs a plan over blocks that come one by one: block index ascending, within it the columns in the program's order.
 * Linear work and products are done by our kernels and need no backend and no key at all; logistic work needs a backend
 * with the relinearisation key. Deterministic: the same blocks give the same bytes.
 */
export class ProgramRun implements Disposable {
  readonly #plan: Plan;
  readonly #workers: readonly OutputWork[];
  readonly #shapes: readonly (readonly CiphertextShape[])[];
  readonly #parts: ResultPart[] = [];
  readonly #owned = new DisposableStack();
  #lastIndex = 0;
  #lastColumn = -1;

  constructor(plan: Plan, backend: Backend | null) {
    this.#plan = plan;
    this.#shapes = plan.inputs.map(({ header }) => channelShapes({ ...header, form: 'full' }));
    this.#workers = plan.outputs.map((output, index) => this.#workOf(output, index, backend));
  }

  /** Takes block `index` of the program's column number `column`; every channel in full form. */
  take(column: number, index: number, block: ColumnBlock): void {
    if (index < this.#lastIndex || (index === this.#lastIndex && column <= this.#lastColumn)) {
      throw new HomomorphicFault('worker-failed', 'blocks came out of order');
    }
    this.#lastIndex = index;
    this.#lastColumn = column;
    this.#shapes[column]?.forEach((shape, i) => checkCiphertextFrame(shape, block.channels[i] ?? new Uint8Array(0)));
    for (const worker of this.#workers) worker.take(column, block);
  }

  /** All result parts, outputs in the plan's order, segments ascending. */
  finish(): readonly ResultPart[] {
    for (const worker of this.#workers) worker.finish();
    return this.#parts.toSorted((a, b) => a.output - b.output || a.segment - b.segment);
  }

  [Symbol.dispose](): void {
    this.#owned.dispose();
  }

  #workOf(output: PlanOutput, index: number, backend: Backend | null): OutputWork {
    const emit = (segment: number, body: Uint8Array): void => {
      this.#parts.push({ output: index, segment, body });
    };
    if (output.work === 'linear') return this.#owned.use(new LinearWork(this.#plan, output, emit));
    if (output.work === 'product') return new ProductWork(this.#plan, output, emit);
    if (backend === null) throw new HomomorphicFault('worker-failed', 'this program needs an encryption library');
    return this.#owned.use(new LogisticWork(this.#plan, output, backend, emit));
  }
}

interface OutputWork {
  take(column: number, block: ColumnBlock): void;
  finish(): void;
}

type Emit = (segment: number, body: Uint8Array) => void;

/** Weighted sums by the kernel; a new segment starts before noise or range could overflow. */
class LinearWork implements OutputWork, Disposable {
  readonly #plan: Plan;
  readonly #output: PlanOutput;
  readonly #emit: Emit;
  readonly #accumulator: LinearAccumulator;
  #noise = 0n;
  #range = 0n;
  #segment = 0;
  #isEmpty = true;

  constructor(plan: Plan, output: PlanOutput, emit: Emit) {
    this.#plan = plan;
    this.#output = output;
    this.#emit = emit;
    const profile = PROFILES[output.profile];
    this.#accumulator = new LinearAccumulator({
      polynomials: 2,
      primes: profile.primes.slice(0, dataPrimeCount(profile)),
      degree: profile.degree,
    });
  }

  take(column: number, block: ColumnBlock): void {
    if (this.#output.group !== null && this.#output.group !== block.group) return;
    for (const term of this.#output.terms) {
      if (term.column !== column || term.weight === 0n) continue;
      const bytes = block.channels[term.channel];
      if (bytes === undefined) throw new HomomorphicFault('bad-column', 'a block misses a channel');
      const weight = term.weight < 0n ? -term.weight : term.weight;
      const range = weight * termMagnitude(this.#plan, term);
      if (this.#noise + weight > this.#output.noiseCapacity || this.#range + range > this.#output.rangeCapacity)
        this.#close();
      this.#noise += weight;
      this.#range += range;
      this.#isEmpty = false;
      const body = bytes.subarray(CIPHERTEXT_BODY_OFFSET);
      if (term.weight === 1n) this.#accumulator.add(body);
      else this.#accumulator.addWeighted(body, term.weight);
    }
  }

  finish(): void {
    if (!this.#isEmpty) this.#close();
  }

  [Symbol.dispose](): void {
    this.#accumulator[Symbol.dispose]();
  }

  #close(): void {
    this.#emit(this.#segment++, this.#accumulator.take());
    this.#noise = 0n;
    this.#range = 0n;
    this.#isEmpty = true;
  }
}

/** Sums of products of two encrypted columns, left at three polynomials: the key holder decrypts those as they are. */
class ProductWork implements OutputWork {
  readonly #output: PlanOutput;
  readonly #emit: Emit;
  readonly #accumulator: PairAccumulator;
  readonly #magnitude: bigint;
  #left: Uint8Array | null = null;
  #count = 0n;
  #segment = 0;

  constructor(plan: Plan, output: PlanOutput, emit: Emit) {
    this.#output = output;
    this.#emit = emit;
    const profile = PROFILES[output.profile];
    this.#accumulator = new PairAccumulator({
      primes: profile.primes.slice(0, dataPrimeCount(profile)),
      degree: profile.degree,
    });
    this.#magnitude = output.terms.reduce((product, term) => product * termMagnitude(plan, term), 1n);
  }

  take(column: number, block: ColumnBlock): void {
    const [left, right] = this.#output.terms;
    if (left === undefined || right === undefined) return;
    if (column === left.column) this.#left = block.channels[left.channel] ?? null;
    if (column !== right.column) return;
    const bytes = block.channels[right.channel];
    if (this.#left === null || bytes === undefined)
      throw new HomomorphicFault('bad-column', 'a block misses a channel');
    const isFull =
      this.#count + 1n > this.#output.noiseCapacity ||
      (this.#count + 1n) * this.#magnitude > this.#output.rangeCapacity;
    if (isFull) this.#close();
    this.#count += 1n;
    this.#accumulator.addProduct(this.#left.subarray(CIPHERTEXT_BODY_OFFSET), bytes.subarray(CIPHERTEXT_BODY_OFFSET));
    this.#left = null;
  }

  finish(): void {
    this.#close();
  }

  #close(): void {
    if (this.#count === 0n) return;
    this.#emit(this.#segment++, this.#accumulator.take());
    this.#count = 0n;
  }
}

/** Sums over blocks of the encrypted logistic cubic. */
class LogisticWork implements OutputWork, Disposable {
  readonly #output: PlanOutput;
  readonly #emit: Emit;
  readonly #context;
  readonly #evaluator: LogisticEvaluator;
  #columns = 0;
  #sum: Ciphertext | null = null;
  #count = 0n;
  #segment = 0;

  constructor(plan: Plan, output: PlanOutput, backend: Backend, emit: Emit) {
    if (plan.logistic === null) throw new HomomorphicFault('worker-failed', 'a logistic output without its plan');
    this.#output = output;
    this.#emit = emit;
    this.#context = backend.open(PROFILES[output.profile]);
    this.#evaluator = new LogisticEvaluator(this.#context, plan.logistic);
  }

  take(column: number, block: ColumnBlock): void {
    const term = this.#output.terms[column];
    const bytes = term === undefined ? undefined : block.channels[term.channel];
    if (bytes === undefined || column !== this.#columns) {
      throw new HomomorphicFault('bad-column', 'a block misses a column');
    }
    this.#evaluator.addColumn(column, bytes.subarray(CIPHERTEXT_BODY_OFFSET));
    if (++this.#columns < this.#output.terms.length) return;
    this.#columns = 0;
    if (this.#count + 1n > this.#output.noiseCapacity) this.#close();
    this.#count += 1n;
    const score = this.#evaluator.evaluate();
    if (this.#sum === null) {
      this.#sum = score;
      return;
    }
    using spent = score;
    this.#context.addTo(this.#sum, spent);
  }

  finish(): void {
    this.#close();
  }

  [Symbol.dispose](): void {
    this.#sum?.[Symbol.dispose]();
    this.#evaluator[Symbol.dispose]();
  }

  #close(): void {
    if (this.#sum === null) return;
    this.#emit(this.#segment++, this.#context.body(this.#sum).slice());
    this.#sum[Symbol.dispose]();
    this.#sum = null;
    this.#count = 0n;
  }
}

/** The same block with every channel expanded from its seed; blocks in full form come back as they are. */
export function expandBlock(backend: Backend, header: ColumnHeader, block: ColumnBlock): ColumnBlock {
  if (header.form === 'full') return block;
  const shapes = channelShapes(header);
  const channels = block.channels.map((bytes, i) => {
    const shape = shapes[i];
    if (shape === undefined) throw new HomomorphicFault('bad-column', 'a block has a channel too many');
    const context = backend.open(shape.profile);
    using loaded = context.load(shape, bytes);
    return context.save(loaded).slice();
  });
  return { ...block, channels };
}
