import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { parseLossless } from '../../runtime/query/lossless-json.ts';
import { atDay } from '../../runtime/query/parse/clock.ts';
import { compileQuery } from '../../runtime/query/compile.ts';
import { astOf, contextOf, openClinic } from './clinic.ts';

describe('the current date', async () => {
  const connection = await openClinic();
  after(() => connection.closeSync());
  const canonical = async (sql: string, day: string): Promise<string> => {
    const compiled = compileQuery(
      atDay(await astOf(connection, sql), sql, day, () => []),
      sql,
      contextOf(),
    );
    assert.equal(compiled.kind, 'permitted', compiled.kind === 'denied' ? compiled.reasons[0]?.message : '');
    return compiled.kind === 'permitted' ? compiled.enforced.canonical : '';
  };

  it('is the day as a constant: the same question all day however it is spelled, another one tomorrow', async () => {
    const asked = 'SELECT count(*) FROM visits WHERE admitted > current_date - INTERVAL 30 DAY';
    const written = "SELECT count(*) FROM visits WHERE admitted > DATE '2024-03-01' - INTERVAL 30 DAY";
    assert.equal(await canonical(asked, '2024-03-01'), await canonical(written, '2020-01-01'));
    assert.equal(
      await canonical(asked, '2024-03-01'),
      await canonical(asked.replace('current_date', 'today()'), '2024-03-01'),
    );
    assert.notEqual(await canonical(asked, '2024-03-01'), await canonical(asked, '2024-03-02'));
  });

  it('keeps its name as a column, and gives way to a column of that name', async () => {
    const sql = 'SELECT current_date, count(*) FROM visits';
    const compiled = compileQuery(
      atDay(await astOf(connection, sql), sql, '2024-03-01', () => []),
      sql,
      contextOf(),
    );
    assert.ok(compiled.kind === 'permitted' && compiled.enforced.outputs[0]?.name === 'current_date');
    const ast = await astOf(connection, sql);
    assert.equal(
      atDay(ast, sql, '2024-03-01', () => ['current_date']),
      ast,
    );
  });

  it('tells no hour', async () => {
    for (const sql of ['SELECT now(), count(*) FROM visits', 'SELECT current_timestamp, count(*) FROM visits']) {
      const compiled = compileQuery(
        atDay(await astOf(connection, sql), sql, '2024-03-01', () => []),
        sql,
        contextOf(),
      );
      assert.equal(compiled.kind === 'denied' && compiled.reasons[0]?.code, 'function-not-allowed');
    }
  });

  it('leaves trees that are no trees to the reader', () => {
    for (const value of [null, 1, 'current_date', [], {}, parseLossless('{"class":"COLUMN_REF","column_names":[1]}')])
      assert.equal(
        atDay(value, 'current_date', '2024-03-01', () => []),
        value,
      );
    let deep: unknown = { class: 'COLUMN_REF', column_names: ['current_date'] };
    for (let i = 0; i < 200_000; i++) deep = [deep];
    assert.equal(
      atDay(deep, 'current_date', '2024-03-01', () => []),
      deep,
    );
  });
});
