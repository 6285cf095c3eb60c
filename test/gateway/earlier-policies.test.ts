import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type PolicyBody, policyOf } from '../../runtime/gateway/records.ts';
import { widenings } from '../../runtime/policy/refine.ts';
import { parsePolicy } from '../../runtime/policy-file/parse-policy.ts';

const text = readFileSync(join(import.meta.dirname, '..', '..', 'policies', 'hospital-visits.yaml'), 'utf8');

test('a policy that was stored before code had limits has none, and limits refine it', () => {
  const parsed = parsePolicy(text, 'p.yaml');
  assert.ok(parsed.kind === 'policy');
  const stored = JSON.stringify(parsed.policy, (key, value: unknown) => (key === 'limits' ? undefined : value));
  assert.ok(!stored.includes('limits'));
  const read = policyOf({ policy: stored } as PolicyBody);
  assert.deepEqual(read, parsed.policy);
  const limited = parsePolicy(text.replace('maxRows: 200', 'maxRows: 200, limits: { wallMs: 1000 }'), 'p.yaml');
  assert.ok(limited.kind === 'policy');
  assert.deepEqual(widenings(read, limited.policy), []);
});
