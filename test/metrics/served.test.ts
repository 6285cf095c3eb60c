import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, it } from 'node:test';

const ROOT = join(import.meta.dirname, '..', '..');
const MAIN = ['--disable-warning=ExperimentalWarning', join(ROOT, 'runtime/cli/main.ts')];
/** Words that stand in the queries below and must stand nowhere else. */
const SECRET = 'zebra_crossing';

describe('a runtime that is watched', () => {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-metrics-'));
  const data = join(folder, 'data');
  const log = join(folder, 'gateway.log');
  let child: ReturnType<typeof spawn>;
  let metricsPort = 0;
  let address = '';

  before(async () => {
    const flags = ['--data', data, '--listen', '127.0.0.1:0', '--metrics', '127.0.0.1:0', '--log-file', log, '--json'];
    child = spawn(process.execPath, [...MAIN, 'serve', ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
    assert.ok(child.stdout);
    for await (const line of createInterface({ input: child.stdout })) {
      ({ metricsPort, address } = JSON.parse(line) as { metricsPort: number; address: string });
      break;
    }
    const acme = join(folder, 'acme.json');
    await run('party', 'add', 'acme', '--role', 'consumer', '--out', acme);
    await run('dataset', 'add', 'clinical', '--from', ...files('colon', 'extent', 'flchain', 'pbcseq'));
    await run('policy', 'attach', join(ROOT, 'policies/clinical.yaml'));
    await run('agreement', 'offer', '--dataset', 'clinical', '--to', 'acme');
    await run('agreement', 'accept', '--as', acme);
    await run('job', 'run', `select rx, count(distinct id) as ${SECRET} from colon group by rx`, '--as', acme);
    await run('job', 'run', `select * as ${SECRET} from colon`, '--as', acme).catch(() => undefined);
    await run('job', 'run', 'select id from colon', '--as', acme).catch(() => undefined);
    // Refused with a reason that quotes the query, for a purpose in the asker's own words, under a provider's note.
    await run('job', 'run', `select ${SECRET} from colon`, '--as', acme, '--purpose', SECRET).catch(() => undefined);
    await run('stop-all', '--note', SECRET);
    await run('stop-all', '--resume', '--note', SECRET);
  });
  after(async () => {
    const gone = once(child, 'exit');
    child.kill('SIGTERM');
    await gone;
    rmSync(folder, { recursive: true, force: true });
  });

  function files(...tables: readonly string[]): readonly string[] {
    return tables
      .map((table) => join(ROOT, 'examples/data/clinical', `${table}.csv`))
      .filter((file) => existsSync(file));
  }

  function run(...words: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const env = { ...process.env, GLOVEBOX_DATA: data };
      execFile(process.execPath, [...MAIN, ...words, '--server', address], { env }, (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(`${words.join(' ')}: ${stdout}${stderr}`));
      });
    });
  }

  function get(
    path: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      request({ host: '127.0.0.1', port: metricsPort, path, headers }, (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      })
        .on('error', reject)
        .end();
    });
  }

  it('tells Prometheus jobs by state and reason, stages, workers, budgets, evidence and isolation', async () => {
    const { status, text } = await get('/metrics');
    assert.equal(status, 200);
    assert.match(text, /^glovebox_jobs_ended_total\{state="released",reason="none"\} 1$/m);
    assert.match(text, /^glovebox_jobs_ended_total\{state="denied",reason="[a-z-]+"\} [12]$/m);
    for (const stage of ['identify', 'parse', 'decide', 'reserve', 'run', 'disclose', 'record', 'release'])
      assert.match(text, new RegExp(`^glovebox_job_stage_seconds_count\\{stage="${stage}"\\} [1-9]`, 'm'), stage);
    assert.match(text, /^glovebox_jobs\{state="running"\} 0$/m);
    assert.match(text, /^glovebox_workers\{state="idle"\} \d+$/m);
    assert.match(text, /^glovebox_budget_uses_left\{dataset="clinical",consumer="acme",rule="\w+"\} \d+$/m);
    assert.match(text, /^glovebox_evidence_entries [1-9]\d*$/m);
    assert.match(text, /^glovebox_evidence_lag_entries \d+$/m);
    assert.equal(text.match(/^glovebox_isolation_level\{level="\w+"\} 1$/gm)?.length, 1);
    // Every line is a comment or `name{labels} number`, the text format of Prometheus.
    const bad = text
      .split('\n')
      .filter((line) => !/^(#.*|[a-zA-Z_:][\w:]*(\{.*\})? (-?[\d.e+-]+|NaN|\+Inf))?$/.test(line));
    assert.deepEqual(bad, []);
  });

  it('no metric, no line of the log and no view of `top` holds words of those who ask', async () => {
    const { text } = await get('/metrics');
    assert.ok(!text.includes(SECRET));
    assert.ok(!text.includes('select'));
    for (const view of [await run('top', '--once'), await run('top', '--once', '--json')])
      assert.ok(!view.includes(SECRET), view);
    const logged = readFileSync(log, 'utf8');
    assert.match(logged, /"msg":"job\.ended"/);
    assert.ok(!logged.includes(SECRET));
  });

  it('serves nothing else, and no page that came by another name', async () => {
    assert.equal((await get('/')).status, 404);
    assert.equal((await get('/metrics/../keys')).status, 404);
    assert.equal((await get('/metrics', { host: 'evil.example' })).status, 404);
    assert.equal((await get('/metrics', { host: `localhost:${metricsPort}` })).status, 200);
  });

  it('logs to a private file, and to a new one after SIGHUP when it was moved away', async () => {
    assert.equal(statSync(log).mode & 0o777, 0o600);
    renameSync(log, `${log}.moved`);
    child.kill('SIGHUP');
    // The signal is handled before the call is answered or with the next one.
    for (let tries = 0; tries < 500 && !existsSync(log); tries++) await get('/metrics');
    assert.ok(existsSync(log));
  });

  it('`top --once` shows jobs, budgets and workers; `--json` the same as a document', async () => {
    const text = await run('top', '--once');
    assert.match(text, /isolation \w+/);
    assert.match(text, /no job runs or waits/);
    assert.match(text, /job-\w+ +acme +clinical +released/);
    assert.match(text, /clinical +acme +\w+ +\d+ of \d+ uses +█*░+/);
    const { status, jobs, budgets } = JSON.parse(await run('top', '--once', '--json')) as Record<string, unknown>;
    assert.ok(status !== null && Array.isArray(jobs) && Array.isArray(budgets));
    assert.equal(jobs.length >= 2, true);
  });
});
