import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { checkRowFunction } from '../../runtime/sandbox/javascript/row-function/check.ts';
import { decodeGroupTable } from '../../runtime/sandbox/javascript/table.ts';
import { runApproved } from '../../runtime/sandbox/javascript/run-approved.ts';
import { runBlocks } from '../../runtime/sandbox/javascript/run-blocks.ts';
import type { BlockValues } from '../../runtime/sandbox/javascript/blocks.ts';
import { javascriptLimits } from '../../runtime/sandbox/javascript/limits.ts';
import { runPost } from '../../runtime/sandbox/javascript/run-post.ts';
import type { ColumnSource } from '../../runtime/sandbox/javascript/source.ts';
import { factory, jailedWorkers, numbersSource, terms } from '../javascript/jailed.ts';
import { cornerClasses, hostileRowFunctions } from './javascript-corners.ts';

const { pool, workers } = await jailedWorkers(6);
const timeoutMs = 150;
const lanes = 3;

/** Runs each program as one block of one job, as the other classes are. */
async function runAll(programs: readonly string[]): Promise<readonly BlockValues[]> {
  const bodies = programs.map((program) => `function (input) {\n${program}\n}`);
  const job = {
    factory: factory(`(input) => [${bodies.join(',\n')}][input.columns.x[0]](input)`),
    outputs: [{ name: 'v', range: [-1, 2], step: 1, default: -1 }] as const,
    assign: () => Int32Array.from({ length: programs.length }, (_, i) => i),
    blocks: programs.length,
    lanes,
  };
  const source = numbersSource(Array.from({ length: programs.length }, (_, i) => i));
  return (await runBlocks(workers, job, source, { ...terms, timeoutMs })).blocks;
}

const stopped: readonly string[] = ['timeout', 'memory', 'lost', 'failed', 'threw'];

suite('hostile corners of the language in real jailed workers', () => {
  for (const { name, promise, programs } of cornerClasses) {
    test(`${name}: ${programs.length} programs end with a typed status and get nothing`, async () => {
      const blocks = await runAll(programs);
      assert.equal(blocks.length, programs.length);
      for (const [i, { status, integers }] of blocks.entries()) {
        const program = programs[i] ?? '';
        const [value] = integers;
        assert.ok(integers.length === 1 && [0, 1, 2, 3].includes(value ?? -1), `${status} ${value}: ${program}`);
        if (promise === 'denied') {
          assert.ok(status === 'ok' || status === 'threw', `${status}: ${program}`);
          assert.ok(status === 'threw' || value === 1, `got what it wanted: ${program}`);
        }
        if (promise === 'stopped') assert.ok(stopped.includes(status), `${status}: ${program}`);
      }
    });
  }

  test('a row function that would be more than a function of one row is refused before any row is near', () => {
    const spec = {
      columns: [{ name: 'x', kind: 'float64', isNullable: true }],
      outputs: [{ name: 'v', range: [0, 1] }],
      reducer: { kind: 'sum' },
      rowsPerUnit: 1,
    } as const;
    const accepted = hostileRowFunctions.filter((source) => checkRowFunction(source, spec).kind === 'ok');
    assert.deepEqual(accepted, []);
    assert.equal(checkRowFunction('(r) => r.x', spec).kind, 'ok');
  });

  test('a program that digests all it can see tells another block nothing about a changed unit', async () => {
    // The block of the changed unit also takes long, so that other blocks are shared out differently among the workers.
    // Order of rows, number of rows, bytes behind the columns, chance, clock, names: folded into one of 2^20 numbers.
    const digest = `(input) => { let h = 7; const add = (v) => { h = (Math.imul(h, 31) + v) >>> 0 };
      const { x, y } = input.columns; add(input.rows); for (const c of [x, y]) for (const v of c) add(Math.round(v * 8));
      for (const b of new Uint8Array(x.buffer)) add(b); for (let i = 0; i < 9; i++) add(Math.random() * 2 ** 31);
      const spins = x.includes(1e6) ? 1e8 : 0; for (let i = 0; i < spins; i++) h ^= i; add(Date.now() % 2 ** 31); for (const k of Object.keys(input)) add(k.length); return h % 2 ** 20 }`;
    const blocks = 8;
    const job = {
      factory: factory(digest),
      outputs: [{ name: 'v', range: [0, 2 ** 20], step: 1, default: 0 }] as const,
      assign: (units: number) => Int32Array.from({ length: units }, (_, i) => i % blocks),
      blocks,
      lanes: 2,
    };
    const values = Array.from({ length: 60 }, (_, i) => i * 3);
    const changed = values.map((value, i) => (i === 3 ? 1e6 : value));
    const run = async (x: readonly number[]): Promise<readonly BlockValues[]> =>
      (await runBlocks(workers, job, numbersSource(x), { ...terms, timeoutMs: 2000 })).blocks;
    const [one, other] = [await run(values), await run(changed)];
    for (let block = 0; block < blocks; block++) {
      if (block === 3) assert.notDeepEqual(one[block], other[block]);
      else assert.deepEqual(one[block], other[block]);
    }
  });

  test('tables of approved code: setters, getters and protocols change nothing but their own group', async () => {
    const programs = [
      `return [{ s: 'a', n: 1 }]`,
      `Object.defineProperty(Object.prototype, 's', { set() { for (;;); }, get() { return 'x'.repeat(1e6) } }); return [{ n: 1 }]`,
      `return [{ s: { toString: () => 'secret' }, n: 1 }]`,
      `return [{ s: 'a', n: { valueOf: () => 1 } }]`,
      `return { *[Symbol.iterator]() { for (;;) yield { s: 'a', n: 1 } } }`,
      `return new Proxy([], { get: (t, k) => (k === 'length' ? 2 ** 53 - 1 : undefined) })`,
      `return Array(2000).fill({ s: 'a', n: 1 })`,
      `return [{ s: '\\ud800', n: NaN }]`,
      `String.prototype.charCodeAt = () => { for (;;); }; Array.prototype.push = () => { for (;;); }; return [{ s: 'a', n: -0 }]`,
      `return [{ s: 'b', n: 1 }, { s: 'c', get n() { throw { secret: input.columns.x } } }]`,
    ];
    const count = programs.length;
    const keys = programs.map((_, i) => i);
    const outcome = await runApproved(
      workers,
      {
        factory: factory(
          `(input) => [${programs.map((body) => `function (input) { ${body} }`).join(',\n')}][input.columns.x[0]](input)`,
        ),
        table: [
          { name: 's', kind: 'text', maxBytes: 8 },
          { name: 'n', kind: 'float64', maxBytes: 0 },
        ],
        maxRowsPerGroup: 3,
        groupBy: { column: 'x', keys },
        lanes: 2,
      },
      numbersSource(keys),
      { ...terms, timeoutMs: 300 },
    );
    assert.equal(outcome.groups.length, count);
    for (const { status, rows, units } of outcome.groups) {
      assert.equal(units, 1);
      assert.ok(rows.length <= 3);
      if (status !== 'ok') assert.deepEqual(rows, []);
      for (const [text, number] of rows) {
        assert.ok(text === null || (typeof text === 'string' && Buffer.byteLength(text) <= 8));
        assert.ok(number === null || (typeof number === 'number' && Number.isFinite(number) && !Object.is(number, -0)));
      }
    }
    assert.deepEqual(outcome.groups[0]?.rows, [['a', 1]]);
    assert.deepEqual(outcome.groups[8]?.rows, [['a', 0]]);
  });

  test('code over released results: JSON tricks end with JSON within its limits, or with nothing', async () => {
    const programs = [
      `() => ({ toJSON() { for (;;); } })`,
      `() => { Object.prototype.toJSON = () => 'x'.repeat(2 ** 26); return { a: 1 } }`,
      `() => { let o = {}; for (let i = 0; i < 1e5; i++) o = { o }; return o }`,
      `() => { const o = {}; o.o = o; return o }`,
      `() => 10n ** 400n`,
      `() => ({ get a() { for (;;); } })`,
      `() => new Proxy({}, { ownKeys() { for (;;); } })`,
      `() => ({ __proto__: null, constructor: 'x', then: (f) => f('x') })`,
    ];
    for (const program of programs) {
      const outcome = await runPost(
        workers,
        { factory: factory(program), input: [{ jobId: 'j', rows: [{ a: 1 }] }] },
        { ...terms, timeoutMs: 300 },
      );
      if (outcome.kind === 'failed') continue;
      assert.ok(JSON.stringify(outcome.value).length <= javascriptLimits.postBytes, program);
    }
  });

  test('every truncation of a table, and every wrong byte of it, is a table within its limits or none', () => {
    const columns = [
      { name: 's', kind: 'text', maxBytes: 4 },
      { name: 'b', kind: 'boolean', maxBytes: 0 },
    ] as const;
    const good = Uint8Array.of(1, 1, 0, 0, 0, 1, 2, 0, 0, 0, 104, 105, 1, 1);
    assert.deepEqual(decodeGroupTable(good, columns)?.rows, [['hi', true]]);
    for (let size = 0; size < good.length; size++)
      assert.equal(decodeGroupTable(good.subarray(0, size), columns), undefined);
    for (let at = 0; at < good.length; at++) {
      for (const byte of [0, 1, 2, 5, 127, 128, 255]) {
        const bent = Uint8Array.from(good);
        bent[at] = byte;
        for (const row of decodeGroupTable(bent, columns)?.rows ?? []) {
          assert.equal(row.length, 2);
          assert.ok(row[0] === null || (typeof row[0] === 'string' && Buffer.byteLength(row[0]) <= 4));
          assert.ok(row[1] === null || typeof row[1] === 'boolean');
        }
      }
    }
  });

  test('after all of it the pool holds nothing and serves an honest source', async () => {
    const honest: ColumnSource = numbersSource([1, 1, 1]);
    const job = {
      factory: factory('(input) => input.rows'),
      outputs: [{ name: 'v', range: [0, 10], step: 1, default: 0 }] as const,
      assign: (units: number) => new Int32Array(units),
      blocks: 1,
    };
    const { blocks } = await runBlocks(workers, job, honest, { ...terms, timeoutMs: 2000 });
    assert.deepEqual(blocks, [{ status: 'ok', integers: [3] }]);
    assert.equal(pool.stats.leased, 0);
  });
});
