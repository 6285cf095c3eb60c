import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { parseVerifierKey } from '../../runtime/evidence/note.ts';
import { verifyLog } from '../../runtime/evidence/verify-log.ts';
import { fetchLog } from '../../runtime/cli/fetch-log.ts';
import { serveEvidence } from '../../runtime/gateway/evidence/evidence-http.ts';
import { filesOf, logOf } from '../evidence/world.ts';

test('the served files are a whole log that verifies, and nothing else can be fetched', async () => {
  const root = mkdtempSync(join(tmpdir(), 'glovebox-evidence-'));
  const folder = join(root, 'evidence');
  const files = filesOf(logOf(300));
  for (const { path, bytes } of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
  writeFileSync(join(root, 'secret'), 'secret');
  try {
    await using served = await serveEvidence(folder, { host: '127.0.0.1', port: 0 });
    /** Paths go out as they are: `fetch` would tidy them up. */
    const get = (path: string, method = 'GET'): Promise<{ status: number; body: Buffer }> =>
      new Promise((resolve, reject) => {
        request({ host: '127.0.0.1', port: served.port, path, method }, (answer) => {
          const parts: Buffer[] = [];
          answer.on('data', (part: Buffer) => parts.push(part));
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(parts) }));
        })
          .on('error', reject)
          .end();
      });
    const fetched = new Map<string, Uint8Array>();
    for (const { path } of files) {
      const { status, body } = await get(`/${path}`);
      assert.equal(status, 200, path);
      fetched.set(path, body);
    }
    const key = parseVerifierKey(
      Buffer.from(fetched.get('vkey') ?? [])
        .toString()
        .trim(),
    );
    assert.ok(key !== undefined);
    const verdict = verifyLog((path) => fetched.get(path), key);
    assert.ok(verdict.kind === 'verified' && verdict.entries === 300);
    for (const path of [
      '/',
      '/../secret',
      '/tile/../../secret',
      '/%2e%2e/secret',
      '/checkpoint/../../secret',
      '//secret',
      '/checkpoint?x',
      '/tile/0/999',
    ])
      assert.equal((await get(path)).status, 404, path);
    assert.equal((await get('/checkpoint', 'POST')).status, 405);
    // The command line reads a served log the same way, and finds a byte that was changed.
    const judged = async (): Promise<string> => {
      const read = await fetchLog(`http://127.0.0.1:${served.port}`);
      return verifyLog(read, key).kind;
    };
    assert.equal(await judged(), 'verified');
    writeFileSync(
      join(folder, 'tile/entries/000'),
      Buffer.concat([files[1]?.bytes ?? Buffer.alloc(0), Buffer.from('x')]),
    );
    assert.equal(await judged(), 'refused');
    await assert.rejects(fetchLog(`http://127.0.0.1:${served.port}/nowhere`), /no log/);
    await assert.rejects(fetchLog('http://127.0.0.1:1'), /no log/);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
