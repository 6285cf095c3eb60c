import assert from 'node:assert/strict';
import { test } from 'node:test';
import { approvalsOf, type CodeBody, type CodeVerdictBody } from '../../runtime/gateway/code/code-registry.ts';
import type { GatewayNeeds } from '../../runtime/gateway/needs.ts';
import type { StoredRecord } from '../../runtime/store/records.ts';

const verdict = (reviewer: string, capacity: string, more: Partial<CodeVerdictBody> = {}): CodeVerdictBody => ({
  reviewer,
  capacity,
  approves: true,
  note: '',
  atMs: 0,
  expiresAtMs: 1000,
  protectedHeader: '',
  signature: '',
  days: 1,
  ...more,
});

const record = (state: string, ...verdicts: readonly CodeVerdictBody[]): StoredRecord<CodeBody> => ({
  table: 'approval',
  id: 'sha256:00',
  owner: 'acme',
  state,
  atMs: 0,
  body: { name: 'ages', dataset: 'clinical', note: '', program: '', verdicts },
});

/** The provider owns the dataset; mary is in the group dpo, and john was until he was suspended. */
function registry(nowMs: number): Pick<GatewayNeeds, 'store' | 'nowMs'> {
  const parties: Readonly<Record<string, unknown>> = {
    provider: { state: 'admitted', body: { groups: [] } },
    mary: { state: 'admitted', body: { groups: ['dpo'] } },
    john: { state: 'suspended', body: { groups: ['dpo'] } },
    acme: { state: 'admitted', body: { groups: ['dpo'] } },
  };
  const peek = (table: string, id: string): unknown => (table === 'dataset' ? { owner: 'provider' } : parties[id]);
  return { store: { peek } as unknown as GatewayNeeds['store'], nowMs: () => nowMs };
}

const who = (nowMs: number, one: StoredRecord<CodeBody>): readonly string[] =>
  approvalsOf(registry(nowMs), one).map(({ reviewer }) => reviewer);

test('an approval counts until the millisecond in which it ends', () => {
  const both = record('open', verdict('mary', 'dpo', { expiresAtMs: 500 }), verdict('provider', 'owner'));
  assert.deepEqual(who(499, both), ['mary', 'provider']);
  assert.deepEqual(who(500, both), ['provider']);
  assert.deepEqual(who(1000, both), []);
});

test('an approval counts only from an admitted reviewer who still has the capacity, and never from the submitter', () => {
  const all = record(
    'open',
    verdict('mary', 'dpo'),
    verdict('john', 'dpo'),
    verdict('acme', 'dpo'),
    verdict('mary', 'owner'),
    verdict('provider', 'dpo'),
    verdict('provider', 'owner', { approves: false }),
  );
  assert.deepEqual(who(1, all), ['mary']);
});

test('what was rejected or revoked has no approvals, whatever was said before', () => {
  for (const state of ['rejected', 'revoked']) assert.deepEqual(who(1, record(state, verdict('mary', 'dpo'))), []);
});
