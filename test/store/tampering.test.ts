import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { verifyLog } from '../../runtime/evidence/verify-log.ts';
import { Engine } from '../../runtime/store/engine.ts';
import { StoreFault } from '../../runtime/store/fault.ts';
import { openStore } from '../../runtime/store/store.ts';
import { COUNT, dataDirectory, EPSILON, NOW, openWorld, releaseInput, reserveInput } from './world.ts';

/** A closed data directory with one released job. */
async function closedWorld(t: TestContext): Promise<string> {
  const path = dataDirectory(t);
  const store = await openWorld(t, path);
  const lines = [
    { budget: EPSILON, amount: 2n, limit: 4n },
    { budget: COUNT, amount: 1n, limit: 2n, windowMs: 1000 },
  ];
  await store.reserve(reserveInput('j1', lines));
  await store.commitRelease(releaseInput('j1'));
  await store.close();
  return path;
}

const EDITS: readonly [string, string][] = [
  ['a refilled budget', 'update balance set spent = 0'],
  ['a raised top-up', 'update balance set topped_up = 100'],
  ['a removed balance', 'delete from balance'],
  ['a removed windowed use', 'delete from use'],
  ['a job set back to running', `update record set state = 'running' where kind = 'job'`],
  ['an agreement made active', `update record set state = 'terminated' where kind = 'agreement'`],
  ['a ticket issued by hand', `insert into record values ('ticket', 'x', 'acme', 'issued', 0, '{"job":"j1"}', null)`],
  ['a removed job', `delete from record where kind = 'job'`],
  ['a changed log entry', `update evidence set entry = x'00' where position = 1`],
  ['a removed log entry', 'delete from evidence where position = 0'],
  ['a cut log', 'delete from evidence where position = (select max(position) from evidence)'],
  ['an added log entry', `insert into evidence values (99, 'decision', 0, x'00')`],
  ['a log entry under another kind', `update evidence set kind = 'alert' where position = 1`],
  [
    'a trigger that refills',
    `create trigger t after update on balance begin update balance set spent = 0 where budget = new.budget; end`,
  ],
  ['an index that is gone', 'drop index record_by_state'],
  ['a table of somebody else', 'create table more(x)'],
  ['a removed seal', 'delete from seal'],
  ['a changed seal', 'update seal set log_size = 1'],
  ['a clock set back', 'update seal set latest_ms = 0'],
];
for (const [what, sql] of EDITS) {
  test(`${what} is found when the state is opened`, async (t) => {
    const path = await closedWorld(t);
    const database = new DatabaseSync(join(path, 'state', 'glovebox.db'));
    database.exec(sql);
    database.close();
    await assert.rejects(openStore({ path, clock: () => NOW }), isFault('state-tampered'));
  });
}

test('a damaged database file is a clear fault', async (t) => {
  const path = await closedWorld(t);
  const file = join(path, 'state', 'glovebox.db');
  const bytes = readFileSync(file);
  for (let at = 4096; at < bytes.length; at += 512) bytes[at] = (bytes[at] ?? 0) ^ 0xff;
  writeFileSync(file, bytes);
  await assert.rejects(openStore({ path, clock: () => NOW }), isFault('state-tampered'));
  writeFileSync(
    file,
    'not a database, only text that is long enough to be read as a header of one ............................',
  );
  await assert.rejects(openStore({ path, clock: () => NOW }), isFault('state-tampered'));
});

test('a changed byte anywhere in the database is found, or nothing that is read from it changes', async (t) => {
  const path = await closedWorld(t);
  const file = join(path, 'state', 'glovebox.db');
  const bytes = readFileSync(file);
  const asBefore = read(path);
  let found = 0;
  let random = 20_260_101;
  for (let turn = 0; turn < 150; turn += 1) {
    const changed = Buffer.from(bytes);
    random = (random * 48_271) % 2_147_483_647;
    const at = random % changed.length;
    changed[at] = (changed[at] ?? 0) ^ (1 << (turn % 8));
    writeFileSync(file, changed);
    rmSync(`${file}-wal`, { force: true });
    try {
      assert.deepEqual(read(path), asBefore, `byte ${at}`);
    } catch (error) {
      assert.ok(error instanceof StoreFault, `byte ${at}: ${String(error)}`);
      found += 1;
    }
  }
  assert.ok(found > 10, `${found} of 150 were found; the others were in bytes that hold nothing`);
});

/** What a start reads of the state: everything that a decision could rest on. */
function read(path: string): unknown {
  const engine = new Engine({ path, origin: undefined, privateKey: undefined, nowMs: NOW }, () => undefined);
  try {
    const requests = [
      { do: 'balance', budget: EPSILON, windowMs: undefined },
      { do: 'balance', budget: COUNT, windowMs: 1000 },
      { do: 'list', table: 'job', filter: { state: 'released' } },
      { do: 'list', table: 'reservation', filter: {} },
      { do: 'positions', kind: 'release', limit: 10 },
      { do: 'receipt', position: 0, against: undefined },
    ] as const;
    const replies = engine.run(requests.map((request, id) => ({ id, nowMs: NOW, request })));
    return { records: engine.hello.records, replies, recovered: engine.hello.recovered };
  } finally {
    engine.abandon();
  }
}

test('an older copy of the database put back is found by the published checkpoint', async (t) => {
  const path = await closedWorld(t);
  const copy = join(dataDirectory(t), 'state');
  cpSync(join(path, 'state'), copy, { recursive: true });
  const store = await openWorld(t, path);
  await store.reserve(reserveInput('j2', [{ budget: EPSILON, amount: 2n, limit: 4n }]));
  await store.close();
  rmSync(join(path, 'state'), { recursive: true });
  cpSync(copy, join(path, 'state'), { recursive: true });
  await assert.rejects(openStore({ path, clock: () => NOW }), isFault('state-rolled-back'));
});

test('without its key, or with another, the state does not open', async (t) => {
  const path = await closedWorld(t);
  const key = join(path, 'keys', 'evidence.pem');
  rmSync(key);
  await assert.rejects(openStore({ path, clock: () => NOW }), isFault('state-key'));
  cpSync(join(await closedWorld(t), 'keys', 'evidence.pem'), key);
  await assert.rejects(openStore({ path, clock: () => NOW }), isFault('state-tampered'));
  writeFileSync(key, 'no key');
  await assert.rejects(openStore({ path, clock: () => NOW }), isFault('state-key'));
});

test('a newer schema is refused', async (t) => {
  const path = await closedWorld(t);
  const database = new DatabaseSync(join(path, 'state', 'glovebox.db'));
  database.exec('pragma user_version = 1000');
  database.close();
  await assert.rejects(openStore({ path, clock: () => NOW }), isFault('state-too-new'));
});

test('changed log files fail verification, are written again at the next start, and leave an alert in the log', async (t) => {
  for (const file of ['checkpoint', 'tile/0/000.p/4', 'tile/entries/000.p/4']) {
    const path = await closedWorld(t);
    const read = (name: string): Uint8Array | undefined => {
      try {
        return readFileSync(join(path, 'evidence', name));
      } catch {
        return undefined;
      }
    };
    const bytes = readFileSync(join(path, 'evidence', file));
    bytes[40] = (bytes[40] ?? 0) ^ 1;
    writeFileSync(join(path, 'evidence', file), bytes);
    const store = await openStore({ path, clock: () => NOW });
    t.after(() => store.close());
    assert.equal(store.recovered.repairedFiles, 1, file);
    assert.equal((await store.positionsOf('alert', 10)).length, 1);
    assert.equal(verifyLog(read, store.verifierKey).kind, 'verified');
  }
});

function isFault(code: StoreFault['code']): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof StoreFault, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}
