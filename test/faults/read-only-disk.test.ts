import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ANSWER, DATASET, newQuestion, rowsOf, startWorld, visitsPolicy } from '../gateway/world.ts';

const folder = mkdtempSync(join(tmpdir(), 'glovebox-disk-'));
const image = join(folder, 'image');
const disk = join(folder, 'disk');
const run = (program: string, ...words: readonly string[]): string =>
  execFileSync(program, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();

/** A disk of its own: a file behind a loop device. Null where this user may not make one. */
function makeDisk(): string | null {
  writeFileSync(image, '');
  mkdirSync(disk);
  try {
    run('truncate', '-s', '96M', image);
    run('mkfs.ext4', '-q', image);
    const device = run('losetup', '--find', '--show', image);
    try {
      mountDisk(device);
      return device;
    } catch (error) {
      run('losetup', '--detach', device);
      throw error;
    }
  } catch {
    return null;
  }
}
const mountDisk = (device: string): void => void run('mount', '-o', 'errors=remount-ro', device, disk);

const device = makeDisk();
/** Printed by the test runner: a silent skip here would be a hole. */
const skip = device === null ? 'this user may not make a disk of its own (loop device)' : false;

test(
  'a disk that becomes read-only under a runtime lets nothing out; once it can be written again, nothing is lost',
  { skip },
  async (t) => {
    t.after(() => {
      run('umount', disk);
      run('losetup', '--detach', device ?? '');
      rmSync(folder, { recursive: true });
    });
    const path = join(disk, 'data');
    let world = await startWorld({ path, policy: visitsPolicy({ count: 100 }) });
    const acme = await world.consumer('acme');
    const first = await acme.jobs.sql(newQuestion());
    assert.equal(first.kind, 'released');
    run('sync');

    // What a write error of the device makes of it: the file system ends its journal and makes itself read-only.
    run('mount', '-o', 'remount,abort', disk);
    try {
      for (let tries = 0; tries < 4; tries++) {
        const answer = await acme.jobs.sql(newQuestion()).then(
          ({ kind }) => kind,
          (error: unknown) => String((error as { code?: unknown }).code),
        );
        assert.notEqual(answer, 'released', 'nothing leaves that is not on the disk');
      }
      await assert.rejects(world.owner.parties.suspend({ name: 'acme' }), { code: 'storage-failed' });
      await acme.parties.whoAmI({}); // what needs no record is still answered
    } finally {
      await world.stop().catch(() => undefined);
      run('umount', disk);
      mountDisk(device ?? '');
    }

    world = await startWorld({ path });
    try {
      const again = world.again(acme.credential);
      const { jobs } = await again.jobs.list({});
      assert.ok(jobs.every(({ state }) => state === 'released' || state === 'failed'));
      const outcome = await again.jobs.sql(newQuestion());
      assert.ok(outcome.kind === 'released');
      assert.deepEqual(rowsOf(outcome.table), ANSWER);
      const touched = (await again.jobs.list({})).jobs.filter(
        ({ state, reasons }) => state === 'released' || !reasons.some(({ code }) => code === 'not-started'),
      );
      const [budget] = (await again.budgets.get({ dataset: DATASET })).budgets;
      assert.equal(budget?.uses, BigInt(touched.length), 'the books agree');
      assert.equal(budget?.usesReserved, 0n);
    } finally {
      await world.stop();
    }
  },
);
