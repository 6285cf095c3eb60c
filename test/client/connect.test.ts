import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import type { Job } from '../../runtime/gen/messages.ts';
import { GloveboxError } from '../../runtime/client/error.ts';
import { EMPTY_JOB, startSmallRuntime, type SmallRuntime } from '../rpc/small-runtime.ts';

let runtime: SmallRuntime;
let acme: Glovebox;

before(async () => {
  runtime = await startSmallRuntime();
  acme = connect({ credential: await runtime.addParty('acme') });
});
after(() => {
  acme.close();
  runtime.close();
});

test('a job runs from request to table in one call, signed, with every change reported', async () => {
  const states: string[] = [];
  const outcome = await acme.jobs.sql(
    'select ward, count(*) from visits group by ward',
    {},
    {
      onChange: (job) => void states.push(job.state),
    },
  );
  assert.deepEqual(states, ['queued', 'running', 'released']);
  assert.equal(outcome.kind, 'released');
  if (outcome.kind !== 'released') return;
  assert.deepEqual(
    outcome.table.toArray().map((row) => row?.toJSON()),
    [
      { ward: 'surgery', patients: 12n },
      { ward: null, patients: 34n },
    ],
  );
  assert.deepEqual(runtime.asked.slice(-2), ['submit acme signed', 'openRelease acme']);
});

test('a denied job is an answer with the reason, not an error', async () => {
  const outcome = await acme.jobs.sql('select secret from visits');
  assert.equal(outcome.kind, 'refused');
  if (outcome.kind !== 'refused') return;
  assert.deepEqual(outcome.reasons, [
    {
      code: 'column-not-granted',
      message: 'column `secret` is not granted',
      clause: null,
      at: { line: 1, column: 8 },
      remedy: null,
    },
  ]);
});

test('a denial of an rpc whose answer has no reasons is PERMISSION_DENIED with the reasons in its detail', async () => {
  await assert.rejects(acme.jobs.cancel({ id: 'job-1' }), (thrown) => {
    assert.ok(thrown instanceof GloveboxError);
    assert.deepEqual([thrown.code, thrown.status, thrown.reasons[0]?.code], ['denied', 7, 'wrong-state']);
    return true;
  });
  const { reasons } = await acme.agreements.offer({ dataset: 'hospital/visits' });
  assert.equal(reasons[0]?.code, 'policy-unknown');
});

test('a fault of the runtime is INTERNAL with an incident name; its text is logged and never sent', async () => {
  await assert.rejects(acme.jobs.list({}), (thrown) => {
    assert.ok(thrown instanceof GloveboxError);
    assert.equal(thrown.code, 'internal');
    assert.equal(thrown.message, `the runtime failed (incident ${thrown.incident})`);
    const entry = runtime.logged.find(({ fields }) => fields['incident'] === thrown.incident);
    assert.match(String(entry?.fields['cause']), /Alice/);
    return true;
  });
});

test('an rpc that is not built answers UNIMPLEMENTED and says so', async () => {
  await assert.rejects(acme.budgets.list({}), { code: 'not-available', status: 12 });
});

test('a wrong ticket is refused with one message, whatever is wrong with it', async () => {
  await assert.rejects(acme.readTable(Buffer.from('ticket-2')), { code: 'ticket-not-valid', status: 5 });
  await assert.rejects(acme.readTable(new Uint8Array(0)), { code: 'ticket-not-valid', status: 5 });
  await assert.rejects(acme.readTable(new Uint8Array(5000)), { code: 'ticket-not-valid', status: 5 });
});

test('an upload streams parts up and progress down, and ends with the reasons when it is refused', async () => {
  const events: string[] = [];
  const parts = [
    { part: { kind: 'header', header: { name: 'hospital/visits' } } },
    { part: { kind: 'chunk', chunk: new Uint8Array(1000) } },
    { part: { kind: 'chunk', chunk: new Uint8Array(24) } },
    { part: { kind: 'end', end: {} } },
  ] as const;
  for await (const { event, reasons } of acme.catalogue.registerDataset(parts)) {
    events.push(event?.kind === 'progress' ? `progress ${event.progress.done}` : String(reasons[0]?.message));
  }
  assert.deepEqual(events, ['progress 1000', 'progress 1024', 'received 1024 bytes and they are damaged']);
});

test('an error of the caller’s own upload is what the caller sees', async () => {
  const parts = function* (): Generator<{ readonly part: null }> {
    yield { part: null };
    throw new Error('cannot read visits.csv');
  };
  const upload = async (): Promise<void> => {
    for await (const answer of acme.catalogue.registerDataset(parts())) assert.fail(String(answer.event?.kind));
  };
  await assert.rejects(upload(), /cannot read visits\.csv/);
});

test('a value of the wrong type is refused before anything is sent', async () => {
  const asked = runtime.asked.length;
  await assert.rejects(acme.jobs.submit({ job: { deadlineMs: 1.5 } }), TypeError);
  await assert.rejects(acme.meters.report({ fromMs: 'today' as unknown as number }), TypeError);
  assert.equal(runtime.asked.length, asked);
});

test('a caller that gives up takes its job with it', async () => {
  const cancelled = Promise.withResolvers<string>();
  const other = await startSmallRuntime({
    override: {
      jobs: {
        submit: () => Promise.resolve({ job: EMPTY_JOB, wasKnown: false, result: [] }),
        async *watch(_caller, _request, { signal }) {
          yield { job: { ...EMPTY_JOB, state: 'running' } };
          await once(signal, 'abort');
        },
        cancel: (_caller, { id }) => {
          cancelled.resolve(id);
          return Promise.resolve({ job: { ...EMPTY_JOB, state: 'cancelled' } });
        },
      },
    },
  });
  const client = connect({ credential: await other.addParty('acme') });
  const controller = new AbortController();
  const onChange = (job: Job): void => {
    if (job.state === 'running') controller.abort();
  };
  await assert.rejects(client.jobs.sql('select 1', {}, { signal: controller.signal, onChange }), { status: 1 });
  assert.equal(await cancelled.promise, EMPTY_JOB.id);
  client.close();
  other.close();
});

test('a stream of changes that ends early is followed up, and never taken for the end of the job', async () => {
  let asked = 0;
  const other = await startSmallRuntime({
    override: {
      jobs: {
        submit: () => Promise.resolve({ job: EMPTY_JOB, wasKnown: false, result: [] }),
        async *watch() {
          yield { job: { ...EMPTY_JOB, state: 'running' } };
        },
        get: () => Promise.resolve({ job: asked++ === 0 ? EMPTY_JOB : { ...EMPTY_JOB, state: 'withheld' } }),
      },
    },
  });
  const client = connect({ credential: await other.addParty('acme') });
  await assert.rejects(client.jobs.sql('select 1'), {
    isRetryable: true,
    message: /stopped telling about job `job-1`/,
  });
  const outcome = await client.jobs.sql('select 1');
  assert.deepEqual([outcome.kind, outcome.job.state], ['refused', 'withheld']);
  client.close();
  other.close();
});

test('where no runtime answers, the error says at which address, and may be tried again', async () => {
  const client = connect({ credential: await runtime.addParty('early'), server: '127.0.0.1:1' });
  await assert.rejects(client.jobs.list({}), {
    code: 'grpc-unavailable',
    isRetryable: true,
    message: 'no runtime answers at 127.0.0.1:1: is it running, and is this its address?',
  });
  client.close();
});
