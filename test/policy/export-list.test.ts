import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { type ExportList, gradeOfResult, judgeExport, type Lineage } from '../../runtime/policy/export-list.ts';
import type { Grade, UsagePolicy } from '../../runtime/policy/model.ts';
import { parseExportList } from '../../runtime/policy-file/export-list.ts';
import { parsePolicy } from '../../runtime/policy-file/parse-policy.ts';

const list = (...fields: readonly string[]): ExportList => ({
  name: 'negative',
  version: 1,
  inside: ['CN'],
  fields,
  perDestination: null,
});
const lineage = (...columns: readonly string[]): Lineage => ({
  datasets: ['visits'],
  columns: columns.map((column) => ({ dataset: 'visits', table: 'visits', column })),
});

test('inside the listed jurisdictions the list says nothing; a place that is not known is outside', () => {
  const used = lineage('phone');
  assert.equal(judgeExport(list('visits:visits.phone'), 'CN', used).kind, 'inside');
  for (const country of ['DE', null, '', 'cn'])
    assert.equal(judgeExport(list('visits:visits.phone'), country, used).kind, 'denied', String(country));
  assert.deepEqual(judgeExport(list(), null, used), { kind: 'foreign', destination: 'unknown' });
});

test('what rests on a listed field is denied, whatever else it rests on and however names are spelled', () => {
  const other: Lineage = { datasets: ['visits'], columns: [{ dataset: 'visits', table: 'w', column: 'phone' }] };
  for (const [field, used, kind] of [
    ['visits:visits.phone', lineage('ward', 'phone'), 'denied'],
    ['visits:visits.PHONE', lineage('phone'), 'denied'],
    ['VISITS:*.phone', lineage('phone'), 'denied'],
    ['*:*.phone', lineage('phone'), 'denied'],
    ['visits:visits.*', lineage(), 'denied'],
    ['*:*.*', lineage(), 'denied'],
    ['visits:visits.phone', lineage('ward'), 'foreign'],
    ['visits:visits.phone', lineage(), 'foreign'],
    ['other:visits.phone', lineage('phone'), 'foreign'],
    ['visits:v.phone', other, 'foreign'],
    ['visits:w.phone', other, 'denied'],
    // Columns that are not known one by one: every column of the dataset counts.
    ['visits:visits.phone', { datasets: ['visits'], columns: null }, 'denied'],
    ['other:visits.phone', { datasets: ['visits'], columns: null }, 'foreign'],
    // A field that cannot be read stands for everything.
    ['nonsense', lineage('ward'), 'denied'],
  ] as const)
    assert.equal(judgeExport(list(field), 'DE', used).kind, kind, `${field} ${JSON.stringify(used)}`);
});

test('a longer list never lets out more', () => {
  const field = fc.constantFrom('visits:visits.phone', 'visits:visits.ward', '*:*.cost', 'other:*.*');
  fc.assert(
    fc.property(
      fc.array(field),
      fc.array(field),
      fc.subarray(['phone', 'ward', 'cost']),
      fc.constantFrom('CN', 'DE', null),
      (some, more, columns, country) => {
        const before = judgeExport(list(...some), country, lineage(...columns));
        const after = judgeExport(list(...some, ...more), country, lineage(...columns));
        if (before.kind === 'denied') assert.equal(after.kind, 'denied');
      },
    ),
  );
});

test('a result has the highest grade of what it rests on; statistics lower `important`, nothing lowers `core`', () => {
  const parsed = parsePolicy(
    `
apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: visits, grade: internal }
privacyUnit: [id]
columns:
  id: { rights: [countDistinct], grade: important }
  ward: { rights: [group], grade: public }
  note: { rights: [group], grade: core }
  cost: { rights: [aggregate], bounds: [0, 1] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 10 } }
`,
    'p.yaml',
  );
  assert.ok(parsed.kind === 'policy', JSON.stringify(parsed));
  const policies: readonly UsagePolicy[] = [parsed.policy];
  const of = (mode: 'aggregate' | 'approvedCode', used: Lineage): Grade => gradeOfResult(policies, used, mode);
  assert.equal(of('aggregate', lineage('ward')), 'public');
  assert.equal(of('aggregate', lineage('ward', 'cost')), 'internal');
  assert.equal(of('aggregate', lineage('id')), 'internal');
  assert.equal(of('approvedCode', lineage('id')), 'important');
  assert.equal(of('aggregate', lineage('ward', 'note')), 'core');
  assert.equal(of('aggregate', { datasets: ['visits'], columns: null }), 'core');
  assert.equal(of('aggregate', lineage()), 'internal');
});

test('a list is read whole or refused; damaged and arbitrary ones never crash', () => {
  const whole =
    'apiVersion: glovebox/v1\nkind: ExportList\nmetadata: { name: negative, version: 2 }\ninside: [CN]\nfields: ["visits:*.phone"]\nperDestination: { max: 5, per: P30D }\n';
  const read = parseExportList(whole);
  assert.ok(read.kind === 'list');
  assert.deepEqual(read.list, {
    name: 'negative',
    version: 2,
    inside: ['CN'],
    fields: ['visits:*.phone'],
    perDestination: { max: 5, perMs: 30 * 86_400_000 },
  });
  for (const [from, to] of [
    ['CN', 'cn'],
    ['[CN]', '[]'],
    ['fields', 'feilds'],
    ['visits:*.phone', 'phone'],
    ['version: 2', 'version: 0'],
    ['P30D', 'a month'],
    ['ExportList', 'UsagePolicy'],
    ['inside: [CN]\n', ''],
    ['metadata:', 'extra: 1\nmetadata:'],
  ] as const)
    assert.equal(parseExportList(whole.replace(from, to)).kind, 'complaints', to);
  fc.assert(
    fc.property(fc.nat(whole.length), fc.string({ unit: 'binary', maxLength: 4 }), (at, put) => {
      const answer = parseExportList(whole.slice(0, at) + put + whole.slice(at + 1));
      assert.ok(answer.kind === 'list' || answer.complaints.length > 0);
    }),
  );
});
