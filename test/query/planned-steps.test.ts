import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { PARSER_LIMITS } from '../../runtime/dataset/limits.ts';
import { statementsToPlan } from '../../runtime/query/check-plan.ts';
import { MAX_PLANNED_STATEMENTS } from '../../runtime/query/text.ts';
import { compileText, contextOf, openClinic } from './clinic.ts';

const connection = await openClinic();
after(() => connection.closeSync());

it('what is compiled is never more than the parser plans: a cube that compares the cells of its eight groupings', async () => {
  assert.ok(PARSER_LIMITS.maxPlanStatements >= MAX_PLANNED_STATEMENTS);
  const steps: number[] = [];
  for (const keys of ['ward', 'ward, diagnosis', 'ward, diagnosis, age']) {
    const answer = await compileText(
      connection,
      `SELECT count(*) FROM visits GROUP BY CUBE (${keys})`,
      contextOf({ differencingGuard: true }),
    );
    assert.equal(answer.kind, 'permitted', keys);
    if (answer.kind === 'permitted') steps.push(statementsToPlan(answer.enforced).length);
  }
  assert.ok(steps.every((count) => count <= MAX_PLANNED_STATEMENTS));
  assert.ok((steps.at(-1) ?? 0) > 64, `more than one cube of two keys takes: ${steps.join(', ')}`);
});
