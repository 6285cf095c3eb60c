import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ask, astOf, compileText, contextOf, openClinic } from './clinic.ts';
import { compileQuery } from '../../runtime/query/compile.ts';
import { DENIED, NOTHING_SMALL } from './attacks.ts';

describe('attacks', async () => {
  const connection = await openClinic();
  for (const [group, statements] of Object.entries(DENIED)) {
    for (const sql of statements) {
      it(`${group}, denied before any row is read: ${sql}`, async () => {
        const ast = await astOf(connection, sql).catch((error: unknown) => {
          if (error instanceof SyntaxError) return null;
          throw error;
        });
        const answer = compileQuery(ast, sql, contextOf());
        assert.equal(answer.kind, 'denied');
      });
    }
  }
  for (const [group, statements] of Object.entries(NOTHING_SMALL)) {
    for (const sql of statements) {
      it(`${group}, answered without the small part: ${sql}`, async () => {
        const answer = await ask(connection, sql);
        assert.equal(answer.kind, 'answer', answer.kind === 'denied' ? answer.reasons[0]?.message : '');
        if (answer.kind !== 'answer') return;
        const told = answer.rows.flat().filter((value) => value !== null);
        assert.deepEqual(told, []);
      });
    }
  }

  it('a denial names code, clause and place, and never a row', async () => {
    const denied = await compileText(connection, 'SELECT count(*)\nFROM visits\nWHERE  cost > 5', contextOf());
    assert.ok(denied.kind === 'denied');
    const [first] = denied.reasons;
    assert.equal(first?.code, 'column-right-missing');
    assert.equal(first?.clause, 'hospital/visits v3 allow[statistics]');
    assert.deepEqual(first?.at, { line: 3, column: 13 });
  });
});
