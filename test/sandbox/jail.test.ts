import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hugePageFiles } from '../../runtime/sandbox/huge-pages.ts';
import { loadImage } from '../../runtime/sandbox/image.ts';
import { nodeFlags } from '../../runtime/sandbox/jail.ts';
import { root } from './test-pool.ts';

test('a worker with isolates of its own starts on node’s snapshot only where that cannot differ from V8’s', async () => {
  const { manifest } = await loadImage(root, 'javascript');
  const without = (build: Readonly<Record<string, unknown>>): boolean =>
    nodeFlags({ manifest, tier: 'strict' }, build).includes('--no-node-snapshot');
  assert.equal(without({ v8_enable_extensible_ro_snapshot: 0 }), false);
  assert.equal(without({ v8_enable_extensible_ro_snapshot: false }), false);
  for (const other of [1, true, undefined, '0', null]) {
    assert.equal(without({ v8_enable_extensible_ro_snapshot: other }), true, String(other));
  }
  assert.equal(without({}), true);
  assert.ok(nodeFlags({ manifest, tier: 'strict' }).includes('--jitless'));
});

// The header of a snapshot: two words, two checksums, V8's version in 64 bytes, where the read-only part starts and ends.
test('where workers start on node’s snapshot, its read-only part is as long as that of V8’s', async (t) => {
  if (process.config.variables['v8_enable_extensible_ro_snapshot' as never] !== 0) return t.skip('they do not here');
  const program = await readFile(process.execPath);
  const version = Buffer.alloc(64);
  version.write(process.versions.v8);
  const lengths: number[] = [];
  for (let at = program.indexOf(version); at >= 0; at = program.indexOf(version, at + 64)) {
    const [contexts, canRehash] = [program.readUInt32LE(at - 16), program.readUInt32LE(at - 12)];
    if (contexts < 1 || contexts > 16 || canRehash > 1) continue; // the text alone
    lengths.push(program.readUInt32LE(at + 68) - program.readUInt32LE(at + 64));
  }
  assert.equal(lengths.length, 2, 'node’s and V8’s');
  assert.ok(lengths[0]! > 10_000 && lengths[0] === lengths[1], lengths.join());
});

test('an image without isolates of its own never needs the flag', async () => {
  const { manifest } = await loadImage(root, 'sql');
  assert.ok(!nodeFlags({ manifest, tier: manifest.defaultTier }, {}).includes('--no-node-snapshot'));
});

test('what a worker is told about huge pages is two short files of known form, or nothing', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'glovebox-pages-'));
  try {
    const put = async (enabled: string | undefined, size: string | undefined): Promise<readonly string[]> => {
      await rm(folder, { recursive: true });
      await mkdir(folder);
      if (enabled !== undefined) await writeFile(join(folder, 'enabled'), enabled);
      if (size !== undefined) await writeFile(join(folder, 'hpage_pmd_size'), size);
      return (await hugePageFiles(folder)).map(({ guestPath, text }) => `${guestPath}=${text.trim()}`);
    };
    const [mode, size] = ['always [madvise] never\n', '2097152\n'];
    assert.deepEqual(await put(mode, size), [
      '/sys/kernel/mm/transparent_hugepage/enabled=always [madvise] never',
      '/sys/kernel/mm/transparent_hugepage/hpage_pmd_size=2097152',
    ]);
    const without: readonly (readonly [string | undefined, string | undefined])[] = [
      [undefined, undefined],
      [mode, undefined],
      [undefined, size],
      ['', size],
      [mode, ''],
      [mode.repeat(9), size],
      ['root:x:0:0', size],
      [mode, '-1'],
      [mode, '1'.repeat(40)],
    ];
    for (const [one, other] of without) assert.deepEqual(await put(one, other), [], `${one} ${other}`);
    await rm(join(folder, 'enabled'), { force: true });
    await mkdir(join(folder, 'enabled'));
    assert.deepEqual(await hugePageFiles(folder), []);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
