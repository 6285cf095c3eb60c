import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { sha256Hex, type EvidenceEvent, type Facts } from '../../runtime/evidence/entry.ts';
import { openLineageOf, type RunEvent } from '../../runtime/evidence/openlineage.ts';

const ajv = new Ajv2020({ strict: false, allErrors: true });
ajv.addFormat('uuid', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
ajv.addFormat('date-time', (text) => new Date(text).toISOString() === text);
ajv.addFormat('uri', (text) => URL.canParse(text));
const SPEC = 'https://openlineage.io/spec';
for (const name of [
  'OpenLineage',
  'DatasetVersionDatasetFacet',
  'JobTypeJobFacet',
  'OutputStatisticsOutputDatasetFacet',
])
  ajv.addSchema(
    JSON.parse(readFileSync(join(import.meta.dirname, 'schemas', `${name}.json`), 'utf8')) as { $id: string },
  );

const event = (kind: EvidenceEvent['kind'], facts: Facts, ...names: readonly string[]): EvidenceEvent => ({
  kind,
  atMs: Date.UTC(2026, 0, 1),
  subjects: names.map((name) => ({ name, sha256: sha256Hex(name.replace('computation/b', 'computation/a')) })),
  facts,
});
const PERMIT = { verdict: 'permit', mode: 'aggregate', rules: ['visits@1#statistics'], isolation: 'vm', image: 'sql' };
const EVENTS: readonly EvidenceEvent[] = [
  event('dataset.registered', {}, 'dataset/visits@2'),
  event('decision', PERMIT, 'job/a', 'agreement/x', 'policy/visits@1', 'computation/a', 'dataset/visits@2'),
  event('decision', PERMIT, 'job/b', 'agreement/x', 'policy/visits@1', 'computation/b', 'dataset/visits@2'),
  event('release', { rows: 3, bytes: 100 }, 'job/a', 'result/a'),
  event('decision', { verdict: 'deny' }, 'job/c', 'agreement/x', 'policy/visits@1'),
  event('job.failed', {}, 'job/b'),
  event('job.failed', {}, 'job/c'),
  event('decision', PERMIT, 'job/d', 'agreement/x', 'dataset/visits@1', 'dataset/wards@4'),
  event('job.cancelled', {}, 'job/d'),
];

function told(): RunEvent[] {
  const events: RunEvent[] = [];
  const { visit } = openLineageOf('hospital.example/evidence', (one) => events.push(one));
  for (const [index, one] of EVENTS.entries()) visit(one, index);
  return events;
}

test('every event of the log that is told is valid by the OpenLineage schema and its facets’ own schemas', () => {
  const isEvent = ajv.getSchema(`${SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent`);
  assert.ok(isEvent !== undefined);
  let facets = 0;
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const schema = (value as { _schemaURL?: string })._schemaURL;
    if (schema !== undefined) {
      const isFacet = ajv.getSchema(schema);
      assert.ok(isFacet !== undefined && isFacet(value), `${schema}: ${ajv.errorsText(isFacet?.errors)}`);
      facets += 1;
    }
    Object.values(value).forEach(walk);
  };
  for (const one of told()) {
    assert.ok(isEvent(one), ajv.errorsText(isEvent.errors));
    walk(one);
  }
  assert.ok(facets > 15);
  const [first] = told();
  for (const field of ['run', 'job', 'eventTime', 'producer', 'schemaURL'])
    assert.ok(!isEvent({ ...first, [field]: undefined }), field);
});

test('a permitted job starts once and ends once; a denied one has no run', () => {
  const told1 = told().map((one) => [one['eventType'], (one['run'] as { runId: string }).runId] as const);
  assert.deepEqual(
    told1.map(([type]) => type),
    ['START', 'START', 'COMPLETE', 'FAIL', 'START', 'ABORT'],
  );
  const [a, b, , , d] = told1.map(([, id]) => id);
  assert.deepEqual(
    told1.map(([, id]) => id),
    [a, b, a, b, d, d],
  );
  assert.equal(new Set([a, b, d]).size, 3);
});

test('inputs name dataset and version, outputs the result with its digest; the same computation is the same job', () => {
  const [startA, startB, complete, , startD] = told() as unknown as {
    job: { name: string };
    inputs: { namespace: string; name: string; facets: { version: { datasetVersion: string } } }[];
    outputs: { name: string; outputFacets: { outputStatistics: { rowCount: number; size: number } } }[];
  }[];
  assert.equal(startA?.inputs[0]?.facets.version.datasetVersion, `2 sha256:${sha256Hex('dataset/visits@2')}`);
  assert.deepEqual(
    [startA?.inputs[0]?.namespace, startA?.inputs[0]?.name],
    ['glovebox://hospital.example/evidence', 'visits'],
  );
  assert.deepEqual(
    startD?.inputs.map(({ name }) => name),
    ['visits', 'wards'],
  );
  assert.equal(complete?.outputs[0]?.name, 'result/a');
  assert.equal(complete.outputs[0].outputFacets.outputStatistics.rowCount, 3);
  assert.equal(startA.job.name, startB?.job.name);
});
