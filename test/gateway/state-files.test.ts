import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { createRuntime } from '../../runtime/container.ts';
import { agreedWorld, runtimeWorld } from './runtime-world.ts';

test('a runtime does not start with other secrets than its state was made with, and says which', async () => {
  await using world = await runtimeWorld();
  await agreedWorld(world);
  await world.runtime[Symbol.asyncDispose]();
  const [kept, changed] = [join(world.folder, 'data'), join(world.folder, 'changed')];
  const start = async (): Promise<void> => {
    const runtime = await createRuntime({ dataDirectory: changed, log: () => undefined, address: () => '' });
    await runtime[Symbol.asyncDispose]();
  };
  const flip = (file: string, at: number): void => {
    const bytes = readFileSync(file);
    bytes[at] = bytes[at] === 0x31 ? 0x32 : 0x31;
    writeFileSync(file, bytes);
  };
  // What would hold the start for ever if it were read.
  const namedPipe = (file: string): unknown => execFileSync('mkfifo', [file]);
  const endless = (file: string): void => symlinkSync('/dev/zero', file);
  const instead = (file: string, put: (file: string) => unknown): void => {
    rmSync(file, { recursive: true });
    put(file);
  };
  for (const [name, change] of [
    ['units.key', (file: string) => flip(file, 5)],
    ['pseudonyms.key', (file: string) => rmSync(file)],
    ['transcripts.key', (file: string) => cpSync(join(kept, 'keys', 'units.key'), file)],
    ['pseudonyms.key', (file: string) => writeFileSync(file, 'no key')],
    ['authority.json', (file: string) => flip(file, 300)],
    ['authority.json', (file: string) => writeFileSync(file, '{')],
    ['authority.json', (file: string) => instead(file, mkdirSync)],
    ['units.key', (file: string) => instead(file, namedPipe)],
    ['evidence.pem', (file: string) => instead(file, endless)],
  ] as const) {
    rmSync(changed, { recursive: true, force: true });
    cpSync(kept, changed, { recursive: true });
    change(join(changed, 'keys', name));
    await assert.rejects(start(), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'state-key', error.message);
      assert.ok(error.message.includes(name), error.message);
      return true;
    });
  }
  rmSync(changed, { recursive: true });
  cpSync(kept, changed, { recursive: true });
  await start();

  // Digests of the sandbox images were signed at the first start: others are refused.
  const seals = join(changed, 'keys', 'images.json');
  writeFileSync(seals, readFileSync(seals, 'utf8').replaceAll(/sha256:\w/g, 'sha256:x'));
  await assert.rejects(start(), /sandbox image `\w+`: .* glovebox image trust/);
  instead(seals, endless);
  await assert.rejects(start(), /images\.json` is damaged/);

  // So is whatever stands where a folder was.
  for (const name of [
    'results',
    'evidence',
    'evidence/tile',
    'state',
    'ciphertexts',
    'tables',
    'tables/layouts',
    'datasets',
  ]) {
    rmSync(changed, { recursive: true });
    cpSync(kept, changed, { recursive: true });
    instead(join(changed, name), (file) => writeFileSync(file, ''));
    await assert.rejects(start(), (error: Error) =>
      error.message.endsWith(`${name}\` is no folder: move away what is there, or restore a backup`),
    );
  }
});

test('a start removes what a killed gateway had begun, and nothing that it did not make', async () => {
  await using world = await runtimeWorld();
  await world.runtime[Symbol.asyncDispose]();
  const data = join(world.folder, 'data');
  // An operator keeps more there, or the folder is a link to another disk with files of others.
  const elsewhere = join(world.folder, 'elsewhere');
  mkdirSync(elsewhere);
  rmSync(join(data, 'results'), { recursive: true });
  symlinkSync(elsewhere, join(data, 'results'));
  const id = '0123456789abcdef0123';
  const kept = ['results/thesis.odt', 'results/job.txt', 'backups/2026-11-22', 'backups/state.db.old', 'uploads/to-do'];
  const begun = [
    `results/job-${id}.frames`,
    `results/job-${id}.frames.part`,
    'backups/state.db',
    `uploads/upload-${id}`,
    `uploads/table-${id}`,
  ];
  for (const name of [...kept, ...begun]) writeFileSync(join(data, name), 'x');
  const start = async (): Promise<void> => {
    const runtime = await createRuntime({ dataDirectory: data, log: () => undefined, address: () => '' });
    await runtime[Symbol.asyncDispose]();
  };
  await start();
  for (const name of kept) assert.ok(existsSync(join(data, name)), `${name} is kept`);
  for (const name of begun) assert.ok(!existsSync(join(data, name)), `${name} is removed`);
});
