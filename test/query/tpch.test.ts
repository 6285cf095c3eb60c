import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ask, comparable, contextOf, plain } from './clinic.ts';
import { openTpch, TPCH, TPCH_QUERIES } from './tpch.ts';

/** Queries that ask for single orders or customers: nothing of them may leave. */
const PERSONAL = new Set(['3', '10']);

describe('queries in the words of TPC-H', async () => {
  const connection = await openTpch(6000);
  const context = contextOf({ minUnits: 10 }, { tables: TPCH });
  for (const [number, sql] of Object.entries(TPCH_QUERIES)) {
    it(
      PERSONAL.has(number)
        ? `query ${number} runs and every single customer is withheld`
        : `query ${number} equals DuckDB`,
      async () => {
        const answer = await ask(connection, sql, context);
        assert.equal(answer.kind, 'answer', answer.kind === 'denied' ? answer.reasons[0]?.message : '');
        if (answer.kind !== 'answer') return;
        if (PERSONAL.has(number)) {
          assert.deepEqual(answer.rows, []);
          assert.ok(Number(answer.withheld) > 10);
          return;
        }
        const expected = comparable(await plain(connection, sql));
        assert.ok(expected.length > 0);
        assert.deepEqual(comparable(answer.rows), expected);
      },
    );
  }
});
