import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const ROOT = join(import.meta.dirname, '../..');
const read = (name: string): string => readFileSync(join(ROOT, name), 'utf8');

describe('the systemd unit', () => {
  const unit = read('deploy/glovebox.service');
  const settings = new Map(
    unit.split('\n').flatMap((line) => {
      const [, name = '', value = ''] = /^([A-Z]\w+)=(.*)$/.exec(line) ?? [];
      return name === '' ? [] : [[name, value] as const];
    }),
  );

  it('holds sections and settings only, and what systemd itself has no complaint about', (t) => {
    for (const line of unit.split('\n'))
      assert.match(line, /^(#.*|\[(Unit|Service|Install)\]|[A-Z]\w+=.+|CapabilityBoundingSet=|)$/);
    const folder = mkdtempSync(join(tmpdir(), 'glovebox-unit-'));
    try {
      // The program is looked for where this checkout has it.
      const file = join(folder, 'glovebox.service');
      writeFileSync(file, unit.replaceAll('/opt/glovebox/glovebox', join(ROOT, 'glovebox')));
      const { status, stdout, stderr, error } = spawnSync('systemd-analyze', ['verify', '--man=no', file], {
        encoding: 'utf8',
        timeout: 120_000,
      });
      if (error !== undefined) return t.diagnostic('systemd-analyze is not installed: its verdict was not asked');
      const ours = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('glovebox.service'));
      assert.deepEqual([status, ours], [0, []]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('gives the runtime no capability, and the jail holds without any', (t) => {
    assert.equal(settings.get('CapabilityBoundingSet'), '');
    assert.equal(settings.get('NoNewPrivileges'), 'yes');
    if (process.getuid?.() !== 0) return t.skip('only root can start a program as another user');
    const folder = mkdtempSync(join(tmpdir(), 'glovebox-unit-'));
    try {
      // What the unit does before the program: another user, no capability in any set, no new privileges.
      const as = ['--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all', '--inh-caps=-all'];
      const program = [process.execPath, '--disable-warning=ExperimentalWarning', join(ROOT, 'runtime/cli/main.ts')];
      const env = { PATH: process.env['PATH'] ?? '', HOME: folder, GLOVEBOX_DATA: join(folder, 'data') };
      const levelOf = (...limits: readonly string[]): string | undefined => {
        const words = [...limits, '--no-new-privs', ...program, 'doctor'];
        const { stdout } = spawnSync('setpriv', words, { encoding: 'utf8', timeout: 120_000, env });
        return /^isolation level: (\w+)/m.exec(stdout)?.[1];
      };
      // The same user with capabilities in reach: where the machine gives no namespaces, both say so.
      const without = levelOf(...as.slice(0, 3));
      if (without === undefined) return t.skip('another user cannot run this checkout');
      assert.equal(levelOf(...as), without);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('lets a drain end before it kills, does not repeat a start that cannot succeed, and leaves the jail its means', () => {
    const drainMs = Number(/^drainMs: (\d+)$/m.exec(read('deploy/glovebox.yaml'))?.[1]);
    assert.ok(Number(settings.get('TimeoutStopSec')) * 1000 > drainMs, 'TimeoutStopSec is longer than drainMs');
    assert.equal(settings.get('RestartPreventExitStatus'), '2');
    assert.equal(settings.get('UMask'), '0077');
    const needed = ['RestrictNamespaces', 'PrivateUsers', 'SystemCallFilter', 'ProtectProc', 'PrivateMounts'];
    const masking = ['ProtectKernelLogs', 'ProtectKernelTunables', 'ProtectControlGroups', 'MemoryDenyWriteExecute'];
    for (const name of [...needed, ...masking])
      assert.equal(settings.get(name), undefined, `${name} takes the jail away`);
    assert.match(settings.get('RestrictAddressFamilies') ?? '', /\bAF_NETLINK\b/, 'bubblewrap sets up a loopback');
    // Whatever the configuration writes lies in a folder that the unit makes and may write to.
    assert.match(read('deploy/glovebox.yaml'), new RegExp(`^data: /var/lib/${settings.get('StateDirectory')}$`, 'm'));
    assert.match(read('deploy/glovebox.yaml'), new RegExp(`file: /var/log/${settings.get('LogsDirectory')}/`));
  });
});

describe('the container file', () => {
  const steps = read('deploy/Containerfile')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ word: line.slice(0, line.indexOf(' ')), rest: line.slice(line.indexOf(' ') + 1) }));
  const of = (word: string): readonly string[] => steps.filter((step) => step.word === word).map(({ rest }) => rest);

  it('holds instructions only, on a Node.js that runs the project, with what the jail needs', () => {
    const known = ['FROM', 'RUN', 'WORKDIR', 'COPY', 'USER', 'VOLUME', 'EXPOSE', 'ENTRYPOINT', 'CMD'];
    for (const { word } of steps) assert.ok(known.includes(word), word);
    const { engines } = JSON.parse(read('package.json')) as { readonly engines: { readonly node: string } };
    const major = Number(/node:(\d+)-/.exec(of('FROM')[0] ?? '')?.[1]);
    assert.ok(major >= Number(/\d+/.exec(engines.node)?.[0]), `node ${major}`);
    assert.ok(of('RUN').some((text) => text.includes('bubblewrap') && text.includes('util-linux')));
    // The launcher installs nothing where the stamp says that it has been done.
    assert.ok(of('RUN').some((text) => text.includes('npm ci') && text.includes('node_modules/.glovebox-lock')));
    assert.match(read('.dockerignore'), /^\*\*\/node_modules$/m);
  });

  it('serves as a user without rights, from the folder and on the port that it declares', () => {
    const last = steps.findLastIndex(({ word }) => word === 'USER');
    assert.ok(last >= 0 && last < steps.findIndex(({ word }) => word === 'ENTRYPOINT'));
    assert.notEqual(of('USER').at(-1), 'root');
    const [program = ''] = JSON.parse(of('ENTRYPOINT')[0] ?? '[]') as string[];
    assert.equal(program, join(of('WORKDIR')[0] ?? '', 'glovebox'));
    assert.ok(existsSync(join(ROOT, 'glovebox')));
    const words = JSON.parse(of('CMD')[0] ?? '[]') as string[];
    assert.equal(words[words.indexOf('--data') + 1], of('VOLUME')[0]);
    assert.ok(words[words.indexOf('--listen') + 1]?.endsWith(`:${of('EXPOSE')[0]}`));
  });
});
