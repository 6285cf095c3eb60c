import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ClaimFile } from '../../runtime/homomorphic/claim-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'claims-'));
after(() => rmSync(folder, { recursive: true }));

test('a job is claimed once, also by many at the same time and after a restart', async () => {
  const path = join(folder, 'claims');
  {
    await using claims = await ClaimFile.open(path);
    const answers = await Promise.all(Array.from({ length: 20 }, () => claims.claimOnce('job-1')));
    assert.equal(answers.filter(Boolean).length, 1);
    assert.equal(await claims.claimOnce('job-2'), true);
  }
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await using again = await ClaimFile.open(path);
  assert.equal(await again.claimOnce('job-1'), false);
  assert.equal(await again.claimOnce('job-3'), true);
});

test('a line cut short by a crash is dropped, anything else in the file is refused', async () => {
  const path = join(folder, 'cut');
  {
    await using claims = await ClaimFile.open(path);
    await claims.claimOnce('job-1');
  }
  appendFileSync(path, 'abc123');
  {
    await using claims = await ClaimFile.open(path);
    assert.equal(await claims.claimOnce('job-2'), true);
  }
  assert.equal(readFileSync(path).byteLength, 130);
  await using claims = await ClaimFile.open(path);
  assert.equal(await claims.claimOnce('job-2'), false);
  const other = join(folder, 'other');
  writeFileSync(other, `${'x'.repeat(64)}\n`);
  await assert.rejects(ClaimFile.open(other), /damaged/);
});
