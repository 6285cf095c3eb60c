import ivm from 'isolated-vm';
import type { ColumnPlace } from './columns.ts';
import {
  collectDebugText,
  collectJsonText,
  collectNumbersText,
  collectTableText,
  columnViewsText,
} from './guest/collectors.ts';
import { preludeText } from './guest/prelude.ts';
import { statusByte } from './status.ts';
import type { BlockStatus } from './status.ts';
import type { GuestTerms, TableColumn } from './worker-job.ts';

/** Library sources of the image by name, compiled in the hardened realm before consumer code. */
export type LibrarySources = Pick<ReadonlyMap<string, string>, 'get'>;

/** A buffer of columns to move into an isolate: it is gone from the caller afterwards. */
export interface GuestInput {
  readonly buffer: ArrayBuffer;
  readonly rows: number;
  readonly places: readonly ColumnPlace[];
}

export type Collector =
  | { readonly kind: 'numbers'; readonly outputs: readonly string[] }
  | {
      readonly kind: 'table';
      readonly table: readonly TableColumn[];
      readonly maxRows: number;
      readonly maxBytes: number;
    }
  | { readonly kind: 'debug'; readonly maxCharacters: number };

const collectorTexts = { numbers: collectNumbersText, table: collectTableText, debug: collectDebugText };

/**
 * The trusted first script of a realm: harden, then make the collector and the maker of inputs while every builtin is still
 * the engine's. It answers `bind(factory, buffer, rows, offsets)`, the only way to run consumer code.
 */
function harnessText(kind: Collector['kind']): string {
  return `(function(now,seed,columns,terms){'use strict';(${preludeText})(now,seed);
const collect=(${collectorTexts[kind]})(...terms),makeInput=(${columnViewsText})(columns);
return function(factory,buffer,rows,offsets){return collect(factory,()=>makeInput(buffer,rows,offsets))}})`;
}

const jsonHarness = `(function(now,seed,terms){'use strict';(${preludeText})(now,seed);return (${collectJsonText})(...terms)})`;

const rowHarness = `(function(){'use strict';(${preludeText})(0,1)})`;

function termsOf(collector: Collector): readonly unknown[] {
  switch (collector.kind) {
    case 'numbers':
      return [collector.outputs];
    case 'table':
      return [collector.table, collector.maxRows, collector.maxBytes];
    case 'debug':
      return [collector.maxCharacters];
  }
}

/** Compiled code of trusted scripts and libraries, made in this process only: from outside it would be machine code. */
const compiled = new Map<string, ivm.ExternalCopy<ArrayBuffer>>();

function compileTrusted(isolate: ivm.Isolate, code: string): ivm.Script {
  const cachedData = compiled.get(code);
  if (cachedData !== undefined) return isolate.compileScriptSync(code, { cachedData });
  // The package's types miss the property that this option adds.
  const script = isolate.compileScriptSync(code, { produceCachedData: true }) as ivm.Script & {
    readonly cachedData?: ivm.ExternalCopy<ArrayBuffer>;
  };
  if (script.cachedData !== undefined) compiled.set(code, script.cachedData);
  return script;
}

const copied = (value: unknown): ivm.Copy<unknown> => new ivm.ExternalCopy(value).copyInto({ release: true });

const moved = (buffer: ArrayBuffer): ivm.Copy<ArrayBuffer> =>
  new ivm.ExternalCopy(buffer, { transferOut: true }).copyInto({ release: true, transferIn: true });

export type GuestResult<T> =
  | { readonly status: 'ok'; readonly value: T }
  | { readonly status: Exclude<BlockStatus, 'ok'> };

/**
 * What a run gave, and the isolate in which it ran: disposing ends that, and must come before the next run. The result holds
 * nothing of the isolate, so that nobody waits for it while a hundred megabytes are given back to the system.
 */
export interface GuestRun extends Disposable {
  readonly result: GuestResult<unknown>;
}

/**
 * Runs consumer code once, in an isolate of its own that ends with the run: nothing that one block does is there for the next.
 * Its error texts may hold consumer data, so they are used to name the status and go no further.
 */
export function runGuest(
  terms: GuestTerms,
  collector: Collector,
  input: GuestInput,
  options: { readonly seed: number; readonly libraries: LibrarySources },
): GuestRun {
  // The columns count as the isolate's memory: each block gets the same room beyond its own.
  const isolateMiB = terms.isolateMiB + Math.ceil(input.buffer.byteLength / 2 ** 20);
  return runInIsolate(isolateMiB, (isolate, context) => {
    const harness = compileTrusted(isolate, harnessText(collector.kind)).runSync(context, { reference: true });
    const bind = harness.applySync(
      undefined,
      [terms.nowMs, options.seed, copied(terms.columns), copied(termsOf(collector))],
      { result: { reference: true } },
    ) as ivm.Reference;
    loadLibraries(isolate, context, terms, options.libraries);
    const factory = compileGuest(isolate, context, terms);
    if (factory === undefined) return { status: 'notCompiled' };
    const offsets = input.places.map((place) => place.offset);
    const value: unknown = bind.applySync(
      undefined,
      [factory.derefInto(), moved(input.buffer), input.rows, copied(offsets)],
      {
        timeout: terms.timeoutMs,
        result: { copy: true },
      },
    );
    return { status: 'ok', value };
  });
}

/** Runs post-processing code over JSON text; the answer is the collector's bytes, status first. */
export function runPost(
  terms: GuestTerms,
  inputText: string,
  options: { readonly maxBytes: number; readonly libraries: LibrarySources },
): GuestRun {
  return runInIsolate(terms.isolateMiB, (isolate, context) => {
    const harness = compileTrusted(isolate, jsonHarness).runSync(context, { reference: true });
    const collect = harness.applySync(undefined, [terms.nowMs, terms.seed, copied([options.maxBytes])], {
      result: { reference: true },
    }) as ivm.Reference;
    loadLibraries(isolate, context, terms, options.libraries);
    const factory = compileGuest(isolate, context, terms);
    if (factory === undefined) return { status: 'notCompiled' };
    const value: unknown = collect.applySync(undefined, [factory.derefInto(), inputText], {
      timeout: terms.timeoutMs,
      result: { copy: true },
    });
    return { status: 'ok', value };
  });
}

/**
 * An isolate that runs one printed kernel over batches: only trusted code and a checked row function are in it. So its batches
 * lie in memory that it shares with this thread, filled again and again: a fresh buffer for each would cost more than the rows.
 */
export class KernelIsolate implements Disposable {
  readonly #isolate: ivm.Isolate;
  readonly #run: ivm.Reference;
  readonly #timeoutMs: number;
  #room: Uint8Array<SharedArrayBuffer> = new Uint8Array(new SharedArrayBuffer(0));
  #isNew = false;

  constructor(kernel: string, limits: { readonly isolateMiB: number; readonly timeoutMs: number }) {
    this.#isolate = new ivm.Isolate({ memoryLimit: limits.isolateMiB });
    const context = this.#isolate.createContextSync();
    compileTrusted(this.#isolate, rowHarness).runSync(context, { reference: true }).applySync(undefined, []);
    this.#run = this.#isolate.compileScriptSync(kernel).runSync(context, { reference: true }) as ivm.Reference;
    this.#timeoutMs = limits.timeoutMs;
  }

  /** Returns where the next batch of that many bytes is to be put. */
  roomFor(bytes: number): Uint8Array {
    if (this.#room.byteLength < bytes) {
      this.#room = new Uint8Array(new SharedArrayBuffer(bytes));
      this.#isNew = true;
    }
    return this.#room.subarray(0, bytes);
  }

  /** Adds the batch that was put into the room. */
  add(rows: number, offsets: readonly number[]): void {
    const buffer = this.#isNew ? new ivm.ExternalCopy(this.#room.buffer).copyInto({ release: true }) : null;
    this.#isNew = false;
    this.#run.applySync(undefined, [buffer, rows, ...offsets], {
      timeout: this.#timeoutMs,
    });
  }

  /** Returns the cells summed since the last take, and starts from zero. */
  takeCells(): Float64Array {
    return this.#run.applySync(undefined, [], { result: { copy: true } }) as Float64Array;
  }

  /** Returns the number of different units met per group. */
  units(): Float64Array {
    return this.#run.applySync(undefined, [undefined, 1], { result: { copy: true } }) as Float64Array;
  }

  [Symbol.dispose](): void {
    dispose(this.#isolate);
  }
}

function runInIsolate(
  memoryLimit: number,
  body: (isolate: ivm.Isolate, context: ivm.Context) => GuestResult<unknown>,
): GuestRun {
  const isolate = new ivm.Isolate({ memoryLimit });
  return { result: resultOf(isolate, body), [Symbol.dispose]: () => dispose(isolate) };
}

function resultOf(
  isolate: ivm.Isolate,
  body: (isolate: ivm.Isolate, context: ivm.Context) => GuestResult<unknown>,
): GuestResult<unknown> {
  try {
    return body(isolate, isolate.createContextSync());
  } catch (error) {
    const text = error instanceof Error ? error.message : '';
    if (isolate.isDisposed || /memory limit/i.test(text)) return { status: 'memory' };
    return { status: /timed out/i.test(text) ? 'timeout' : 'failed' };
  }
}

function dispose(isolate: ivm.Isolate): void {
  if (!isolate.isDisposed) isolate.dispose();
}

function loadLibraries(isolate: ivm.Isolate, context: ivm.Context, terms: GuestTerms, libraries: LibrarySources): void {
  for (const name of terms.libraries) {
    const source = libraries.get(name);
    if (source === undefined) throw new RangeError('a library is not in the image');
    compileTrusted(isolate, source).runSync(context);
  }
}

/** The factory's script only makes a function; consumer code first runs inside of the collector, under its timer. */
function compileGuest(isolate: ivm.Isolate, context: ivm.Context, terms: GuestTerms): ivm.Reference | undefined {
  try {
    const script = isolate.compileScriptSync(terms.factory);
    const factory = script.runSync(context, { reference: true }) as ivm.Reference;
    return factory.typeof === 'function' ? factory : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The answer for a block that gave no values: the status and zeros. */
export function emptyNumbers(status: BlockStatus, outputs: number): Uint8Array {
  const bytes = new Uint8Array(1 + 8 * outputs);
  bytes[0] = statusByte(status);
  return bytes;
}
