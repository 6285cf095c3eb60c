import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { registerFiles } from '../../runtime/client/upload.ts';
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

const path = mkdtempSync(join(tmpdir(), 'glovebox-disk-'));
const canMount = mount('size=64m');
/** Printed by the test runner: a silent skip here would be a hole. */
const skip = canMount ? false : 'this user may not mount a small disk (tmpfs)';

let world: World;
let acme: Member;
before(async () => {
  if (!canMount) return;
  world = await startWorld({ path, policy: visitsPolicy({ count: 1000 }) });
  acme = await world.consumer('acme');
  await ask();
});
after(async () => {
  if (canMount) {
    await world.stop();
    execFileSync('umount', [path]);
  }
  rmdirSync(path);
});

function mount(options: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'glovebox-test', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
const remount = (mode: 'ro' | 'rw'): void => void execFileSync('mount', ['-o', `remount,${mode}`, path]);

const FILLER = join(path, 'filler');
/** Takes all room but so many bytes. */
function fill(leave = 0): void {
  const file = openSync(FILLER, 'w');
  try {
    for (const size of [1 << 20, 4096, 1]) {
      try {
        for (;;) writeSync(file, Buffer.alloc(size));
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
      }
    }
    ftruncateSync(file, Math.max(0, fstatSync(file).size - leave));
  } finally {
    closeSync(file);
  }
}

async function ask(): Promise<void> {
  const outcome = await acme.jobs.sql(newQuestion());
  assert.ok(outcome.kind === 'released');
  assert.deepEqual(rowsOf(outcome.table), ANSWER);
}

/** What a client does that was told to try again later; the state is opened anew at most every quarter of a second. */
async function healed(): Promise<void> {
  for (let tries = 0; tries < 1200; tries += 1) {
    try {
      await acme.jobs.list({});
      return;
    } catch (error) {
      assert.equal((error as { code?: unknown }).code, 'storage-failed');
      await delay(50);
    }
  }
  throw new Error('it does not recover');
}

/** Uses spent must be those of jobs that touched data, and results kept those that were released. */
async function audit(): Promise<bigint> {
  const { jobs } = await acme.jobs.list({});
  const released = jobs.filter(({ state }) => state === 'released');
  const touched = jobs.filter(
    ({ state, reasons }) => state === 'failed' && !reasons.some(({ code }) => code === 'not-started'),
  );
  const [budget] = (await acme.budgets.get({ dataset: DATASET })).budgets;
  assert.equal(budget?.uses, BigInt(released.length + touched.length));
  assert.equal(budget?.usesReserved, 0n);
  assert.deepEqual(readdirSync(join(path, 'results')).toSorted(), released.map(({ id }) => `${id}.frames`).toSorted());
  return budget?.uses ?? 0n;
}

describe('a disk that is full', { skip }, () => {
  it('lets nothing out, says that it is the disk, and costs nothing once there is room again', async () => {
    const before = await audit();
    fill();
    try {
      for (let tries = 0; tries < 5; tries += 1)
        await assert.rejects(acme.jobs.sql(newQuestion()), { code: 'storage-failed' });
      await assert.rejects(
        acme.jobs.sql('select * from visits'),
        { code: 'storage-failed' },
        'a denial must be recorded too',
      );
      await assert.rejects(world.owner.parties.suspend({ name: 'acme' }), { code: 'storage-failed' });
      const upload = async (): Promise<void> => {
        const file = join(import.meta.dirname, '../../examples/data/clinical/flchain.csv');
        for await (const event of registerFiles(world.owner.catalogue, { name: 'other' }, [{ path: file }]))
          assert.ok(event);
      };
      await assert.rejects(upload(), { code: 'storage-failed' });
      assert.deepEqual(readdirSync(join(path, 'uploads')), []);
      await acme.parties.whoAmI({}); // what needs no disk is still answered, and the suspension did not happen
    } finally {
      rmSync(FILLER);
    }
    await healed();
    await ask();
    assert.equal(await audit(), before + 1n);
    const { jobs } = await acme.jobs.list({});
    assert.ok(jobs.every(({ state }) => state === 'released' || state === 'failed'));
  });

  it('in the middle of a registration is told as the disk, leaves nothing, and the same file is taken when there is room', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'glovebox-source-'));
    const file = join(folder, 'other.csv');
    const rows = Array.from(
      { length: 40_000 },
      (_, id) => `${id},${createHash('sha256').update(`${id}`).digest('hex')}`,
    );
    writeFileSync(file, `id,text\n${rows.join('\n')}\n`);
    const register = async (): Promise<void> => {
      for await (const { reasons } of registerFiles(world.owner.catalogue, { name: 'other' }, [{ path: file }]))
        assert.deepEqual(reasons, []);
    };
    // Room for the upload and for nothing that is made of it.
    fill(statSync(file).size + 400_000);
    try {
      await assert.rejects(register(), { code: 'storage-failed' });
    } finally {
      rmSync(FILLER);
    }
    assert.deepEqual(readdirSync(join(path, 'uploads')), []);
    assert.deepEqual(readdirSync(join(path, 'datasets')), [DATASET]);
    await healed();
    await register();
    await ask();
    await audit();
    rmSync(folder, { recursive: true });
  });

  it('while a layout is made fails the job before it begins, and does not say that somebody changed the files', async () => {
    const rows = Array.from(
      { length: 30_000 },
      (_, id) => `${id},${id % 2 === 0 ? 'east' : 'west'},${(id * 7919) % 2999}`,
    );
    const other = join(path, 'other');
    const large = await startWorld({ path: other, csv: `patient_id,ward,cost\n${rows.join('\n')}\n` });
    const beta = await large.consumer('beta');
    try {
      // A layout is a cache: it is made again.
      rmSync(join(other, 'layouts'), { recursive: true });
      fill(300_000);
      const refused = await beta.jobs.sql(newQuestion()).finally(() => rmSync(FILLER));
      assert.ok(refused.kind === 'refused');
      assert.equal(refused.job.state, 'failed');
      assert.deepEqual(
        refused.reasons.map(({ code }) => code),
        ['not-started'],
      );
      assert.equal((await beta.jobs.sql(newQuestion())).kind, 'released');
    } finally {
      await large.stop();
      rmSync(other, { recursive: true });
    }
  });

  it('while jobs are under way gives each a right answer or none, and the books agree', async () => {
    const jobs = Array.from({ length: 12 }, async (_, index) => {
      if (index === 4) fill();
      return acme.jobs.sql(newQuestion()).then(
        (outcome) => (outcome.kind === 'released' ? rowsOf(outcome.table) : outcome.kind),
        (error: unknown) => String((error as { code?: unknown }).code),
      );
    });
    const answers = await Promise.all(jobs);
    rmSync(FILLER);
    for (const answer of answers) {
      if (Array.isArray(answer)) assert.deepEqual(answer, ANSWER);
      else assert.match(answer as string, /^(refused|storage-failed)$/);
    }
    await healed();
    await ask();
    await audit();
  });
});

describe('a data directory that cannot be written', { skip }, () => {
  it('is refused at start with its path, and a start after that works', async () => {
    await world.stop();
    remount('ro');
    try {
      await assert.rejects(startWorld({ path }), (error) => String(error).includes(path));
    } finally {
      remount('rw');
    }
    const { credential } = acme;
    world = await startWorld({ path });
    acme = world.again(credential);
    await ask();
    await audit();
  });
});
