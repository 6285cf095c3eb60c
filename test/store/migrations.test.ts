import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it, test, type TestContext } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { MIGRATIONS, openDatabase } from '../../runtime/store/database.ts';
import { openStore } from '../../runtime/store/store.ts';
import { COUNT, dataDirectory, EPSILON, NOW, reserveInput } from './world.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const FIXTURES = join(ROOT, 'test', 'fixtures', 'state');
const VERSIONS = readdirSync(FIXTURES).filter((name) => /^\d/.test(name));

/** A data directory as that version left it. */
function stateOf(t: TestContext, version: string): string {
  const path = dataDirectory(t);
  for (const folder of ['state', 'keys']) mkdirSync(join(path, folder), { mode: 0o700 });
  const database = gunzipSync(readFileSync(join(FIXTURES, version, 'glovebox.db.gz')));
  writeFileSync(join(path, 'state', 'glovebox.db'), database);
  writeFileSync(join(path, 'keys', 'evidence.pem'), readFileSync(join(FIXTURES, version, 'evidence.pem')));
  return path;
}

test('there is a state of every version that was released', () => {
  const changelog = readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8');
  const released = [...changelog.matchAll(/^## (\d+\.\d+\.\d+)$/gm)].map(([, version = '']) => version);
  assert.ok(released.length > 0);
  assert.deepEqual(VERSIONS.toSorted(), released.toSorted());
});

for (const version of VERSIONS) {
  describe(`the state of ${version}`, () => {
    it('opens: budgets, jobs, receipts and log are as they were, and what ran is failed with its use spent', async (t) => {
      await using store = await openStore({ path: stateOf(t, version), clock: () => NOW });
      assert.equal(store.recovered.interruptedJobs, 1);
      assert.equal((await store.balance(EPSILON)).spent, 1_500_000n);
      assert.equal((await store.balance(COUNT, 30 * 86_400_000)).spent, 3n);
      const jobs = await store.jobs();
      assert.deepEqual(jobs.map(({ id, state }) => `${id} ${state}`).toSorted(), [
        'j1 released',
        'j2 released',
        'j3 failed',
      ]);
      for (const { body } of jobs)
        for (const at of body.evidence) assert.match((await store.receipt(at)) ?? '', /^c2sp\.org/);
      const again = await store.reserve(
        reserveInput('j4', [{ budget: EPSILON, amount: 2_500_001n, limit: 4_000_000n }]),
      );
      assert.equal(again.kind, 'exhausted', 'nothing of the budget came back');
    });

    it('opens a second time, and stays closed to a runtime that is older than it', async (t) => {
      const path = stateOf(t, version);
      await (await openStore({ path, clock: () => NOW })).close();
      await (await openStore({ path, clock: () => NOW })).close();
      const file = join(path, 'state', 'glovebox.db');
      assert.throws(() => openDatabase(file, []), { code: 'state-too-new' });
      assert.ok(versionOf(file) >= 1, 'and nothing was changed');
    });
  });
}

describe('a step of the schema', () => {
  // The states that are opened here have it behind them.
  const [first = ''] = MIGRATIONS;

  it('is made once, together with its number', (t) => {
    const file = join(stateOf(t, '0.1.0'), 'state', 'glovebox.db');
    const steps = [first, 'create table extra(a integer) strict; insert into extra values (1)'];
    for (let starts = 0; starts < 2; starts++) {
      const { database, isNew } = openDatabase(file, steps);
      assert.equal(isNew, false);
      assert.equal(database.prepare('select count(*) as n from extra').get()?.['n'], 1);
      database.close();
    }
    assert.equal(versionOf(file), 2);
  });

  it('that fails leaves the old schema and its number, so that the older runtime still works', async (t) => {
    const path = stateOf(t, '0.1.0');
    const file = join(path, 'state', 'glovebox.db');
    assert.throws(() => openDatabase(file, [first, 'create table extra(a integer)', 'create table record(b integer)']));
    assert.equal(versionOf(file), 1);
    await (await openStore({ path, clock: () => NOW })).close();
  });

  it('that changes a sealed row is refused by the seal at once', async (t) => {
    const path = stateOf(t, '0.1.0');
    openDatabase(join(path, 'state', 'glovebox.db'), [first, 'update balance set spent = 0']).database.close();
    const database = new DatabaseSync(join(path, 'state', 'glovebox.db'));
    database.exec('pragma user_version = 1');
    database.close();
    await assert.rejects(openStore({ path, clock: () => NOW }), { code: 'state-tampered' });
  });
});

function versionOf(file: string): number {
  const database = new DatabaseSync(file);
  try {
    return Number(database.prepare('pragma user_version').get()?.['user_version']);
  } finally {
    database.close();
  }
}
