/* oxlint-disable typescript/unbound-method -- builtins move from one realm object to another, unbound on purpose */
/**
 * Hardens a fresh realm before consumer code runs in it: no code from strings, no memory outside of the heap limit, no clock,
 * no randomness but a seeded one, no locale, no stack, nothing that outlives the realm.
 *
 * The function is turned into text and compiled inside of the isolate, so it must not use any name of this module. What it
 * calls later (after consumer code may have replaced it on a prototype) is captured first: `Reflect.construct` called by
 * its global name handed the real `Date`, and with it a clock, to whoever had patched it.
 */
function harden(nowMs: number, seed: number): void {
  type Loose = Record<PropertyKey, unknown>;
  const realm = globalThis as unknown as Loose;
  const { defineProperty, getPrototypeOf, create } = Object;
  const { construct } = Reflect;
  const define = (target: object, key: PropertyKey, value: unknown): void => {
    defineProperty(target, key, {
      __proto__: null,
      value,
      writable: true,
      enumerable: false,
      configurable: true,
    } as PropertyDescriptor);
  };
  const freeze = (target: object, key: PropertyKey, value: unknown): void => {
    defineProperty(target, key, {
      __proto__: null,
      value,
      writable: false,
      enumerable: false,
      configurable: false,
    } as PropertyDescriptor);
  };
  const drop = (target: object, keys: readonly string[]): void => {
    for (const key of keys) delete (target as Loose)[key];
  };

  // 1. No code from strings: the approved digest covers all code, and the isolate's own switch allows strings.
  const refusal = (name: string): unknown =>
    function refused(): never {
      throw new TypeError(`${name} is not available in this sandbox`);
    };
  const noFunction = refusal('Function') as object;
  freeze(noFunction, 'prototype', Function.prototype);
  const kinds = [function () {}, async function () {}, function* () {}, async function* () {}];
  for (const kind of kinds) freeze(getPrototypeOf(kind) as object, 'constructor', noFunction);
  define(realm, 'Function', noFunction);
  define(realm, 'eval', refusal('eval'));

  // 2. Memory outside of the heap limit, shared memory and its timers, observers of the collector, locale data.
  drop(realm, ['WebAssembly', 'SharedArrayBuffer', 'Atomics', 'WeakRef', 'FinalizationRegistry', 'Intl', 'console']);
  drop(realm, ['escape', 'unescape', 'DisposableStack', 'AsyncDisposableStack', 'SuppressedError']);

  // 3. Resizable buffers bypass the allocator, and with it the heap limit.
  const NativeBuffer = ArrayBuffer;
  const SafeBuffer = function ArrayBuffer(length: unknown): unknown {
    if (new.target === undefined) throw new TypeError("Constructor ArrayBuffer requires 'new'");
    return new NativeBuffer(typeof length === 'number' ? length : 0);
  };
  freeze(SafeBuffer, 'prototype', NativeBuffer.prototype);
  define(SafeBuffer, 'isView', NativeBuffer.isView);
  freeze(NativeBuffer.prototype, 'constructor', SafeBuffer);
  define(realm, 'ArrayBuffer', SafeBuffer);
  drop(NativeBuffer.prototype, ['resize', 'transfer', 'transferToFixedLength']);

  // 4. Registered symbols live in the isolate, not in the realm: libraries get a registry of their own.
  const NativeSymbol = Symbol;
  const registered = create(null) as Record<string, symbol>;
  define(NativeSymbol, 'for', (key: unknown) => {
    const name = `${key as string}`;
    return (registered[name] ??= NativeSymbol(name));
  });
  define(NativeSymbol, 'keyFor', (symbol: unknown) => {
    for (const name in registered) if (registered[name] === symbol) return name;
    return undefined;
  });
  for (const name of ['self', 'global']) define(realm, name, realm);

  // 5. Errors carry no stack, and no hook runs when the host reads one.
  freeze(Error, 'stackTraceLimit', 0);
  freeze(Error, 'prepareStackTrace', undefined);
  drop(Error, ['captureStackTrace']);

  // 6. The clock stands still at the job's time.
  const NativeDate = Date;
  const nowText = new NativeDate(nowMs).toString();
  const FixedDate = function Date(...parts: unknown[]): unknown {
    if (new.target === undefined) return nowText;
    return construct(NativeDate, parts.length === 0 ? [nowMs] : parts, new.target);
  };
  freeze(FixedDate, 'prototype', NativeDate.prototype);
  define(FixedDate, 'now', () => nowMs);
  define(FixedDate, 'UTC', NativeDate.UTC);
  define(FixedDate, 'parse', NativeDate.parse);
  freeze(NativeDate.prototype, 'constructor', FixedDate);
  define(realm, 'Date', FixedDate);

  // 7. Repeatable numbers (sfc32), never a source of noise.
  let a = seed >>> 0 || 1;
  let b = 0x9e3779b9;
  let c = 0x243f6a88;
  let d = 0xb7e15162;
  const random = (): number => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 4294967296;
  };
  for (let i = 0; i < 12; i++) random();
  define(Math, 'random', random);

  // 8. No locale: data differ between builds, and the native comparison can hang.
  const text = String.prototype;
  define(text, 'localeCompare', function localeCompare(this: unknown, other: unknown) {
    const [one, two] = [`${this as string}`, `${other as string}`];
    return one < two ? -1 : one > two ? 1 : 0;
  });
  define(text, 'toLocaleUpperCase', text.toUpperCase);
  define(text, 'toLocaleLowerCase', text.toLowerCase);
  const numbers = getPrototypeOf(Uint8Array.prototype) as object;
  for (const type of [Number.prototype, BigInt.prototype, Array.prototype, Object.prototype]) {
    define(type, 'toLocaleString', type.toString);
  }
  define(numbers, 'toLocaleString', Array.prototype.toString);
  for (const name of ['toLocaleString', 'toLocaleDateString', 'toLocaleTimeString']) {
    define(NativeDate.prototype, name, NativeDate.prototype.toISOString);
  }
}

/** The prelude as text: a function of (job time in ms, seed). */
export const preludeText = `(function(){'use strict';return (${harden.toString()})})()`;
