import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { AggregateRelease } from '../../../runtime/policy/model.ts';
import { linesOf, plainLinesOf } from './lines.ts';
import { compare, type Person } from './oracle.ts';
import { OpenWorld, type Seen } from './world.ts';
import { HOSPITAL } from './worlds.ts';

/** The hospital, whose provider lets consumers bring tables; `stay` names a single visit, `patient` leads to the unit. */
const policy = (consumerTables: string): string =>
  HOSPITAL.policy
    .replace('  patients:\n', `  patients:\n    consumerTables: ${consumerTables}\n`)
    .replace('  visits:\n', `  visits:\n    consumerTables: ${consumerTables}\n`)
    .replace(
      '      day: ',
      '      stay:      { rights: [join] }\n      room:      { rights: [join, group] }\n      day: ',
    );
const visits = HOSPITAL.tables['visits'] ?? '';
const opened = (consumerTables: string): Promise<OpenWorld> =>
  OpenWorld.open({
    ...HOSPITAL,
    policy: policy(consumerTables),
    tables: {
      ...HOSPITAL.tables,
      visits: `SELECT *, (patient * 1000 + row_number() OVER (PARTITION BY patient ORDER BY day, cost))::BIGINT AS stay,
        (patient % 8)::INTEGER AS room FROM (${visits})`,
    },
  });

const patient = (i: number): Person => ({ key: `p${i}`, rows: { visits: `patient = ${i}`, patients: `pid = ${i}` } });
// Whom the tables pick, and at least three of everything else, so that large groups look large.
const people = [0, 1, 2, 5, 6, 7, 10, 11, 12, 13, 14, 16, 22].map(patient);

const codeOf = (seen: Seen): string => (seen.kind === 'denied' ? seen.code : seen.kind);

/** What a consumer brings. Wards: a row each, with a part, a weight and a flag that picks one of them. */
async function bringAll(world: OpenWorld): Promise<void> {
  await world.bring(
    'parts',
    `SELECT * FROM (VALUES ('north', 'N', 1, FALSE), ('south', 'S', 1000, TRUE), ('tiny', 'S', 7, FALSE)) t(ward, part, weight, one)`,
  );
  await world.bring('twice', `SELECT 'north' AS ward, 'N' AS part FROM range(1000) UNION ALL SELECT 'south', 'S'`);
  await world.bring(
    'rooms',
    'SELECT i::INTEGER AS room, (i // 4)::INTEGER AS wing, (i = 7) AS last FROM range(8) r(i)',
  );
  await world.bring('rooms_text', `SELECT * FROM (VALUES ('1', 'a'), ('01', 'b'), (' 1', 'c')) t(room, label)`);
  await world.bring('rooms_real', 'SELECT i::DOUBLE AS room FROM range(8) r(i)');
  await world.bring(
    'stays',
    `SELECT stay, (10::HUGEINT ** (row_number() OVER (ORDER BY stay) % 15))::BIGINT AS weight,
    stay // 1000 = 7 AS victim, stay // 1000 AS who FROM memory.visits`,
  );
  await world.bring('few', 'SELECT stay FROM memory.visits WHERE patient IN (7, 8)');
  await world.bring('all_but_one', 'SELECT stay FROM memory.visits WHERE patient <> 7');
  await world.bring(
    'people',
    'SELECT pid AS id, pid < 12 AS mine, pid AS who, (10 ** (pid % 15))::BIGINT AS weight FROM memory.patients',
  );
  await world.bring(
    'bridge',
    'SELECT v.stay, p.pid AS other FROM memory.visits v, memory.patients p WHERE p.pid = v.patient',
  );
}

const REFUSED: Readonly<Record<string, readonly [string, string]>> = {
  'weights that encode who': [
    'SELECT sum(t.weight) FROM visits v JOIN stays t ON v.stay = t.stay',
    'consumer-table-measure',
  ],
  'weights times a measure': [
    'SELECT sum(v.cost * t.weight) FROM visits v JOIN stays t ON v.stay = t.stay',
    'consumer-table-measure',
  ],
  'weights in a branch': [
    'SELECT sum(CASE WHEN v.urgent THEN t.weight ELSE 0 END) FROM visits v JOIN stays t ON v.stay = t.stay',
    'consumer-table-measure',
  ],
  'weights by another name': [
    'SELECT avg(w) FROM (SELECT t.weight * 1 AS w FROM visits v LEFT JOIN stays t ON v.stay = t.stay)',
    'consumer-table-measure',
  ],
  'weights of a derived table': [
    'SELECT sum(w) FROM visits v JOIN (SELECT stay, weight + 1 AS w FROM stays) t ON v.stay = t.stay',
    'consumer-table-measure',
  ],
  'the least weight': ['SELECT min(t.weight) FROM visits v JOIN stays t ON v.stay = t.stay', 'consumer-table-measure'],
  'the middle weight': [
    'SELECT median(t.weight) FROM visits v JOIN stays t ON v.stay = t.stay',
    'consumer-table-measure',
  ],
  'a correlation with weights': [
    'SELECT corr(v.cost, t.weight) FROM visits v JOIN stays t ON v.stay = t.stay',
    'consumer-table-measure',
  ],
  'how many have a label': [
    'SELECT count(t.stay) FROM visits v LEFT JOIN stays t ON v.stay = t.stay',
    'consumer-table-measure',
  ],
  'how many have a label, in a branch': [
    'SELECT count(CASE WHEN v.urgent THEN t.stay END) FROM visits v LEFT JOIN stays t ON v.stay = t.stay',
    'consumer-table-measure',
  ],
  'how many labels occur': [
    'SELECT count(DISTINCT t.who) FROM visits v JOIN stays t ON v.stay = t.stay',
    'column-right-missing',
  ],
  'rows repeated': ['SELECT count(*) FROM visits v JOIN twice t ON v.ward = t.ward', 'consumer-table-repeats'],
  'rows repeated by LEFT JOIN': [
    'SELECT count(*) FROM visits v LEFT JOIN twice t ON v.ward = t.ward',
    'consumer-table-repeats',
  ],
  'rows repeated by a derived table': [
    'SELECT count(*) FROM visits v JOIN (SELECT ward AS w FROM twice) t ON v.ward = t.w',
    'consumer-table-repeats',
  ],
  'rows repeated by a cast': [
    'SELECT count(*) FROM visits v JOIN rooms_text t ON v.room = t.room',
    'type-mismatch|consumer-table-type',
  ],
  'floating-point keys': ['SELECT count(*) FROM visits v JOIN rooms_real t ON v.room = t.room', 'consumer-table-type'],
  'a cast key': [
    'SELECT count(*) FROM visits v JOIN rooms_text t ON v.room = CAST(t.room AS INTEGER)',
    'type-mismatch|join-not-linked',
  ],
  'no link': ['SELECT count(*) FROM visits v, parts t', 'join-not-linked'],
  'a range for a link': ['SELECT count(*) FROM visits v JOIN rooms t ON v.room >= t.room', 'join-not-linked'],
  'the privacy unit': [
    'SELECT t.mine, count(*) FROM patients p JOIN people t ON p.pid = t.id GROUP BY 1',
    'consumer-table-on-unit',
  ],
  'the privacy unit by LEFT JOIN': [
    'SELECT count(*) FROM patients p LEFT JOIN people t ON p.pid = t.id',
    'consumer-table-on-unit',
  ],
  'the path to the unit': ['SELECT count(*) FROM visits v JOIN people t ON v.patient = t.id', 'consumer-table-on-unit'],
  'the unit by a detour': [
    'SELECT count(*) FROM patients p JOIN visits v ON p.pid = v.patient JOIN people t ON t.id = v.patient',
    'consumer-table-on-unit',
  ],
  'the unit by a second condition': [
    'SELECT count(*) FROM visits v JOIN bridge t ON v.stay = t.stay AND v.patient = t.other',
    'consumer-table-on-unit',
  ],
  'a bridge between private tables': [
    'SELECT count(*) FROM visits v JOIN bridge t ON v.stay = t.stay JOIN patients p ON p.pid = t.other',
    'consumer-table-link|consumer-table-on-unit',
  ],
  'a public table behind it': [
    'SELECT count(*) FROM visits v JOIN parts t ON v.ward = t.ward JOIN wards w ON w.ward = t.ward',
    'consumer-table-link',
  ],
  'a public table beside it by LEFT JOIN': [
    'SELECT count(*) FROM visits v JOIN parts t ON v.ward = t.ward LEFT JOIN wards w ON w.ward = t.part',
    'consumer-table-link',
  ],
  'a chain of own tables': [
    'SELECT count(*) FROM visits v JOIN rooms t ON v.room = t.room JOIN rooms u ON t.wing = u.room',
    'consumer-table-link',
  ],
  'a list in a FILTER': [
    'SELECT count(*) FILTER (WHERE ward IN (SELECT ward FROM parts)) FROM visits',
    'consumer-table-misplaced',
  ],
  'a constant out of it': [
    'SELECT count(*) FROM visits WHERE room > (SELECT max(room) FROM rooms)',
    'consumer-table-misplaced|column-right-missing',
  ],
  existence: ['SELECT count(*) FROM visits WHERE EXISTS (SELECT 1 FROM parts WHERE one)', 'consumer-table-misplaced'],
  'an anti join': [
    'SELECT count(*) FROM visits v ANTI JOIN parts t ON v.ward = t.ward AND t.one',
    'consumer-table-misplaced',
  ],
  'a public table narrowed by it': [
    'SELECT count(*) FROM visits v JOIN (SELECT w.* FROM wards w SEMI JOIN parts t ON w.ward = t.ward AND t.one) x ON v.ward = x.ward',
    'join-with-released',
  ],
  'a public table narrowed by it, side by side': [
    'SELECT count(*) FROM wards w SEMI JOIN parts t ON w.ward = t.ward AND t.one JOIN visits v ON v.ward = w.ward',
    'join-with-released',
  ],
  'a public table narrowed by its absence': [
    'SELECT count(*) FROM visits v JOIN (SELECT w.* FROM wards w WHERE NOT EXISTS (SELECT 1 FROM parts t WHERE t.ward = w.ward AND t.one)) x ON v.ward = x.ward',
    'join-with-released',
  ],
  'a public table that looks into it': [
    'SELECT count(*) FROM visits v SEMI JOIN (SELECT w.* FROM wards w SEMI JOIN parts t ON w.ward = t.ward AND t.one) x ON v.ward = x.ward',
    'join-with-released',
  ],
  'values per unit of a join': [
    'SELECT avg(n) FROM (SELECT v.patient, t.part, count(*) AS n FROM visits v JOIN parts t ON v.ward = t.ward GROUP BY ALL)',
    'column-right-missing',
  ],
  'rows beside private ones': [
    'SELECT v.ward, t.part FROM visits v JOIN parts t ON v.ward = t.ward',
    'rows-not-released',
  ],
  'values per unit': [
    'SELECT avg(n) FROM (SELECT patient, count(*) AS n FROM visits GROUP BY patient) u JOIN people t ON u.patient = t.id',
    'consumer-table-link',
  ],
  'a column without the right': [
    'SELECT count(*) FROM visits v JOIN parts t ON v.diagnosis = t.ward',
    'column-right-missing',
  ],
  'a comparison that is not granted': [
    'SELECT count(*) FROM visits v JOIN rooms t ON v.room = t.room WHERE v.cost > t.wing',
    'column-right-missing',
  ],
};

/** Each would tell of one or two people if what a brought table picks were not judged. */
const SUBTRACTING: readonly string[] = [
  'SELECT v.ward AS k0, count(*), sum(v.score) FROM visits v WHERE stay IN (SELECT stay FROM all_but_one) GROUP BY 1',
  "SELECT 'a' AS k0, count(*) FROM visits UNION ALL SELECT 'b', count(*) FROM visits v SEMI JOIN all_but_one t ON v.stay = t.stay",
  'SELECT count(*), count(*) FILTER (WHERE t.victim) FROM visits v JOIN stays t ON v.stay = t.stay',

  'SELECT sum(v.score), sum(v.score) FILTER (WHERE t.stay IS NULL) FROM visits v LEFT JOIN all_but_one t ON v.stay = t.stay',

  'SELECT t.who AS k0, count(*) FROM visits v JOIN stays t ON v.stay = t.stay GROUP BY 1',
  'SELECT coalesce(t.stay, 0) = 0 AS k0, count(*) FROM visits v LEFT JOIN all_but_one t ON v.stay = t.stay GROUP BY 1',

  'SELECT count(*) FROM visits v JOIN all_but_one t ON v.stay = t.stay',
  'SELECT count(*) FILTER (WHERE t.stay IS NOT NULL), count(*) FROM visits v LEFT JOIN all_but_one t ON v.stay = t.stay',
  'SELECT bool_or(t.victim) FROM visits v JOIN stays t ON v.stay = t.stay',
  'SELECT v.ward AS k0, count(*), sum(v.score) FROM visits v JOIN all_but_one t ON v.stay = t.stay GROUP BY 1',
  'SELECT t.wing AS k0, v.ward AS k1, count(*) FROM visits v JOIN rooms t ON v.room = t.room GROUP BY ROLLUP (1, 2)',
  "SELECT 'a' AS k0, count(*) FROM visits UNION ALL SELECT 'b', count(*) FROM visits v JOIN all_but_one t ON v.stay = t.stay",
];

/** Lists and labels that are each large enough, and of which the answers subtract. */
const TOGETHER: Readonly<Record<string, readonly (readonly [bring: string, ask: string])[]>> = {
  'a list, and the list without one': [
    [
      'SELECT stay FROM memory.visits WHERE patient < 11',
      'SELECT count(*) FROM visits v JOIN list t ON v.stay = t.stay',
    ],
    [
      'SELECT stay FROM memory.visits WHERE patient < 10',
      'SELECT count(*) FROM visits v JOIN list t ON v.stay = t.stay',
    ],
  ],
  'the same in a sub-query': [
    [
      'SELECT stay FROM memory.visits WHERE patient < 11',
      'SELECT count(*) FROM visits WHERE stay IN (SELECT stay FROM list)',
    ],
    [
      'SELECT stay FROM memory.visits WHERE patient < 10',
      'SELECT count(*) FROM visits v WHERE EXISTS (SELECT 1 FROM list t WHERE t.stay = v.stay)',
    ],
  ],
  'everybody by the policy, everybody but one by a list': [
    ['SELECT 0::BIGINT AS stay', "SELECT count(*) FROM visits WHERE ward = 'south'"],
    [
      'SELECT stay FROM memory.visits WHERE patient <> 12',
      "SELECT count(*) FROM visits v JOIN list t ON v.stay = t.stay WHERE ward = 'south'",
    ],
  ],
  'one label moved': [
    [
      'SELECT stay, (stay // 1000) % 2 AS g FROM memory.visits',
      'SELECT t.g AS k0, sum(v.score) FROM visits v JOIN list t ON v.stay = t.stay GROUP BY 1',
    ],
    [
      'SELECT stay, CASE WHEN stay // 1000 = 12 THEN 1 ELSE (stay // 1000) % 2 END AS g FROM memory.visits',
      'SELECT t.g AS k0, sum(v.score) FROM visits v JOIN list t ON v.stay = t.stay GROUP BY 1',
    ],
  ],
  'a label that is missing for one more, under another name': [
    [
      'SELECT stay, CASE WHEN stay // 1000 < 12 THEN 1 END AS a FROM memory.visits',
      'SELECT count(*) FILTER (WHERE t.a IS NOT NULL) FROM visits v JOIN list t ON v.stay = t.stay',
    ],
    [
      'SELECT stay, CASE WHEN stay // 1000 < 13 THEN 1 END AS b FROM memory.visits',
      'SELECT count(*) FILTER (WHERE t.b IS NOT NULL) FROM visits v JOIN list t ON v.stay = t.stay',
    ],
  ],
  'LEFT JOIN and a flag on one': [
    [
      'SELECT stay FROM memory.visits WHERE patient < 12',
      'SELECT count(*) FROM visits v LEFT JOIN list t ON v.stay = t.stay WHERE t.stay IS NULL',
    ],
    [
      'SELECT stay FROM memory.visits WHERE patient < 13',
      'SELECT count(*) FROM visits v LEFT JOIN list t ON v.stay = t.stay WHERE t.stay IS NULL',
    ],
  ],
};

describe('tables that a consumer brings', async () => {
  let world: OpenWorld;
  before(async () => {
    world = await opened('true');
    await bringAll(world);
  });
  after(() => world.close());

  it('label groups and pick rows like any key and condition, and the numbers are right', async () => {
    for (const sql of [
      'SELECT t.part, count(*) AS n, sum(v.cost) AS total FROM visits v JOIN parts t ON v.ward = t.ward GROUP BY t.part',
      'SELECT t.wing, avg(v.score) AS a FROM visits v JOIN rooms t USING (room) GROUP BY t.wing',
      "SELECT t.wing, v.ward, count(*) AS n FROM visits v LEFT JOIN my.rooms t ON v.room = t.room WHERE v.ward = 'south' GROUP BY ALL",
      'SELECT count(*) FILTER (WHERE t.wing = 1) AS n, count(*) AS m FROM visits v JOIN rooms AS t ON t.room = v.room',
      'SELECT t.wing, sum(p.income) AS s FROM patients p JOIN visits v ON v.patient = p.pid JOIN rooms t ON v.room = t.room GROUP BY 1',
      'SELECT w, count(*) AS n FROM visits v JOIN (SELECT room AS r, wing + 1 AS w FROM rooms WHERE room < 7) ON v.room = r GROUP BY w',
      'SELECT r.part, a.n * r.weight AS weighed FROM (SELECT ward, count(*) AS n FROM visits GROUP BY ward HAVING count(*) > 10) a JOIN parts r ON a.ward = r.ward',
      'SELECT part, weight FROM parts',
      'SELECT count(*) AS n FROM visits WHERE ward IN (SELECT ward FROM parts WHERE one)',
      "SELECT ward, count(*) AS n FROM visits v WHERE room IN (SELECT r.room FROM my.rooms r WHERE r.wing = 1) AND ward = 'south' GROUP BY 1",
      'SELECT count(*) AS n FROM visits v SEMI JOIN parts t ON v.ward = t.ward AND t.one',
      'SELECT count(*) AS n FROM visits v WHERE EXISTS (SELECT 1 FROM parts t WHERE t.ward = v.ward AND t.one)',
    ]) {
      const seen = await world.ask(sql);
      assert.equal(seen.kind, 'answer', `${sql}: ${codeOf(seen)}`);
      if (seen.kind !== 'answer') continue;
      const plain = await world.plain(sql.replace('my.', ''));
      assert.deepEqual(linesOf(seen, 11).toSorted(), plainLinesOf(plain.rows, 11).toSorted(), sql);
    }
  });

  for (const [name, [sql, code]] of Object.entries(REFUSED))
    it(`refused: ${name}`, async () => assert.match(codeOf(await world.ask(sql)), new RegExp(`^(${code})$`), sql));

  it('no sum or difference of cells of one answer speaks of few people', async () => {
    const all = async (): Promise<Seen[]> => {
      const seen: Seen[] = [];
      for (const [index, sql] of SUBTRACTING.entries())
        seen.push(await world.ask(sql, { smallGroups: index % 2 === 0 ? 'drop' : 'remainder' }));
      return seen;
    };
    const whole = await all();
    const without: Seen[][] = [];
    for (const person of people) {
      await world.without(person.rows);
      without.push(await all());
    }
    await world.reset();
    for (const [index, sql] of SUBTRACTING.entries()) {
      const seen = whole[index];
      assert.equal(seen?.kind, 'answer', sql);
      if (seen === undefined) continue;
      const others = without.map((answers) => answers[index] ?? seen);
      // Withheld or not may show that somebody is there at all ("none or enough"), which the security model says.
      const found = compare(seen, others, people, 3).filter(({ kind }) => kind === 'isolated');
      assert.deepEqual(found, [], sql);
    }
  });

  for (const [name, questions] of Object.entries(TOGETHER)) {
    it(`answers do not subtract to few people: ${name}`, async () => {
      const terms: Partial<AggregateRelease> = { differencingGuard: true };
      const all = async (): Promise<Seen> => {
        world.forget();
        const rows = [];
        for (const [body, sql] of questions) {
          await world.bring('list', body);
          const seen = await world.ask(sql, terms);
          assert.equal(seen.kind, 'answer', codeOf(seen));
          if (seen.kind === 'answer') rows.push(...seen.rows);
        }
        return { kind: 'answer', names: [], types: [], rows, withheld: null };
      };
      const whole = await all();
      const without: Seen[] = [];
      for (const person of people) {
        await world.without(person.rows);
        without.push(await all());
      }
      await world.reset();
      const found = compare(whole, without, people, 3);
      assert.deepEqual(
        found.filter(({ kind }) => kind === 'isolated'),
        [],
      );
    });
  }
});

describe('consumers’ tables and the provider’s word', async () => {
  it('without it no private table meets them, wherever they stand; public ones and released values do not mind', async () => {
    const world = await opened('false');
    await bringAll(world);
    for (const sql of [
      'SELECT t.part, count(*) FROM visits v JOIN parts t ON v.ward = t.ward GROUP BY 1',
      'SELECT t.part, count(*) FROM visits v LEFT JOIN parts t ON v.ward = t.ward GROUP BY 1',
      'SELECT count(*) FROM visits HAVING count(*) > (SELECT max(weight) FROM parts)',
      'SELECT r.part, a.n FROM (SELECT ward, count(*) AS n FROM visits GROUP BY ward) a JOIN parts r ON a.ward = r.ward',
      "SELECT 'a' AS k, count(*) FROM visits UNION ALL SELECT part, weight FROM parts",
    ])
      assert.equal(codeOf(await world.ask(sql)), 'consumer-table-not-allowed', sql);
    assert.equal(
      (await world.ask('SELECT w.kind, t.part FROM wards w JOIN parts t ON w.ward = t.ward')).kind,
      'answer',
    );
    await world.close();
  });

  it('one provider who does not give it is enough', async () => {
    const world = await opened('true');
    await bringAll(world);
    const both =
      'SELECT t.wing, count(*) FROM visits v JOIN patients p ON v.patient = p.pid JOIN rooms t ON v.room = t.room GROUP BY 1';
    assert.equal(codeOf(await world.ask(both)), 'answer');
    const patients = world.context.tables.find(({ names }) => names.includes('patients'));
    Object.assign(patients ?? {}, { consumerTables: undefined });
    assert.equal(codeOf(await world.ask(both)), 'consumer-table-not-allowed');
    assert.equal(codeOf(await world.ask(both.replace('JOIN patients p ON v.patient = p.pid', ''))), 'answer');
    await world.close();
  });

  it('it takes rules whose answers are all compared, and on the privacy unit `onUnit`', async () => {
    const world = await opened('onUnit');
    await bringAll(world);
    const sql = 'SELECT t.mine AS k0, count(*) AS n FROM patients p JOIN people t ON p.pid = t.id GROUP BY 1';
    const unguarded = (is: boolean): void => {
      for (const table of world.context.tables) Object.assign(table, { isUnguarded: is ? true : undefined });
    };
    unguarded(true);
    const onWard = 'SELECT t.part, count(*) FROM visits v JOIN parts t ON v.ward = t.ward GROUP BY 1';
    assert.equal(codeOf(await world.ask(sql)), 'consumer-table-unguarded');
    assert.equal(codeOf(await world.ask(onWard)), 'consumer-table-unguarded');
    assert.equal(codeOf(await world.ask('SELECT part FROM parts')), 'answer', 'beside nothing private');
    unguarded(false);
    const seen = await world.ask(sql, { differencingGuard: true });
    assert.equal(seen.kind === 'answer' && seen.rows.length, 2);
    assert.equal(
      codeOf(await world.ask('SELECT sum(t.weight) FROM patients p JOIN people t ON p.pid = t.id')),
      'consumer-table-measure',
    );
    await world.bring('people', 'SELECT pid AS id, pid < 11 AS mine FROM memory.patients');
    const again = await world.ask(sql, { differencingGuard: true });
    assert.deepEqual(again.kind === 'answer' && again.rows, [], 'one person less is no answer');
    await world.close();
  });
});
