import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Knowledge, Request } from '../../runtime/policy/decide.ts';
import { termDifferences } from '../../runtime/policy/diff.ts';
import { explainPolicy } from '../../runtime/policy/explain.ts';
import type { UsagePolicy } from '../../runtime/policy/model.ts';
import { replay } from '../../runtime/policy/replay.ts';
import { parsePolicy } from '../../runtime/policy-file/parse-policy.ts';

const DOCUMENT = `apiVersion: glovebox/v1
kind: UsagePolicy
metadata: { dataset: hospital/visits, grade: important }
privacyUnit: [patient]
columns:
  patient: { rights: [join, countDistinct] }
  ward: { rights: [group, filter] }
  cost: { rights: [aggregate], functions: [sum, avg], bounds: [0, 3000] }
  note: { consumers: [other], rights: [filter] }
defaults: { purposes: [RiskManagement] }
allow:
  - { id: statistics, mode: aggregate, release: { minUnits: 10, smallGroups: drop, maxRows: 1000 }, when: { count: { max: 500, per: P30D } } }
  - { id: private, mode: differentialPrivacy, release: { epsilonPerJob: 0.5, epsilonTotal: 4, delta: 1e-6, maxRowsPerUnit: 20 } }
deny:
  - { id: abroad, mode: export, when: { recipientOutside: [CN] } }
duties:
  - { do: log }
`;

function policy(...changes: readonly (readonly [string, string])[]): UsagePolicy {
  const text = changes.reduce((document, [from, to]) => {
    assert.ok(document.includes(from), from);
    return document.replace(from, to);
  }, DOCUMENT);
  const parsed = parsePolicy(text, 'p.yaml');
  assert.ok(parsed.kind === 'policy', parsed.kind === 'complaints' ? parsed.complaints[0]?.message : '');
  return parsed.policy;
}

/** One change of the document, the term that it is told as, and what it does. */
const CHANGES: readonly (readonly [from: string, to: string, path: string, change: string])[] = [
  ['minUnits: 10', 'minUnits: 20', 'allow.statistics.release.minUnits', 'stricter'],
  ['minUnits: 10', 'minUnits: 5', 'allow.statistics.release.minUnits', 'looser'],
  ['maxRows: 1000', 'maxRows: 10', 'allow.statistics.release.maxRows', 'stricter'],
  ['epsilonPerJob: 0.5', 'epsilonPerJob: 1', 'allow.private.release.epsilonPerJob', 'looser'],
  ['max: 500', 'max: 5', 'allow.statistics.when.count', 'stricter'],
  ['[group, filter]', '[group]', 'columns.ward', 'stricter'],
  ['[group, filter]', '[group, filter, extremum]', 'columns.ward', 'looser'],
  ['[group, filter]', '[filter, order]', 'columns.ward', 'other'],
  ['bounds: [0, 3000]', 'bounds: [0, 9000]', 'columns.cost', 'looser'],
  ['privacyUnit: [patient]', 'privacyUnit: row', 'privacyUnits', 'other'],
  ['purposes: [RiskManagement]', 'purposes: [RiskManagement, Marketing]', 'defaults.purposes', 'looser'],
  ['  - { id: abroad, mode: export, when: { recipientOutside: [CN] } }', '  []', 'deny.abroad', 'looser'],
  ['- { do: log }', '- { do: log }\n  - { do: attribute }', 'duties.1', 'stricter'],
  ['  note: { consumers: [other], rights: [filter] }\n', '', 'columns.note', 'stricter'],
  ['consumers: [other]', 'consumers: [other, acme]', 'columns.note', 'looser'],
  ['grade: important', 'grade: core', 'metadata.grade', 'other'],
];

describe('the difference of two policies', () => {
  it('of a policy and itself is none', () => {
    assert.deepEqual(termDifferences(policy(), policy()), []);
  });

  for (const [from, to, path, change] of CHANGES) {
    it(`tells \`${to.trim().split('\n').at(-1)}\` as ${change}, and nothing else`, () => {
      const terms = termDifferences(policy(), policy([from, to]));
      assert.deepEqual(
        terms.map((one) => [one.path, one.change]),
        [[path, change]],
      );
      const mirrored = { stricter: 'looser', looser: 'stricter', other: 'other' }[change];
      assert.deepEqual(
        termDifferences(policy([from, to]), policy()).map((one) => one.change),
        [mirrored],
      );
    });
  }

  it('tells numbers in the units of the document', () => {
    const [epsilon] = termDifferences(policy(), policy(['epsilonTotal: 4', 'epsilonTotal: 6']));
    assert.deepEqual([epsilon?.before, epsilon?.after], ['4', '6']);
  });
});

const KNOWLEDGE: Knowledge = { purposeIncludes: (allowed, purpose) => allowed === purpose, evaluate: () => false };
const REQUEST: Request = {
  consumer: 'acme',
  groups: [],
  mode: 'aggregate',
  rule: 'statistics',
  purpose: 'RiskManagement',
  now: 0,
  agreedAtMs: null,
  isolation: 'namespaced',
  recipientCountry: 'CN',
  image: 'sql',
  codeDigest: null,
  approvers: [],
};
const use = (column: string, ...uses: readonly string[]) => ({
  dataset: 'hospital/visits',
  table: 'visits',
  column,
  uses,
});

describe('a job on record', () => {
  const footprint = [use('ward', 'group'), use('cost', 'sum')];
  it('is permitted again under the policy that permitted it', () => {
    assert.deepEqual(replay(policy(), REQUEST, footprint, KNOWLEDGE), { kind: 'permitted' });
  });

  it('is denied where a right, a function, a rule or a purpose is gone, with the clause', () => {
    const verdict = (...changes: readonly (readonly [string, string])[]): readonly string[] => {
      const answer = replay(policy(...changes), REQUEST, footprint, KNOWLEDGE);
      return answer.kind === 'denied' ? answer.reasons.map(({ code, clause }) => `${code} ${clause}`) : [];
    };
    assert.deepEqual(verdict(['[group, filter]', '[filter]']), [
      'column-right-missing hospital/visits v1 columns.ward',
    ]);
    assert.deepEqual(verdict(['functions: [sum, avg]', 'functions: [avg]']), [
      'column-right-missing hospital/visits v1 columns.cost',
    ]);
    assert.match(verdict(['id: statistics', 'id: renamed'])[0] ?? '', /^rule-unknown/);
    assert.match(verdict(['[RiskManagement]', '[Marketing]'])[0] ?? '', /^purpose-not-allowed/);
    assert.match(verdict(['  ward: { rights: [group, filter] }\n', ''])[0] ?? '', /^column-unknown/);
  });

  it('that joined a table of the consumer is denied where such tables are not allowed, or not all answers are compared', () => {
    const codes = (brought: boolean, ...changes: readonly (readonly [string, string])[]): readonly string[] => {
      const answer = replay(policy(...changes), REQUEST, footprint, KNOWLEDGE, brought);
      return answer.kind === 'denied' ? answer.reasons.map(({ code }) => code) : [];
    };
    const allowed = ['privacyUnit: [patient]', 'privacyUnit: [patient]\nconsumerTables: true'] as const;
    const compared = ['smallGroups: drop,', 'smallGroups: drop, differencing: guard,'] as const;
    assert.deepEqual(codes(true, allowed, compared), []);
    assert.deepEqual(codes(true, allowed), ['consumer-table-unguarded']);
    assert.deepEqual(codes(true, compared), ['consumer-table-not-allowed']);
    assert.deepEqual(codes(false), []);
  });

  it('does not borrow the rights of another consumer', () => {
    const mine = replay(policy(), REQUEST, [use('note', 'filter')], KNOWLEDGE);
    assert.equal(mine.kind, 'denied');
    assert.equal(
      replay(policy(), { ...REQUEST, consumer: 'other' }, [use('note', 'filter')], KNOWLEDGE).kind,
      'permitted',
    );
  });
});

describe('a policy explained', () => {
  it('says of each column what may be asked and what not, as the reader meets it', () => {
    const explained = explainPolicy(policy(), { party: 'acme', groups: [] });
    const of = (name: string) => explained.columns.find(({ column }) => column === name);
    assert.deepEqual(of('note'), { table: '', column: 'note', may: [], mayNot: ['use it at all'] });
    assert.deepEqual(of('cost')?.may, ['compute its sum, avg, clipped to 0…3000']);
    assert.ok(of('cost')?.mayNot.includes('take its minimum and maximum, over enough units'));
    assert.ok(of('ward')?.may.includes('group by it'));
    assert.ok(of('patient')?.mayNot.includes('group by it'));
    assert.deepEqual(explained.examples, ['select ward, count(*), avg(cost) from "hospital/visits" group by ward']);
  });

  it('tells everybody which grants are for whom', () => {
    const note = explainPolicy(policy(), null).columns.find(({ column }) => column === 'note');
    assert.deepEqual(note?.may, ['filter by constants (other only)']);
  });
});
