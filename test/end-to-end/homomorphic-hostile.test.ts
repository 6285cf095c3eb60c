import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { encryptDataset } from '../../runtime/client/encrypt-dataset.ts';
import { uploadObject, type UploadOutcome } from '../../runtime/client/homomorphic.ts';
import { Vault } from '../../runtime/decryptor/vault.ts';
import { decryptorLinks } from '../../runtime/gateway/homomorphic/decryptor-link.ts';
import { keyOfSeed } from '../../runtime/gateway/homomorphic/transcript-key.ts';
import { writeBundle } from '../../runtime/homomorphic/keys.ts';
import { planProgram } from '../../runtime/homomorphic/plan.ts';
import { parseProgram } from '../../runtime/homomorphic/program.ts';
import { writeResult } from '../../runtime/homomorphic/result-file.ts';
import { runOverColumns } from '../../runtime/homomorphic/run-columns.ts';
import { openNodeSealBackend } from '../../runtime/homomorphic/node-seal-backend.ts';
import { signTranscript, transcriptOf, type TranscriptFacts } from '../../runtime/homomorphic/transcript.ts';
import type { Authority } from '../../runtime/rpc/authority.ts';
import { runtimeWorld, type RuntimeWorld } from '../gateway/runtime-world.ts';
import { encrypted, keyHolder } from '../homomorphic/support.ts';
import {
  DATASET,
  homomorphicWorld,
  newKeys,
  plainTable,
  policyFor,
  program,
  RELEASE,
  type HomomorphicWorld,
} from './homomorphic-world.ts';

let world: RuntimeWorld;
let clinic: HomomorphicWorld;
before(async () => {
  world = await runtimeWorld();
  clinic = await homomorphicWorld(world);
});
after(async () => {
  await clinic[Symbol.asyncDispose]();
  await world[Symbol.asyncDispose]();
});

const data = (...path: string[]): string => join(world.folder, 'data', ...path);
const kept = (): readonly string[] => readdirSync(data('ciphertexts')).toSorted();

async function codesOf(job: object): Promise<readonly string[]> {
  const outcome = await clinic.acme.jobs.run(job);
  return outcome.kind === 'refused' ? outcome.reasons.map(({ code }) => code) : ['released'];
}

test('damaged, foreign, compressed and mutated uploads are refused with a clear reason, and nothing is kept', async () => {
  const { hospital } = clinic;
  const before = kept();
  const holder = await keyHolder(['bgv-add-a']);
  const column = await encrypted(holder, { column: 'x', programs: ['sum'], low: 0, high: 9, decimals: 0 }, [
    { values: [1, 2, 3] },
  ]);
  const send = (bytes: Uint8Array): Promise<UploadOutcome> =>
    uploadObject(hospital.homomorphic, { kind: 'column', dataset: 'other', column: 'x' }, bytes);
  const flipped = (at: number): Uint8Array => {
    const bytes = Buffer.from(column.file);
    bytes[at] = (bytes[at] ?? 0) ^ 0xff;
    return bytes;
  };
  const cases: readonly (readonly [string, Uint8Array, string])[] = [
    ['of a key that was never uploaded', column.file, 'bad-key'],
    ['cut', column.file.subarray(0, -40), 'bad-column'],
    ['extended', Buffer.concat([column.file, Buffer.alloc(8)]), 'bad-column'],
    ['compressed', gzipSync(Buffer.alloc(1 << 20)), 'bad-column'],
    ['noise', randomBytes(70_000), 'bad-column'],
    ['with another magic', flipped(3), 'bad-column'],
  ];
  for (const [what, bytes, code] of cases) {
    const outcome = await send(bytes);
    assert.ok(outcome.kind === 'refused', what);
    assert.equal(outcome.reasons[0]?.code, code, what);
  }
  for (const at of [40, 700, 1200, 9000, column.file.byteLength - 60]) {
    const outcome = await send(flipped(at));
    assert.ok(outcome.kind === 'refused', `byte ${at}`);
  }
  assert.deepEqual(kept(), before);
  for (const [kind, bytes] of [
    ['publicKey', Buffer.from('{"format":"glovebox-homomorphic-public/1","keyId":"sha256:00","keys":[]}')],
    ['query', randomBytes(4000)],
    ['unitTags', randomBytes(4000)],
  ] as const) {
    const outcome = await uploadObject(hospital.homomorphic, { kind, dataset: 'other' }, bytes);
    assert.ok(outcome.kind === 'refused', kind);
  }
  assert.deepEqual(kept(), before);
});

test('an upload larger than announced, of another digest, or of a size that no object has ends at once', async () => {
  const { hospital } = clinic;
  const digest = `sha256:${createHash('sha256').update('x').digest('hex')}`;
  const blank = {
    kind: 'column' as const,
    profile: '',
    dataset: 'd',
    column: 'c',
    values: 0n,
    keyDigest: '',
    contribution: null,
    offset: 0n,
  };
  const send = async (size: bigint, ...chunks: readonly Uint8Array[]): Promise<void> => {
    const parts = [
      { part: { kind: 'header' as const, header: { ...blank, digest, size } } },
      ...chunks.map((chunk) => ({ part: { kind: 'chunk' as const, chunk } })),
      { part: { kind: 'end' as const, end: {} } },
    ];
    for await (const answer of hospital.homomorphic.upload(parts)) assert.equal(answer.object, null);
  };
  await assert.rejects(send(10n, Buffer.alloc(11)), { code: 'message-too-large' });
  await assert.rejects(send(10n, Buffer.alloc(10)), { code: 'argument-not-valid' });
  await assert.rejects(send(2n ** 60n), { code: 'message-too-large' });
  await assert.rejects(send(0n), { code: 'message-too-large' });
  assert.equal((await hospital.homomorphic.getUpload({ digest })).stored, 0n);
});

test('an interrupted upload is continued where it ended', async () => {
  const { hospital } = clinic;
  const bytes = Buffer.from(writeBundle((await newKeys(['bgv-add-a', 'bgv-add-b', 'bgv-wide'])).open));
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  const header = {
    kind: 'publicKey' as const,
    profile: '',
    dataset: '',
    column: '',
    values: 0n,
    keyDigest: '',
    contribution: null,
    offset: 0n,
    digest,
    size: BigInt(bytes.byteLength),
  };
  const half = [
    { part: { kind: 'header' as const, header } },
    { part: { kind: 'chunk' as const, chunk: bytes.subarray(0, 100_000) } },
  ];
  await assert.rejects(async () => {
    for await (const _ of hospital.homomorphic.upload(half));
  });
  assert.deepEqual(await hospital.homomorphic.getUpload({ digest }), { stored: 100_000n, isComplete: false });
  const outcome = await uploadObject(hospital.homomorphic, { kind: 'publicKey' }, bytes);
  assert.equal(outcome.kind, 'stored');
  const again = await uploadObject(hospital.homomorphic, { kind: 'publicKey' }, bytes);
  assert.equal(again.kind, 'stored');
});

test('a consumer uploads no columns, sees no objects of others, and revokes no key of others', async () => {
  const { acme } = clinic;
  await assert.rejects(uploadObject(acme.homomorphic, { kind: 'column', dataset: 'd', column: 'c' }, randomBytes(9)), {
    code: 'role-missing',
  });
  assert.deepEqual((await acme.homomorphic.list({})).objects, []);
  await assert.rejects(acme.homomorphic.revokeKey({ digest: clinic.keys.open.keyId }), { code: 'not-found' });
  await assert.rejects(acme.homomorphic.setDecryptor({ dataset: DATASET, address: 'evil:1', certificate: 'x' }), {
    code: 'not-found',
  });
});

/** What a dishonest runtime, or whoever has its keys, could send to the decryptor. */
async function forged(change: {
  readonly facts?: Partial<TranscriptFacts>;
  readonly program?: object;
  readonly seed?: Uint8Array;
  readonly result?: (honest: Uint8Array) => Uint8Array;
}): Promise<boolean> {
  const { vault } = clinic;
  const [file = ''] = readdirSync(join(world.folder, 'vault', 'pins')).filter((name) =>
    readFileSync(join(world.folder, 'vault', 'pins', name), 'utf8').includes('"column": "time"'),
  );
  const pin = await vault.find(`sha256:${file.replace('.json', '')}`);
  assert.ok(pin !== null);
  const plan = planProgram(parseProgram({ name: 'sum', columns: ['time'], ...change.program }), [pin.column]);
  const parts = await runOverColumns(plan, await openNodeSealBackend(), [vault.read(pin.column.totals.digest)]);
  const seed = change.seed ?? Buffer.from(readFileSync(data('keys', 'transcripts.key'), 'utf8').trim(), 'hex');
  const facts = { jobId: `forged-${randomBytes(6).toString('hex')}`, agreementId: clinic.agreement, consumer: 'acme' };
  const transcript = signTranscript(
    transcriptOf(plan, parts, { ...facts, units: 929, minUnits: 10, createdAtMs: Date.now(), ...change.facts }),
    keyOfSeed(seed),
  );
  const honest = writeResult(parts);
  const authority = JSON.parse(readFileSync(data('keys', 'authority.json'), 'utf8')) as Authority;
  const answer = await decryptorLinks(authority, Date.now).decrypt(
    { address: `127.0.0.1:${clinic.decryptor.port}`, certificate: readFileSync(vault.certificateFile, 'utf8') },
    { transcript, result: change.result?.(honest) ?? honest },
    new AbortController().signal,
  );
  assert.ok(answer !== null);
  if (!answer.isReleased) assert.deepEqual(answer, { isReleased: false, scalars: [], withheld: 0 });
  return answer.isReleased;
}

test('the decryptor releases an honest result once, and refuses replays, forgeries and shaped ciphertext alike', async () => {
  assert.equal(await forged({ facts: { jobId: 'honest' } }), true);
  assert.equal(await forged({ facts: { jobId: 'honest' } }), false, 'replayed');
  assert.equal(await forged({ seed: randomBytes(32) }), false, 'signed by another key');
  assert.equal(await forged({ facts: { consumer: 'eve' } }), false, 'for a consumer without agreement');
  assert.equal(await forged({ facts: { units: 9 } }), false, 'over too few units');
  assert.equal(await forged({ program: { name: 'variance' } }).catch(() => false), false, 'another program');
  const shaped = (honest: Uint8Array): Uint8Array => {
    const bytes = Buffer.from(honest);
    bytes[5000] = (bytes[5000] ?? 0) ^ 1;
    return bytes;
  };
  assert.equal(await forged({ result: shaped }), false, 'one bit of the ciphertext');
  assert.equal(await forged({ result: (honest) => honest.subarray(0, -8) }), false, 'cut');
});

test('a party with a certificate of the same authority is no runtime: the decryptor does not talk to it', async () => {
  const { createRequire } = await import('node:module');
  const grpc = createRequire(import.meta.url)('@grpc/grpc-js') as typeof import('@grpc/grpc-js');
  const { credential } = await world.operator.parties.add({ name: 'mallory', roles: ['consumer'] });
  const bundle = JSON.parse(credential) as { readonly key: string; readonly certificate: string };
  const ca = readFileSync(clinic.vault.certificateFile);
  const { X509Certificate } = await import('node:crypto');
  const name = new X509Certificate(ca).subject.replace('CN=', '');
  const client = new grpc.Client(
    `127.0.0.1:${clinic.decryptor.port}`,
    grpc.credentials.createSsl(ca, Buffer.from(bundle.key), Buffer.from(bundle.certificate)),
    { 'grpc.ssl_target_name_override': `runtime.${name}.internal` },
  );
  const same = (bytes: Buffer): Buffer => bytes;
  const status = await new Promise<number | undefined>((resolve) => {
    const path = '/glovebox.decryptor.v1.DecryptorService/Decrypt';
    client.makeClientStreamRequest(path, same, same, (error) => resolve(error?.code)).end();
  });
  client.close();
  assert.equal(status, grpc.status.PERMISSION_DENIED);
  await assert.rejects(world.operator.parties.add({ name: 'runtime', roles: ['consumer'] }), {
    code: 'argument-not-valid',
  });
});

test('programs, columns, SQL and sizes that the policy does not allow are denied before anything runs', async () => {
  assert.deepEqual(await codesOf(program('dot', ['time', 'age'])), ['program-not-allowed']);
  assert.deepEqual(await codesOf(program('sum', ['id'])), ['column-right-missing']);
  assert.deepEqual(await codesOf(program('sum', ['absent'])), ['column-right-missing']);
  assert.deepEqual(await codesOf(program('variance', ['time'])), ['bad-program']);
  assert.deepEqual(
    await codesOf(program('linear', ['time', 'age'], { weights: [1e9, 1e9], parameters: { weightDecimals: 6 } })),
    ['no-parameters'],
    'overflow',
  );
  assert.deepEqual(await codesOf(program('sum', ['time'], { dataset: 'elsewhere' })), ['dataset-not-covered']);
  const explained = await clinic.acme.jobs.explain({ job: program('sum', ['time']) });
  assert.match(explained.enforced.join('\n'), /noise budget/);
  assert.match(explained.enforced.join('\n'), /trust shape encrypted data/);
});

test('a worker that is killed in the middle fails its own job only, with a reason that says nothing', async () => {
  const { pool } = world.runtime;
  const lease = pool.lease.bind(pool);
  let killed = 0;
  pool.lease = async (options) => {
    const worker = await lease(options);
    if (options.kind === 'homomorphic' && killed++ === 0) void worker.destroy();
    return worker;
  };
  try {
    const [dying, ...others] = await Promise.all([
      codesOf(program('sum', ['time'])),
      codesOf(program('mean', ['age'])),
      codesOf(program('sum', ['age'])),
    ]);
    // Which of them had the worker that died is the pool's choice.
    const endings = [dying, ...others].map((codes) => codes?.join()).toSorted();
    assert.deepEqual(endings, ['computation-failed', 'released', 'released']);
  } finally {
    pool.lease = lease;
  }
  assert.deepEqual(await codesOf(program('sum', ['time'])), ['released']);
});

test('without its decryptor a job is denied with a clear reason, and nothing is spent', async () => {
  const { hospital, vault } = clinic;
  const certificate = readFileSync(vault.certificateFile, 'utf8');
  const at = (address: string) => hospital.homomorphic.setDecryptor({ dataset: DATASET, address, certificate });
  assert.equal((await at('127.0.0.1:9')).isReachable, false);
  assert.deepEqual(await codesOf(program('sum', ['time'])), ['decryptor-not-reachable']);
  await at('');
  assert.deepEqual(await codesOf(program('sum', ['time'])), ['decryptor-missing']);
  const stranger = await Vault.open(join(world.folder, 'stranger'));
  await stranger.certificate([], Date.now());
  const wrong = await hospital.homomorphic.setDecryptor({
    dataset: DATASET,
    address: `127.0.0.1:${clinic.decryptor.port}`,
    certificate: readFileSync(stranger.certificateFile, 'utf8'),
  });
  assert.equal(wrong.isReachable, false, 'a server with another certificate is not taken for it');
  await at(`127.0.0.1:${clinic.decryptor.port}`);
  assert.deepEqual(await codesOf(program('sum', ['time'])), ['released']);
});

test('a dataset over fewer units than the rule demands answers nothing', async () => {
  const { hospital } = clinic;
  const few = plainTable(
    Array.from({ length: 30 }, (_, i) => ({ unit: [i % 9], group: null })),
    { x: Array.from({ length: 30 }, () => 1) },
  );
  const outcome = await encryptDataset(
    { glovebox: hospital, keys: clinic.keys, vault: clinic.vault, scratch: join(world.folder, 'scratch') },
    few,
    {
      dataset: 'few',
      unitColumn: 'id',
      columns: [{ column: 'x', programs: ['sum'], low: 0, high: 9, decimals: 0 }],
      minUnits: 10,
    },
  );
  assert.ok(outcome.kind === 'registered' && outcome.dataset.units === 9n);
  await hospital.homomorphic.setDecryptor({
    dataset: 'few',
    address: `127.0.0.1:${clinic.decryptor.port}`,
    certificate: readFileSync(clinic.vault.certificateFile, 'utf8'),
  });
  const document = `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: few }
privacyUnit: [id]
columns: { id: { rights: [countDistinct] }, x: { rights: [aggregate] } }
allow:
  - { id: e, mode: homomorphic, release: { programs: [sum], schemes: [bgv], minUnits: 10 } }
`;
  assert.deepEqual((await hospital.policies.attach({ document })).complaints, []);
  const { agreement } = await hospital.agreements.offer({ dataset: 'few', consumer: 'acme' });
  await clinic.acme.agreements.accept({ id: agreement?.id ?? '' });
  assert.deepEqual(await codesOf({ ...program('sum', ['x']), agreementIds: [agreement?.id ?? ''] }), ['too-few-units']);
});

test('a changed byte of a stored column is noticed by verify, and the decryptor releases nothing of it', async () => {
  const verdict = async (): Promise<boolean | null> => {
    for await (const { event } of clinic.hospital.catalogue.verify({ name: DATASET }))
      if (event?.kind === 'verdict') return event.verdict.isIntact;
    return null;
  };
  assert.equal(await verdict(), true);
  const { objects } = await clinic.hospital.homomorphic.list({ dataset: DATASET });
  const digest = objects.find(({ column }) => column === 'time')?.digest.replace('sha256:', '') ?? 'none';
  const file = data('ciphertexts', kept().find((name) => name.endsWith(digest)) ?? '');
  const honest = readFileSync(file);
  const changed = Buffer.from(honest);
  const at = honest.byteLength - 5000;
  changed[at] = (changed[at] ?? 0) ^ 1;
  writeFileSync(file, changed);
  try {
    assert.equal(await verdict(), false);
    const job = { ...program('sum', ['time']), agreementIds: [clinic.agreement] };
    assert.deepEqual(await codesOf(job), ['computation-failed']);
  } finally {
    writeFileSync(file, honest);
  }
});

test('groups are told apart only by whom the policy grants the group column, and narrower bounds than encrypted are no promise', async () => {
  const job = { ...program('groupSums', ['time']), agreementIds: [clinic.agreement] };
  assert.deepEqual(await codesOf(job), ['released']);
  const narrow = policyFor(RELEASE)
    .replace('rx: { rights: [group] }', 'rx: { rights: [group], consumers: [others] }')
    .replace('age: { rights: [aggregate] }', 'age: { rights: [aggregate], bounds: [0, 100] }');
  assert.deepEqual((await clinic.hospital.policies.attach({ document: narrow })).complaints, []);
  await clinic.hospital.agreements.terminate({ id: clinic.agreement });
  const { agreement } = await clinic.hospital.agreements.offer({ dataset: DATASET, consumer: 'acme' });
  const id = agreement?.id ?? '';
  await clinic.acme.agreements.accept({ id });
  assert.deepEqual(await codesOf({ ...job, agreementIds: [id] }), ['column-right-missing']);
  assert.deepEqual(await codesOf({ ...program('sum', ['time']), agreementIds: [id] }), ['released']);
  // encrypted with bounds of 0 to 120: nobody can clip ciphertext to the policy's
  assert.deepEqual(await codesOf({ ...program('sum', ['age']), agreementIds: [id] }), ['bounds-not-kept']);
});

test('under a revoked key nothing is computed any more', async () => {
  const job = { ...program('sum', ['time']), agreementIds: [await activeAgreement()] };
  assert.deepEqual(await codesOf(job), ['released']);
  const { object } = await clinic.hospital.homomorphic.revokeKey({ digest: clinic.keys.open.keyId });
  assert.equal(object?.isRevoked, true);
  assert.deepEqual(await codesOf(job), ['key-revoked']);
});

async function activeAgreement(): Promise<string> {
  const { agreements } = await clinic.acme.agreements.list({});
  return agreements.find(({ dataset, state }) => dataset === DATASET && state === 'active')?.id ?? '';
}
