import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compileText, contextOf, openClinic } from './clinic.ts';

describe('the footprint', async () => {
  const connection = await openClinic();
  const datasetsOf = async (sql: string): Promise<readonly string[]> => {
    const compiled = await compileText(connection, sql, contextOf());
    assert.equal(compiled.kind, 'permitted', sql);
    return compiled.kind === 'permitted' ? compiled.footprint.datasets : [];
  };

  it('names a dataset whose table is read without using any of its columns', async () => {
    assert.deepEqual(await datasetsOf('SELECT count(*) FROM visits'), ['hospital/visits']);
    assert.deepEqual(await datasetsOf('SELECT 1.5 * count(*) AS n FROM (SELECT * FROM visits) LIMIT 1'), [
      'hospital/visits',
    ]);
  });

  it('names every dataset of a join, and no other', async () => {
    assert.deepEqual(await datasetsOf('SELECT w.kind, count(*) FROM visits v JOIN wards w USING (ward) GROUP BY 1'), [
      'hospital/visits',
      'hospital/wards',
    ]);
    assert.deepEqual(await datasetsOf('SELECT sum(income) FROM patients'), ['registry/patients']);
  });
});
