import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fc } from '../property.ts';
import { limitsOf } from '../../runtime/cli/serve.ts';
import { readConfiguration, type ReadConfiguration } from '../../runtime/configuration/read-configuration.ts';
import { environmentName, type Setting, SETTINGS } from '../../runtime/configuration/settings.ts';
import { isTableCurrent } from '../../runtime/configuration/write-table.ts';

const ROOT = join(import.meta.dirname, '..', '..');

function read(
  text: string,
  environment: Readonly<Record<string, string>> = {},
  flags: Readonly<Record<string, unknown>> = {},
): ReadConfiguration {
  return readConfiguration({ file: { name: 'g.yaml', text }, environment, flags });
}

function complaintsOf(text: string, environment: Readonly<Record<string, string>> = {}): readonly string[] {
  const answer = read(text, environment);
  assert.equal(answer.kind, 'complaints', JSON.stringify(answer));
  return answer.kind === 'complaints' ? answer.complaints : [];
}

describe('the configuration', () => {
  it('takes a flag before the environment, that before the file, that before the default; and says who spoke', () => {
    const answer = read(
      'listen: 127.0.0.1:1\nlog: { level: warn, keep: 3 }\njobs:\n  running: 5\n',
      { GLOVEBOX_LISTEN: '127.0.0.1:2', GLOVEBOX_JOBS_RUNNING: '6', GLOVEBOX_LOG_FILE: '' },
      { listen: '127.0.0.1:3' },
    );
    assert.equal(answer.kind, 'configuration');
    if (answer.kind !== 'configuration') return;
    const of = (name: string): readonly unknown[] =>
      answer.settled.filter((one) => one.name === name).flatMap(({ value, origin }) => [value, origin]);
    assert.deepEqual(of('listen'), [{ host: '127.0.0.1', port: 3 }, '--listen']);
    assert.deepEqual(of('jobs.running'), [6, '$GLOVEBOX_JOBS_RUNNING']);
    assert.deepEqual(of('log.level'), ['warn', 'g.yaml:2:15']);
    assert.deepEqual(of('log.keep'), [3, 'g.yaml:2:27']);
    assert.deepEqual(of('log.file'), [null, 'default']);
    assert.equal(answer.configuration.logKeep, 3);
  });

  it('hands the workers of a party to the pool, and leaves its own measure where nothing is set', () => {
    const limitsWith = (text: string): object => {
      const answer = read(text);
      assert.ok(answer.kind === 'configuration');
      return limitsOf(answer.configuration).workerLimits;
    };
    const set = limitsWith('workers: { max: 6, maxPerParty: 3 }');
    assert.deepEqual(
      [set].map((one) => ({ ...one, warmKeys: 0, warmPerKey: 0, queueTimeoutMs: 0 })),
      [{ maxWorkers: 6, maxPerParty: 3, warmKeys: 0, warmPerKey: 0, queueTimeoutMs: 0 }],
    );
    assert.ok(!('maxPerParty' in limitsWith('workers: { max: 6 }')));
    assert.match(complaintsOf('workers: { maxPerParty: 1 }')[0] ?? '', /workers\.maxPerParty: `1` .* from 2 to 1024/);
  });

  it('complains about every wrong thing at once, each with its place and what is allowed', () => {
    assert.deepEqual(
      complaintsOf('listen: here\nlog:\n  levle: info\nrpc: 7\njobs: { running: 0 }\n', { GLOVEBOX_INSECURE: 'yes' }),
      [
        'g.yaml:3:3 there is no setting `log.levle`',
        'g.yaml:4:6 `rpc` is not a group of settings (name: value)',
        'g.yaml:1:9 listen: `here` is not HOST:PORT, e.g. 127.0.0.1:7443; [::1]:7443 for IPv6',
        '$GLOVEBOX_INSECURE insecure: `yes` is not true or false',
        'g.yaml:5:18 jobs.running: `0` is not a whole number from 1 to 1024',
      ],
    );
    assert.match(complaintsOf('rpc: { maxconnections: 7 }')[0] ?? '', /did you mean `rpc\.maxConnections`\?$/);
    assert.match(complaintsOf('maxConnections: 7')[0] ?? '', /did you mean `rpc\.maxConnections`\?$/);
    assert.match(complaintsOf('listen: 127.0.0.1:1\nlisten: 127.0.0.1:2')[0] ?? '', /^g\.yaml:2:1 .*unique/);
    assert.match(complaintsOf('listen: [')[0] ?? '', /^g\.yaml:1:\d+ /);
    assert.match(complaintsOf('- listen')[0] ?? '', /^g\.yaml:1:1 the file is not a group/);
  });

  it('a wrong value in the file stops the start even where the environment says something else', () => {
    assert.equal(complaintsOf('listen: here', { GLOVEBOX_LISTEN: '127.0.0.1:1' }).length, 1);
  });

  it('serves metrics, which ask nobody who they are, to this machine only', () => {
    for (const one of ['0.0.0.0:9464', '10.0.0.1:9464', '[::]:9464', 'metrics.example:9464', '127.0.0.1.example:9'])
      assert.equal(complaintsOf(`metrics: "${one}"`).length, 1, one);
    for (const one of ['127.0.0.1:9464', '[::1]:9464', 'localhost:0'])
      assert.equal(read(`metrics: "${one}"`).kind, 'configuration', one);
  });

  it('takes origins and nothing that says more', () => {
    assert.equal(read('webhooks: [https://a.example, "http://b.example:8080"]').kind, 'configuration');
    for (const one of ['https://a.example/path', 'ftp://a.example', 'https://me@a.example', 'a.example'])
      assert.equal(complaintsOf(`webhooks: ["${one}"]`).length, 1, one);
  });

  it('tells variables that are no settings, and does not stop for them', () => {
    const answer = read('', { GLOVEBOX_PORT_7443_TCP: 'tcp://10.0.0.1:7443', GLOVEBOX_CREDENTIAL: 'x', OTHER: 'y' });
    assert.equal(answer.kind, 'configuration');
    if (answer.kind === 'configuration') assert.deepEqual(answer.unknownVariables, ['GLOVEBOX_PORT_7443_TCP']);
  });

  it('no bytes make it throw', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), fc.string({ unit: 'binary' })), (text) => {
        const { kind } = read(text);
        assert.ok(kind === 'configuration' || kind === 'complaints');
      }),
    );
    for (const hostile of [
      '&a [*a]',
      'listen: &a 127.0.0.1:1\ndata: *a',
      '!!js/function x',
      '{'.repeat(9000),
      '? [a]\n: b',
      'null',
      '~: 1',
    ])
      assert.ok(read(hostile).kind.length > 0, hostile.slice(0, 20));
    assert.match(complaintsOf(`#${'x'.repeat(70_000)}`)[0] ?? '', /larger than/);
  });

  it('every setting accepts its own default, and has a variable of its own', () => {
    const names = Object.values(SETTINGS).map(({ name }) => environmentName(name));
    assert.equal(new Set(names).size, names.length);
    for (const { name, kind, standard } of Object.values(SETTINGS) as readonly Setting[]) {
      if (standard === null || typeof standard === 'object') continue;
      assert.equal(kind.read(standard), standard, name);
      assert.equal(kind.read(typeof standard === 'string' ? standard : JSON.stringify(standard)), standard, name);
    }
  });

  it('the table in the documentation is the one of the code', () => {
    assert.ok(isTableCurrent(ROOT), 'run node runtime/configuration/write-table.ts');
  });

  it('the file of the systemd unit is valid', () => {
    assert.equal(read(readFileSync(join(ROOT, 'deploy/glovebox.yaml'), 'utf8')).kind, 'configuration');
  });

  it('`config show` prints values with their origins, `config check` and `serve` end with complaints', () => {
    const folder = mkdtempSync(join(tmpdir(), 'glovebox-config-'));
    try {
      const file = join(folder, 'g.yaml');
      writeFileSync(file, 'listen: 127.0.0.1:1\nlog: { level: loud }\n');
      const run = (...words: readonly string[]): { readonly status: number | null; readonly text: string } => {
        const main = ['--disable-warning=ExperimentalWarning', join(ROOT, 'runtime/cli/main.ts'), ...words];
        const { status, stdout, stderr } = spawnSync(process.execPath, main, {
          encoding: 'utf8',
          env: { PATH: process.env['PATH'], GLOVEBOX_JOBS_RUNNING: '3', GLOVEBOX_DATA: join(folder, 'data') },
        });
        return { status, text: `${stdout}${stderr}` };
      };
      const wrong = `${file}:2:15 log.level: \`loud\` is not debug, info, warn, error`;
      assert.deepEqual(run('config', 'check', file), { status: 1, text: `${wrong}\n` });
      const served = run('serve', '--config', file);
      assert.equal(served.status, 2);
      assert.ok(served.text.includes(wrong), served.text);
      writeFileSync(file, 'listen: 127.0.0.1:1\n');
      const shown = run('config', 'show', '--config', file, '--log-level', 'warn');
      assert.equal(shown.status, 0, shown.text);
      assert.match(shown.text, /^listen +127\.0\.0\.1:1 +.*g\.yaml:1:9$/m);
      assert.match(shown.text, /^jobs\.running +3 +\$GLOVEBOX_JOBS_RUNNING$/m);
      assert.match(shown.text, /^log\.level +warn +--log-level$/m);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
