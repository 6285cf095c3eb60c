import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import initialize, { type MainModule } from 'node-seal';
import { HomomorphicFault } from './fault.ts';

/** Raw WebAssembly exports of node-seal 7.0.0 that read and restore its stack pointer. */
interface StackExports {
  readonly getStack: () => number;
  readonly setStack: (pointer: number) => void;
  readonly memory: WebAssembly.Memory;
}

/** An instance whose linear memory outgrew this is thrown away: SEAL's memory never shrinks. */
export const INSTANCE_MEMORY_LIMIT_BYTES = 1024 * 1024 * 1024;

let compiled: Promise<WebAssembly.Module> | undefined;

/**
 * One WebAssembly instance of node-seal: one per trust domain, never shared between a secret key and foreign bytes.
 *
 * Every C++ exception in node-seal 7 leaks part of its 64 KiB stack, and after some hundred exceptions the stack grows
 * silently into static data. `call` restores the stack pointer, as Emscripten demands of whoever catches; any other
 * failure poisons the instance, and its owner must throw it and its process away.
 */
export class SealInstance {
  readonly seal: MainModule;
  readonly #stack: StackExports;
  #isPoisoned = false;

  private constructor(seal: MainModule, stack: StackExports) {
    this.seal = seal;
    this.#stack = stack;
  }

  /** Loads a fresh instance and proves on it that the guard works; the compiled code is shared, the memory is not. */
  static async load(): Promise<SealInstance> {
    compiled ??= compileSeal();
    const module = await compiled;
    let exports: WebAssembly.Exports | undefined;
    const seal = await initialize({
      instantiateWasm(
        imports: WebAssembly.Imports,
        receive: (instance: WebAssembly.Instance, of: WebAssembly.Module) => void,
      ) {
        const instance = new WebAssembly.Instance(module, imports);
        exports = instance.exports;
        receive(instance, module);
        return exports;
      },
    });
    const instance = new SealInstance(seal, stackExports(exports));
    instance.#selfTest();
    return instance;
  }

  /** False once anything happened that may have damaged the instance. */
  get isUsable(): boolean {
    return !this.#isPoisoned && this.memoryBytes <= INSTANCE_MEMORY_LIMIT_BYTES;
  }

  /** Linear memory in bytes; it only ever grows. */
  get memoryBytes(): number {
    return this.#stack.memory.buffer.byteLength;
  }

  /** Where the stack pointer is now; for tests. */
  get stackPointer(): number {
    return this.#stack.getStack();
  }

  /** Runs one synchronous step inside the instance; throws `library-failed` with SEAL's message as cause, never raw. */
  call<T>(step: () => T): T {
    if (this.#isPoisoned) throw new HomomorphicFault('library-failed', 'this instance is no longer usable');
    const pointer = this.#stack.getStack();
    try {
      return step();
    } catch (error) {
      if (error instanceof HomomorphicFault) throw error;
      if (error instanceof WebAssembly.Exception) {
        this.#stack.setStack(pointer);
        const message = String(error.message);
        (this.seal as unknown as { decrementExceptionRefcount(e: unknown): void }).decrementExceptionRefcount(error);
        throw new HomomorphicFault('library-failed', 'the encryption library refused this step', {
          cause: new Error(message),
        });
      }
      this.#isPoisoned = true;
      throw new HomomorphicFault('library-failed', 'the encryption library failed', { cause: error });
    }
  }

  /** A C++ exception must leak without the guard (or the export names moved) and must not leak with it. */
  #selfTest(): void {
    const before = this.#stack.getStack();
    for (let round = 0; round < 2; round++) {
      let refused = false;
      try {
        // a modulus of one is invalid in every release of SEAL
        this.call(() => new this.seal.Modulus(1n).delete());
      } catch (error) {
        refused = error instanceof HomomorphicFault && error.cause instanceof Error;
      }
      if (!refused || this.#isPoisoned || this.#stack.getStack() !== before) {
        throw new HomomorphicFault(
          'library-failed',
          'node-seal does not restore its stack as expected: check the pinned version',
        );
      }
    }
  }
}

async function compileSeal(): Promise<WebAssembly.Module> {
  const file = new URL('./seal_throws.wasm', import.meta.resolve('node-seal'));
  return new WebAssembly.Module(await readFile(fileURLToPath(file)));
}

/** The names are those of the pinned node-seal 7.0.0; behaviour is checked so that another build is refused, not trusted. */
function stackExports(exports: WebAssembly.Exports | undefined): StackExports {
  const getStack = exports?.['$'];
  const setStack = exports?.['Z'];
  const memory = Object.values(exports ?? {}).find((value) => value instanceof WebAssembly.Memory);
  if (typeof getStack !== 'function' || typeof setStack !== 'function' || memory === undefined) {
    throw new HomomorphicFault('library-failed', 'node-seal does not export what version 7.0.0 exports');
  }
  const read = getStack as () => number;
  const write = setStack as (pointer: number) => void;
  const pointer = read();
  write(pointer - 64);
  const moved = read();
  write(pointer);
  if (moved !== pointer - 64 || read() !== pointer) {
    throw new HomomorphicFault(
      'library-failed',
      'node-seal keeps its stack pointer elsewhere: check the pinned version',
    );
  }
  return { getStack: read, setStack: write, memory };
}
