import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compileText, contextOf, openClinic } from './clinic.ts';

/** 60 names, each made of the one before; written out, most of these are 2^60 long. */
const chain = (step: (before: string) => string, first: string, last: (name: string) => string): string =>
  `WITH ${Array.from({ length: 60 }, (_, n) => `c${n} AS (${n === 0 ? first : step(`c${n - 1}`)})`).join(', ')} ${last('c59')}`;
const COUNT = 'SELECT count(*) AS n FROM visits';

const DOUBLING: Readonly<Record<string, string>> = {
  'a join of private rows with themselves': chain(
    (c) => `SELECT a.ward FROM ${c} a JOIN ${c} b ON a.ward = b.ward`,
    'SELECT ward FROM visits',
    (c) => `SELECT count(*) FROM ${c}`,
  ),
  'a join of answers with themselves': chain(
    (c) => `SELECT a.n + b.n AS n FROM ${c} a, ${c} b`,
    COUNT,
    (c) => `SELECT n FROM ${c}`,
  ),
  'two sub-queries in an expression': chain(
    (c) => `SELECT (SELECT n FROM ${c}) + (SELECT n FROM ${c}) AS n`,
    COUNT,
    (c) => `SELECT n FROM ${c}`,
  ),
  'a union of an answer with itself': chain(
    (c) => `SELECT n FROM ${c} UNION ALL SELECT n FROM ${c}`,
    COUNT,
    (c) => `SELECT n FROM ${c}`,
  ),
  'an expression that names itself twice': chain(
    (c) => `SELECT v + v AS v, ward FROM ${c}`,
    'SELECT cost AS v, ward FROM visits',
    (c) => `SELECT ward, sum(v) FROM ${c} GROUP BY ward`,
  ),
  'names of one list that each name the one before twice': `SELECT count(*) AS a0, ${Array.from({ length: 60 }, (_, n) => `a${n} + a${n} AS a${n + 1}`).join(', ')} FROM visits`,
  'sixty aggregates in a union': Array.from({ length: 60 }, () => COUNT).join(' UNION ALL '),
};

describe('a short query that grows when its names are written out', () => {
  for (const [what, text] of Object.entries(DOUBLING))
    it(`is refused in little time: ${what}`, async () => {
      const connection = await openClinic();
      const before = process.cpuUsage();
      const answer = await compileText(connection, text, contextOf());
      connection.closeSync();
      const { user } = process.cpuUsage(before);
      assert.ok(answer.kind === 'denied', JSON.stringify(answer).slice(0, 200));
      assert.deepEqual(
        answer.reasons.map(({ code }) => code),
        ['query-too-large'],
      );
      assert.ok(user < 3_000_000, `${user} µs of CPU`);
    });
});
