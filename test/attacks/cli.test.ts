import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ROOT, serveRuntime, type ServedRuntime } from '../end-to-end/runtime.ts';

interface Answer {
  readonly job: {
    readonly state: string;
    readonly reasons: readonly { readonly code: string; readonly at: { readonly line: number } | null }[];
  };
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

/** Exit code 0: answered, with so many rows; 1: refused with the code. */
const ASKED: readonly (readonly [string, number | string])[] = [
  ['SELECT trt, avg(m) FROM (SELECT id, trt, avg(bili) AS m FROM pbcseq GROUP BY id, trt) GROUP BY trt', 2],
  ["SELECT rx || '/' || sex AS arm, count(*) FROM colon WHERE etype = 1 GROUP BY arm", 6],
  ['SELECT rx, count(*) FROM colon GROUP BY rx EXCEPT ALL SELECT rx, 1 FROM colon GROUP BY rx', 'sql-not-allowed'],
  ["SELECT string_agg(rx, ',' ORDER BY age) FROM colon", 'aggregate-not-allowed'],
  ["COPY colon TO '/tmp/x.csv'", 'sql-syntax'],
];

describe('analysts and attackers at the command line', () => {
  let runtime: ServedRuntime;
  let acme: string;
  before(async () => {
    runtime = await serveRuntime();
    acme = join(runtime.folder, 'acme.json');
    const files = globSync(join(ROOT, 'examples/data/clinical/*.csv'));
    for (const command of [
      ['party', 'add', 'acme', '--role', 'consumer', '--out', acme],
      ['dataset', 'add', 'clinical', '--from', ...files],
      ['policy', 'attach', join(ROOT, 'policies/clinical.yaml')],
      ['agreement', 'offer', '--dataset', 'clinical', '--to', 'acme'],
      ['agreement', 'accept', '--as', acme],
    ]) {
      const { exit, stderr } = await runtime.run(...command);
      assert.equal(exit, 0, `${command.join(' ')}: ${stderr}`);
    }
  });
  after(() => runtime[Symbol.asyncDispose]());

  for (const [sql, expected] of ASKED) {
    it(`${typeof expected === 'number' ? 'answers' : 'refuses'} ${sql}`, async () => {
      const { exit, value } = await runtime.json<Answer>('job', 'run', sql, '--rule', 'statistics', '--as', acme);
      if (typeof expected === 'number') {
        assert.deepEqual([exit, value.rows.length], [0, expected], JSON.stringify(value.job.reasons));
        return;
      }
      assert.deepEqual([exit, value.job.state, value.job.reasons[0]?.code], [1, 'denied', expected]);
      assert.ok(value.job.reasons[0]?.at != null || expected === 'sql-syntax', 'the refusal has no place');
    });
  }
});
