import assert from 'node:assert/strict';
import { test } from 'node:test';
import { approvalDigest } from '../../runtime/sandbox/javascript/approval.ts';
import type { ApprovedComputation } from '../../runtime/sandbox/javascript/computation.ts';

const base: ApprovedComputation = {
  mode: 'approved',
  language: 'javascript',
  source: '(i) => {\n  return { n: i.rows }\n}',
  table: 'visits',
  columns: ['cost'],
  result: [{ name: 'n', kind: 'int32', maxBytes: 0 }],
  maxRowsPerGroup: 1,
  timeoutMs: 1000,
};

test('the approved digest holds for the reviewed program and for no other', () => {
  const digest = approvalDigest(base);
  assert.match(digest, /^sha256:[0-9a-f]{64}$/);
  assert.equal(
    approvalDigest({ ...base, source: '(i) => {  \r\n  return { n: i.rows }\r\n}\n\n', timeoutMs: 5 }),
    digest,
  );
  const others: readonly Partial<ApprovedComputation>[] = [
    { source: '(i) => {\n  return { n: i.rows + 1 }\n}' },
    { source: '(i) => {\nreturn { n: i.rows }\n}' },
    { language: 'typescript' },
    { table: 'other' },
    { columns: ['cost', 'sex'] },
    { libraries: ['jstat'] },
    { result: [{ name: 'n', kind: 'float64', maxBytes: 0 }] },
    { maxRowsPerGroup: 2 },
    { groupBy: { column: 'sex', keys: ['f'] } },
  ];
  for (const other of others) assert.notEqual(approvalDigest({ ...base, ...other }), digest, JSON.stringify(other));
});
