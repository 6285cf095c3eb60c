import assert from 'node:assert/strict';
import { chmodSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Command } from 'commander';
import { commandLine } from '../../runtime/cli/program.ts';
import { connect } from '../../runtime/client/connect.ts';
import { glovebox, gloveboxProcess, serveRuntime, type ServedRuntime } from './runtime.ts';

interface JobAnswer {
  readonly job: {
    readonly id: string;
    readonly state: string;
    readonly reasons: readonly { readonly code: string }[];
    readonly receipt: { readonly document: string } | null;
  };
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}
interface Failure {
  readonly error: { readonly code: string; readonly message: string };
}

const VISITS = ['patient,ward,cost', ...Array.from({ length: 240 }, (_, i) => `${i % 60},w${i % 3},${(i * 7) % 100}`)];
const POLICY = `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: hospital/visits, grade: internal }
privacyUnit: [patient]
columns:
  patient: { rights: [countDistinct] }
  ward: { rights: [group, filter] }
  cost: { rights: [aggregate], bounds: [0, 100] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 5 }, when: { count: { max: 50 } } }
`;

let runtime: ServedRuntime;
let acme: string;
let agreement: string;
const path = (name: string): string => join(runtime.folder, name);
const asAcme = (): readonly string[] => ['--as', acme];

before(async () => {
  runtime = await serveRuntime();
  acme = path('acme.json');
  writeFileSync(path('visits.csv'), VISITS.join('\n'));
  writeFileSync(path('visits.yaml'), POLICY);
  const did = async (...args: readonly string[]): Promise<void> => {
    const { exit, stderr, stdout } = await runtime.run(...args);
    assert.equal(exit, 0, `${args.join(' ')}: ${stderr}${stdout}`);
  };
  await did('party', 'add', 'acme', '--role', 'consumer', '--out', acme);
  await did('dataset', 'add', 'hospital/visits', '--from', path('visits.csv'));
  await did('policy', 'attach', path('visits.yaml'));
  const offered = await runtime.json<{ agreement: { id: string; state: string } }>(
    'agreement',
    'offer',
    '--dataset',
    'hospital/visits',
    '--to',
    'acme',
  );
  agreement = offered.value.agreement.id;
  assert.equal(offered.value.agreement.state, 'offered');
  await did('agreement', 'accept', '--as', acme);
});
after(async () => await runtime[Symbol.asyncDispose]());

describe('the command line against a runtime of its own', () => {
  it('answers an allowed job with rows, columns and a receipt that verifies offline', async () => {
    const { exit, value } = await runtime.json<JobAnswer>(
      'job',
      'run',
      'select ward, count(*) as n, sum(cost) as cost from visits group by ward order by ward',
      ...asAcme(),
    );
    assert.equal(exit, 0);
    assert.deepEqual(
      value.columns.map(({ name }) => name),
      ['ward', 'n', 'cost'],
    );
    const sum = (ward: number): number =>
      VISITS.slice(1)
        .map((line) => line.split(','))
        .filter(([, name]) => name === `w${ward}`)
        .reduce((total, [, , cost]) => total + Number(cost), 0);
    assert.deepEqual(
      value.rows,
      [0, 1, 2].map((ward) => ({ ward: `w${ward}`, n: 80, cost: sum(ward) })),
    );
    writeFileSync(path('receipt'), value.job.receipt?.document ?? '');
    await runtime.run('evidence', 'key', '--out', path('log.pub'), ...asAcme());
    // No --data, no --server, no credential: only the two files.
    const verified = await gloveboxProcess(['evidence', 'verify', path('receipt'), '--key', path('log.pub'), '--json']);
    assert.equal(verified.exit, 0, verified.stderr);
    assert.equal((JSON.parse(verified.stdout) as { isValid: boolean }).isValid, true);
    writeFileSync(path('forged'), (value.job.receipt?.document ?? '').replace(/^index (\d+)/m, 'index 1$1'));
    const forged = await gloveboxProcess(['evidence', 'verify', path('forged'), '--key', path('log.pub'), '--json']);
    assert.equal(forged.exit, 1);
    assert.equal((JSON.parse(forged.stdout) as { isValid: boolean }).isValid, false);
  });

  it('refuses rows with exit code 1, the reason and what would be allowed', async () => {
    const { exit, value } = await runtime.json<JobAnswer>('job', 'run', 'select * from visits', ...asAcme());
    assert.equal(exit, 1);
    assert.equal(value.job.state, 'denied');
    assert.deepEqual(
      value.job.reasons.map(({ code }) => code),
      ['rows-not-released'],
    );
    const { exit: people, stdout } = await runtime.runProcess('job', 'run', 'select patient from visits', ...asAcme());
    assert.equal(people, 1);
    assert.match(stdout, /rows-not-released/);
    assert.match(stdout, /what would be allowed: /);
  });

  it('answers in CSV, JSON and Arrow files, and refuses an ending that it does not know', async () => {
    const sql = 'select ward, count(*) as n from visits group by ward order by ward';
    const toFile = async (name: string): Promise<number | null> =>
      (await runtime.run('job', 'run', sql, '--out', path(name), ...asAcme())).exit;
    assert.deepEqual([await toFile('a.csv'), await toFile('a.json'), await toFile('a.arrow')], [0, 0, 0]);
    assert.equal(readFileSync(path('a.csv'), 'utf8'), 'ward,n\nw0,80\nw1,80\nw2,80\n');
    assert.deepEqual((JSON.parse(readFileSync(path('a.json'), 'utf8')) as unknown[])[0], { ward: 'w0', n: 80 });
    assert.equal(readFileSync(path('a.arrow')).subarray(0, 6).toString(), 'ARROW1');
    assert.equal(await toFile('a.parquet'), 2);
  });

  it('tells wrong usage from a refusal by exit code 2, also with --json', async () => {
    for (const args of [
      ['job', 'run'],
      ['job', 'run', 'select 1', '--sql', 'select 2'],
      ['dataset', 'add', 'x', '--from', '/nonexistent.csv'],
      ['party', 'add', 'x', '--role', 'king'],
      ['no-such-command'],
      ['job', 'run', 'select 1', '--as', '/nonexistent.json'],
    ]) {
      const { exit, stdout } = await runtime.run(...args, '--json');
      assert.equal(exit, 2, args.join(' '));
      if (stdout !== '') assert.equal((JSON.parse(stdout) as Failure).error.code, 'usage', args.join(' '));
    }
  });

  it('lets nobody act outside their role', async () => {
    const refused = async (...args: readonly string[]): Promise<string> => {
      const { exit, value } = await runtime.json<Failure>(...args);
      assert.equal(exit, 1, args.join(' '));
      return value.error.code;
    };
    assert.equal(await refused('party', 'add', 'mallory', '--role', 'operator', ...asAcme()), 'role-missing');
    assert.equal(await refused('policy', 'attach', path('visits.yaml'), ...asAcme()), 'role-missing');
    assert.equal(await refused('job', 'run', 'select 1'), 'role-missing');
    assert.equal(await refused('job', 'show', 'job-unknown', ...asAcme()), 'not-found');
    assert.equal(await refused('agreement', 'offer', '--dataset', 'hospital/visits', '--to', 'nobody'), 'not-found');
  });

  it('says where a policy file is wrong, and attaches nothing of it', async () => {
    writeFileSync(path('wrong.yaml'), POLICY.replace('rights: [group, filter]', 'rights: [group, guess]'));
    const checked = await glovebox(['policy', 'check', path('wrong.yaml')]);
    assert.equal(checked.exit, 1);
    assert.match(checked.stdout, /wrong\.yaml:7:\d+ .*rights/);
    const attached = await runtime.run('policy', 'attach', path('wrong.yaml'));
    assert.equal(attached.exit, 1);
    assert.match(attached.stdout, /wrong\.yaml:7:\d+ /);
    writeFileSync(path('misfit.yaml'), POLICY.replace('  ward:', '  phone:'));
    const misfit = await runtime.run('policy', 'attach', path('misfit.yaml'));
    assert.equal(misfit.exit, 1);
    assert.match(misfit.stdout, /misfit\.yaml:7:\d+ .*`phone` is not in/);
    const { value } = await runtime.json<{ policy: { version: number } }>('policy', 'show', 'hospital/visits');
    assert.equal(value.policy.version, 1);
  });

  it('stops a suspended agreement and a suspended party, and goes on when they are resumed', async () => {
    using connections = new DisposableStack();
    const consumer = connections.adopt(connect({ credential: acme }), (open) => open.close());
    const ask = async (): Promise<string> => {
      try {
        const { job } = await consumer.jobs.sql('select count(*) as n from visits');
        return job.reasons[0]?.code ?? job.state;
      } catch (error) {
        return (error as { readonly code: string }).code;
      }
    };
    assert.equal(await ask(), 'released');
    await runtime.run('agreement', 'suspend', agreement, '--note', 'audit');
    assert.equal(await ask(), 'agreement-not-active');
    await runtime.run('agreement', 'resume', agreement);
    assert.equal(await ask(), 'released');
    await runtime.run('party', 'suspend', 'acme');
    assert.equal(await ask(), 'party-not-admitted');
    await runtime.run('party', 'resume', 'acme');
    await runtime.run('stop-all', '--note', 'drill');
    assert.equal(await ask(), 'stopped');
    await runtime.run('stop-all', '--resume', '--note', 'drill over');
    assert.equal(await ask(), 'released');
  });

  it('counts uses under a limit, and an agreement that has ended allows nothing', async () => {
    await runtime.run('party', 'add', 'beta', '--role', 'consumer', '--out', path('beta.json'));
    writeFileSync(path('two.yaml'), POLICY.replace('max: 50', 'max: 2'));
    await runtime.run('policy', 'attach', path('two.yaml'));
    const until = new Date(Date.now() + 3600_000).toISOString();
    const over = await runtime.run(
      'agreement',
      'offer',
      '--dataset',
      'hospital/visits',
      '--to',
      'beta',
      '--not-after',
      '2020-01-01',
      '--json',
    );
    assert.notEqual(over.exit, 0, 'an agreement in the past is not offered');
    await runtime.run('agreement', 'offer', '--dataset', 'hospital/visits', '--to', 'beta', '--not-after', until);
    const accepted = await runtime.run('agreement', 'accept', '--as', path('beta.json'));
    assert.equal(accepted.exit, 0, accepted.stderr);
    using connections = new DisposableStack();
    const beta = connections.adopt(connect({ credential: path('beta.json') }), (open) => open.close());
    const ask = async (what: string): Promise<string> => {
      const { job } = await beta.jobs.sql(`select ${what} from visits`);
      return job.reasons[0]?.code ?? job.state;
    };
    const [n, mean] = ['count(*) as n', 'avg(cost) as mean'];
    // The same question is answered from the record, and is a use all the same.
    assert.deepEqual([await ask(n), await ask(n), await ask(mean)], ['released', 'released', 'budget-exhausted']);
    const { value } = await runtime.json<{ budgets: readonly { consumer: string; uses: number; usesLimit: number }[] }>(
      'budget',
      'show',
      '--as',
      path('beta.json'),
    );
    const mine = value.budgets.find(({ usesLimit }) => usesLimit === 2);
    assert.deepEqual([mine?.consumer, mine?.uses], ['beta', 2]);
  });

  it('renews a credential: older ones go on, or end at once where they are to be revoked', async () => {
    const [first, second, third] = ['first', 'second', 'third'].map((name) => path(`${name}.json`));
    const whoAmI = async (file = ''): Promise<number | null> =>
      (await runtime.run('party', 'whoami', '--as', file)).exit;
    await runtime.run('party', 'add', 'delta', '--role', 'consumer', '--out', first ?? '');
    // By the party itself, with the credential that it has; then by the operator, when it was stolen.
    const own = await runtime.run('party', 'renew', '--out', second ?? '', '--as', first ?? '');
    assert.deepEqual([own.exit, await whoAmI(first), await whoAmI(second)], [0, 0, 0], own.stderr);
    const others = await runtime.run('party', 'renew', 'beta', '--out', path('stolen.json'), '--as', second ?? '');
    assert.equal(others.exit, 1, 'nobody renews for another');
    const lost = await runtime.run('party', 'renew', 'delta', '--revoke-old', '--out', third ?? '');
    assert.deepEqual([lost.exit, await whoAmI(first), await whoAmI(second), await whoAmI(third)], [0, 1, 1, 0]);
  });

  it('gives parts and total under a rule that compares answers, where nobody is between them', async () => {
    await runtime.run('party', 'add', 'gamma', '--role', 'consumer', '--out', path('gamma.json'));
    writeFileSync(path('guard.yaml'), POLICY.replace('minUnits: 5', 'minUnits: 5, differencing: guard'));
    await runtime.run('policy', 'attach', path('guard.yaml'));
    await runtime.run('agreement', 'offer', '--dataset', 'hospital/visits', '--to', 'gamma');
    await runtime.run('agreement', 'accept', '--as', path('gamma.json'));
    const ask = (sql: string): ReturnType<typeof runtime.json<JobAnswer>> =>
      runtime.json<JobAnswer>('job', 'run', sql, '--as', path('gamma.json'));
    const parts = await ask('select ward, count(*) as n from visits group by ward');
    // Nothing small was left out of the parts, so the total tells nothing more.
    const total = await ask('select count(*) as n from visits');
    assert.deepEqual([parts.exit, parts.value.rows.length, total.exit, total.value.rows.length], [0, 3, 0, 1]);
  });

  // Last: it breaks the dataset.
  it('notices one changed byte of a dataset, and computes nothing on it', async () => {
    const intact = await runtime.json<{ verdict: { isIntact: boolean } }>('dataset', 'verify', 'hospital/visits');
    assert.deepEqual([intact.exit, intact.value.verdict.isIntact], [0, true]);
    const [file = ''] = globSync('datasets/**/*.parquet', { cwd: runtime.data });
    assert.notEqual(file, '');
    const bytes = readFileSync(join(runtime.data, file));
    const at = Math.floor(bytes.length / 2);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    chmodSync(join(runtime.data, file), 0o600);
    writeFileSync(join(runtime.data, file), bytes);
    const { exit, stdout } = await runtime.run('dataset', 'verify', 'hospital/visits');
    assert.equal(exit, 1);
    assert.match(stdout, /CHANGED/);
    const job = await runtime.json<JobAnswer>('job', 'run', 'select count(*) as n from visits', ...asAcme());
    assert.equal(job.exit, 1);
    assert.equal(job.value.job.reasons[0]?.code, 'dataset-changed');
  });

  it('lists datasets of which one lost its files, says so to its provider, and computes nothing on it', async () => {
    rmSync(dirname(dirname(join(runtime.data, globSync('datasets/**/*.parquet', { cwd: runtime.data })[0] ?? ''))), {
      recursive: true,
    });
    type Listed = { datasets: readonly { name: string; tables: readonly unknown[]; findings: readonly string[] }[] };
    const { exit, value } = await runtime.json<Listed>('dataset', 'list');
    const lost = value.datasets.find(({ name }) => name === 'hospital/visits');
    assert.deepEqual([exit, lost?.tables], [0, []]);
    assert.match(lost?.findings[0] ?? '', /not what was registered/);
    const verified = await runtime.run('dataset', 'verify', 'hospital/visits');
    assert.deepEqual([verified.exit, /it is gone/.test(verified.stdout)], [1, true], verified.stdout);
    const job = await runtime.json<JobAnswer>('job', 'run', 'select count(*) as lost from visits', ...asAcme());
    assert.deepEqual([job.exit, job.value.job.reasons[0]?.code], [1, 'dataset-changed']);
  });

  it('every command has help with an example', () => {
    const silent = (command: Command): readonly string[] => {
      if (command.commands.length > 0) return command.commands.flatMap(silent);
      let help = '';
      command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
      return /Example:\n {2}glovebox /.test(help) ? [] : [command.name()];
    };
    assert.deepEqual(silent(commandLine()), []);
  });
});
