import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { parseComputation } from '../../runtime/sandbox/javascript/computation.ts';
import { iterationResult, runIteration, startIteration } from '../../runtime/sandbox/javascript/iterate.ts';
import {
  adviseBlocks,
  guaranteeOf,
  prepareComputation,
  runJavaScriptJob,
} from '../../runtime/sandbox/javascript/prepared.ts';
import type { PreparedComputation } from '../../runtime/sandbox/javascript/prepared.ts';
import { jailedWorkers, numbersSource, terms } from './jailed.ts';

const { workers } = await jailedWorkers(4);
const source = numbersSource(Array.from({ length: 60 }, (_, i) => i));
const facts = { columns: source.columns, rowsPerUnit: 1 };

async function prepared(value: unknown): Promise<PreparedComputation> {
  const parsed = parseComputation(value);
  assert.ok(parsed.kind === 'ok', parsed.kind === 'refused' ? parsed.reasons.join() : '');
  const answer = await prepareComputation(workers, parsed.computation, facts);
  assert.ok(answer.kind === 'ok', JSON.stringify(answer.kind === 'refused' ? answer.reasons : answer.kind));
  return answer.prepared;
}

const over = { language: 'typescript', table: 't', columns: ['x', 'y'] };

suite('a computation from submission to exact results', () => {
  test('a row function', async () => {
    const job = await prepared({
      ...over,
      mode: 'rowFunction',
      source: '(r: Row) => r.x > 29',
      outputs: [{ name: 'n', range: [0, 1], step: 1 }],
      reducer: { kind: 'sum' },
    });
    const outcome = await runJavaScriptJob(workers, job, source, { ...terms, isCountingUnits: true });
    assert.ok(outcome.kind === 'done' && 'mode' in outcome && outcome.mode === 'rowFunction');
    assert.deepEqual(outcome.groups, [{ cells: [30n], units: 60 }]);
    // Without any compiler of V8 the same numbers come out.
    const strict = await runJavaScriptJob(workers, job, source, { ...terms, tier: 'strict', isCountingUnits: true });
    assert.deepEqual(strict, outcome);
    assert.deepEqual(outcome.sensitivity.queries, [{ cells: [0], l1: 1n, l2Squared: 1n }]);
  });

  test('blocks, in one process and in a process each', async () => {
    const job = await prepared({
      ...over,
      mode: 'blocks',
      source: 'export default (i) => d3.mean(i.columns.x)',
      libraries: ['d3-array'],
      outputs: [{ name: 'mean', range: [0, 60], step: 0.5 }],
      blocks: { timeoutMs: 2000 },
    });
    assert.ok(job.mode === 'blocks');
    assert.ok(adviseBlocks(job.computation, { units: 60, epsilon: 1 }).blocks >= 1);
    const run = async (tier: 'balanced' | 'strict') => {
      const outcome = await runJavaScriptJob(workers, job, source, {
        ...terms,
        tier,
        blockKey: new Uint8Array(32).fill(4),
        blocks: 4,
        lanes: 2,
      });
      assert.ok(outcome.kind === 'done' && 'mode' in outcome && outcome.mode === 'blocks');
      return outcome;
    };
    const [one, each] = [await run('balanced'), await run('strict')];
    assert.deepEqual(one.sums, each.sums);
    const mean = (Number(one.sums[0]) * 0.5) / 4;
    assert.ok(Math.abs(mean - 29.5) < 10, `${mean}`);
    await assert.rejects(runJavaScriptJob(workers, job, source, { ...terms, blocks: 4 }), /needs a key/);
  });

  test('approved code and post-processing', async () => {
    const job = await prepared({
      ...over,
      mode: 'approved',
      source: '(i) => ({ rows: i.rows })',
      result: [{ name: 'rows', kind: 'int32' }],
    });
    const outcome = await runJavaScriptJob(workers, job, source, terms);
    assert.ok(outcome.kind === 'done' && 'mode' in outcome && outcome.mode === 'approved');
    assert.deepEqual(outcome.groups, [{ status: 'ok', key: undefined, units: 60, rowsIn: 60, rows: [[60]] }]);
    const post = await prepared({
      mode: 'post',
      language: 'javascript',
      source: 'return input.released * 2',
      results: ['j'],
    });
    assert.deepEqual(await runJavaScriptJob(workers, post, source, { ...terms, released: { released: 21 } }), {
      mode: 'post',
      kind: 'done',
      value: 42,
    });
  });

  test('a regression in rounds', async () => {
    const outputs = [
      { name: 'y', range: [0, 120] },
      { name: 'x', range: [0, 60] },
    ];
    const scaled = {
      ...over,
      mode: 'rowFunction',
      source: '(r) => ({ x: r.x, y: r.y })',
      outputs,
      iterate: { algorithm: 'linearRegression', rounds: 6, clip: 8000, rate: 0.0005 },
    };
    const job = await prepared(scaled);
    assert.ok(job.mode === 'rowFunction' && job.computation.iterate !== undefined);
    const end = await runIteration(startIteration(job.computation.iterate, job.computation.outputs), async (round) => {
      const outcome = await runJavaScriptJob(workers, job, source, { ...terms, round });
      const cells =
        outcome.kind === 'done' && 'mode' in outcome && outcome.mode === 'rowFunction'
          ? outcome.groups[0]?.cells
          : undefined;
      return cells && { cells, halfWidths: [] };
    });
    assert.equal(end.round, 6);
    const slope = iterationResult(end)[1]?.value ?? 0;
    assert.ok(Math.abs(slope - 2) < 0.2, `${slope}`);
  });

  test('a source that does not fit its mode is refused with its place', async () => {
    const parsed = parseComputation({
      ...over,
      mode: 'rowFunction',
      source: '(r) => r.z',
      outputs: [{ name: 'n', range: [0, 1] }],
    });
    assert.ok(parsed.kind === 'ok');
    assert.deepEqual(await prepareComputation(workers, parsed.computation, facts), {
      kind: 'refused',
      reasons: [{ line: 1, column: 10, message: 'column `z` is not declared for this computation' }],
    });
  });

  test('every mode says what it guarantees', () => {
    const texts = (['rowFunction', 'blocks', 'approved', 'post'] as const).map(guaranteeOf);
    assert.equal(new Set(texts).size, 4);
    assert.match(texts[2] ?? '', /human review only/);
  });
});
