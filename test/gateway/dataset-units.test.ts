import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyFiguresOf, unitsOf } from '../../runtime/gateway/datasets/dataset-units.ts';
import type { DatasetBody } from '../../runtime/gateway/records.ts';
import { parsePolicy } from '../../runtime/policy-file/parse-policy.ts';
import type { UsagePolicy } from '../../runtime/policy/model.ts';

const column = (name: string, distinct: number): object => ({ column: name, nulls: 0, distinct, min: null, max: null });
const registered = {
  manifest: {
    tables: [
      { name: 'visits', rowCount: 52_341 },
      { name: 'labs', rowCount: 910_400 },
    ],
  },
  statistics: [
    { table: 'visits', columns: [column('patient', 8_312), column('visit', 52_341)] },
    { table: 'labs', columns: [column('visit', 51_000)] },
  ],
} as unknown as Parameters<typeof keyFiguresOf>[0];
const body = { keyFigures: keyFiguresOf(registered) } as unknown as DatasetBody;

function policy(visits: string, labs = 'public: true'): UsagePolicy {
  const parsed = parsePolicy(
    `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: d }
tables:
  visits: { ${visits}, columns: { ward: { rights: [group] } } }
  labs: { ${labs}, columns: { code: { rights: [group] } } }
allow: [{ id: a, mode: aggregate, release: { minUnits: 10 } }]
`,
    'p.yaml',
  );
  return parsed.kind === 'policy' ? parsed.policy : assert.fail(JSON.stringify(parsed.complaints));
}

test('a dataset counts as many units as its keys have values, rounded up as rows are, and never the exact number', () => {
  assert.equal(unitsOf(body, policy('privacyUnit: [patient]')), 9_000);
  assert.equal(
    unitsOf(body, policy('privacyUnit: [patient, visit]')),
    53_000,
    'at least as many as of the richest key',
  );
  assert.equal(unitsOf(body, policy('privacyUnit: row')), 53_000);
  const path = 'privacyUnit: { columns: [patient], via: visit -> visits.visit }';
  assert.equal(unitsOf(body, policy('privacyUnit: [patient]', path)), 9_000, 'counted where the path leads');
  assert.ok(!JSON.stringify(body).includes('8312') && !JSON.stringify(body).includes('52341'));
});

test('who protects nobody, or was registered before figures were kept, has no weight', () => {
  assert.equal(unitsOf(body, policy('public: true')), 0);
  assert.equal(unitsOf(undefined, policy('privacyUnit: [patient]')), 0);
  assert.equal(unitsOf({ ...body, keyFigures: [] }, policy('privacyUnit: [patient]')), 0);
});
