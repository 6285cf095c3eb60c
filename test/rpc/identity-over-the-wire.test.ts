import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { credentials, Metadata, status } from '@grpc/grpc-js';
import { connect, type Glovebox } from '../../runtime/client/connect.ts';
import type { CredentialBundle } from '../../runtime/identity/credential.ts';
import { createAuthority, issueCredential, issueServerCertificate } from '../../runtime/rpc/authority.ts';
import type { Application } from '../../runtime/rpc/application.ts';
import { isLoopback } from '../../runtime/rpc/listener.ts';
import { RpcServer } from '../../runtime/rpc/server.ts';
import { codecOf } from '../../runtime/rpc/translate.ts';
import { call, rawClient } from './raw-client.ts';
import { EMPTY_JOB, RELEASED_JOB, startSmallRuntime, type SmallRuntime } from './small-runtime.ts';

let runtime: SmallRuntime;
let acmeCredential: CredentialBundle;
const open: Glovebox[] = [];

before(async () => {
  runtime = await startSmallRuntime();
  acmeCredential = await runtime.addParty('acme');
});
after(() => {
  for (const client of open) client.close();
  runtime.close();
});

function as(credential: CredentialBundle): Glovebox {
  const client = connect({ credential, server: runtime.address });
  open.push(client);
  return client;
}

test('the caller is who the certificate says', async () => {
  const { party, isInsecure } = await as(acmeCredential).parties.whoAmI({});
  assert.equal(party?.name, 'acme');
  assert.equal(isInsecure, false);
});

test('no header makes a caller somebody else', async () => {
  const client = rawClient(runtime, acmeCredential);
  const headers = new Metadata();
  for (const name of ['party', 'glovebox-party', 'x-forwarded-client-cert', 'authorization', 'x-spiffe-id']) {
    headers.set(name, 'operator');
  }
  const answer = await call(client, '/glovebox.v1.PartyService/WhoAmI', Buffer.alloc(0), headers);
  const { party } = codecOf('WhoAmIResponse').decode(answer.message) as { party: { name: string } };
  assert.equal(party.name, 'acme');
  client.close();
});

test('a certificate of another authority is UNAUTHENTICATED before any work', async () => {
  const elsewhere = await createAuthority(Date.now());
  const foreign = await issueCredential(elsewhere, {
    party: 'acme',
    roles: ['operator'],
    server: runtime.address,
    nowMs: Date.now(),
  });
  const asked = runtime.asked.length;
  const stranger = as({ ...foreign.bundle, ca: acmeCredential.ca, serverName: acmeCredential.serverName });
  await assert.rejects(stranger.jobs.submit({}), { status: status.UNAUTHENTICATED, code: 'credential-unknown' });
  assert.equal(runtime.asked.length, asked);
});

test('a connection without a certificate is UNAUTHENTICATED', async () => {
  const client = rawClient(runtime, null, credentials.createSsl(Buffer.from(acmeCredential.ca)), acmeCredential);
  const answer = await call(client, '/glovebox.v1.PartyService/WhoAmI', Buffer.alloc(0));
  assert.equal(answer.code, status.UNAUTHENTICATED);
  assert.match(answer.details, /no certificate/);
  client.close();
});

test('a certificate that this runtime issued but no party has is UNAUTHENTICATED', async () => {
  const { bundle } = await issueCredential(runtime.authority, {
    party: 'nobody',
    roles: ['operator'],
    server: runtime.address,
    nowMs: Date.now(),
  });
  await assert.rejects(as(bundle).parties.whoAmI({}), { status: status.UNAUTHENTICATED, code: 'credential-unknown' });
});

test('an expired certificate is UNAUTHENTICATED', async () => {
  const late = await runtime.addParty('late', ['consumer'], -1);
  await assert.rejects(as(late).parties.whoAmI({}), { status: status.UNAUTHENTICATED, code: 'credential-expired' });
});

test('a certificate that expires while its connection is open stops working', async () => {
  let now = Date.now();
  const other = await startSmallRuntime({ now: () => now });
  const client = connect({ credential: await other.addParty('acme') });
  await client.parties.whoAmI({});
  now += 366 * 86_400_000;
  await assert.rejects(client.parties.whoAmI({}), { code: 'credential-expired' });
  client.close();
  other.close();
});

test('a suspended party is refused on its open connection at its next call, and may come back', async () => {
  const client = as(await runtime.addParty('globex'));
  await client.parties.whoAmI({});
  runtime.setAdmission('globex', 'suspended');
  await assert.rejects(client.parties.whoAmI({}), {
    status: status.PERMISSION_DENIED,
    code: 'party-not-admitted',
    message: 'party `globex` is suspended',
  });
  runtime.setAdmission('globex', 'admitted');
  assert.equal((await client.parties.whoAmI({})).party?.name, 'globex');
});

test('a stream that is open when its party is suspended, or its certificate ends, ends with that status', async () => {
  let clock = Date.now();
  const endings = [
    ['party-not-admitted', (one: SmallRuntime) => one.setAdmission('globex', 'suspended')],
    ['credential-expired', () => void (clock += 400 * 24 * 3_600_000)],
  ] as const;
  for (const [code, end] of endings) {
    let isSuspended = (): void => {};
    const suspended = new Promise<void>((resolve) => (isSuspended = resolve));
    let taken = 0;
    const own = await startSmallRuntime({
      now: () => clock,
      override: {
        catalogue: {
          // eslint-disable-next-line require-yield
          async *registerDataset(_caller: unknown, requests: AsyncIterable<unknown>) {
            for await (const request of requests) if (request !== null) taken += 1;
          },
        },
        jobs: {
          async *watch() {
            yield { job: EMPTY_JOB };
            await suspended;
            yield { job: RELEASED_JOB };
          },
        },
      } as unknown as Partial<Application>,
    });
    await using globex = connect({ credential: await own.addParty('globex') });
    const jobs = globex.jobs.watch({ id: 'job-1' })[Symbol.asyncIterator]();
    assert.equal((await jobs.next()).done, false);
    const chunk = { part: { kind: 'chunk' as const, chunk: Buffer.alloc(10) } };
    const upload = globex.catalogue.registerDataset(
      (async function* () {
        yield chunk;
        await suspended;
        yield chunk;
      })(),
    );
    const uploading = upload[Symbol.asyncIterator]().next();
    while (taken === 0) await new Promise((resolve) => void setImmediate(resolve));
    end(own);
    isSuspended();
    await assert.rejects(jobs.next(), { code });
    await assert.rejects(uploading, { code });
    assert.equal(taken, 1, 'nothing more was taken');
    own.close();
  }
});

test('a party cannot pose as the runtime: its certificate is for clients only', async () => {
  const eve = await runtime.addParty('eve');
  const impostor = await RpcServer.start({
    application: runtime.application,
    host: '127.0.0.1',
    port: 0,
    tls: { ca: eve.ca, certificate: eve.certificate, key: eve.key },
    log: { warn: () => {}, error: () => {} },
  });
  const victim = connect({ credential: acmeCredential, server: `127.0.0.1:${impostor.port}`, timeoutMs: 2000 });
  await assert.rejects(victim.parties.whoAmI({}), { status: status.UNAVAILABLE });
  victim.close();
  impostor.close();
});

test('the server certificate is renewed without a restart, and open connections stay', async () => {
  const other = await startSmallRuntime();
  const credential = await other.addParty('acme');
  const first = connect({ credential });
  await first.parties.whoAmI({});
  const renewed = await issueServerCertificate(other.authority, { hosts: ['renewed.example'], nowMs: Date.now() });
  other.server.renew({ ca: other.authority.certificate, ...renewed });
  await first.parties.whoAmI({});
  // The new name is only in the new certificate.
  const second = connect({ credential: { ...credential, serverName: 'renewed.example' } });
  await second.parties.whoAmI({});
  first.close();
  second.close();
  other.close();
});

test('an insecure server serves loopback only, says so loudly, and marks its callers', async () => {
  const log: string[] = [];
  const caller = {
    party: 'local',
    roles: ['operator'],
    credentialFingerprint: '',
    signingPublicKey: null,
    jurisdiction: null,
    isInsecureLoopback: false,
  } as const;
  const other = await startSmallRuntime({ insecure: true, override: { insecureCaller: caller } });
  const client = connect({ server: other.address });
  const answer = await client.parties.whoAmI({});
  assert.deepEqual([answer.party?.name, answer.isInsecure], ['local', true]);
  assert.match(other.logged[0]?.message ?? '', /INSECURE/);
  client.close();
  other.close();
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'example.org', '']) {
    assert.ok(!isLoopback(host));
    await assert.rejects(
      RpcServer.start({
        application: runtime.application,
        host,
        port: 0,
        tls: null,
        log: { warn: (_fields, message) => void log.push(message), error: () => {} },
      }),
      /loopback/,
    );
  }
});
