import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkPlan } from '../../runtime/query/check-plan.ts';
import { parseLossless } from '../../runtime/query/lossless-json.ts';
import { compileText, contextOf, openClinic } from './clinic.ts';

describe('the plan of our own text', async () => {
  const connection = await openClinic();
  await connection.run('CREATE TABLE secret AS SELECT 1 AS cost');
  const compiled = await compileText(connection, 'SELECT ward, avg(cost) FROM visits GROUP BY ward', contextOf());
  assert.ok(compiled.kind === 'permitted');
  const { enforced } = compiled;
  const planOf = async (sql: string): Promise<unknown> => {
    const reader = await connection.runAndReadAll('SELECT json_serialize_plan($1::VARCHAR)', [sql]);
    return parseLossless(String(reader.getRows()[0]?.[0]));
  };
  const plans: unknown[] = [];
  for (const statement of enforced.setup) {
    plans.push(await planOf(statement));
    await connection.run(statement);
  }
  plans.push(await planOf(enforced.result), await planOf(enforced.summary));
  const withResult = (plan: unknown): unknown[] => plans.with(-2, plan);

  it('passes', () => {
    assert.deepEqual(checkPlan(plans, enforced, contextOf()), { kind: 'ok' });
  });

  for (const sql of [
    'SELECT ward, cost FROM secret, visits',
    'SELECT cost FROM secret',
    "SELECT * FROM read_csv_auto('/etc/passwd')",
    'SELECT income FROM patients',
    'SELECT hash(ward) FROM visits',
    'SELECT list(cost) FROM visits',
    'SELECT list(h0) FROM (SELECT list(cost) AS h0 FROM visits GROUP BY ward)',
    'SELECT len(list(__gb_u0)) FROM (SELECT cost AS __gb_u0 FROM visits)',
    'SELECT random() FROM visits',
    'SELECT * FROM range(10)',
    'SELECT rowid FROM temp."gb9_t"',
    'SELECT unnest([1, 2])',
    'CREATE TEMP TABLE gb0_x AS SELECT 1',
    'WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT * FROM r',
    'SELECT ward FROM visits USING SAMPLE 5',
    'SELECT * FROM duckdb_tables()',
  ]) {
    it(`does not pass when the engine reads something else: ${sql}`, async () => {
      const plan = await planOf(sql);
      assert.equal(checkPlan(withResult(plan), enforced, contextOf()).kind, 'denied');
    });
  }

  it('does not pass when a plan is missing, added or not a plan', () => {
    for (const damaged of [
      plans.slice(1),
      [...plans, plans[0]],
      plans.with(0, null),
      null,
      7,
      plans.with(1, { error: true }),
    ]) {
      assert.equal(checkPlan(damaged, enforced, contextOf()).kind, 'denied');
    }
  });

  it('does not pass for a column that the policy does not grant', () => {
    const context = contextOf();
    const tables = context.tables.map((table) => ({
      ...table,
      columns: table.columns.filter(({ name }) => name !== 'cost'),
    }));
    assert.equal(checkPlan(plans, enforced, { ...context, tables }).kind, 'denied');
  });
});
