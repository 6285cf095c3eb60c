import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, test } from 'node:test';
import { type DataDirectory, openDataDirectory } from '../../runtime/gateway/data-directory.ts';
import { checkImages, imagesChangedSince, trustImages } from '../../runtime/gateway/code/image-seals.ts';
import type { SandboxImage } from '../../runtime/sandbox/image.ts';
import { signDigest } from '../../runtime/sandbox/manifest.ts';

const folder = mkdtempSync(join(tmpdir(), 'glovebox-seals-'));
after(() => rmSync(folder, { recursive: true }));
let directory: DataDirectory;
let count = 0;
beforeEach(async () => {
  directory = await openDataDirectory(join(folder, `data${count++}`));
});

const imageOf = (
  name: string,
  digest: string,
  signature: SandboxImage['signature'] = { kind: 'unsigned' },
): Parameters<typeof checkImages>[1][number] => ({
  manifest: { name } as SandboxImage['manifest'],
  digest,
  signature,
});
const [sql, javascript] = [imageOf('sql', 'sha256:aa'), imageOf('javascript', 'sha256:bb')];
const refusal = (text: string) => (error: Error) =>
  'code' in error && error.code === 'state-tampered' && error.message.includes(text);

test('the first start signs the images, and the next finds them intact', async () => {
  assert.equal(await imagesChangedSince(directory, [sql]), null, 'nothing was signed yet');
  assert.equal(await checkImages(directory, [sql, javascript]), 'signed');
  assert.equal(await checkImages(directory, [javascript, sql]), 'intact');
  assert.deepEqual(await imagesChangedSince(directory, [javascript, sql]), []);
});

test('a changed image, and one that was not there, are refused until the operator trusts them', async () => {
  await checkImages(directory, [sql, javascript]);
  const changed = imageOf('javascript', 'sha256:cc');
  await assert.rejects(checkImages(directory, [sql, changed]), refusal('glovebox image trust javascript'));
  await assert.rejects(checkImages(directory, [sql, imageOf('more', 'sha256:dd')]), refusal('`more`'));
  await assert.rejects(checkImages(directory, [sql, imageOf('__proto__', 'sha256:dd')]), refusal('was not there'));
  await trustImages(directory, [changed]);
  assert.equal(await checkImages(directory, [sql, changed]), 'intact');
  await assert.rejects(
    checkImages(directory, [sql, javascript]),
    refusal('javascript'),
    'the older one is refused now',
  );
});

test('a seal that somebody else wrote, moved or damaged is refused', async () => {
  await checkImages(directory, [sql, javascript]);
  const file = join(directory.path, 'keys', 'images.json');
  const good = readFileSync(file, 'utf8');
  const seals = JSON.parse(good) as Record<string, { digest: string; signer: string | null; signature: string }>;
  const bad: readonly object[] = [
    { ...seals, sql: { ...seals['sql'], digest: 'sha256:cc' } },
    { ...seals, sql: seals['javascript'] },
    { ...seals, sql: { ...seals['sql'], signer: 'AAAA' } },
    { ...seals, sql: { ...seals['sql'], signature: '' } },
    { ...seals, sql: 1 },
    { javascript: seals['javascript'] },
    {},
    [],
  ];
  for (const one of bad) {
    writeFileSync(file, JSON.stringify(one));
    for (const digest of ['sha256:aa', 'sha256:bb', 'sha256:cc'])
      await assert.rejects(
        checkImages(directory, [imageOf('sql', digest), javascript]),
        refusal(''),
        JSON.stringify(one),
      );
  }
  for (let at = 0; at < good.length; at += 7) {
    writeFileSync(file, good.slice(0, at));
    await assert.rejects(checkImages(directory, [sql, javascript]), refusal(''));
  }
  await trustImages(directory, [sql, javascript]);
  assert.equal(await checkImages(directory, [sql, javascript]), 'intact');
});

test('an image that an operator’s key signed may be replaced by what that key signed, and by nothing else', async () => {
  const [ours, theirs] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')];
  const signed = (digest: string, { privateKey }: typeof ours): typeof sql =>
    imageOf('sql', digest, { kind: 'signed', key: signDigest(digest, privateKey).key });
  await checkImages(directory, [signed('sha256:aa', ours)]);
  assert.equal(await checkImages(directory, [signed('sha256:bb', ours)]), 'intact');
  await assert.rejects(checkImages(directory, [signed('sha256:cc', theirs)]), refusal('is no longer signed by'));
  await assert.rejects(checkImages(directory, [imageOf('sql', 'sha256:bb')]), refusal('is no longer signed by'));
});
