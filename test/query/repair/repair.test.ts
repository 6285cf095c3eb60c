import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { DuckDBConnection } from '@duckdb/node-api';
import { fc } from '../../property.ts';
import type { TablePolicy } from '../../../runtime/policy/model.ts';
import { type Reason, reason } from '../../../runtime/policy/reason.ts';
import { type KnownColumn, knownColumns } from '../../../runtime/query/repair/known-columns.ts';
import { placedReason } from '../../../runtime/query/repair/place.ts';
import { MAX_TRIES, repairQuery, type Repaired } from '../../../runtime/query/repair/repair.ts';
import { candidatesFor } from '../../../runtime/query/repair/candidates.ts';
import { compileText, contextOf, openClinic } from '../clinic.ts';

let connection: DuckDBConnection;
before(async () => {
  connection = await openClinic();
});

const CONTEXT = contextOf();
const COLUMNS: readonly KnownColumn[] = CONTEXT.tables.flatMap(({ names, columns, isPublic }) =>
  columns.map(({ name, grants }) => ({
    table: names[0] ?? '',
    name,
    isPublic,
    rights: new Set(grants.flatMap(({ rights }) => rights)),
    functions: new Set(grants.flatMap(({ functions }) => functions)),
  })),
);

async function judge(text: string): Promise<readonly Reason[] | null> {
  try {
    const compiled = await compileText(connection, text, CONTEXT);
    return compiled.kind === 'denied' ? compiled.reasons : null;
  } catch {
    return [reason('sql-syntax', 'not SQL')];
  }
}

async function repair(text: string): Promise<Repaired | null> {
  const reasons = await judge(text);
  assert.ok(reasons !== null, `passes already: ${text}`);
  return await repairQuery(text, reasons, COLUMNS, judge);
}

/** Refused queries and the query that is offered in their place. */
const REPAIRS: Readonly<Record<string, string>> = {
  'select sex, count(*) from patients p left join visits v on v.patient = p.id where v.ward is null group by sex':
    'select sex, count(*) from patients p left join visits v on v.patient = p.id where v.patient IS NULL group by sex',
  'select * from visits': 'select avg(cost), avg(score), count(*) from visits',
  'select ward, min(cost) from visits group by ward':
    'select ward, quantile_cont(cost, 0.05) from visits group by ward',
  'select patient, count(*) from visits group by patient': 'select count(*) from visits',
  'select count(*) from visits where patient = 7 and age > 30': 'select count(*) from visits where age > 30',
  "select count(*) from visits where (ward = 'north' or patient = 7)": 'select count(*) from visits',
  'select wrd, count(*) from visits group by wrd': 'select ward, count(*) from visits group by ward',
  'select ward, count(*) from vists group by ward': 'select ward, count(*) from visits group by ward',
  'select ward, cost, count(*) from visits': 'select ward, avg(cost), count(*) from visits group by ward',
  'select ward from visits': 'select ward, count(*) from visits group by ward',
  'select v.ward, avg(v.cost) from visits v left join patients p on v.patient = p.id group by 1':
    'select v.ward, avg(v.cost) from visits v join patients p on v.patient = p.id group by 1',
  "select ward, string_agg(distinct diagnosis, ', ') from visits group by ward":
    'select ward, diagnosis from visits group by ward, diagnosis',
  'select ward, list(diagnosis order by cost) from visits group by ward':
    'select ward, diagnosis from visits group by ward, diagnosis',
  'select ward, list(cost) from visits group by ward': 'select ward, avg(cost) from visits group by ward',
  "select nvl(ward, 'none'), count(*) from visits group by 1":
    "select coalesce(ward, 'none'), count(*) from visits group by 1",
  'select ward, avg(distinct cost) from visits group by ward': 'select ward, avg(cost) from visits group by ward',
  'select age between 40 and 50, min(patient), count(*) from visits group by 1':
    'select age between 40 and 50, count(*) from visits group by 1',
  'with x as (select ward, max(cost) m from visits group by ward) select * from x':
    'with x as (select ward, quantile_cont(cost, 0.95) m from visits group by ward) select * from x',
  'select diagnosis, count(*) from visits group by diagnosis having min(cost) > 3 and count(*) > 5':
    'select diagnosis, count(*) from visits group by diagnosis having count(*) > 5',
  'select count(*) from visits where age between 30 and 40 and discharged > admitted and smoker = 1':
    'select count(*) from visits where age between 30 and 40 and discharged > admitted',
  "select count(*) /* from patients where */ from visits where smoker = 1 -- ' and":
    "select count(*) /* from patients where */ from visits  -- ' and",
};

describe('a refused query', () => {
  for (const [asked, offered] of Object.entries(REPAIRS)) {
    it(`is repaired: ${asked}`, async () => {
      const repaired = await repair(asked);
      assert.equal(repaired?.text, offered);
      assert.ok((repaired?.changes.length ?? 0) > 0);
      // What is offered passes.
      assert.equal(await judge(offered), null);
    });
  }

  it('is left alone when nothing near it would pass', async () => {
    for (const text of ['update visits set cost = 1', 'select 1 +', 'select count(*) from nowhere'])
      assert.equal(await repair(text), null, text);
  });

  it('is never answered with a query that was not tried and passed, whatever it looks like', async () => {
    const piece = fc.constantFrom(
      ...'select from where group by order having limit count(*) min(cost) max(cost) ward patient cost smoker visits patients , ( ) and or = 3 "ward" \'x\' * join on as x ; distinct with case when then end'.split(
        ' ',
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 14 }), async (pieces) => {
        const text = `select ${pieces.join(' ')} from visits`;
        const reasons = await judge(text);
        if (reasons === null) return;
        let tries = 0;
        const repaired = await repairQuery(text, reasons, COLUMNS, (candidate) => {
          tries++;
          return judge(candidate);
        });
        assert.ok(tries <= MAX_TRIES);
        if (repaired !== null) assert.equal(await judge(repaired.text), null);
      }),
      { numRuns: 150 },
    );
  });

  it('costs a bounded number of trials when every trial is refused in another way', async () => {
    let tries = 0;
    const text = 'select min(cost), max(cost), min(score), max(score), smoker from visits where smoker = 1 limit 3';
    const refusals = (): Promise<readonly Reason[]> =>
      Promise.resolve([reason('column-right-missing', `no ${tries++}`, { at: { line: 1, column: 12 } })]);
    assert.equal(await repairQuery(text, await refusals(), COLUMNS, refusals), null);
    assert.ok(tries <= MAX_TRIES + 1);
  });

  it('is read in a time that grows with its length, however its comments and quotes are meant', () => {
    const why = reason('column-right-missing', 'x', { at: { line: 1, column: 8 } });
    for (const text of [
      '/*'.repeat(8000),
      "'".repeat(16_000),
      'select '.repeat(2300),
      '('.repeat(16_000),
      '"'.repeat(15_999),
    ]) {
      const { user } = process.cpuUsage();
      candidatesFor(text, why, COLUMNS);
      assert.ok(process.cpuUsage().user - user < 1_000_000, text.slice(0, 10));
    }
  });

  it('shows the place of what it is about where the parser gives none', () => {
    const text = 'select ward,\n  cost\nfrom visits\nlimit 10';
    assert.deepEqual(placedReason(text, reason('rows-picked', '')).at, { line: 4, column: 1 });
    assert.deepEqual(placedReason(text, reason('rows-not-released', '')).at, { line: 1, column: 8 });
    assert.equal(placedReason(text, reason('join-required', '')).at, null);
  });
});

describe('what a repair may use', () => {
  it('is what the policy grants to this consumer, and nothing of another one', () => {
    const grant = { functions: [], bounds: null, values: null, bins: null };
    const table: TablePolicy = {
      name: null,
      isPublic: false,
      privacyUnits: [{ columns: [], via: [] }],
      rows: null,
      joins: 'allowed',
      consumerTables: false,
      columns: [
        { name: 'a', grade: null, grants: [{ ...grant, consumers: ['acme'], rights: ['filter'] }] },
        { name: 'b', grade: null, grants: [{ ...grant, consumers: ['other'], rights: ['group'] }] },
        { name: 'c', grade: null, grants: [{ ...grant, consumers: ['group:labs'], rights: ['group'] }] },
      ],
    };
    const known = knownColumns('hospital/visits', [table], { party: 'acme', groups: ['labs'] });
    assert.deepEqual(
      known.map(({ table: of, name }) => `${of}.${name}`),
      ['visits.a', 'visits.c'],
    );
  });
});
