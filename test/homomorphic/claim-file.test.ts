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

test('two decryptors over one list decrypt a job once between them, at most, and count together', async () => {
  const path = join(folder, 'shared');
  await using one = await ClaimFile.open(path);
  await using two = await ClaimFile.open(path);
  for (let job = 0; job < 20; job++) {
    const answers = await Promise.all([one.claimOnce(`job-${job}`), two.claimOnce(`job-${job}`)]);
    assert.ok(answers.filter(Boolean).length <= 1, `job ${job}`);
  }
  assert.equal(await one.claimOnce('later'), true);
  assert.equal(await two.claimOnce('later'), false);
  assert.equal(await two.claimOnce('last'), true);
  assert.equal(await one.claimOnce('last'), false);
  assert.equal(one.size, 22);
  assert.equal(two.size, 22);
});

test('a list that is cut short or damaged while it is open claims nothing any more', async () => {
  const path = join(folder, 'changed');
  await using claims = await ClaimFile.open(path);
  assert.equal(await claims.claimOnce('job-1'), true);
  writeFileSync(path, '');
  await assert.rejects(claims.claimOnce('job-1'), /cut short/);
  const other = join(folder, 'changed-too');
  await using more = await ClaimFile.open(other);
  appendFileSync(other, `${'y'.repeat(64)}\n`);
  await assert.rejects(more.claimOnce('job-1'), /damaged/);
});
