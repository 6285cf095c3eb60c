import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { appendFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { pinImage, signImage } from '../../runtime/sandbox/build-images.ts';
import { listImages, loadImage } from '../../runtime/sandbox/image.ts';
import { isAtLeast, parseManifest, signDigest } from '../../runtime/sandbox/manifest.ts';
import { root as installation } from './test-pool.ts';

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'glovebox-image-'));
  await symlink(join(installation, 'node_modules'), join(root, 'node_modules'));
  await put('sandbox-images/demo/lib.js', 'export const one = 1;');
  await put(
    'runtime/worker.ts',
    `import { help } from './help.ts';\nimport type { X } from './types-only.ts';\nexport const run = (x: X): number => help(x);\n`,
  );
  await put('runtime/help.ts', 'export const help = (x: number): number => x + 1;\n');
  await putManifest({});
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
}

async function putManifest(changes: object): Promise<void> {
  const sha256 = createHash('sha256').update('export const one = 1;').digest('hex');
  const manifest = {
    schema: 'glovebox/sandbox-image/1',
    name: 'demo',
    version: '1',
    entry: 'runtime/worker.ts',
    files: [{ path: 'lib.js', sha256 }],
    jobsPerWorker: 1,
    limits: { memoryMiB: 64, wallMs: 1000, cpuMs: 1000, outputBytes: 1000 },
    ...changes,
  };
  await put('sandbox-images/demo/image.json', JSON.stringify(manifest));
}

test('an image is its pinned files and the import closure of its entry, without types', async () => {
  const image = await loadImage(root, 'demo');
  assert.deepEqual(image.files.map(({ guestPath }) => guestPath).toSorted(), [
    'runtime/help.mjs',
    'runtime/worker.mjs',
    'sandbox-images/demo/lib.js',
  ]);
  const entry = image.files.find(({ guestPath }) => guestPath === 'runtime/worker.mjs');
  assert.ok(
    entry?.source.kind === 'text' &&
      entry.source.text.includes('"./help.mjs"') &&
      !entry.source.text.includes('number'),
  );
  assert.deepEqual(await listImages(root), ['demo']);
});

test('a changed pinned file is refused, and any changed source changes the digest', async () => {
  const before = (await loadImage(root, 'demo')).digest;
  assert.equal((await loadImage(root, 'demo')).digest, before);
  await appendFile(join(root, 'runtime/help.ts'), '\nexport const more = 1;\n');
  assert.notEqual((await loadImage(root, 'demo')).digest, before);
  await appendFile(join(root, 'sandbox-images/demo/lib.js'), ' ');
  await assert.rejects(loadImage(root, 'demo'), /lib\.js has digest [0-9a-f]{64}, image\.json says/);
});

test('a worker may import only packages that its image lists, and nothing outside the installation', async () => {
  await put('runtime/worker.ts', `import { parse } from 'acorn';\nexport const run = parse;\n`);
  await assert.rejects(loadImage(root, 'demo'), /imports package `acorn`, which the image does not list/);
  await putManifest({ packages: ['acorn'] });
  const image = await loadImage(root, 'demo');
  assert.ok(image.files.some(({ guestPath }) => guestPath === 'node_modules/acorn/dist/acorn.mjs'));
  assert.ok(!image.files.some(({ guestPath }) => guestPath.endsWith('.d.ts')));
  await put('runtime/worker.ts', `import '../../elsewhere.ts';\n`);
  await writeFile(join(root, '..', 'elsewhere.ts'), '');
  await assert.rejects(loadImage(root, 'demo'), /lies outside/);
  await rm(join(root, '..', 'elsewhere.ts'));
});

test('the signature is checked where there is one, and its absence is told', async () => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const unsigned = await loadImage(root, 'demo');
  assert.equal(unsigned.signature.kind, 'unsigned');
  await putManifest({ signature: signDigest(unsigned.digest, privateKey) });
  const signed = await loadImage(root, 'demo');
  assert.equal(signed.signature.kind, 'signed');
  assert.equal(signed.digest, unsigned.digest);
  await appendFile(join(root, 'runtime/help.ts'), '\nexport const more = 1;\n');
  await assert.rejects(loadImage(root, 'demo'), /the signature does not fit/);
  await putManifest({ signature: { alg: 'ed25519', key: 'bm9uc2Vuc2U=', sig: '' } });
  await assert.rejects(loadImage(root, 'demo'), /the signature does not fit/);
});

test('pinning writes the digests of changed files and drops the signature; signing covers all of it', async () => {
  const { privateKey } = generateKeyPairSync('ed25519');
  assert.equal(await pinImage(root, 'demo'), false);
  assert.equal(await signImage(root, 'demo', privateKey), (await loadImage(root, 'demo')).digest);
  assert.equal((await loadImage(root, 'demo')).signature.kind, 'signed');
  await appendFile(join(root, 'sandbox-images/demo/lib.js'), ' ');
  assert.equal(await pinImage(root, 'demo'), true);
  assert.equal((await loadImage(root, 'demo')).signature.kind, 'unsigned');
});

test('a wrong manifest is refused with its file and field', async () => {
  for (const [changes, complaint] of [
    [{ entry: '../x.ts' }, /image\.json entry: is not a plain relative path/],
    [{ entry: '/etc/passwd' }, /entry/],
    [{ files: [{ path: '../../x', sha256: '0'.repeat(64) }] }, /files\.0\.path/],
    [{ nodeFlags: ['--require=/x'] }, /nodeFlags/],
    [{ surprise: 1 }, /surprise/],
    [{ jobsPerWorker: 0 }, /jobsPerWorker/],
    [{ defaultTier: 'odd' }, /`odd` is not in tiers/],
    [{ name: 'other' }, /does not match its folder/],
  ] as const) {
    await putManifest(changes);
    await assert.rejects(loadImage(root, 'demo'), complaint);
  }
  assert.throws(() => parseManifest('{', 'x/image.json'), /x\/image\.json: is not JSON/);
  await assert.rejects(loadImage(root, '../demo'), /no sandbox image/);
});

test("the project's own images are whole", async () => {
  for (const name of await listImages(installation)) {
    const manifest = parseManifest(
      await readFile(join(installation, 'sandbox-images', name, 'image.json'), 'utf8'),
      name,
    );
    assert.equal(manifest.name, name);
    for (const { path, sha256 } of manifest.files) {
      const bytes = await readFile(join(installation, 'sandbox-images', name, path));
      assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256, `${name}: ${path}`);
    }
  }
});

test('isolation levels are ordered', () => {
  assert.ok(
    isAtLeast('vm', 'namespaced') && isAtLeast('namespaced', 'namespaced') && !isAtLeast('process', 'confined'),
  );
});
