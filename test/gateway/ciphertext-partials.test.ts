import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { CiphertextFiles, PARTIAL_LIFE_MS } from '../../runtime/gateway/homomorphic/ciphertext-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'partials-'));
after(() => rmSync(folder, { recursive: true }));
const digest = (i: number): string => `sha256:${String(i).padStart(64, '0')}`;

test('uploads that begin at the same moment count before they have a file, each once, and each party’s are its own', async () => {
  const files = await CiphertextFiles.open(folder);
  const now = Date.now();
  assert.equal(await files.sweep('acme', now, [digest(1), digest(2)]), 2);
  for (const i of [1, 3]) {
    const incoming = await files.receive('acme', digest(i), 0);
    await incoming.write(new Uint8Array(10));
    await incoming.close();
  }
  assert.equal(await files.sweep('acme', now, [digest(1), digest(2)]), 3);
  assert.equal(await files.sweep('acme', now, []), 2);
  assert.equal(await files.sweep('other', now, [digest(1)]), 1);
  assert.equal(await files.sweep('acme', now + 2 * PARTIAL_LIFE_MS, []), 0);
});
