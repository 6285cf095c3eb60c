import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fc } from '../../property.ts';
import type { AggregateRelease, UsagePolicy } from '../../../runtime/policy/model.ts';
import { importBigQuery } from '../../../runtime/policy-file/import/bigquery.ts';
import { importCcl } from '../../../runtime/policy-file/import/ccl.ts';
import { importCleanRooms } from '../../../runtime/policy-file/import/clean-rooms.ts';
import { type Imported, MAX_SOURCE } from '../../../runtime/policy-file/import/imported.ts';
import { importSnowflake } from '../../../runtime/policy-file/import/snowflake.ts';
import { parsePolicy } from '../../../runtime/policy-file/parse-policy.ts';

const source = (name: string): string => readFileSync(join(import.meta.dirname, 'sources', name), 'utf8');

/** The policy of an import that must succeed. */
function policyOf(imported: Imported): UsagePolicy {
  assert.ok(imported.kind === 'imported', imported.kind === 'refused' ? imported.reason : '');
  const parsed = parsePolicy(imported.document, 'imported.yaml');
  assert.ok(parsed.kind === 'policy');
  return parsed.policy;
}

const rightsOf = (policy: UsagePolicy, column: string): string =>
  policy.tables[0]?.columns
    .find(({ name }) => name === column)
    ?.grants.map(({ rights, functions, consumers }) => [...(consumers ?? []), ...rights, ...functions].join(' '))
    .join(' | ') ?? 'none';
const releaseOf = (policy: UsagePolicy): AggregateRelease => {
  const release = policy.allow[0]?.release;
  assert.ok(release?.mode === 'aggregate');
  return release;
};
const lostIn = (imported: Imported): string => imported.losses.map(({ at, said }) => `${at}: ${said}`).join('\n');
const refusal = (imported: Imported): string => {
  assert.ok(imported.kind === 'refused', 'was imported');
  return imported.reason;
};

describe('an aggregation rule of AWS Clean Rooms', () => {
  it('becomes rights, a unit and a minimum', () => {
    const imported = importCleanRooms(source('clean-rooms-aggregation.json'), { dataset: 'shop/purchases' });
    const policy = policyOf(imported);
    assert.equal(rightsOf(policy, 'purchase_amount'), 'aggregate sum avg');
    assert.equal(rightsOf(policy, 'hashed_email'), 'join countDistinct');
    assert.equal(rightsOf(policy, 'store_region'), 'group filter order');
    assert.deepEqual(policy.tables[0]?.privacyUnits, [{ columns: ['hashed_email'], via: [] }]);
    assert.equal(policy.tables[0]?.joins, 'required');
    assert.equal(releaseOf(policy).minUnits, 25);
    assert.match(lostIn(imported), /joinRequired/);
    assert.match(lostIn(imported), /scalarFunctions/);
  });

  it('stands in a CloudFormation resource with capitals as well', () => {
    const { v1 } = JSON.parse(source('clean-rooms-aggregation.json')) as { v1: object };
    const capital = JSON.parse(
      JSON.stringify(v1).replaceAll(/"([a-z])(\w*)":/g, (_, a: string, b: string) => `"${a.toUpperCase()}${b}":`),
    ) as object;
    const resource = {
      Type: 'AWS::CleanRooms::ConfiguredTable',
      Properties: { Name: 'purchases', AnalysisRules: [{ Type: 'AGGREGATION', Policy: { V1: capital } }] },
    };
    const policy = policyOf(importCleanRooms(JSON.stringify(resource)));
    assert.equal(policy.dataset, 'purchases');
    assert.equal(releaseOf(policy).minUnits, 25);
  });

  it('makes the largest of several minima hold, for each column as a unit of its own', () => {
    const rule = {
      v1: {
        aggregation: {
          aggregateColumns: [{ columnNames: ['x'], function: 'SUM_DISTINCT' }],
          outputConstraints: [
            { columnName: 'person', minimum: 10, type: 'COUNT_DISTINCT' },
            { columnName: 'home', minimum: 40, type: 'COUNT_DISTINCT' },
          ],
          dimensionColumns: ['ward'],
        },
      },
    };
    const imported = importCleanRooms(JSON.stringify(rule), { dataset: 'd' });
    const policy = policyOf(imported);
    assert.equal(releaseOf(policy).minUnits, 40);
    assert.equal(policy.tables[0]?.privacyUnits.length, 2);
    assert.equal(rightsOf(policy, 'x'), 'none');
    assert.match(lostIn(imported), /SUM_DISTINCT of x/);
  });

  it('is refused where it releases rows, names no columns, or says what is not known', () => {
    const of = (v1: object): string => refusal(importCleanRooms(JSON.stringify({ v1 }), { dataset: 'd' }));
    assert.match(of({ list: { joinColumns: ['a'], listColumns: ['b'] } }), /rows/);
    assert.match(of({ custom: { allowedAnalyses: ['ANY_QUERY'] } }), /rights each column has/);
    assert.match(of({ aggregation: { dimensionColumns: ['a'], forbidden: true } }), /forbidden/);
    assert.match(of({ aggregation: { dimensionColumns: ['a'] } }), /--min-units/);
    assert.match(of({ aggregation: {}, list: {} }), /exactly one/);
    assert.match(of({}), /exactly one/);
  });
});

describe('an analysis rule of BigQuery', () => {
  it('with a threshold becomes a minimum over its unit column', () => {
    const policy = policyOf(importBigQuery(source('bigquery-threshold.sql')));
    assert.equal(policy.dataset, 'dcr_view');
    assert.deepEqual(policy.tables[0]?.privacyUnits, [{ columns: ['id'], via: [] }]);
    assert.equal(releaseOf(policy).minUnits, 20);
    assert.equal(rightsOf(policy, 'id'), 'join countDistinct');
    assert.match(rightsOf(policy, 'age'), /group filter .*aggregate/);
  });

  it('with noise becomes a budget that all share, and columns that still need bounds', () => {
    const text = `CREATE OR REPLACE VIEW ds.v OPTIONS (privacy_policy = '''{"differential_privacy_policy":
      {"privacy_unit_column": "id", "max_epsilon_per_query": 1.5, "epsilon_budget": 10, "delta_per_query": 1e-6,
       "delta_budget": 0.001, "max_groups_contributed": 2},
      "join_restriction_policy": {"join_condition": "JOIN_ANY", "join_allowed_columns": ["id"]}}''')
      AS SELECT t.id, t.salary AS pay FROM ds.t`;
    const imported = importBigQuery(text);
    const policy = policyOf(imported);
    const release = policy.allow[0]?.release;
    assert.ok(release?.mode === 'differentialPrivacy');
    assert.deepEqual(
      [release.microEpsilonPerJob, release.microEpsilonTotal, release.microEpsilonDataset, release.maxRowsPerUnit],
      [1_500_000, 10_000_000, 10_000_000, 2],
    );
    assert.equal(policy.tables[0]?.joins, 'required');
    assert.doesNotMatch(rightsOf(policy, 'pay'), /join/);
    assert.match(lostIn(imported), /clipped/);
  });

  it('is refused when its columns, its threshold or a key of it are not known', () => {
    const view = (policy: string, columns: string): Imported =>
      importBigQuery(`create view v options (privacy_policy='${policy}') as select ${columns} from t`);
    const good = '{"aggregation_threshold_policy": {"threshold": 3, "privacy_unit_column": "id"}}';
    assert.match(refusal(view(good, '*')), /--columns/);
    assert.match(refusal(view(good, 'f(a)')), /--columns/);
    assert.match(refusal(view(good.replace('3', '0'), 'id')), /threshold/);
    assert.match(refusal(view(good.replace('threshold"', 'limit"'), 'id')), /limit/);
    assert.match(refusal(view('{"join_restriction_policy": {"join_condition": "JOIN_ALL"}}', 'id')), /rows leave/);
    assert.match(refusal(importBigQuery('drop view v')), /expected/);
    assert.equal(releaseOf(policyOf(view(good, 'id, a'))).minUnits, 3);
  });
});

describe('policies of Snowflake', () => {
  it('become a minimum over the entity key, with a remainder group, and columns that are not shown', () => {
    const imported = importSnowflake(source('snowflake.sql'));
    const policy = policyOf(imported);
    assert.deepEqual(policy.tables[0]?.privacyUnits, [{ columns: ['email'], via: [] }]);
    assert.deepEqual([releaseOf(policy).minUnits, releaseOf(policy).smallGroups], [5, 'remainder']);
    assert.equal(rightsOf(policy, 'phone'), 'join filter countDistinct');
    assert.match(rightsOf(policy, 'state'), /group/);
    // The body excepts a role; nothing here does.
    assert.match(lostIn(imported), /makes exceptions/);
  });

  it('are refused when something is set that is not in the source, or is taken away', () => {
    const create = `create aggregation policy p as () returns aggregation_constraint -> aggregation_constraint(min_group_size => 5);`;
    const table = 'create table t (id int, ward varchar(10));';
    assert.match(refusal(importSnowflake(`${table}alter table t set aggregation policy other`)), /not in the source/);
    assert.match(refusal(importSnowflake(`${create}${table}alter table t unset aggregation policy`)), /only CREATE/);
    assert.match(refusal(importSnowflake(`${create}${table}alter table t set aggregation policy p`)), /--unit/);
    assert.match(
      refusal(importSnowflake(`${create}alter table t set aggregation policy p entity key (id)`)),
      /--columns/,
    );
    assert.match(refusal(importSnowflake(table)), /no aggregation policy/);
  });
});

describe('a column control list of SCQL', () => {
  it('becomes rights of parties, and says which levels show values', () => {
    const text = source('scql-ccl.sql');
    const imported = importCcl(text, { dataset: 'ta', unit: ['ID'], minUnits: 4 });
    const policy = policyOf(imported);
    assert.equal(rightsOf(policy, 'ID'), 'bob join');
    assert.equal(rightsOf(policy, 'credit_rank'), 'bob group');
    assert.equal(rightsOf(policy, 'income'), 'bob aggregate sum avg count');
    assert.equal(rightsOf(policy, 'age'), 'bob filter compare');
    assert.match(lostIn(imported), /plaintext of ID to alice/);
    assert.match(refusal(importCcl(text)), /say which/);
    assert.match(refusal(importCcl(text, { dataset: 'ta', unit: ['id'] })), /--min-units/);
    assert.match(refusal(importCcl(text, { dataset: 'ta', minUnits: 4 })), /--unit/);
  });

  it('counts the last grant of a column to a party, as SCQL does', () => {
    const text =
      'grant select plaintext_after_group_by(a) on d.t to bob; grant select encrypted_only(a), plaintext_after_join(b) on d.t to bob';
    const policy = policyOf(importCcl(text, { unit: 'row', minUnits: 4 }));
    assert.equal(rightsOf(policy, 'a'), 'none');
    assert.equal(rightsOf(policy, 'b'), 'bob join');
  });

  it('is refused where it takes away, grants whole tables, or names a level that is not known', () => {
    const of = (text: string): string => refusal(importCcl(text, { unit: 'row', minUnits: 4 }));
    assert.match(of('revoke select plaintext(a) on d.t from bob'), /REVOKE/);
    assert.match(of('grant select plaintext_after_join on d.t to bob'), /name them/);
    assert.match(of('grant select constructor(a) on d.t to bob'), /not known/);
    assert.match(of('grant select plaintext(a) on d.t to bob'), /without showing values/);
  });
});

describe('a source that anybody may have written', () => {
  const importers = { importBigQuery, importCcl, importCleanRooms, importSnowflake };
  const options = { dataset: 'd', unit: 'row', minUnits: 3, columns: ['a'] } as const;

  it('is imported or refused, and never breaks the importer', () => {
    const words = fc.constantFrom(
      ...'grant select plaintext ( ) a , on d . t to bob create view options privacy_policy = \'{}\' as from alter table set aggregation policy p returns -> => min_group_size 5 case when { } [ ] : "v1" "aggregation" "" ` $$ /* */ -- ; " \' \\ \n __proto__ constructor'.split(
        ' ',
      ),
    );
    const texts = fc.oneof(
      fc.string(),
      fc.array(words, { maxLength: 40 }).map((all) => all.join(' ')),
      fc.json(),
    );
    for (const run of Object.values(importers))
      fc.assert(
        fc.property(texts, (text) => assert.ok(['imported', 'refused'].includes(run(text, options).kind))),
        { numRuns: 300 },
      );
  });

  it('may name columns like parts of JavaScript without becoming them', () => {
    const text = '{"v1":{"aggregation":{"__proto__":{"minimum":1}}}}';
    assert.match(refusal(importCleanRooms(text, { dataset: 'd' })), /__proto__/);
    const rule = {
      v1: {
        aggregation: {
          dimensionColumns: ['constructor'],
          outputConstraints: [{ columnName: 'toString', minimum: 9, type: 'COUNT_DISTINCT' }],
        },
      },
    };
    assert.equal(
      rightsOf(policyOf(importCleanRooms(JSON.stringify(rule), { dataset: 'd' })), 'constructor'),
      'group filter order',
    );
  });

  it('cannot write lines of its own into the document', () => {
    const rule = {
      v1: {
        aggregation: {
          dimensionColumns: ['a'],
          scalarFunctions: ['X\nallow: []\u2028# '],
          outputConstraints: [{ columnName: 'a', minimum: 9, type: 'COUNT_DISTINCT' }],
        },
      },
    };
    const imported = importCleanRooms(JSON.stringify(rule), { dataset: 'd' });
    assert.equal(policyOf(imported).allow.length, 1);
    assert.ok(imported.kind === 'imported' && imported.document.split('\n').every((line) => line !== 'allow: []'));
  });

  it('is refused when it is too long, and read in a time that grows with its length', () => {
    for (const run of Object.values(importers))
      assert.match(refusal(run(' '.repeat(MAX_SOURCE + 1), options)), /longer/);
    for (const piece of ['/*', '"""', "'", '$$', "\\'", '(', 'create ', '[', '{"a":'])
      for (const run of Object.values(importers)) {
        const { user } = process.cpuUsage();
        run(piece.repeat(Math.floor(MAX_SOURCE / piece.length)), options);
        assert.ok(process.cpuUsage().user - user < 2_000_000, piece);
      }
  });
});
