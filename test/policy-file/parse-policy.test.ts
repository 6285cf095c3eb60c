import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fc } from '../property.ts';
import { complaintText, MAX_POLICY_BYTES, parsePolicy } from '../../runtime/policy-file/parse-policy.ts';
import { isSchemaCurrent } from '../../runtime/policy-file/write-schema.ts';

const root = join(import.meta.dirname, '..', '..');
const template = readFileSync(join(root, 'policies', 'hospital-visits.yaml'), 'utf8');

function complaintsOf(text: string): readonly string[] {
  const parsed = parsePolicy(text, 'p.yaml');
  assert.equal(parsed.kind, 'complaints', 'the document should be refused');
  return parsed.kind === 'complaints' ? parsed.complaints.map(complaintText) : [];
}

/** The template with one edit; the edit must hit. */
function edited(from: string, to: string): string {
  assert.ok(template.includes(from), `the template has no «${from}»`);
  return template.replace(from, to);
}

test('the template becomes a policy with every term kept', () => {
  const parsed = parsePolicy(template, 'p.yaml');
  assert.equal(parsed.kind, 'policy');
  if (parsed.kind !== 'policy') return;
  const { policy } = parsed;
  assert.deepEqual(
    policy.allow.map((rule) => [rule.id, rule.mode]),
    [
      ['statistics', 'aggregate'],
      ['private', 'differentialPrivacy'],
      ['encrypted', 'homomorphic'],
      ['code', 'sandbox'],
      ['reviewed', 'approvedCode'],
    ],
  );
  assert.equal(policy.version, 3);
  assert.deepEqual(policy.tables[0]?.privacyUnits, [{ columns: ['patient_id'], via: [] }]);
  assert.deepEqual(policy.tables[0]?.columns[2]?.grants[0]?.bounds, { low: 0, high: 3000 });
  assert.deepEqual(policy.allow[0]?.when.count, { max: 500, perMs: 30 * 86_400_000 });
  assert.equal(
    policy.allow[1]?.release.mode === 'differentialPrivacy' && policy.allow[1].release.microEpsilonTotal,
    4_000_000,
  );
  assert.equal(policy.allow[4]?.when.isolationAtLeast, 'namespaced', 'consumer code defaults to the full jail');
  assert.equal(policy.defaults.notAfter, Date.UTC(2027, 0, 1));
});

test('the same policy as JSON is the same policy', () => {
  const yaml = parsePolicy(template, 'p.yaml');
  assert.equal(yaml.kind, 'policy');
  if (yaml.kind !== 'policy') return;
  const json = parsePolicy(JSON.stringify(yaml.document), 'p.json');
  assert.deepEqual(json.kind === 'policy' && json.policy, yaml.policy);
});

test('every policy that ships parses', () => {
  for (const file of ['hospital-visits.yaml', 'clinical.yaml']) {
    const parsed = parsePolicy(readFileSync(join(root, 'policies', file), 'utf8'), file);
    assert.deepEqual(parsed.kind === 'complaints' ? parsed.complaints.map(complaintText) : [], []);
  }
});

test('`smallGroups: null` is the term, in quotes or as YAML reads it', () => {
  for (const term of ['null', '"null"']) {
    const parsed = parsePolicy(edited('smallGroups: drop', `smallGroups: ${term}`), 'p.yaml');
    const [rule] = parsed.kind === 'policy' ? parsed.policy.allow : [];
    assert.ok(rule?.release.mode === 'aggregate');
    assert.equal(rule.release.smallGroups, 'null');
  }
});

test('what is wrong is told with its place', () => {
  assert.deepEqual(
    complaintsOf(edited('ward:       { rights: [group, filter, order] }', 'ward:       { rights: [group, read] }')),
    [
      'p.yaml:11:33 columns.ward.rights.1: Invalid option: expected one of "join"|"group"|"filter"|"compare"|"order"|"countDistinct"|"aggregate"|"extremum"',
    ],
  );
  const [unknown] = complaintsOf(edited('smallGroups: drop', 'smallgroups: drop'));
  assert.match(unknown ?? '', /^p\.yaml:14:\d+ allow\.0\.release\.smallgroups: unknown key `smallgroups`$/);
});

const refused: readonly (readonly [what: string, from: string, to: string, pattern: RegExp])[] = [
  ['an unknown top-level key', 'duties:', 'dutys:', /unknown key `dutys`/],
  ['an unknown mode', 'mode: aggregate', 'mode: everything', /allow\.0\.mode/],
  ['a rule without a mode', 'mode: aggregate, ', '', /allow\.0\.mode/],
  ['a policy without a dataset', 'dataset: hospital/visits, ', '', /metadata\.dataset/],
  ['a policy without a unit', 'privacyUnit: [patient_id]', 'x-unit: 1', /unknown key `x-unit`/],
  [
    'an aggregate rule without minUnits',
    'minUnits: 10, smallGroups: drop, dominance',
    'smallGroups: drop, dominance',
    /minUnits/,
  ],
  ['minUnits of zero', 'minUnits: 10, smallGroups', 'minUnits: 0, smallGroups', /minUnits/],
  ['a fractional minUnits', 'minUnits: 10, smallGroups', 'minUnits: 2.5, smallGroups', /minUnits/],
  ['minUnits as text', 'minUnits: 10, smallGroups', 'minUnits: "10", smallGroups', /minUnits/],
  [
    'more epsilon per job than in total',
    'epsilonPerJob: 0.5, epsilonTotal: 4',
    'epsilonPerJob: 5, epsilonTotal: 4',
    /more per job than in total/,
  ],
  ['an infinite epsilon', 'epsilonTotal: 4', 'epsilonTotal: .inf', /epsilonTotal/],
  ['an epsilon that rounds to none', 'epsilonPerJob: 0.5', 'epsilonPerJob: 6e-7', /0\.000001/],
  ['bounds whose sums are no numbers', 'bounds: [0, 3000]', 'bounds: [0, 1e308]', /between 1e-100 and 1e\+100/],
  ['bounds that no step divides', 'bounds: [0, 3000]', 'bounds: [0, 5e-324]', /between 1e-100 and 1e\+100/],
  ['bounds upside down', 'bounds: [0, 3000]', 'bounds: [3000, 0]', /low bound must be below/],
  [
    'functions without the right',
    '{ rights: [aggregate], functions',
    '{ rights: [group], functions',
    /functions need the right/,
  ],
  ['a month in a duration', 'per: P30D', 'per: P1M', /ISO 8601 duration/],
  ['a date that does not exist', 'notBefore: 2026-01-01', 'notBefore: 2026-13-41', /a date that exists|a date/],
  ['a window that ends before it begins', 'notAfter: 2027-01-01', 'notAfter: 2025-01-01', /ends before it begins/],
  ['a price without a unit', ', currency: CNY', '', /`unitPrice` and `currency`/],
  ['a rule id used twice', 'id: private', 'id: statistics', /used twice/],
  [
    'approved code without digests or approvals',
    'when: { digests: ["sha256:0000000000000000000000000000000000000000000000000000000000000000"], approvals: { quorum: 2, by: [owner, dpo] } }',
    'when: {}',
    /needs `digests` or `approvals`/,
  ],
  ['a column of the runtime', 'ward:       {', '__gb_u0:       {', /belong to the runtime/],
  ['columns that differ by case only', 'ward:       {', 'COST:       {', /do not differ by case/],
  ['a key written twice', 'onViolation:', 'kind: UsagePolicy\nonViolation:', /unique/i],
  [
    'a condition over an unknown name',
    'notAfter: 2027-01-01 }',
    'notAfter: 2027-01-01, condition: "rows > 1" }',
    /unknown name `rows`/,
  ],
  [
    'an unknown limit of code',
    'outputs: 8',
    'outputs: 8, limits: { wall: 1 }',
    /:17:\d+ allow\.3\.release\.limits.*`wall`/,
  ],
  [
    'a limit of no time',
    'outputs: 8',
    'outputs: 8, limits: { wallMs: 0 }',
    /:17:\d+ allow\.3\.release\.limits\.wallMs/,
  ],
  ['less memory than a worker needs', 'outputs: 8', 'outputs: 8, limits: { memoryMiB: 8 }', /limits\.memoryMiB/],
  ['one block', 'outputs: 8', 'outputs: 8, limits: { blocks: 1 }', /limits\.blocks/],
  ['more rounds than there can be', 'outputs: 8', 'outputs: 8, limits: { rounds: 101 }', /limits\.rounds/],
  ['half a millisecond', 'outputs: 8', 'outputs: 8, limits: { cpuMs: 100.5 }', /limits\.cpuMs/],
  ['blocks of approved code', 'maxRows: 200', 'maxRows: 200, limits: { blocks: 5 }', /limits.*unknown key `blocks`/],
  ['another version of the document', 'glovebox/v1', 'glovebox/v2', /apiVersion/],
];
for (const [what, from, to, pattern] of refused) {
  test(`${what} is refused, with its place`, () => {
    const complaints = complaintsOf(edited(from, to));
    assert.ok(
      complaints.some((text) => pattern.test(text)),
      complaints.join('\n'),
    );
    assert.ok(complaints.every((text) => /^p\.yaml:\d+:\d+ /.test(text)));
  });
}

test('aliases that blow up, huge files and broken YAML are complaints, never a crash', () => {
  const bomb = `a: &a [x,x,x,x]\n${Array.from({ length: 20 }, (_, i) => `b${i}: &b${i} [*a,*a,*a]`).join('\n')}`;
  assert.ok(complaintsOf(bomb).length > 0);
  assert.match(complaintsOf('x'.repeat(MAX_POLICY_BYTES + 1))[0] ?? '', /larger than/);
  assert.ok(complaintsOf('a: [').length > 0);
  assert.ok(complaintsOf('').length > 0);
  assert.ok(complaintsOf('[1,2]').length > 0);
  assert.ok(complaintsOf('!!js/function x').length > 0);
  assert.ok(complaintsOf(`${'['.repeat(20_000)}`).length > 0);
});

test('damaged templates never crash the parser, and never become a policy that allows more columns', () => {
  fc.assert(
    fc.property(fc.nat(template.length - 1), fc.string({ maxLength: 6 }), fc.nat(12), (position, insert, cut) => {
      const parsed = parsePolicy(template.slice(0, position) + insert + template.slice(position + cut), 'p.yaml');
      if (parsed.kind === 'complaints') assert.ok(parsed.complaints.length > 0);
    }),
    { numRuns: 300 },
  );
});

test('the published JSON Schema is the one that the parser implies', () => {
  assert.ok(isSchemaCurrent(root), 'run: node runtime/policy-file/write-schema.ts');
});
