import assert from 'node:assert/strict';
import { test } from 'node:test';
import { complianceReport } from '../../runtime/evidence/compliance-report.ts';
import { encodeEntry, sha256Hex, type EvidenceEvent } from '../../runtime/evidence/entry.ts';
import { verifyLog } from '../../runtime/evidence/verify-log.ts';
import { filesOf, logOf, newSigner, readerOf } from './world.ts';

function reportOf(
  events: readonly Pick<EvidenceEvent, 'kind' | 'facts'>[],
): ReturnType<ReturnType<typeof complianceReport>['report']> {
  const signer = newSigner();
  const log = logOf(events.length, signer, (index) => {
    const job = String(events[index]?.facts['cells'] ?? index);
    const subjects = [{ name: `job/${job}`, sha256: sha256Hex(job) }];
    return encodeEntry({ kind: 'alert', facts: {}, ...events[index], atMs: 1000 + index, subjects });
  });
  const { visit, report } = complianceReport();
  assert.equal(verifyLog(readerOf(filesOf(log)), signer.verifier, visit).kind, 'verified');
  return report();
}

test('a compliance report counts decisions, reasons and what was released, from the verified log alone', () => {
  const report = reportOf([
    { kind: 'decision', facts: { verdict: 'permit' } },
    { kind: 'decision', facts: { verdict: 'deny', reasons: ['small-groups', 'purpose'] } },
    { kind: 'release', facts: { cells: 7, microEpsilon: 500_000 } },
    { kind: 'release', facts: { cells: 3, microEpsilon: 1 } },
  ]);
  assert.deepEqual([report.entries, report.firstMs, report.lastMs], [4, 1000, 1003]);
  assert.deepEqual(report.byKind, { decision: 2, release: 2 });
  assert.deepEqual(report.verdicts, { permit: 1, deny: 1 });
  assert.deepEqual(report.reasons, { 'small-groups': 1, purpose: 1 });
  assert.deepEqual(report.released, { cells: 10, microEpsilon: 500_001 });
  assert.deepEqual([report.releasedWhileStopped, report.releasedTwice], [[], []]);
});

test('a release while everything was stopped, and a job released twice, stand out', () => {
  const report = reportOf([
    { kind: 'switch', facts: { scope: 'all', state: 'on' } },
    { kind: 'release', facts: { cells: 7 } },
    { kind: 'switch', facts: { scope: 'all', state: 'off' } },
    { kind: 'release', facts: { cells: 7 } },
  ]);
  assert.deepEqual(report.releasedWhileStopped, [1]);
  assert.deepEqual(report.releasedTwice, ['job/7']);
});
