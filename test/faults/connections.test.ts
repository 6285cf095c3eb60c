import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { after, before, describe, it } from 'node:test';
import { Metadata } from '@grpc/grpc-js';
import {
  ANSWER,
  DATASET,
  type Member,
  newQuestion,
  rowsOf,
  startWorld,
  visitsPolicy,
  type World,
} from '../gateway/world.ts';
import { call, rawClient } from '../rpc/raw-client.ts';
import { openFiles } from './processes.ts';

let world: World;
let acme: Member;
before(async () => {
  world = await startWorld({ policy: visitsPolicy({ count: 1000 }), limits: { maxSilentConnections: 64 } });
  acme = await world.consumer('acme');
  await ask();
});
after(() => world[Symbol.asyncDispose]());

async function ask(): Promise<void> {
  const outcome = await acme.jobs.sql(newQuestion());
  assert.ok(outcome.kind === 'released');
  assert.deepEqual(rowsOf(outcome.table), ANSWER);
}

describe('a runtime whose clients misbehave', () => {
  it('answers others while 2,000 connections do nothing, and keeps few of them', async () => {
    const idle = Array.from({ length: 2000 }, () => {
      const socket = net.connect(world.server.port, '127.0.0.1');
      socket.on('error', () => {});
      return socket;
    });
    await Promise.all(
      idle.slice(0, 100).map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])),
    );
    await ask();
    for (const socket of idle) socket.destroy();
    await ask();
  });

  it('answers others while handshakes hang and headers trickle in', async () => {
    const { ca, certificate: cert, key, serverName: servername } = acme.credential;
    const half = Array.from({ length: 20 }, () => {
      const socket = net.connect(world.server.port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write(Buffer.from('160301', 'hex')); // the first bytes of a handshake, and no more
      return socket;
    });
    const slow = Array.from({ length: 20 }, () => {
      const port = world.server.port;
      const socket = tls.connect({ port, host: '127.0.0.1', ca, cert, key, servername, ALPNProtocols: ['h2'] });
      socket.on('error', () => {});
      socket.write('PRI * HTTP/2.0\r\n'); // half a preface
      return socket;
    });
    await ask();
    for (const socket of [...half, ...slow]) socket.destroy();
  });

  it('refuses oversized headers with a clear status, and the connection goes on', async () => {
    const raw = rawClient({ address: `127.0.0.1:${world.server.port}` }, acme.credential);
    const headers = new Metadata();
    headers.set('x-large', 'a'.repeat(20_000));
    const refused = await call(raw, '/glovebox.v1.PartyService/WhoAmI', Buffer.alloc(0), headers);
    assert.notEqual(refused.code, 0);
    const fine = await call(raw, '/glovebox.v1.PartyService/WhoAmI', Buffer.alloc(0));
    assert.equal(fine.code, 0, fine.details);
    raw.close();
  });

  it('cancels the job of a client that vanishes while it waits, and books it', async () => {
    for (let turn = 0; turn < 10; turn += 1) {
      const gone = world.again(acme.credential);
      const waiting = gone.jobs.submit({
        job: { computation: { kind: 'sql', sql: { text: newQuestion() } } },
        wait: true,
      });
      if (turn % 2 === 0) await Promise.race([waiting, new Promise((resolve) => void setImmediate(resolve))]);
      gone.close();
      await waiting.catch(() => undefined);
    }
    await ask();
    const { jobs } = await acme.jobs.list({});
    const live = jobs.filter(({ state }) => state === 'queued' || state === 'running').length;
    const spent = jobs.filter(({ state, mode }) => state !== 'denied' && mode !== 'unspecified').length;
    const [budget] = (await acme.budgets.get({ dataset: DATASET })).budgets;
    assert.ok((budget?.uses ?? 0n) <= BigInt(spent + live));
  });

  it('holds no descriptor of jobs that are over', async () => {
    for (let turn = 0; turn < 5; turn += 1) await ask();
    const before = openFiles();
    for (let turn = 0; turn < 25; turn += 1) await ask();
    const grown = openFiles() - before;
    assert.ok(grown < 15, `${grown} more descriptors after 25 jobs`);
  });
});
