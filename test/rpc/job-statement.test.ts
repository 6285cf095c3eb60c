import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import type { JobRequest } from '../../runtime/gen/messages.ts';
import type { CredentialBundle } from '../../runtime/identity/credential.ts';
import type { Init } from '../../runtime/rpc/call.ts';
import { jobStatement, signJobRequest } from '../../runtime/rpc/job-statement.ts';
import { codecOf } from '../../runtime/rpc/translate.ts';
import { startSmallRuntime, type SmallRuntime } from './small-runtime.ts';

let runtime: SmallRuntime;
let acmeCredential: CredentialBundle;
let eveCredential: CredentialBundle;
let acme: Glovebox;

before(async () => {
  runtime = await startSmallRuntime();
  acmeCredential = await runtime.addParty('acme');
  eveCredential = await runtime.addParty('eve');
  acme = connect({ credential: acmeCredential });
});
after(() => {
  acme.close();
  runtime.close();
});

function complete(job: Init<JobRequest>): JobRequest {
  const codec = codecOf('JobRequest');
  return codec.decode(codec.encode(job)) as JobRequest;
}

const JOB = {
  computation: { kind: 'sql', sql: { text: 'select 1' } },
  idempotencyKey: 'k1',
  agreementIds: ['a'],
} as const;

test('a signature over exactly this request, by this party, is accepted and kept', async () => {
  const signature = signJobRequest('acme', acmeCredential.signingKey, complete(JOB));
  await acme.jobs.submit({ job: JOB, signature });
  assert.equal(runtime.asked.at(-1), 'submit acme signed');
});

test('a signature over another request, by another key or for another party is refused', async () => {
  const signatures = [
    signJobRequest('acme', acmeCredential.signingKey, complete({ ...JOB, agreementIds: ['b'] })),
    signJobRequest('acme', acmeCredential.signingKey, complete({ ...JOB, idempotencyKey: 'k2' })),
    signJobRequest('acme', eveCredential.signingKey, complete(JOB)),
    signJobRequest('eve', eveCredential.signingKey, complete(JOB)),
    'a.b.c',
    'x',
    '....',
  ];
  const asked = runtime.asked.length;
  for (const signature of signatures) {
    await assert.rejects(acme.jobs.submit({ job: JOB, signature }), {
      status: status.PERMISSION_DENIED,
      code: 'signature-not-valid',
    });
  }
  assert.equal(runtime.asked.length, asked);
});

test('the statement is canonical: the order of parameters does not matter, every value does', () => {
  const parameters = {
    b: { value: { kind: 'integer', integer: 2n } },
    a: { value: { kind: 'text', text: '1' } },
  } as const;
  const turned = { a: parameters.a, b: parameters.b };
  const of = (given: Init<JobRequest>): string => jobStatement('acme', complete(given));
  const first = of({ computation: { kind: 'sql', sql: { text: 'q', parameters } } });
  assert.equal(first, of({ computation: { kind: 'sql', sql: { text: 'q', parameters: turned } } }));
  const other = { ...parameters, a: { value: { kind: 'integer', integer: 1n } } } as const;
  assert.notEqual(first, of({ computation: { kind: 'sql', sql: { text: 'q', parameters: other } } }));
});
