import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Request } from '../../runtime/policy/decide.ts';
import { conditionProblem, evaluateCondition } from '../../runtime/policy-file/condition.ts';

const request: Request = {
  consumer: 'acme',
  groups: ['lab'],
  mode: 'aggregate',
  rule: null,
  purpose: 'Research',
  now: Date.UTC(2026, 0, 1),
  agreedAtMs: null,
  isolation: 'namespaced',
  recipientCountry: 'CN',
  image: null,
  codeDigest: null,
  approvers: [],
};

test('a condition speaks of the request', () => {
  assert.equal(evaluateCondition("consumer == 'acme' && 'lab' in groups", request), true);
  assert.equal(evaluateCondition("country == 'FR' || purpose.startsWith('Market')", request), false);
  assert.equal(evaluateCondition("groups.exists(g, g == 'lab')", request), true);
});

test('a name that is not declared, a broken text and a condition without yes or no are refused', () => {
  assert.match(conditionProblem('secret == 1') ?? '', /unknown name `secret`/);
  assert.match(conditionProblem('groups.exists(g, h == 1)') ?? '', /unknown name `h`/);
  assert.notEqual(conditionProblem('consumer =='), null);
  assert.notEqual(conditionProblem('x'.repeat(5000)), null);
  assert.equal(conditionProblem("consumer == 'a'"), null);
  assert.throws(() => evaluateCondition('now', request), /yes or no/);
});
