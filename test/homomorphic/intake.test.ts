import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { HomomorphicFault } from '../../runtime/homomorphic/fault.ts';
import { type HomomorphicJob, parseJobResult } from '../../runtime/homomorphic/job.ts';
import { queryFactsOf } from '../../runtime/homomorphic/query-facts.ts';
import type { QueryHeader } from '../../runtime/homomorphic/query.ts';
import { checkFrame, type UploadKind } from '../../runtime/homomorphic/upload-frame.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const HEADER: QueryHeader = {
  format: 'glovebox-encrypted-query/1',
  name: 'queryLinear',
  columns: ['age'],
  output: 'total',
  rows: 8192,
  ciphertexts: 1,
};
const COUNTS = { rows: 4, units: 2, groupUnits: [2], maxRowsPerUnit: 2, alignment: DIGEST };

test('the gateway looks at magic bytes and lengths alone, and refuses what cannot be what it is said to be', () => {
  const begins = (text: string): Uint8Array => Buffer.from(text, 'latin1');
  const taken: readonly (readonly [UploadKind, string, number])[] = [
    ['publicKey', '{"format', 100],
    ['column', 'GBHEC\0\0\u0001', 9],
    ['query', 'GBHEQ\0\0\u0001', 9],
    ['unitTags', 'GBHEU\0\0\u0001', 8 + 18 * 3],
  ];
  for (const [kind, head, size] of taken) {
    checkFrame(kind, begins(head), size);
    for (const [other, wrong] of taken)
      if (other !== kind) assert.throws(() => checkFrame(kind, begins(wrong), size), HomomorphicFault);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 8 }), (bytes) => {
        if (kind === 'publicKey' && bytes[0] === 0x7b) return;
        assert.throws(() => checkFrame(kind, bytes, size), HomomorphicFault);
      }),
    );
  }
  for (const size of [8, 9, 8 + 17, 8 + 19])
    assert.throws(() => checkFrame('unitTags', begins('GBHEU\0\0\u0001'), size), HomomorphicFault);
});

test('what a worker says it found is read as if it were hostile: it has met foreign bytes', () => {
  const results: readonly (readonly [HomomorphicJob, Record<string, unknown>])[] = [
    [
      { kind: 'inspect', what: 'publicKey' },
      { what: 'publicKey', keyId: DIGEST, profiles: ['bgv-add-a'] },
    ],
    [
      { kind: 'inspect', what: 'query' },
      { what: 'query', keyId: DIGEST, header: HEADER },
    ],
    [
      { kind: 'inspect', what: 'unitTags' },
      { what: 'unitTags', counts: COUNTS },
    ],
  ];
  for (const [job, found] of results) {
    const read = parseJobResult(job, { kind: 'inspect', found });
    assert.deepEqual(read, { kind: 'inspect', found });
    assert.throws(() => parseJobResult(job, { kind: 'ingest', found }), HomomorphicFault);
    for (const key of Object.keys(found).filter((name) => name !== 'what')) {
      for (const wrong of [null, '', -1, {}, [], 'sha256:0', { rows: -1 }, [1.5]]) {
        if (key === 'profiles' && Array.isArray(wrong) && wrong.length === 0) continue;
        assert.throws(() => parseJobResult(job, { kind: 'inspect', found: { ...found, [key]: wrong } }), `${key}`);
      }
    }
  }
  for (const counts of [
    { ...COUNTS, units: 1.5 },
    { ...COUNTS, groupUnits: ['2'] },
    { ...COUNTS, groupUnits: Array(300).fill(1) },
  ])
    assert.throws(
      () => parseJobResult({ kind: 'inspect', what: 'unitTags' }, { kind: 'inspect', found: { counts } }),
      HomomorphicFault,
    );
});

test('what a runtime tells a consumer to encrypt for is taken when it makes sense, and nothing else is', () => {
  const column = { column: 'age', decimals: 0, low: 0n, high: 120n };
  const told = { rows: 8192n, columns: [column] };
  assert.deepEqual(queryFactsOf(told), { rows: 8192, columns: [column] });
  for (const wrong of [
    null,
    { ...told, rows: 0n },
    { ...told, rows: 1n << 60n },
    { ...told, columns: [] },
    { ...told, columns: Array.from({ length: 300 }, () => column) },
    ...[{ column: '' }, { column: 'x'.repeat(200) }, { decimals: 19 }, { decimals: -1 }, { low: 121n }].map((odd) => ({
      ...told,
      columns: [{ ...column, ...odd }],
    })),
  ])
    assert.equal(queryFactsOf(wrong), null);
});
