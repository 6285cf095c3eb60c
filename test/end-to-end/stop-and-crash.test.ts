import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import { registerFiles } from '../../runtime/client/upload.ts';
import { parseVerifierKey } from '../../runtime/evidence/note.ts';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import { serveRuntime, type ServedRuntime } from './runtime.ts';

const POLICY = `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: visits }
privacyUnit: [patient]
columns:
  patient: { rights: [countDistinct] }
  ward: { rights: [group, filter] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 5 }, when: { count: { max: 10 } } }
`;
const ASK = 'select ward, count(*) as n from visits group by ward';

// A worker that is stopped by a signal looks to the gateway like one whose query never ends.
describe('a job that is running', () => {
  let runtime: ServedRuntime;
  let provider: Glovebox;
  let acme: Glovebox;
  let agreement: string;
  const connectAll = (): void => {
    provider = connect({ credential: runtime.credential, server: runtime.address });
    acme = connect({ credential: join(runtime.folder, 'acme.json'), server: runtime.address });
  };
  const uses = async (): Promise<number> => {
    const { budgets } = await acme.budgets.get({ dataset: 'visits' });
    const counted = budgets.find(({ usesLimit }) => Number(usesLimit) === 10);
    return Number(counted?.uses ?? 0) + Number(counted?.usesReserved ?? 0);
  };
  let asked = 0;
  /** Submits a job and resolves when a worker computes it, which will never end. A new name makes it a new question. */
  const startEndless = async (): Promise<string> => {
    asked += 1;
    const text = ASK.replace('as n', `as endless_${asked}`);
    const { job } = await acme.jobs.submit({ job: { computation: { kind: 'sql', sql: { text } } } });
    for await (const { job: now } of acme.jobs.watch({ id: job?.id ?? '' })) if (now?.progress?.stage === 'run') break;
    return job?.id ?? '';
  };

  before(async () => {
    runtime = await serveRuntime();
    provider = connect({ credential: runtime.credential });
    const { credential } = await provider.parties.add({ name: 'acme', roles: ['consumer'] });
    writeFileSync(join(runtime.folder, 'acme.json'), credential);
    const rows = Array.from({ length: 100 }, (_, i) => `${i % 50},${i % 2 === 0 ? 'north' : 'south'}`);
    const file = join(runtime.folder, 'visits.csv');
    writeFileSync(file, ['patient,ward', ...rows].join('\n'));
    for await (const { reasons } of registerFiles(provider.catalogue, { name: 'visits' }, [{ path: file }]))
      assert.deepEqual(reasons, []);
    const attached = await provider.policies.attach({ document: POLICY, fileName: 'visits.yaml' });
    assert.deepEqual(attached.complaints, []);
    connectAll();
    const offer = await provider.agreements.offer({ dataset: 'visits', consumer: 'acme' });
    agreement = offer.agreement?.id ?? '';
    await acme.agreements.accept({ id: agreement });
    assert.equal((await acme.jobs.sql(ASK)).kind, 'released');
  });
  after(async () => {
    provider.close();
    acme.close();
    await runtime[Symbol.asyncDispose]();
  });

  it('is stopped within a second when its agreement is suspended, and nothing of it leaves', async () => {
    assert.ok(runtime.freezeWorkers('sql-worker') > 0, 'a warm worker is there to be stopped');
    const id = await startEndless();
    const ended = (async (): Promise<{ readonly state: string; readonly ticket: unknown } | null> => {
      let last = null;
      for await (const { job } of acme.jobs.watch({ id })) last = job;
      return last;
    })();
    const started = performance.now();
    const { stoppedJobs } = await provider.agreements.suspend({ id: agreement, note: 'audit' });
    const job = await ended;
    const ms = performance.now() - started;
    assert.equal(stoppedJobs, 1);
    assert.deepEqual([job?.state, job?.ticket], ['stopped', null]);
    assert.ok(ms < 1000, `${ms} ms`);
    await provider.agreements.resume({ id: agreement });
    assert.equal((await acme.jobs.sql(ASK)).kind, 'released');
  });

  it('is failed after the gateway was killed: counted once, no ticket, and earlier receipts still verify', async () => {
    const earlier = await acme.jobs.sql(ASK);
    assert.equal(earlier.kind, 'released');
    const document = Buffer.from(earlier.job.receipt?.document ?? []).toString('utf8');
    const before = await uses();
    assert.ok(runtime.freezeWorkers('sql-worker') > 0);
    const id = await startEndless();
    provider.close();
    acme.close();
    await runtime.crashAndRestart();
    connectAll();
    // It has another port after the restart, and the operator's commands on this machine find it.
    assert.equal(JSON.parse(readFileSync(runtime.credential, 'utf8')).server, runtime.address);

    const { job } = await acme.jobs.get({ id });
    assert.deepEqual([job?.state, job?.ticket, job?.reasons[0]?.code], ['failed', null, 'interrupted']);
    assert.equal(await uses(), before + 1);
    const { verifierKey } = await acme.evidence.getCheckpoint({});
    const key = parseVerifierKey(verifierKey);
    assert.ok(key !== undefined);
    assert.equal(verifyReceipt(document, key).kind, 'verified');
    const receipt = Buffer.from(job?.receipt?.document ?? []).toString('utf8');
    const verdict = verifyReceipt(receipt, key);
    assert.ok(verdict.kind === 'verified');
    assert.equal(verdict.event.kind, 'job.failed');
    // And the runtime works.
    assert.equal((await acme.jobs.sql(ASK)).kind, 'released');
    assert.equal(await uses(), before + 2);
  });
});
