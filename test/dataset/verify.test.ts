import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile, rm, writeFile, utimes, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { listDatasets, MANIFEST_FILE, removeUnfinished, versionsOf } from '../../runtime/dataset/ingest.ts';
import { FileGuard, verifyDataset } from '../../runtime/dataset/verify.ts';
import type { SourceReader } from '../../runtime/dataset/ingest-events.ts';
import { inProcessReader } from '../../runtime/dataset/worker/read-sources.ts';
import { BenchFolder } from './bench-folder.ts';

describe('verification', () => {
  it('detects any changed byte and names the file', async () => {
    await using bench = await BenchFolder.create();
    const sources = [await bench.source('a.csv', 'x\n1\n2\n'), await bench.source('b.csv', 'y\n1\n')];
    const { manifest, folder } = await bench.register('h/v', sources);
    assert.equal((await verifyDataset(bench.root, 'h/v', 1, manifest.digest)).kind, 'intact');
    for (const file of ['t1.parquet', MANIFEST_FILE, 'statistics.json']) {
      const path = join(folder, file);
      const good = await readFile(path);
      await chmod(path, 0o600);
      for (const at of [0, 3, good.length >> 1, good.length - 1]) {
        const bad = Buffer.from(good);
        bad[at] = (bad[at] ?? 0) ^ 1;
        await writeFile(path, bad);
        const answer = await verifyDataset(bench.root, 'h/v', 1, manifest.digest);
        assert.equal(answer.kind === 'changed' && answer.files[0]?.file, file);
      }
      await writeFile(path, good);
    }
    await rm(join(folder, 't0.parquet'));
    assert.deepEqual(await verifyDataset(bench.root, 'h/v', 1), {
      kind: 'changed',
      files: [{ file: 't0.parquet', problem: 'it is gone' }],
    });
    await assert.rejects(verifyDataset(bench.root, 'h/v', 9), /has no version 9/);
  });

  it('catches a change that keeps size and modification time, before each job', async () => {
    await using bench = await BenchFolder.create();
    const { manifest, folder } = await bench.register('h/v', [await bench.source('a.csv', 'x\n1\n2\n')]);
    const path = join(folder, 't0.parquet');
    const digest = manifest.tables[0]?.digest ?? '';
    const guard = new FileGuard();
    await guard.check(path, digest, 'a');
    const { atime, mtime } = await stat(path);
    const bytes = await readFile(path);
    bytes[40] = (bytes[40] ?? 0) ^ 1;
    await chmod(path, 0o600);
    await writeFile(path, bytes);
    await utimes(path, atime, mtime);
    await assert.rejects(guard.check(path, digest, 'a'), /a was changed since it was registered/);
  });
});

describe('a registration', () => {
  it('that fails in the middle leaves nothing, and the next one gets its version', async () => {
    await using bench = await BenchFolder.create();
    const source = await bench.source('a.csv', 'x\n1\n2\n');
    const failing: SourceReader = {
      async *read(request) {
        for await (const event of inProcessReader.read(request)) {
          yield event;
          if (event.kind === 'batch') throw new Error('the disk is on fire');
        }
      },
    };
    await assert.rejects(bench.register('h/v', [source], failing), /on fire/);
    assert.deepEqual(await bench.left(), []);
    assert.equal((await bench.register('h/v', [source])).manifest.version, 1);
    assert.deepEqual(await versionsOf(bench.root, 'h/v'), [1]);
    assert.deepEqual(await listDatasets(bench.root), ['h/v']);
  });

  it('that is killed leaves only what the next start removes', async () => {
    await using bench = await BenchFolder.create();
    const source = await bench.source('a.csv', 'x\n1\n2\n');
    const script = `
      import { registerDataset } from ${JSON.stringify(new URL('../../runtime/dataset/ingest.ts', import.meta.url))};
      import { inProcessReader } from ${JSON.stringify(new URL('../../runtime/dataset/worker/read-sources.ts', import.meta.url))};
      const reader = { async *read(request) { for await (const event of inProcessReader.read(request)) {
        yield event; if (event.kind === 'batch') { process.send('reading'); await new Promise(() => setInterval(() => {}, 1000)); } } } };
      await registerDataset({ root: ${JSON.stringify(bench.root)}, reader, limits: { threads: 1, memoryMiB: 256 } }, 'h/v', [${JSON.stringify(source)}]);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    await once(child, 'message');
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.deepEqual(await versionsOf(bench.root, 'h/v'), []);
    assert.equal(await removeUnfinished(bench.root, () => 0), 1);
    assert.deepEqual(await bench.left(), []);
    assert.equal((await bench.register('h/v', [source])).manifest.version, 1);
  });

  it('that nobody put on record is removed at the next start; one that is on record stays', async () => {
    await using bench = await BenchFolder.create();
    const source = await bench.source('a.csv', 'x\n1\n2\n');
    await bench.register('h/v', [source]); // recorded, but killed before the mark went
    await bench.register('h/v', [source]); // killed before it was recorded
    const third = await bench.register('h/w', [source]);
    await third.settle(true);
    assert.equal(await removeUnfinished(bench.root, (dataset) => (dataset === 'h/v' ? 1 : 0)), 1);
    assert.deepEqual(await versionsOf(bench.root, 'h/v'), [1]);
    assert.deepEqual(await versionsOf(bench.root, 'h/w'), [1], 'what was settled stays, whatever the catalogue says');
    const fourth = await bench.register('h/v', [source]);
    await fourth.settle(false);
    assert.deepEqual(await versionsOf(bench.root, 'h/v'), [1]);
    await bench.register('h/x', [source]);
    await removeUnfinished(bench.root, () => 0);
    assert.deepEqual(await listDatasets(bench.root), ['h/v', 'h/w'], 'no empty folder is left');
  });

  it('of the same dataset at the same time gives two versions or a conflict, never a mix', async () => {
    await using bench = await BenchFolder.create();
    const sources = [await bench.source('a.csv', 'x\n1\n'), await bench.source('a.csv', 'x\n2\n3\n')];
    const answers = await Promise.allSettled(sources.map((source) => bench.register('h/v', [source])));
    const done = answers.filter((answer) => answer.status === 'fulfilled');
    assert.ok(done.length >= 1);
    for (const version of await versionsOf(bench.root, 'h/v'))
      assert.equal((await verifyDataset(bench.root, 'h/v', version)).kind, 'intact');
    assert.equal((await versionsOf(bench.root, 'h/v')).length, done.length);
    for (const name of ['../x', 'A/b', 'a//b', '', 'a/../b', '.a'])
      await assert.rejects(bench.register(name, sources), /as a dataset name/);
  });
});
