import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
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
  rmSync(changed, { recursive: true });
  cpSync(kept, changed, { recursive: true });
  instead(join(changed, 'results'), (file) => writeFileSync(file, ''));
  await assert.rejects(start(), /results` is no folder: move away what is there, or restore a backup/);
});
