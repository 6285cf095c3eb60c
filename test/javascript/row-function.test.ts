/* oxlint-disable typescript/no-implied-eval -- the printed form is run here to compare it with plain JavaScript */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { checkRowFunction, planRowFunction } from '../../runtime/sandbox/javascript/row-function/check.ts';
import type { RowFunctionSpec } from '../../runtime/sandbox/javascript/row-function/check.ts';
import {
  decodeRowProgram,
  mathFunctions,
  unaryOperators,
} from '../../runtime/sandbox/javascript/row-function/program.ts';

const spec: RowFunctionSpec = {
  columns: [
    { name: 'x', kind: 'float64', isNullable: false },
    { name: 'y', kind: 'float64', isNullable: true },
    { name: 'isOld', kind: 'boolean', isNullable: false },
    { name: 'sex', kind: 'dictionary', isNullable: true },
  ],
  outputs: [{ name: 'score', range: [0, 10] }],
  reducer: { kind: 'sum' },
  parameters: { w: 2 },
  rowsPerUnit: 3,
};
const two: RowFunctionSpec = {
  ...spec,
  outputs: [
    { name: 'a', range: [0, 1] },
    { name: 'b', range: [0, 1] },
  ],
};

/** Runs the printed form for one row, texts never equal (their codes are not known to the check). */
function evaluate(source: string, row: readonly unknown[], s: RowFunctionSpec = spec): unknown {
  const checked = checkRowFunction(source, s);
  assert.equal(checked.kind, 'ok', checked.kind === 'refused' ? JSON.stringify(checked.reasons) : '');
  if (checked.kind !== 'ok') return undefined;
  const printed = new Function(`return ${checked.printed}`)() as (...cells: unknown[]) => unknown;
  const out = Array.from<unknown>({ length: s.outputs.length });
  const value = printed(...row, out);
  return s.outputs.length === 1 ? value : out;
}

const row = [3, 4, true, 1];

test('accepted functions mean what they mean in JavaScript', () => {
  const accepted: readonly (readonly [string, unknown])[] = [
    ['(r) => r.x', 3],
    ['r => r.x + r.y * 2', 11],
    [
      '(r) => { const q = r.x / (1 + r.y); if (q > 5) return Math.log1p(q); return q * 0.25 - (r.y > 3 ? 1 : 0); }',
      (3 / 5) * 0.25 - 1,
    ],
    ['function score(r) { let s = 0; if (r.isOld) s += 2; else s -= 1; s *= 3; return s }', 6],
    ['export default (r) => r.x ** 2', 9],
    ['(r, c) => c.w * r.x', 6],
    ['(r) => r.y ?? 0', 4],
    ['(r) => r.y == null ? 1 : 2', 2],
    ['(r) => r.y !== undefined && r.x > 2', true],
    ['(r) => r.sex === "F" ? 1 : 0', 0],
    ['(r) => "F" != r.sex', true],
    ['(r) => r.sex === null ? 1 : 0', 0],
    ['(r) => Math.max(r.x, r.y, Math.PI)', 4],
    ['(r) => Number.isNaN(r.y) ? 0 : Math.hypot(r.x, r.y)', 5],
    ['(r) => -(-r.x)', 3],
    ['(r) => [r.x]', 3],
    ['(r) => ({ score: r.x })', 3],
    ['(r) => null', undefined],
    ['(r) => { if (r.x > 5) return 1 }', undefined],
    ['"use strict"; (r) => 1'.slice(14), 1],
    ['(r) => (r.x | 0) & 1', 1],
    ['(r) => NaN', Number.NaN],
  ];
  for (const [source, expected] of accepted) assert.deepEqual(evaluate(source, row), expected, source);
});

test('several outputs come back by position or by name, and a choice between results is a branch', () => {
  assert.deepEqual(evaluate('(r) => [r.x, r.y]', row, two), [3, 4]);
  assert.deepEqual(evaluate('(r) => ({ b: r.y, a: r.x })', row, two), [3, 4]);
  assert.deepEqual(evaluate('(r) => r.x > 2 ? [1, null] : [0, 0]', row, two), [1, undefined]);
  assert.deepEqual(evaluate('(r) => { if (r.x > 5) return [1, 1] }', row, two), [undefined, undefined]);
});

const refused = [
  // reaching anything that is not the row
  '(r)=>r.x+globalThis.y',
  '(r)=>r.constructor',
  '(r)=>r.__proto__',
  '(r)=>r["x"]',
  '(r)=>r?.x',
  '(r)=>r',
  '(r)=>this.x',
  '(r)=>process',
  '(r)=>r.x.constructor',
  '(r)=>r.x.toString()',
  '(r)=>Math',
  '(r)=>Math.constructor("x")',
  '(r)=>Math.max.call(1)',
  '(r)=>Math["max"](1)',
  '(r)=>Math?.max(1)',
  '(r)=>Math.random()',
  '(r)=>Math.imul',
  '(r)=>Number("1")',
  '(r)=>Number.constructor(1)',
  '(r)=>arguments[0]',
  '(r)=>new.target',
  '(r)=>import("fs")',
  '(r)=>import.meta.url',
  '(r)=>eval("1")',
  '(r)=>Function("1")',
  '(r)=>(()=>1)()',
  '(r)=>r.x()',
  '(r)=>new Date()',
  '(r)=>Date.now()',
  '(r)=>performance.now()',
  '(r)=>(0,1)',
  '(r)=>r.secret',
  // loops, functions, statements with state
  '(r)=>{while(1);}',
  '(r)=>{for(;;);}',
  '(r)=>{for(const q of r);}',
  '(r)=>{do{}while(1)}',
  '(r)=>{const f=()=>1;return f()}',
  '(r)=>{function f(){}return 1}',
  '(r)=>{class A{}return 1}',
  '(r)=>{throw 1}',
  '(r)=>{try{}catch{}return 1}',
  '(r)=>{switch(r.x){case 1:return 1}}',
  '(r)=>{a:{break a}return 1}',
  '(r)=>{var s=0;return s}',
  '(r)=>{let s;return s}',
  '(r)=>{with(r){return x}}',
  '(r)=>{debugger}',
  '(r)=>r.x=1',
  '(r)=>r.x++',
  '(r)=>{const q=1;q=2;return q}',
  '(r)=>{r=1;return 1}',
  '(r)=>{let s=0;s++;return s}',
  '(r)=>{let s=0;s**=2;return s}',
  '(r)=>{globalThis.n=1;return 1}',
  '(r)=>{const {x}=r;return x}',
  '(r)=>{let s=0;(s=1);return (s=2)}',
  // values that can grow or throw for chosen rows
  '(r)=>"a"+r.x',
  '(r)=>`${r.x}`',
  '(r)=>1n',
  '(r)=>/a/.test("b")',
  '(r)=>[1,2]',
  '(r)=>[...r]',
  '(r)=>({})',
  '(r)=>({score:1,score:2})',
  '(r)=>({get score(){return 1}})',
  '(r)=>({...r})',
  '(r)=>({["score"]:1})',
  '(r)=>({__proto__:r})',
  '(r)=>typeof r.x',
  '(r)=>void 0',
  '(r)=>delete r.x',
  '(r)=>"x" in r',
  '(r)=>r.x instanceof r',
  '(r)=>r.sex',
  '(r)=>r.sex+1',
  '(r)=>r.sex===r.sex',
  '(r)=>r.sex<"F"',
  '(r)=>null+1',
  '(r)=>Math.max(null)',
  '(r)=>-null',
  // shapes of the function itself
  'async (r)=>1',
  'async function f(r){return 1}',
  'function*f(r){return 1}',
  '(r)=>await 1',
  '(r,s,t)=>1',
  '()=>1',
  '({x})=>x',
  '(r=1)=>1',
  '(...r)=>1',
  '(Math)=>Math.x',
  '(undefined)=>1',
  '(r,r)=>1',
  '(r)=>1;alert(1)',
  'r.x',
  '',
  ';',
  'import fs from "fs"',
  'export const f=(r)=>1',
  '(r)=>{return 1',
  '(r)=>1)',
  '<!--',
  '#!/bin/sh\n(r)=>1;1',
  '(r)=>{const r=1;return r}',
  '(r)=>{const Math={max:()=>1};return Math.max()}',
  '(r)=>{const NaN=1;return NaN}',
  '(r, c)=>c.unknown',
  '(r, c)=>c',
  // the three holes
  '(r)=>{ {const s=0} return s+1 }',
  '(r)=>{ if(r.x){const s=0} return s }',
  '(r)=>s',
  '(r)=>n',
  '(r)=>cells',
  '(r)=>at',
  '(r)=>i',
  '(r)=>c0',
  '(r)=>v0',
  '(r)=>o',
  '(r)=>seen',
  '(r)=>{const q=1;{const w=q;const q=2;return w}}',
  '(r)=>{const q=q+1;return q}',
  '(r)=>{const a=b;const b=1;return a}',
  '(r)=>{const q="x";return q+q}',
];

test('everything outside of the language is refused with its place', () => {
  for (const source of refused) {
    const checked = checkRowFunction(source, spec);
    assert.equal(checked.kind, 'refused', source);
    if (checked.kind === 'refused') {
      assert.ok(
        checked.reasons.length > 0 &&
          checked.reasons.every(({ line, column, message }) => line >= 1 && column >= 1 && message !== ''),
        source,
      );
    }
  }
  const placed = checkRowFunction('(r) => {\n  const a = 1;\n  return a + secret;\n}', spec);
  assert.deepEqual(placed, {
    kind: 'refused',
    reasons: [{ line: 3, column: 14, message: '`secret` is not known here' }],
  });
});

test('a text that is too long, too deep or too large is refused, and quickly', () => {
  const many = `(r)=>${'r.x+'.repeat(1100)}1`;
  for (const source of [
    '('.repeat(8000),
    `(r)=>${'-'.repeat(1000).replaceAll('-', '- ')}r.x`,
    many,
    `(r)=>${'!'.repeat(5000)}1`,
    `(r)=>${' '.repeat(20_000)}1`,
    `(r)=>${'['.repeat(7000)}`,
  ]) {
    const started = process.cpuUsage();
    assert.equal(checkRowFunction(source, spec).kind, 'refused', source.slice(0, 20));
    // Processor time: a busy machine may hold this very process up for longer.
    const { user, system } = process.cpuUsage(started);
    assert.ok(user + system < 2_000_000);
  }
});

test('nothing of the consumer text is printed: names and texts are gone', () => {
  const checked = checkRowFunction(
    '(patientRecord) => { const secretName = patientRecord.sex === "female" ? 1 : 0; return secretName }',
    spec,
  );
  assert.ok(checked.kind === 'ok' && !/secretName|patientRecord|female|sex/.test(checked.printed));
});

// Any expression of the grammar is accepted, total, and a function of its row alone.
const leaf = fc.oneof(
  fc.constantFrom(
    'r.x',
    'r.y',
    'r.isOld',
    'c.w',
    'Number.isNaN(r.y)',
    '(r.y == null)',
    '(r.y ?? 3)',
    'NaN',
    'undefined',
    'Infinity',
    'Math.E',
    'true',
    'false',
  ),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (value < 0 ? `(${value})` : String(value))),
);
const { expression } = fc.letrec<{ expression: string }>((tie) => ({
  expression: fc.oneof(
    { maxDepth: 6, withCrossShrink: true },
    leaf,
    fc
      .tuple(
        tie('expression'),
        fc.constantFrom('+', '-', '*', '/', '%', '<', '>=', '==', '!==', '&', '|', '<<', '>>>', '&&', '||', '??'),
        tie('expression'),
      )
      .map(([a, op, b]) => `((${a})${op}(${b}))`),
    fc.tuple(fc.constantFrom(...unaryOperators), tie('expression')).map(([op, a]) => `(${op}(${a}))`),
    fc.tuple(tie('expression'), tie('expression'), tie('expression')).map(([a, b, c]) => `((${a})?(${b}):(${c}))`),
    fc
      .tuple(fc.constantFrom(...mathFunctions), fc.array(tie('expression'), { maxLength: 3 }))
      .map(([f, args]) => `Math.${f}(${args.join(',')})`),
  ),
}));
const cell = fc.oneof(fc.double(), fc.constantFrom(0, -0, Number.NaN, Infinity, 1e308));

test('every function of the grammar is accepted, total, and gives what plain JavaScript gives', () => {
  fc.assert(
    fc.property(expression, expression, cell, cell, fc.boolean(), (one, other, x, stored, isOld) => {
      const text = `(r, c) => { const a = ${one}; let b = a; if (a > 0) b = -a; else if (a === undefined) b = (${other}) ?? a; const d = b; return d ?? 7 }`;
      // A missing number of a column that may have none is stored as NaN.
      const y = Number.isNaN(stored) ? undefined : stored;
      const expected = (new Function(`return ${text}`)() as (r: unknown, c: unknown) => unknown)(
        { x, y, isOld },
        { w: 2 },
      );
      const value = evaluate(text, [x, stored, isOld, 0]);
      assert.ok(value === undefined || typeof value === 'number' || typeof value === 'boolean');
      assert.deepEqual(value, expected);
      const bare = (new Function(`return (r, c) => ${one}`)() as (r: unknown, c: unknown) => unknown)(
        { x, y, isOld },
        { w: 2 },
      );
      // What is returned is made a number anyway, so there a missing one may stay NaN.
      assert.deepEqual(Number(evaluate(`(r, c) => ${one}`, [x, stored, isOld, 0])), Number(bare));
    }),
    { numRuns: 300 },
  );
});

test('what a hostile worker answers is a program of the language or nothing', () => {
  const face = { columns: spec.columns, parameters: ['w'], outputs: 1 };
  const one = { kind: 'number', value: 1 };
  const good = { steps: [{ kind: 'return', values: [one] }], locals: 0 };
  assert.deepEqual(decodeRowProgram(good, face), good);
  const value = (node: unknown): unknown => ({ steps: [{ kind: 'return', values: [node] }], locals: 0 });
  let deep: unknown = one;
  for (let i = 0; i < 300; i++) deep = { kind: 'unary', operator: '-', operand: deep };
  const bad: readonly unknown[] = [
    undefined,
    null,
    1,
    'x',
    [],
    {},
    { steps: [], locals: -1 },
    { steps: {}, locals: 0 },
    { ...good, extra: 1 },
    { steps: [{ kind: 'return', values: [] }], locals: 0 },
    { steps: [{ kind: 'while', test: one }], locals: 0 },
    { steps: [{ kind: 'set', index: 0, value: one }], locals: 0 },
    {
      steps: [
        { kind: 'if', test: one, yes: [{ kind: 'set', index: 0, value: one }], no: [] },
        { kind: 'return', values: [{ kind: 'local', index: 0 }] },
      ],
      locals: 1,
    },
    value({ kind: 'column', name: 'sex' }),
    value({ kind: 'column', name: 'secret' }),
    value({ kind: 'column', name: 'x);globalThis.y=(1' }),
    value({ kind: 'parameter', name: 'toString' }),
    value({ kind: 'number', value: 'process' }),
    value({ kind: 'number', value: null }),
    value({ kind: 'number', value: 1, toString: 1 }),
    value({ kind: 'unary', operator: '-(process)', operand: one }),
    value({ kind: 'unary', operator: 'typeof', operand: one }),
    value({ kind: 'binary', operator: 'in', left: one, right: one }),
    value({ kind: 'call', name: 'random', arguments: [] }),
    value({ kind: 'call', name: 'constructor', arguments: [] }),
    value({ kind: 'constant', name: 'constructor' }),
    value({ kind: 'test', name: 'parseFloat', operand: one }),
    value({ kind: 'textIs', column: 'x', text: 'a', isNegated: false }),
    value({ kind: 'textIs', column: 'sex', text: 'a', isNegated: 'false;process' }),
    value({ kind: 'local', index: 0 }),
    value({ kind: 'raw', text: 'process' }),
    value(deep),
  ];
  for (const program of bad) {
    assert.equal(decodeRowProgram(program, face), undefined, JSON.stringify(program)?.slice(0, 100));
    assert.equal(planRowFunction(program, spec).kind, 'refused');
  }
});
