import { setFlagsFromString } from 'node:v8';

/** What a kernel's module exports (javascript/row-function/vector/module.ts makes it). */
interface KernelExports {
  readonly memory: WebAssembly.Memory;
  readonly run: (rows: number, ...addresses: readonly number[]) => void;
}

const PAGE = 65_536;
/** Room that is made beforehand: what most batches take. */
const FIRST_ROOM = 2 ** 20;

/**
 * A row function with its sums as WebAssembly, in the process that has its rows: their bytes are read into its memory, and nothing
 * but the sums comes out. The module imports nothing and was made by the gateway out of a checked program, like a statement;
 * the engine validates it, and it can touch no memory but its own.
 */
export class VectorKernel {
  readonly #exports: KernelExports;
  readonly #cells: number;
  readonly #roomAt: number;

  private constructor(module: WebAssembly.Module, cells: number) {
    // The compiler cannot know what a WebAssembly module exports; the names are those of module.ts.
    this.#exports = new WebAssembly.Instance(module).exports as unknown as KernelExports;
    this.#cells = cells;
    this.#roomAt = Math.ceil((cells * 16) / PAGE) * PAGE;
    this.roomFor(FIRST_ROOM);
  }

  /** Compiles a module of so many cells (base64); undefined where this process or its processor cannot. */
  static from(module: string | undefined, cells: number): VectorKernel | undefined {
    if (module === undefined || typeof WebAssembly === 'undefined') return undefined;
    // One compiler instead of two: the optimising one takes half a millisecond for such a module, and nothing else is compiled here.
    setFlagsFromString('--no-liftoff');
    try {
      return new VectorKernel(new WebAssembly.Module(Buffer.from(module, 'base64')), cells);
    } catch {
      return undefined; // no vector unit: the printed kernel gives the same sums
    }
  }

  /** Returns where the next batch of that many bytes is to be put; views of an earlier, smaller room are void. */
  roomFor(bytes: number): Uint8Array<ArrayBuffer> {
    const { memory } = this.#exports;
    // A page more: the last two values are read as sixteen bytes wherever they end.
    const missing = Math.ceil((this.#roomAt + bytes) / PAGE) + 1 - memory.buffer.byteLength / PAGE;
    if (missing > 0) memory.grow(missing);
    return new Uint8Array(memory.buffer, this.#roomAt, bytes);
  }

  /** Adds the batch that was put into the room, its columns at those offsets. */
  add(rows: number, offsets: readonly number[]): void {
    this.#exports.run(rows, ...offsets.map((offset) => this.#roomAt + offset));
  }

  /** Returns the cells summed since the last take, and starts from zero. */
  takeCells(): Float64Array {
    const halves = new Float64Array(this.#exports.memory.buffer, 0, 2 * this.#cells);
    const cells = Float64Array.from({ length: this.#cells }, (_, i) => (halves[2 * i] ?? 0) + (halves[2 * i + 1] ?? 0));
    halves.fill(0);
    return cells;
  }
}
