import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { plainLinesOf } from '../query/redteam/lines.ts';
import { lines } from './lines.ts';
import { EXACT, NOT_OFFERED, PARTLY } from './questions.ts';
import { inTurns, openStage, type Stage } from './stage.ts';
import { BANK, CLINICAL, TRADE } from './worlds.ts';

const DIGITS = 9;

describe('analysts over gRPC, with three datasets under their policies', () => {
  let stage: Stage;
  before(async () => {
    stage = await openStage([CLINICAL, BANK, TRADE]);
  });
  after(() => stage[Symbol.asyncDispose]());

  const plainly = async (sql: string): Promise<string[]> => {
    const reader = await stage.plain.runAndReadAll(sql.replaceAll('clinical.colon', 'colon'));
    return plainLinesOf(reader.getRows(), DIGITS).toSorted();
  };

  for (const [dataset, questions] of Object.entries(EXACT)) {
    it(`${questions.length} questions about ${dataset} are answered as DuckDB answers them`, async () => {
      const wrong = await inTurns(questions, async (sql) => {
        const { job, table } = await stage.ask(dataset, sql);
        if (table === null) return `${sql}\n  ${job.state} ${job.reasons[0]?.message ?? ''}`;
        const [got, expected] = [lines(table, DIGITS).toSorted(), await plainly(sql)];
        return got.join('\n') === expected.join('\n') ? null : `${sql}\n  ${got.join('; ')}\n  ${expected.join('; ')}`;
      });
      assert.deepEqual(wrong, []);
    });
  }

  for (const [dataset, questions] of Object.entries(PARTLY)) {
    it(`${questions.length} questions about ${dataset} that touch few units are answered without them`, async () => {
      const wrong = await inTurns(questions, async (sql) => {
        const { job, table } = await stage.ask(dataset, sql);
        if (table === null) return `${sql}\n  ${job.state} ${job.reasons[0]?.message ?? ''}`;
        const few = /yacht|Vaduz|\bLI\b/.exec(sql.includes('yacht') ? '' : lines(table, DIGITS).join('\n'));
        return few === null ? null : `${sql}\n  shows ${few[0]}`;
      });
      assert.deepEqual(wrong, []);
    });
  }

  for (const [dataset, questions] of Object.entries(NOT_OFFERED)) {
    it(`${questions.length} questions about ${dataset} are refused with the rule and the place`, async () => {
      const wrong = await inTurns(questions, async ([sql, code]) => {
        const { job } = await stage.ask(dataset, sql);
        const [first] = job.reasons;
        const isRight = first?.code === code && first.at !== null;
        return job.state === 'denied' && isRight ? null : `${sql}\n  ${job.state} ${JSON.stringify(first)}`;
      });
      assert.deepEqual(wrong, []);
    });
  }

  it('a question with parameters is the question with constants in their place', async () => {
    const sql =
      'SELECT segment, count(*) AS n FROM customers WHERE country = $country AND birth_year > $after GROUP BY segment';
    const parameters = {
      country: { value: { kind: 'text', text: 'DE' } },
      after: { value: { kind: 'integer', integer: 1950n } },
    };
    const { table, job } = await stage.ask('bank', sql, { parameters: parameters as never });
    assert.ok(table !== null, job.reasons[0]?.message);
    const plain = await plainly(sql.replace('$country', "'DE'").replace('$after', '1950'));
    assert.deepEqual(lines(table, DIGITS).toSorted(), plain);
  });
});
