import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sha256Hex, type EvidenceEvent } from '../../runtime/evidence/entry.ts';
import { lineageOf, lineageSvg } from '../../runtime/evidence/lineage.ts';

const event = (kind: EvidenceEvent['kind'], ...names: readonly string[]): EvidenceEvent => ({
  kind,
  atMs: 0,
  subjects: names.map((name) => ({ name, sha256: sha256Hex(name) })),
  facts: {},
});

/** Two jobs on version 2 of visits, one of them on wards too; the second was denied. */
const EVENTS: readonly EvidenceEvent[] = [
  event('decision', 'job/a', 'agreement/x', 'policy/visits@1', 'dataset/visits@2', 'dataset/wards@1'),
  event('release', 'job/a', 'result/a'),
  event('decision', 'job/b', 'agreement/y', 'policy/visits@1', 'dataset/visits@1'),
  event('decision', 'job/c', 'agreement/y', 'policy/visits@1', 'dataset/visits@1'),
  event('release', 'job/c', 'result/c'),
];

function lineage(): ReturnType<typeof lineageOf> {
  const made = lineageOf();
  for (const one of EVENTS) made.visit(one);
  return made;
}
const names = (of: string): readonly string[] =>
  (
    lineage()
      .of(of)
      ?.nodes.map(({ name }) => name) ?? []
  ).toSorted();

test('a result leads back to its job, agreement, policy and datasets, and to nothing else', () => {
  assert.deepEqual(names('result/a'), [
    'agreement/x',
    'dataset/visits@2',
    'dataset/wards@1',
    'job/a',
    'policy/visits@1',
    'result/a',
  ]);
});

test('a dataset version leads forward to every result, and a name without version to those of all versions', () => {
  assert.deepEqual(names('dataset/visits@1'), ['dataset/visits@1', 'job/b', 'job/c', 'result/c']);
  const all = names('dataset/visits');
  for (const one of ['result/a', 'result/c', 'dataset/visits@1', 'dataset/visits@2']) assert.ok(all.includes(one), one);
  assert.ok(!all.includes('dataset/wards@1'));
});

test('what the log does not name has no lineage', () => {
  assert.equal(lineage().of('dataset/other'), undefined);
});

test('the picture holds every thing and edge, and no text can break out of it', () => {
  const svg = lineageSvg({
    nodes: [
      { name: 'dataset/<script>"&', sha256: '' },
      { name: 'job/a', sha256: '' },
    ],
    edges: [{ from: 'dataset/<script>"&', to: 'job/a' }],
  });
  assert.ok(!svg.includes('<script>'));
  assert.equal(svg.match(/<path /g)?.length, 1);
  assert.equal(svg.match(/<rect /g)?.length, 2);
});
