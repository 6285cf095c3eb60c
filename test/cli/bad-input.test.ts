import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Command } from 'commander';
import { columnsOf, threadsOf } from '../../runtime/cli/encrypt-columns.ts';
import { failureOf, safeForTerminal, UsageError } from '../../runtime/cli/output.ts';
import { commandLine } from '../../runtime/cli/program.ts';
import { wholeNumber } from '../../runtime/cli/whole-number.ts';
import { WholeFile, writeWhole } from '../../runtime/cli/write-file.ts';
import { HomomorphicFault } from '../../runtime/homomorphic/fault.ts';
import { serveRuntime } from '../end-to-end/runtime.ts';

/** These run until they are stopped, or for long; `key` makes what it is asked for under every name. */
const LASTING = /^(demo|serve|top|bench|decryptor|doctor|backup|key generate|key rotate)\b/;
/** What the engine, Node.js or a library says when nobody thought of the input; and what a stack looks like. */
const UNTHOUGHT =
  /\n\s+at |\bundefined\b|\[object |TypeError|RangeError|SyntaxError|E[A-Z]{4,}: |does not fit|Cannot convert|not iterable|INTERNAL/;

test('whatever a command is given, it ends as done, refused or wrong usage, and says so in words of its own', async () => {
  await using runtime = await serveRuntime();
  const path = (name: string): string => join(runtime.folder, 'given', name);
  mkdirSync(path('folder'), { recursive: true });
  writeFileSync(path('bytes'), Buffer.from([0, 255, 1, 2, 3, 10, 13, 200, 180]));
  writeFileSync(path('empty'), '');
  writeFileSync(path('wrong.json'), '{"a":[1,2,{"__proto__":1}]}');
  const names = ['bytes', 'empty', 'wrong.json', 'folder', 'missing', 'empty/below'].map(path);
  const texts = [
    '',
    'nope',
    '-1',
    '1.5',
    '1e999',
    'x=y=z',
    'sha256:00',
    '9'.repeat(30),
    '\u202e☃\u001b[2J',
    'a'.repeat(5000),
  ];
  const values = [...names, ...texts];
  // Another turn gives every command other values: GLOVEBOX_TURN=7.
  let turn = Number(process.env['GLOVEBOX_TURN'] ?? 0);
  /** Relative names are for what is never written: a command may well make the file that it is told to. */
  const next = (form: string): string => {
    const fit = /file|dir|folder|path/i.test(form) ? names : values;
    return fit[turn++ % fit.length] ?? '';
  };
  const cases = leavesOf(commandLine())
    .filter(({ words }) => !LASTING.test(words.join(' ')))
    .flatMap(({ command, words }) => {
      const given = (): string[] => [
        ...words,
        ...command.registeredArguments.filter(({ required }) => required).map((one) => next(one.name())),
        ...command.options.filter(({ mandatory }) => mandatory).flatMap(({ long, flags }) => [long ?? '', next(flags)]),
        // What is written where nobody says so would stay in the folder of whoever runs this.
        ...(command.options.some(({ long, mandatory }) => long === '--out' && !mandatory)
          ? ['--out', path('out')]
          : []),
      ];
      const further = command.options.filter(
        ({ long, mandatory }) => !mandatory && !['--json', '--as', '--server', '--data'].includes(long ?? ''),
      );
      return [
        given(),
        ...further.map((one) => [...given(), one.long ?? '', ...(one.isBoolean() ? [] : [next(one.flags)])]),
      ];
    });
  assert.ok(cases.length > 250, `${cases.length} cases`);
  const odd: unknown[] = [];
  for (const args of cases) {
    const { exit, stdout, stderr } = await runtime.run(...args);
    const said = `${stdout}${stderr}`;
    // what was typed may be told again
    const own = values.reduce((text, value) => (value === '' ? text : text.replaceAll(value, '…')), said);
    const isSilent = said.trim() === '' && exit !== 0;
    if (![0, 1, 2].includes(exit ?? -1) || isSilent || UNTHOUGHT.test(own) || own.includes('\u001b'))
      odd.push({ args: args.map((arg) => arg.slice(0, 60)), exit, said: said.slice(0, 300) });
  }
  assert.deepEqual(odd, []);
});

test('a whole number is read whole, inside its range, or refused with the option’s name', () => {
  assert.equal(wholeNumber('--days', '30', { from: 1 }), 30);
  assert.equal(wholeNumber('--low', '-3', { from: -5 }), -3);
  for (const text of ['', ' ', '1.5', '1e3', '0x10', '４', '٣', 'NaN', '-1', '0', '4294967296', '9'.repeat(400), '1_0'])
    assert.throws(
      () => wholeNumber('--days', text, { from: 1 }),
      (error: Error) => {
        assert.ok(error instanceof UsageError && error.message.startsWith('--days takes a whole number from 1 to'));
        return error.message.length < 200;
      },
    );
});

test('bounds, decimals, categories and threads that are none are refused before anything is read', () => {
  const of = (more: object): unknown => columnsOf({ encrypt: ['x'], ...more });
  for (const bounds of ['x=', 'x=1', 'x=1.2.3:4', 'x=.:.', 'x=a:b', 'x=1:2:3', 'x=99999999999999999.5:1'])
    assert.throws(() => of({ bounds: [bounds] }), UsageError, bounds);
  for (const decimals of ['x=', 'x=-1', 'x=1.5', 'x=16', 'x=two'])
    assert.throws(() => of({ bounds: ['x=0:1'], decimals: [decimals] }), UsageError, decimals);
  for (const categories of ['x=', 'x=1,', 'x=1,1', 'x=a', 'x=0.5'])
    assert.throws(() => of({ categories: [categories] }), UsageError, categories);
  for (const threads of ['0', '9', 'two', '']) assert.throws(() => threadsOf(threads), UsageError, threads);
});

test('a file that cannot be used, or is not what it should be, is wrong usage; a full disk is not', () => {
  for (const code of ['ENOENT', 'EISDIR', 'ENAMETOOLONG', 'EEXIST', 'ENOTDIR', 'EACCES']) {
    const { exit, message } = failureOf(
      Object.assign(new Error(`${code}: raw`), { code, path: `/x/${'a'.repeat(5000)}` }),
    );
    assert.ok(exit === 2 && !message.includes(code) && message.length < 300, message);
  }
  assert.equal(failureOf(new HomomorphicFault('bad-key', 'cannot read this key file')).exit, 2);
  assert.equal(failureOf(new HomomorphicFault('library-failed', 'x')).exit, 3);
  assert.equal(failureOf(Object.assign(new Error('ENOSPC: raw'), { code: 'ENOSPC', path: '/x' })).exit, 3);
});

test('a file is written whole or not at all, through a pipe as it comes', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-write-'));
  const file = join(folder, 'out');
  writeWhole(file, 'one');
  const broken = new WholeFile(file);
  broken.write('half of');
  broken[Symbol.dispose]();
  assert.deepEqual([readFileSync(file, 'utf8'), readdirSync(folder)], ['one', ['out']]);
  writeWhole(file, new Uint8Array([50]), 0o600);
  assert.equal(readFileSync(file, 'utf8'), '2');
  writeWhole('/dev/null', 'gone');
  assert.ok(statSync('/dev/null').isCharacterDevice());
  assert.throws(() => writeWhole(join(folder, 'no', 'such'), ''), { code: 'ENOENT', path: join(folder, 'no', 'such') });
  assert.throws(() => writeWhole(folder, ''), { code: 'EISDIR' });
  rmSync(folder, { recursive: true });
});

test('text from others steers no terminal', () => {
  assert.equal(safeForTerminal('a\u001b[2J\u009b\rb\u202ec\u2066'), 'a\\u001b[2J\\u009b\\u000db\\u202ec\\u2066');
  assert.equal(safeForTerminal('名字\n\tمرحبا 👩‍👩‍👧 é'), '名字\n\tمرحبا 👩‍👩‍👧 é');
});

function leavesOf(
  command: Command,
  words: readonly string[] = [],
): readonly { readonly command: Command; readonly words: readonly string[] }[] {
  if (command.commands.length === 0) return [{ command, words }];
  return command.commands.flatMap((one) => leavesOf(one, [...words, one.name()]));
}
