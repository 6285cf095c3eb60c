import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { openCredential } from '../../runtime/client/open-credential.ts';
import { failureOf } from '../../runtime/cli/output.ts';
import type { CredentialBundle } from '../../runtime/identity/credential.ts';
import { createAuthority, issueCredential } from '../../runtime/rpc/authority.ts';

describe('what a program is told with --json', () => {
  const main = join(import.meta.dirname, '../../runtime/cli/main.ts');
  for (const args of [
    ['budget', 'show', 'too', 'many', '--json'],
    ['dataset', 'show', '--json'],
    ['job', 'list', '--json', '--no-such-option'],
  ])
    it(`of \`${args.join(' ')}\` is JSON, and wrong usage`, () => {
      const { status, stdout } = spawnSync(process.execPath, [main, ...args], { encoding: 'utf8' });
      const { error } = JSON.parse(stdout) as { error: { code: string; message: string; reasons: unknown[] } };
      assert.deepEqual([status, error.code, error.reasons], [2, 'usage', []]);
      assert.match(error.message, /^(too many arguments|missing required argument|unknown option)/);
    });
});

describe('a credential that was damaged', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'glovebox-credential-'));
  after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'acme.json');
  const nowMs = Date.now();
  const authority = await createAuthority(nowMs);
  const issue = async (): Promise<CredentialBundle> =>
    (await issueCredential(authority, { party: 'acme', roles: ['consumer'], server: 'h:1', nowMs, days: 30 })).bundle;
  const [good, other] = [await issue(), await issue()];
  const refusedAs = (text: string): string => {
    writeFileSync(file, text);
    try {
      openCredential(file);
    } catch (error) {
      const { exit, code, message } = failureOf(error);
      assert.deepEqual([exit, code], [2, 'file']);
      assert.ok(message.startsWith(`${file}: the credential`), message);
      return message;
    }
    return 'taken';
  };

  it('is wrong usage that names the file and the part, and tells no secret', () => {
    const whole = JSON.stringify(good);
    assert.equal(refusedAs(whole), 'taken');
    assert.match(refusedAs(whole.slice(0, whole.length >> 1)), /is not JSON/);
    assert.match(refusedAs('{}'), /does not have the format/);
    for (const part of ['ca', 'certificate', 'key', 'signingKey'] as const) {
      const cut = good[part].slice(0, good[part].length >> 1);
      const message = refusedAs(JSON.stringify({ ...good, [part]: cut }));
      assert.ok(message.includes(`\`${part}\` is damaged`) && !message.includes('BEGIN'), message);
    }
    assert.match(refusedAs(JSON.stringify({ ...good, key: other.key })), /`key` is not that of its `certificate`/);
  });
});
