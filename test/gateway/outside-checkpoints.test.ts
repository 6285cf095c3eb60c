import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fc } from '../property.ts';
import { readEntry, sha256Hex } from '../../runtime/evidence/entry.ts';
import { ED25519_COSIGNATURE, noteSigner } from '../../runtime/evidence/note.ts';
import { readTimestamp, timestampRequest } from '../../runtime/evidence/timestamp.ts';
import { verifyReceipt } from '../../runtime/evidence/receipt.ts';
import { OutsideCheckpoints, type OutsideNeeds } from '../../runtime/gateway/evidence/outside-checkpoints.ts';
import { believeAgain, stopForOtherHistory } from '../../runtime/gateway/evidence/rolled-back.ts';
import { serveWitness, WitnessState } from '../../runtime/gateway/evidence/witness-server.ts';
import { openStore, type Store } from '../../runtime/store/store.ts';
import { agreedWorld, COUNT_QUERY, runtimeWorld } from './runtime-world.ts';

const sqlOf = (text: string): { readonly kind: 'sql'; readonly sql: { readonly text: string } } => ({
  kind: 'sql',
  sql: { text },
});

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-outside-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const grow = (store: Store, count: number): Promise<unknown> =>
  store.transact(
    Array.from({ length: count }, (_, index) => ({
      do: 'record' as const,
      event: {
        kind: 'alert' as const,
        atMs: 1,
        subjects: [{ name: `job/${index}`, sha256: sha256Hex(String(index)) }],
        facts: {},
      },
    })),
  );

function outsideOf(store: Store, folder: string, more: Partial<OutsideNeeds>): OutsideCheckpoints & { time: number } {
  const clock = { time: 0 };
  const outside = new OutsideCheckpoints({
    store,
    folder,
    nowMs: () => clock.time,
    log: () => undefined,
    witnesses: [],
    timestampUrl: null,
    timestampEveryMs: 1000,
    ...more,
  });
  return Object.defineProperty(outside as OutsideCheckpoints & { time: number }, 'time', {
    set(value: number) {
      clock.time = value;
    },
  });
}

test('witnesses cosign the log as it grows; a receipt proves their number, and one witness cannot be told two histories', async (t) => {
  const folder = folderOf(t);
  // The same log, key and all, as it was after two entries: what a backup that is put back looks like.
  const before = await openStore({ path: join(folder, 'data'), clock: Date.now });
  await grow(before, 2);
  await before.close();
  cpSync(join(folder, 'data'), join(folder, 'fork'), { recursive: true });
  await using store = await openStore({ path: join(folder, 'data'), clock: Date.now });
  const states = ['acme.example/witness', 'bank.example/witness'].map(
    (name, index) => new WitnessState(join(folder, `w${index}`), name),
  );
  const [first, second] = states;
  assert.ok(first !== undefined && second !== undefined);
  const nowMs = (): number => 1_800_000_000_000;
  await using one = await serveWitness(first, [store.verifierKey], { host: '127.0.0.1', port: 0, nowMs });
  await using two = await serveWitness(second, [store.verifierKey], { host: '127.0.0.1', port: 0, nowMs });
  const witnesses = [one, two].map(({ port }, index) => ({
    url: `http://127.0.0.1:${port}/add-checkpoint`,
    key: (states[index] ?? first).signer.verifier,
  }));
  const keys = witnesses.map(({ key }) => key);
  const outside = outsideOf(store, folder, { witnesses });
  await grow(store, 1);
  await outside.work();
  await grow(store, 300);
  outside.time = 10_000;
  await outside.work();
  const against = outside.witnessed;
  assert.equal(against?.size, 303);
  const receipt = (await store.receipt(1, against)) ?? '';
  const verdict = verifyReceipt(receipt, store.verifierKey, { witnesses: keys, quorum: 2 });
  assert.ok(verdict.kind === 'verified', JSON.stringify(verdict));
  assert.deepEqual(
    verdict.witnesses.map(({ atSeconds }) => atSeconds),
    [1_800_000_000, 1_800_000_000],
  );
  const plain = (await store.receipt(1)) ?? '';
  assert.equal(verifyReceipt(plain, store.verifierKey, { witnesses: keys, quorum: 1 }).kind, 'refused');
  // A gateway that was started anew does not know what they saw: it asks, and goes on from there.
  await grow(store, 5);
  const again = outsideOf(store, folder, { witnesses });
  await again.work();
  assert.equal(again.witnessed?.size, 308);
  // The witness remembers over a restart, and refuses the log put back to an older state.
  const reopened = new WitnessState(join(folder, 'w0'), 'acme.example/witness');
  assert.equal(reopened.seenOf(store.verifierKey.name)?.size, 308);
  await using fork = await openStore({ path: join(folder, 'fork'), clock: Date.now });
  await grow(fork, 3);
  const told: string[] = [];
  const needs = { store: fork, nowMs, sha256: sha256Hex, log: () => undefined };
  const refused = outsideOf(fork, folder, {
    witnesses,
    onOtherHistory: async (witness, seen) => {
      told.push(`${seen.kind} ${await stopForOtherHistory(needs, witness, seen)}`);
    },
  });
  for (const size of [5, 308, 400]) {
    await grow(fork, size - Number((await fork.checkpoint()).split('\n')[1]));
    refused.time = size * 10_000;
    await refused.work();
    assert.equal(refused.witnessed, undefined, String(size));
    if (size !== 5) continue;
    assert.equal(fork.peek('switch', 'all')?.state, 'on', 'nothing is released before an operator has compared');
    const lifted = fork.peek('switch', 'all');
    assert.ok(lifted !== undefined);
    await fork.put({ ...lifted, state: 'off' });
  }
  assert.equal(fork.peek('switch', 'all')?.state, 'off', 'what an operator lifted stays lifted');
  assert.deepEqual(told, ['ahead stopped', 'ahead stopped', ...Array.from({ length: 4 }, () => 'forked known')]);
});

test('a witness that is away, lies or signs with another key is left out, and the others count', async (t) => {
  const folder = folderOf(t);
  await using store = await openStore({ path: join(folder, 'data'), clock: Date.now });
  await grow(store, 2);
  const good = new WitnessState(join(folder, 'good'), 'good.example/witness');
  const bad = new WitnessState(join(folder, 'bad'), 'good.example/witness');
  await using served = await serveWitness(good, [store.verifierKey], { host: '127.0.0.1', port: 0, nowMs: Date.now });
  await using impostor = await serveWitness(bad, [store.verifierKey], { host: '127.0.0.1', port: 0, nowMs: Date.now });
  const liar = await listening(t, (_, answer) => answer('200', 'not a signature\n'));
  const logged: string[] = [];
  const { verifier: key } = good.signer;
  const urlOf = (port: number): string => `http://127.0.0.1:${port}/add-checkpoint`;
  const outside = outsideOf(store, folder, {
    log: ({ event }) => logged.push(event),
    witnesses: [
      { url: urlOf(served.port), key },
      { url: urlOf(impostor.port), key },
      { url: urlOf(liar), key },
      { url: 'http://127.0.0.1:1/add-checkpoint', key },
    ],
  });
  await outside.work();
  assert.equal(logged.filter((event) => event === 'witness.failed').length, 3);
  const receipt = (await store.receipt(0, outside.witnessed)) ?? '';
  assert.equal(verifyReceipt(receipt, store.verifierKey, { witnesses: [key], quorum: 1 }).kind, 'verified');
  assert.equal(outside.witnessed?.note.split('\n').filter((line) => line.startsWith('— ')).length, 2);
});

test('a witness that is silent or trickles costs its deadline and no more, and holds nobody up', async (t) => {
  const folder = folderOf(t);
  await using store = await openStore({ path: join(folder, 'data'), clock: Date.now });
  await grow(store, 2);
  const silent = createServer(() => undefined);
  const trickling = createServer((_, response) => {
    response.writeHead(200);
    const timer = setInterval(() => response.write('x'), 10);
    response.on('close', () => clearInterval(timer));
  });
  const good = new WitnessState(join(folder, 'good'), 'good.example/witness');
  await using served = await serveWitness(good, [store.verifierKey], { host: '127.0.0.1', port: 0, nowMs: Date.now });
  const ports: number[] = [];
  for (const server of [silent, trickling]) {
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    ports.push((server.address() as AddressInfo).port);
  }
  const failed: string[] = [];
  const outside = outsideOf(store, folder, {
    answerTimeoutMs: 100,
    witnesses: [...ports, served.port].map((port) => ({
      url: `http://127.0.0.1:${port}/add-checkpoint`,
      key: good.signer.verifier,
    })),
    onOtherHistory: () => Promise.reject(new Error('silence says nothing of the history')),
    log: ({ event }) => void failed.push(event),
  });
  await outside.work();
  assert.deepEqual(failed, ['witness.failed', 'witness.failed']);
  assert.equal(outside.witnessed?.size, 2, 'and the one that answers counts');
});

test('a witness that lies stops a runtime once: what it repeats is no news, and an operator overrules it on record', async (t) => {
  await using world = await runtimeWorld();
  const { acme } = await agreedWorld(world);
  const { store } = world.runtime;
  const key = noteSigner(
    'liar.example/witness',
    generateKeyPairSync('ed25519').privateKey,
    ED25519_COSIGNATURE,
  ).verifier;
  let told = 1_000_000;
  // It names another size each time; who is between the two of them could say the same.
  const port = await listening(t, (_, answer) => answer('409', `${told++}\n`));
  const sizeOf = async (): Promise<number> => Number((await store.checkpoint()).split('\n')[1]);
  const needs = { store, nowMs: world.now, sha256: sha256Hex, log: () => undefined };
  const heard: string[] = [];
  const witnesses = [{ url: `http://127.0.0.1:${port}/add-checkpoint`, key }];
  const look = async (quorum: number): Promise<void> => {
    const outside = outsideOf(store, world.folder, {
      witnesses,
      onOtherHistory: async (witness, seen) => {
        heard.push(await stopForOtherHistory({ ...needs, quorum }, witness, seen));
      },
      onCosigned: (witness) => believeAgain(needs, witness),
    });
    await outside.work();
  };
  await look(2);
  assert.equal(store.peek('switch', 'all'), undefined, 'one of two that are needed is an alert');
  assert.equal(await stopForOtherHistory({ ...needs, quorum: 2 }, 'second.example', { kind: 'forked' }), 'stopped');
  const refused = await acme.jobs.submit({ job: { computation: sqlOf(COUNT_QUERY) }, wait: true });
  assert.notEqual(refused.job?.state, 'released');
  const before = await sizeOf();
  for (let at = 0; at < 5; at++) await look(1);
  assert.equal(await sizeOf(), before, 'a claim that is repeated fills no log');
  const { logIndex } = await world.operator.operator.resumeAll({
    note: 'compared with the auditor’s copy: ours is whole',
  });
  const [entry] = await store.entries(Number(logIndex), Number(logIndex) + 1);
  const opened = readEntry(entry ?? new Uint8Array());
  assert.equal(opened.kind === 'entry' ? opened.event.facts['overruledWitnesses'] : 0, 2, 'the override is on record');
  await look(1);
  assert.deepEqual(heard, ['noted', 'known', 'known', 'known', 'known', 'known', 'overruled']);
  const { job } = await acme.jobs.submit({ job: { computation: sqlOf(COUNT_QUERY) }, wait: true });
  assert.equal(job?.state, 'released');
  await believeAgain(needs, key.name);
  assert.equal(
    await stopForOtherHistory(needs, key.name, { kind: 'forked' }),
    'stopped',
    'who cosigned is believed again',
  );
});

test('a checkpoint is timestamped by an outside authority, and openssl verifies it', async (t) => {
  const folder = folderOf(t);
  makeAuthority(folder);
  const port = await listening(t, (body, answer) => answer('200', stampedBy(folder, body)));
  await using store = await openStore({ path: join(folder, 'data'), clock: Date.now });
  await grow(store, 5);
  const outside = outsideOf(store, join(folder, 'log'), { timestampUrl: `http://127.0.0.1:${port}/` });
  await outside.work();
  await outside.work();
  const names = readdirSync(join(folder, 'log', 'timestamp'));
  assert.deepEqual(names, ['0000000000000005.checkpoint', '0000000000000005.tsr']);
  const [note, stamp] = names.map((name) => join(folder, 'log', 'timestamp', name));
  assert.ok(note !== undefined && stamp !== undefined);
  const verified = (data: string): number | null =>
    spawnSync('openssl', ['ts', '-verify', '-data', data, '-in', stamp, '-CAfile', join(folder, 'ca.crt')]).status;
  assert.equal(verified(note), 0);
  const other = join(folder, 'other');
  writeFileSync(other, 'another text\n');
  assert.notEqual(verified(other), 0);
  const read = readTimestamp(readFileSync(stamp), readFileSync(note), null);
  assert.ok(read.kind === 'timestamp' && Math.abs(read.atMs - Date.now()) < 60_000);
  assert.equal(readTimestamp(readFileSync(stamp), readFileSync(other), null).kind, 'refused');
  assert.equal(readTimestamp(readFileSync(stamp), readFileSync(note), Buffer.from('12345678')).kind, 'refused');
  const whole = readFileSync(stamp);
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length), (at, byte, end) => {
      const damaged = Buffer.from(whole.subarray(0, end));
      if (at < end) damaged[at] = byte;
      const answer = readTimestamp(damaged, readFileSync(note), null);
      assert.ok(answer.kind === 'timestamp' || answer.reason.length > 0);
      if (end < whole.length) assert.equal(answer.kind, 'refused');
    }),
    { numRuns: 200 },
  );
});

test('the request is what openssl reads as one, and answers to other requests are not taken', async (t) => {
  const folder = folderOf(t);
  for (const nonce of ['00000000000000ff', '8000000000000000', '0123456789abcdef']) {
    writeFileSync(join(folder, 'q.tsq'), timestampRequest(Buffer.from('text'), Buffer.from(nonce, 'hex')));
    const said = execFileSync('openssl', ['ts', '-query', '-in', join(folder, 'q.tsq'), '-text'], { stdio: 'pipe' });
    assert.match(said.toString(), /Hash Algorithm: sha256[\s\S]*Nonce: 0x[0-9A-F]+[\s\S]*Certificate required: yes/);
  }
  makeAuthority(folder);
  const replayed = stampedBy(folder, Buffer.from(timestampRequest(Buffer.from('text'), Buffer.from('another1'))));
  const port = await listening(t, (_, answer) => answer('200', replayed));
  await using store = await openStore({ path: join(folder, 'data'), clock: Date.now });
  await grow(store, 1);
  const logged: string[] = [];
  const outside = outsideOf(store, join(folder, 'log'), {
    timestampUrl: `http://127.0.0.1:${port}/`,
    log: ({ event }) => logged.push(event),
  });
  await outside.work();
  assert.deepEqual(logged, ['checkpoint.outside.failed']);
});

async function listening(
  t: TestContext,
  respond: (body: Buffer, answer: (status: string, body: string | Buffer) => void) => void,
): Promise<number> {
  const server: Server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () =>
      respond(Buffer.concat(parts), (status, body) => response.writeHead(Number(status)).end(body)),
    );
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** An authority of its own, as the openssl manual sets one up. */
function makeAuthority(folder: string): void {
  const run = (...args: readonly string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  writeFileSync(
    join(folder, 'tsa.cnf'),
    `[tsa]\ndefault_tsa=one\n[one]\ndir=.\nserial=./serial\ncrypto_device=builtin\nsigner_cert=./tsa.crt\ncerts=./ca.crt\nsigner_key=./tsa.key\nsigner_digest=sha256\ndefault_policy=1.2.3.4.1\ndigests=sha256\naccuracy=secs:1\nordering=yes\ness_cert_id_alg=sha256\n[ext]\nextendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n`,
  );
  writeFileSync(join(folder, 'serial'), '01\n');
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  run('req', '-x509', ...key, '-days', '30', '-subj', '/CN=ca', '-keyout', 'ca.key', '-out', 'ca.crt');
  run('req', '-new', ...key, '-subj', '/CN=tsa', '-keyout', 'tsa.key', '-out', 'tsa.csr');
  run(
    ...'x509 -req -in tsa.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30'.split(' '),
    ...'-extfile tsa.cnf -extensions ext -out tsa.crt'.split(' '),
  );
}

function stampedBy(folder: string, request: Buffer): Buffer {
  writeFileSync(join(folder, 'q.tsq'), request);
  const args = ['ts', '-reply', '-config', 'tsa.cnf', '-section', 'one', '-queryfile', 'q.tsq', '-out', 'r.tsr'];
  execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  return readFileSync(join(folder, 'r.tsr'));
}
