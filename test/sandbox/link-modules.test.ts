import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { linkModules } from '../../runtime/sandbox/link-modules.ts';

interface Given {
  readonly [path: string]: string;
}

/** Runs a linked file with a `require` that knows one package; the modules leave what they say in `said`. */
function run(given: Given, entry = 'a/main.mjs'): unknown[] {
  const modules = Object.entries(given).map(([guestPath, text]) => ({ guestPath, text }));
  const said: unknown[] = [];
  const require = (name: string): unknown => ({ name, twice: (value: number) => value * 2 });
  runInNewContext(linkModules(modules, entry), { said, require, __dirname: '/app/a' });
  return said;
}

test('one file runs modules in their order, each once, and binds what they import', () => {
  const said = run({
    'a/main.mjs': `import whole, { twice as double } from 'pack';
import * as all from './one.mjs';
import { one, Two as Other, count } from './one.mjs';
import '../b/side.mjs';
export const never = 1;
said.push('main', whole.name, double(one), new Other().value, all.more(3), count, import.meta.dirname);`,
    'a/one.mjs': `import { base } from '../b/side.mjs';
said.push('one');
export const one = base + 1, unused = 0;
export class Two { value = 2 }
export function more(n) { return n + one }
let counted = 0; counted += 5;
export { counted as count };
export { base as again } from '../b/side.mjs';`,
    'b/side.mjs': `said.push('side'); export const base = 10;`,
  });
  assert.deepEqual(said, ['side', 'one', 'main', 'pack', 22, 2, 14, 5, '/app/a']);
});

test('names of one module are not seen in another', () => {
  assert.throws(
    () => run({ 'a/main.mjs': `import './one.mjs'; said.push(hidden);`, 'a/one.mjs': 'const hidden = 1;' }),
    /hidden is not defined/,
  );
});

test('forms that would be linked wrongly are refused', () => {
  const one = { 'a/one.mjs': 'export const one = 1;' };
  const refused: readonly Given[] = [
    { 'a/main.mjs': `export default 1;` },
    { 'a/main.mjs': `export * from './one.mjs';`, ...one },
    { 'a/main.mjs': `import one from './one.mjs';`, ...one },
    { 'a/main.mjs': `await 1;` },
    { 'a/main.mjs': `import('./one.mjs');`, ...one },
    { 'a/main.mjs': `said.push(import.meta.url);` },
    { 'a/main.mjs': `said.push(import.meta);` },
    { 'a/main.mjs': `said.push(import.meta['dirname']);` },
    { 'a/main.mjs': `export const { x } = { x: 1 };` },
    {
      'a/main.mjs': `import { two } from './two.mjs'; export const one = 1;`,
      'a/two.mjs': `import { one } from './main.mjs'; export const two = one;`,
    },
    { 'a/main.mjs': `import './missing.mjs';` },
  ];
  for (const given of refused) assert.throws(() => run(given), Error, given['a/main.mjs']);
});
