import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { sha256OfFile } from '../../runtime/sandbox/file-digest.ts';

const folder = mkdtempSync(join(tmpdir(), 'glovebox-digest-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');

test('a file of any size has the digest of its content', async () => {
  for (const size of [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 1_000_003]) {
    const content = randomBytes(size);
    const path = join(folder, `of-${size}`);
    writeFileSync(path, content);
    assert.equal(await sha256OfFile(path), sha256(content), `${size} bytes`);
  }
});

test('a file that is written again has its new digest, however soon, and whatever times are put back', async () => {
  const path = join(folder, 'changed');
  for (let turn = 0; turn < 50; turn++) {
    const content = randomBytes(64);
    const before = turn === 0 ? null : statSync(path);
    writeFileSync(path, content);
    if (before !== null) utimesSync(path, before.atime, before.mtime);
    assert.equal(await sha256OfFile(path), sha256(content), `turn ${turn}`);
  }
});

test('a large file that nobody touches is read once, also when it is asked for many times at once', async () => {
  const { size } = statSync(process.execPath);
  const ask = async (): Promise<number> => {
    const from = bytesRead();
    const found = await Promise.all(Array.from({ length: 8 }, () => sha256OfFile(process.execPath)));
    assert.equal(new Set(found).size, 1);
    return bytesRead() - from;
  };
  const first = await ask();
  assert.ok(first >= size && first < 2 * size, `${first} bytes read of a file of ${size}`);
  assert.ok((await ask()) < size, 'nothing is read again');
});

/** What this process has read so far, by the kernel's count. */
function bytesRead(): number {
  return Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1]);
}

test('a file that is not there is an error of the system', async () => {
  await assert.rejects(sha256OfFile(join(folder, 'none')), { code: 'ENOENT' });
});
