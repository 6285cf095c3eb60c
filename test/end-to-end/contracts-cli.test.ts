import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runtimeCardText } from '../../runtime/identity/runtime-card.ts';
import { createAuthority, issueCredential } from '../../runtime/rpc/authority.ts';
import { formatVerifierKey } from '../../runtime/evidence/note.ts';
import { logOf, newSigner, receiptOf } from '../evidence/world.ts';
import { outputOf, serveRuntime, type ServedRuntime } from './runtime.ts';

const VISITS = ['patient,ward,cost', ...Array.from({ length: 120 }, (_, i) => `${i % 60},w${i % 3},${(i * 7) % 100}`)];
const POLICY = `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: visits, grade: important }
privacyUnit: [patient]
columns:
  patient: { rights: [countDistinct] }
  ward: { rights: [group, filter] }
  cost: { rights: [aggregate], bounds: [0, 100] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 5 } }
`;
const PRICES = `apiVersion: glovebox/v1
kind: PricePlan
currency: CNY
prices: [{ meter: calls, unitPrice: "0.80" }]
payment: prepaid
operatorShare: 0.05
`;

let runtime: ServedRuntime;
let agreement: string;
const path = (name: string): string => join(runtime.folder, name);
const as = (name: string): readonly string[] => ['--as', path(`${name}.json`)];
/** Runs a command that must succeed; its JSON. */
async function did<T = Readonly<Record<string, unknown>>>(...args: readonly string[]): Promise<T> {
  const { exit, value } = await runtime.json<T>(...args);
  assert.equal(exit, 0, `${args.join(' ')}: ${JSON.stringify(value)}`);
  return value;
}
/** Runs a command that must be refused; exit code and error text. */
async function refused(...args: readonly string[]): Promise<string> {
  const { exit, value } = await runtime.json<{
    error?: { message: string };
    job?: { reasons: readonly { code: string }[] };
  }>(...args);
  assert.notEqual(exit, 0, args.join(' '));
  return `${exit} ${value.error?.message ?? value.job?.reasons.map(({ code }) => code).join() ?? ''}`;
}
let asked = 0;
const question = (): string => `select ward, count(*) as n from visits group by ward limit ${(asked += 1) + 10}`;

before(async () => {
  runtime = await serveRuntime();
  writeFileSync(path('visits.csv'), VISITS.join('\n'));
  writeFileSync(path('visits.yaml'), POLICY);
  writeFileSync(path('prices.yaml'), PRICES);
  await Promise.all(
    [
      ['acme', 'consumer'],
      ['desk', 'consumer'],
      ['clearing', 'clearing'],
    ].map(([name = '', role = '']) => did('party', 'add', name, '--role', role, '--out', path(`${name}.json`))),
  );
  await did('dataset', 'add', 'visits', '--from', path('visits.csv'));
  await did('policy', 'attach', path('visits.yaml'));
  const offered = await did<{ agreement: { id: string } }>(
    'agreement',
    'offer',
    '--dataset',
    'visits',
    '--to',
    'acme',
    '--prices',
    path('prices.yaml'),
  );
  agreement = offered.agreement.id;
  await did('agreement', 'accept', ...as('acme'));
});
after(async () => await runtime[Symbol.asyncDispose]());

describe('contracts on the command line', () => {
  it('meters: credit is added once per order, a job draws on it, and meter, log and statement agree', async () => {
    assert.match(await refused('job', 'run', question(), ...as('acme')), /^1 credit-exhausted/);
    await did('meter', 'top-up', agreement, '--minor', '200', '--order', 'invoice-1');
    assert.match(await refused('meter', 'top-up', agreement, '--minor', '200', '--order', 'invoice-1'), /^1 /);
    assert.match(await refused('meter', 'top-up', agreement, '--minor', '1.5'), /^2 .*whole number/);
    await did('job', 'run', question(), ...as('acme'));
    await did('job', 'run', question(), ...as('acme'));
    assert.match(await refused('job', 'run', question(), ...as('acme')), /^1 credit-exhausted/);
    const report = await did<{ lines: readonly { chargeMicros: number | string }[] }>(
      'meter',
      'report',
      '--focus',
      path('focus.csv'),
      '--cloudevents',
      path('events.json'),
      ...as('acme'),
    );
    assert.equal(Number(report.lines[0]?.chargeMicros), 1_600_000);
    assert.match(readFileSync(path('focus.csv'), 'utf8'), /^[^\n]*BilledCost/);
    assert.equal((JSON.parse(readFileSync(path('events.json'), 'utf8')) as unknown[]).length, 2);
    assert.equal((await did<{ isEqual: boolean }>('meter', 'check', ...as('clearing'))).isEqual, true);
    const split = await did<{ revenueMinor: number | string; shares: readonly { shareMinor: number | string }[] }>(
      'meter',
      'split',
      '--by',
      'jobs',
      ...as('clearing'),
    );
    assert.deepEqual([Number(split.revenueMinor), Number(split.shares[0]?.shareMinor)], [152, 152]);
    assert.match(await refused('meter', 'split', ...as('acme')), /^1 .*role/);
    assert.match(await refused('meter', 'report', '--from', 'yesterday'), /^2 .*not a date/);
  });

  it('disputes: open, listed, freezing the settlement, resolved by who opened it; then it is settled once', async () => {
    assert.match(await refused('dispute', 'open', 'no', ...as('acme')), /^2 name --agreement ID or --job ID/);
    const { dispute } = await did<{ dispute: { id: string } }>(
      'dispute',
      'open',
      'the counts are wrong',
      '--agreement',
      agreement,
      ...as('acme'),
    );
    assert.match(await refused('meter', 'settle', agreement), new RegExp(`^1 .*frozen by the dispute .${dispute.id}`));
    assert.match(await refused('dispute', 'resolve', dispute.id, 'mine', ...as('desk')), /^1 no dispute/);
    const { stdout } = await runtime.runProcess('dispute', 'list', ...as('acme'));
    assert.match(stdout, new RegExp(`${dispute.id} +open .*the counts are wrong`));
    await did('dispute', 'resolve', dispute.id, 'recounted', ...as('acme'));
    assert.equal(
      (await did<{ jobs: number | string }>('meter', 'settle', agreement, ...as('clearing'))).jobs.toString(),
      '2',
    );
    assert.match(await refused('meter', 'settle', agreement, ...as('acme')), /^1 .*settles/);
    assert.match(await refused('meter', 'settle', agreement, '--until', '2000-01-01'), /^1 .*is settled until/);
  });

  it('mandates: a delegate asks for its principal until it is revoked, and cannot fetch', async () => {
    await did('meter', 'top-up', agreement, '--minor', '800');
    const { mandate } = await did<{ mandate: { id: string } }>(
      'mandate',
      'give',
      '--to',
      'desk',
      '--until',
      new Date(Date.now() + 86_400_000).toISOString(),
      '--agreement',
      agreement,
      ...as('acme'),
    );
    assert.match(
      await refused('mandate', 'give', '--to', 'desk', '--until', '2099-01-01', ...as('acme')),
      /^2 .*366 days/,
    );
    assert.match(await refused('mandate', 'give', '--to', 'desk', '--until', 'soon', ...as('acme')), /^2 .*not a date/);
    const { stdout } = await runtime.run('mandate', 'list', ...as('desk'));
    assert.match(stdout, new RegExp(`${mandate.id} +active +acme +desk`));
    const asDesk = ['job', 'run', question(), '--mandate', mandate.id, ...as('desk')];
    const answer = await runtime.json<{ job: { id: string; state: string }; rows?: unknown }>(...asDesk);
    assert.equal(answer.value.job.state, 'released');
    assert.equal(answer.value.rows, undefined, 'the rows are not the delegate’s');
    await did('mandate', 'revoke', mandate.id, ...as('acme'));
    assert.match(await refused('job', 'run', question(), '--mandate', mandate.id, ...as('desk')), /^1 /);
  });

  it('projects: saved, used, listed, removed; only of one’s own agreements', async () => {
    await did('project', 'save', 'study', '--agreement', agreement, ...as('acme'));
    assert.match(await refused('project', 'save', 'study', '--agreement', agreement, ...as('desk')), /^1 no agreement/);
    assert.match(
      (await runtime.run('project', 'list', ...as('acme'))).stdout,
      new RegExp(`study +${agreement} +visits +operator`),
    );
    await did('job', 'run', question(), '--project', 'study', ...as('acme'));
    await did('project', 'remove', 'study', ...as('acme'));
    assert.match(await refused('project', 'remove', 'study', ...as('acme')), /^1 no project/);
  });

  it('grades: shown, confirmed, and what is too weak for them is told', async () => {
    const { exit, stdout } = await runtime.run('policy', 'check', path('visits.yaml'), '--grade', 'core');
    assert.deepEqual(
      [exit, /visits\.yaml:3:\d+ metadata\.grade: .*not offered to anybody/.test(stdout)],
      [1, true],
      stdout,
    );
    assert.match((await runtime.run('dataset', 'grade', 'visits')).stdout, /not confirmed; proposed: internal/);
    assert.match(
      (await runtime.run('dataset', 'grade', 'visits', '--confirm', 'important')).stdout,
      /grade important, confirmed.*\n.*at least 5/,
    );
    assert.match(await refused('dataset', 'grade', 'visits', '--confirm', 'secret'), /^2 .*not a grade/);
    const { stdout: blocked } = await runtime.run('dataset', 'grade', 'visits', '--confirm', 'core');
    assert.match(blocked, new RegExp(`too weak for it.*${agreement}`));
    assert.match(await refused('job', 'run', question(), ...as('acme')), /^1 grade-not-met/);
    await did('dataset', 'grade', 'visits', '--confirm', 'internal');
    await did('job', 'run', question(), ...as('acme'));
  });

  it('other runtimes: a card with its pin, an introduction, a party that works here, and the end of it', async () => {
    const there = await createAuthority(Date.now());
    const { bundle } = await issueCredential(there, {
      party: 'lab',
      roles: ['consumer'],
      server: 'there.example:1',
      nowMs: Date.now(),
    });
    writeFileSync(path('lab.json'), JSON.stringify(bundle));
    const log = logOf(2, newSigner('there.example'));
    const verifierKey = formatVerifierKey(log.signer.verifier);
    writeFileSync(path('there.receipt'), receiptOf(log, 1));
    writeFileSync(
      path('there.card'),
      runtimeCardText({
        authority: there.name,
        certificate: there.certificate,
        verifierKey,
        server: 'there.example:1',
      }),
    );
    await did('trust', 'card', '--out', path('here.card'));
    assert.match(await refused('trust', 'add', path('there.card'), '--pin', 'ab'), /^2 .*not the one you were told/);
    assert.match(await refused('trust', 'add', path('lab.json')), /^2 .*format/);
    await did('trust', 'add', path('there.card'));
    await did(
      'party',
      'introduce',
      path('here.card'),
      '--out',
      path('lab.introduction'),
      '--credential',
      path('lab-here.json'),
      ...as('lab'),
    );
    await did('party', 'recognise', path('lab.introduction'), '--role', 'consumer');
    assert.match((await runtime.run('party', 'whoami', ...as('lab-here'))).stdout, /^lab \(consumer\)/);
    assert.match((await runtime.run('party', 'list')).stdout, new RegExp(`lab .*${there.name}`));
    assert.match((await runtime.run('trust', 'list')).stdout, new RegExp(`${there.name} +trusted .*lab`));
    const verify = ['evidence', 'verify', path('there.receipt')] as const;
    const trusted = await runtime.run(...verify);
    assert.equal(trusted.exit, 0);
    assert.match(trusted.stdout, new RegExp(`^valid: .*\nthe log of .${there.name}., trusted until 20`));
    assert.match((await runtime.run('trust', 'revoke', there.name)).stdout, /suspended: lab/);
    assert.match((await runtime.run('trust', 'list')).stdout, new RegExp(`${there.name} +revoked `));
    const told = await runtime.run(...verify);
    assert.equal(told.exit, 1);
    assert.match(
      told.stdout,
      new RegExp(`^NOT valid: genuine, but of the log of .${there.name}.: trust in it was revoked at 20`),
    );
    const {
      isValid,
      isGenuine,
      log: owner,
    } = JSON.parse((await runtime.run(...verify, '--json')).stdout) as {
      readonly isValid: boolean;
      readonly isGenuine: boolean;
      readonly log: { readonly kind: string; readonly authority: string };
    };
    assert.deepEqual([isValid, isGenuine, owner.kind, owner.authority], [false, true, 'revoked', there.name]);
    assert.equal((await runtime.run('party', 'whoami', ...as('lab-here'))).exit, 1);
  });

  it('statements: an entry in a DSSE envelope and in a Sigstore bundle, which openssl verifies with the log’s key', async () => {
    const { job } = await did<{ job: { id: string } }>('job', 'run', question(), ...as('acme'));
    await did('evidence', 'key', '--pem', path('log.pem'), ...as('acme'));
    await did('evidence', 'statement', job.id, '--out', path('dsse.json'), ...as('acme'));
    await did('evidence', 'statement', job.id, '--out', path('bundle.json'), '--bundle', ...as('acme'));
    const envelope = JSON.parse(readFileSync(path('dsse.json'), 'utf8')) as {
      payloadType: string;
      payload: string;
      signatures: readonly { sig: string }[];
    };
    const bundle = JSON.parse(readFileSync(path('bundle.json'), 'utf8')) as {
      mediaType: string;
      dsseEnvelope: unknown;
    };
    assert.equal(bundle.mediaType, 'application/vnd.dev.sigstore.bundle.v0.3+json');
    const signatures = envelope.signatures.map(({ sig }) => ({ keyid: '', sig }));
    assert.deepEqual(bundle.dsseEnvelope, { ...envelope, signatures });
    const payload = Buffer.from(envelope.payload, 'base64');
    const statement = JSON.parse(payload.toString()) as {
      _type: string;
      predicateType: string;
      subject: readonly { name: string }[];
    };
    assert.equal(statement._type, 'https://in-toto.io/Statement/v1');
    assert.ok(statement.subject.some(({ name }) => name.endsWith(job.id)));
    const verified = async (bytes: Buffer): Promise<number | null> => {
      writeFileSync(
        path('pae'),
        Buffer.concat([
          Buffer.from(`DSSEv1 ${envelope.payloadType.length} ${envelope.payloadType} ${bytes.length} `),
          bytes,
        ]),
      );
      writeFileSync(path('sig'), Buffer.from(envelope.signatures[0]?.sig ?? '', 'base64'));
      return (
        await outputOf(
          spawn('openssl', [
            'pkeyutl',
            '-verify',
            '-pubin',
            '-rawin',
            '-inkey',
            path('log.pem'),
            '-in',
            path('pae'),
            '-sigfile',
            path('sig'),
          ]),
        )
      ).exit;
    };
    assert.equal(await verified(payload), 0);
    assert.equal(await verified(Buffer.from(payload.toString().replace('release', 'deleased'))), 1);
    assert.match(await refused('evidence', 'statement', job.id, '--out', path('x'), ...as('desk')), /^1 no job/);
    assert.match(await refused('evidence', 'statement', '--out', path('x')), /^2 name a job/);
    assert.match(
      await refused('evidence', 'statement', '--entry', '0', '--out', path('x'), ...as('acme')),
      /^1 .*role/,
    );
    await did('evidence', 'statement', '--entry', '0', '--out', path('first.json'));
  });
});
