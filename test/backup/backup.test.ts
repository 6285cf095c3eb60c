import assert from 'node:assert/strict';
import { appendFileSync, cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { backUp } from '../../runtime/backup/backup.ts';
import { restore } from '../../runtime/backup/restore.ts';
import { checkCopiedState } from '../../runtime/store/copied-state.ts';
import { openStore } from '../../runtime/store/store.ts';
import { ANSWER, type Member, QUESTION, rowsOf, startWorld, visitsPolicy, type World } from '../gateway/world.ts';

const silent = (): void => undefined;
const usesOf = async (member: Member): Promise<bigint | undefined> => (await member.budgets.get({})).budgets[0]?.uses;

describe('a backup of a runtime that works', () => {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-backup-'));
  const target = join(folder, 'backup');
  let world: World;
  let acme: Member;

  before(async () => {
    world = await startWorld({ policy: visitsPolicy({ count: 100 }) });
    acme = await world.consumer('acme');
    for (let n = 0; n < 3; n++) assert.equal((await acme.jobs.sql(QUESTION)).kind, 'released');
    const copyState = async (): Promise<string> => (await world.owner.operator.backup({})).path;
    // Jobs go on while it copies.
    const [made] = await Promise.all([
      backUp({ dataDirectory: world.path, target, version: 'test', nowMs: Date.now, copyState, progress: silent }),
      acme.jobs.sql(QUESTION),
    ]);
    assert.ok(made.files > 5 && made.bytes > 10_000 && made.logSize > 10);
    for (let n = 0; n < 5; n++) assert.equal((await acme.jobs.sql(QUESTION)).kind, 'released');
  });
  after(async () => {
    await world[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const bring = (source: string, to: string): ReturnType<typeof restore> =>
    restore({ source, dataDirectory: join(folder, to), nowMs: Date.now, progress: silent });

  it('is private, holds the keys and the data, and leaves nothing in the data directory', () => {
    assert.equal(statSync(target).mode & 0o777, 0o700);
    assert.deepEqual(readdirSync(join(world.path, 'backups')), []);
    for (const name of ['keys', 'datasets', 'state/glovebox.db', 'operator.credential.json', 'backup.json'])
      assert.ok(existsSync(join(target, name)), name);
  });

  it('restored, releases nothing before an operator lifts the switch; budgets are those of the backup, and evidence says so', async () => {
    const { logSize } = await bring(target, 'restored');
    await using again = await startWorld({ path: join(folder, 'restored') });
    const party = again.again(acme.credential);
    const status = await again.owner.operator.status({});
    assert.equal(status.isStopped, true);
    const stopped = await party.jobs.sql(QUESTION);
    assert.notEqual(stopped.kind, 'released');
    const used = Number(await usesOf(party));
    assert.ok(used >= 3 && used <= 4, `${used} uses when the backup was taken`);
    const entries = await again.runtime.store.positionsOf('store.recovered', 1);
    assert.ok((entries[0] ?? 0) >= logSize, 'the log says that it was restored');
    await again.owner.operator.resumeAll({ note: 'compared with the receipts of acme' });
    const outcome = await party.jobs.sql(QUESTION);
    assert.equal(outcome.kind, 'released');
    if (outcome.kind === 'released') assert.deepEqual(rowsOf(outcome.table), ANSWER);
    assert.equal(Number(await usesOf(party)), used + 1);
  });

  it('the restored log begins as the one that was backed up and lacks what came after', async () => {
    await using store = await openStore({ path: join(folder, 'restored'), clock: Date.now });
    await using lost = await openStore({ path: await copyOf(world), clock: Date.now });
    const [shared] = await store.entries(3, 4);
    assert.deepEqual(shared, (await lost.entries(3, 4))[0]);
    const size = Number((await lost.checkpoint()).split('\n')[1]);
    assert.ok(size > Number((await store.checkpoint()).split('\n')[1]));
  });

  async function copyOf(one: World): Promise<string> {
    const copy = join(folder, 'after');
    await one.runtime.store.publishEvidence();
    for (const name of ['keys', 'evidence']) cpSync(join(one.path, name), join(copy, name), { recursive: true });
    cpSync(join(target, 'state'), join(copy, 'state'), { recursive: true, filter: (path) => !path.endsWith('.db') });
    await one.runtime.store.backup(join(copy, 'state', 'glovebox.db'));
    return copy;
  }

  it('an older state under a log that was published since is refused, not taken', async () => {
    const mixed = join(folder, 'mixed');
    cpSync(target, mixed, { recursive: true });
    await world.runtime.store.publishEvidence();
    cpSync(join(world.path, 'evidence'), join(mixed, 'evidence'), { recursive: true });
    await assert.rejects(openStore({ path: mixed, clock: Date.now }), { code: 'state-rolled-back' });
  });

  it('a backup with a byte changed, a file missing, added or a list that is not one is refused, and nothing is made', async () => {
    const damages: readonly (readonly [string, (at: string) => void, RegExp])[] = [
      [
        'changed',
        (at) => appendFileSync(join(at, 'keys', 'units.key'), ' '),
        /`keys\/units\.key` is not what was backed up/,
      ],
      ['missing', (at) => rmSync(join(at, 'keys', 'units.key')), /`keys\/units\.key` is missing from the backup/],
      ['added', (at) => writeFileSync(join(at, 'keys', 'more.key'), ''), /`keys\/more\.key` is not in the list/],
      ['unlisted', (at) => rmSync(join(at, 'backup.json')), /is no whole backup/],
      [
        'nonsense',
        (at) => writeFileSync(join(at, 'backup.json'), '{"format":1,"files":[{}]}'),
        /is not the list of a backup/,
      ],
      ['newer', (at) => writeFileSync(join(at, 'backup.json'), '{"format":2}'), /is not the list of a backup/],
    ];
    for (const [name, damage, message] of damages) {
      const copy = join(folder, name);
      cpSync(target, copy, { recursive: true });
      damage(copy);
      await assert.rejects(bring(copy, `from-${name}`), message, name);
      assert.ok(!existsSync(join(folder, `from-${name}`)) && !existsSync(join(folder, `from-${name}.restoring`)), name);
    }
  });

  it('overwrites neither a data directory nor a backup', async () => {
    await assert.rejects(bring(target, 'restored'), /is not empty: move it away first/);
    const copyState = (): Promise<null> => Promise.reject(new Error('must not be asked'));
    const needs = { dataDirectory: world.path, version: 'test', nowMs: Date.now, copyState, progress: silent };
    await assert.rejects(backUp({ ...needs, target: join(world.path, 'backups', 'x') }), /lies in the data directory/);
    await assert.rejects(backUp({ ...needs, target }), /exists already/);
    await assert.rejects(backUp({ ...needs, dataDirectory: folder, target: `${folder}-x` }), /is no data directory/);
  });

  it('only an operator may ask for a copy of the state', async () => {
    await assert.rejects(acme.operator.backup({}), { code: 'role-missing' });
  });

  it('works without a runtime too, and says when another process holds the state', async () => {
    const copyState = (): Promise<null> => Promise.resolve(null);
    const needs = { version: 'test', nowMs: Date.now, copyState, progress: silent };
    await backUp({ ...needs, dataDirectory: join(folder, 'restored'), target: join(folder, 'cold') });
    checkCopiedState(join(folder, 'cold/state/glovebox.db'), join(folder, 'cold/keys/evidence.pem'));
    await assert.rejects(backUp({ ...needs, dataDirectory: world.path, target: join(folder, 'held') }), {
      code: 'state-locked',
    });
    assert.ok(!existsSync(join(folder, 'held')) && !existsSync(join(folder, 'held.partial')));
  });
});

it('a copy that is taken while the state is written without a pause is a whole state of one moment', async () => {
  const path = mkdtempSync(join(tmpdir(), 'glovebox-backup-'));
  try {
    await using store = await openStore({ path, clock: Date.now });
    const put = (n: number): Promise<unknown> =>
      store.put({ table: 'duty', id: `d${n}`, owner: '', state: 'x', atMs: n, body: { filler: 'y'.repeat(4000) } });
    await Promise.all(Array.from({ length: 3000 }, (_, n) => put(n)));
    let written = 3000;
    let isCopying = true;
    const write = async (): Promise<void> => {
      while (isCopying) await put(written++);
    };
    const writing = Promise.all([write(), write(), write()]);
    const copy = join(path, 'copy.db');
    await store.backup(copy).finally(() => (isCopying = false));
    await writing;
    assert.ok(written > 3000, 'writes went on');
    checkCopiedState(copy, join(path, 'keys', 'evidence.pem'));
    await assert.rejects(store.backup(join(path, 'no', 'such', 'folder.db')), { code: 'state-write-failed' });
    await put(written);
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
});
