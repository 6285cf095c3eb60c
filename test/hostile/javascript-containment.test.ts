import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { runBlocks } from '../../runtime/sandbox/javascript/run-blocks.ts';
import type { BlockOutput, BlockValues } from '../../runtime/sandbox/javascript/blocks.ts';
import { javascriptLimits } from '../../runtime/sandbox/javascript/limits.ts';
import { factory, jailedWorkers, numbersSource, prepareInWorker, terms } from '../javascript/jailed.ts';
import { compileBombs, hostileClasses } from './javascript-programs.ts';
import { stateMarks, trickClasses } from './javascript-tricks.ts';

const { pool, workers } = await jailedWorkers(6);
const outputs: readonly BlockOutput[] = [{ name: 'v', range: [-1, 2], step: 1, default: -1 }];
const timeoutMs = 150;
const lanes = 3;

/**
 * Runs each program as one block of one job: block i holds one row, x = i, and runs program i in an isolate of its own. So the
 * classes also show that what one block does (hang, crash, change every prototype) changes nothing for the next.
 */
async function runAll(programs: readonly string[], lanesAtOnce = lanes): Promise<readonly BlockValues[]> {
  const bodies = programs.map((program) => `function (input) {\n${program}\n}`);
  const blocks = programs.length;
  const job = {
    factory: factory(`(input) => [${bodies.join(',\n')}][input.columns.x[0]](input)`),
    outputs,
    assign: () => Int32Array.from({ length: blocks }, (_, i) => i),
    blocks,
    lanes: lanesAtOnce,
  };
  const source = numbersSource(Array.from({ length: blocks }, (_, i) => i));
  return (await runBlocks(workers, job, source, { ...terms, timeoutMs })).blocks;
}

const stoppedStatuses = new Set(['timeout', 'memory', 'lost', 'failed', 'threw']);

suite('hostile programs in real jailed workers', () => {
  for (const { name, promise, programs } of [...hostileClasses, ...trickClasses]) {
    test(`${name}: ${programs.length} programs end with a typed status, in time, and get nothing`, async () => {
      const started = performance.now();
      const blocks = await runAll(programs);
      // Every program may use up its own time; a new worker is allowed for each (generously: machines are busy).
      const allowedMs = (programs.length / lanes + 1) * (timeoutMs + javascriptLimits.graceMs + 5000);
      assert.ok(performance.now() - started < allowedMs);
      assert.equal(blocks.length, programs.length);
      for (const [i, { status, integers }] of blocks.entries()) {
        const program = programs[i] ?? '';
        const [value] = integers;
        // Whatever happened, one integer of the declared grid is all there is: 0 is the default, −1.
        assert.ok([0, 1, 2, 3].includes(value ?? -1) && integers.length === 1, `${status} ${value}: ${program}`);
        if (promise === 'denied') {
          assert.ok(status === 'ok' || status === 'threw', `${status}: ${program}`);
          assert.ok(status === 'threw' || value === 1, `got what it wanted: ${program}`);
        }
        if (promise === 'stopped') assert.ok(stoppedStatuses.has(status), `${status}: ${program}`);
      }
    });
  }

  test('what one block leaves behind, the next does not find, in the same worker', async () => {
    const twice = await runAll(
      stateMarks.flatMap((program) => [program, program]),
      1,
    );
    for (const [i, block] of twice.entries())
      assert.deepEqual(block, { status: 'ok', integers: [1] }, stateMarks[i >> 1]);
  });

  test('sources that are hostile to the compiler are refused or contained', async () => {
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let text = compileBombs[next++]; text !== undefined; text = compileBombs[next++]) {
        const prepared = await prepareInWorker(workers, { language: 'javascript', source: text });
        if (prepared.kind !== 'program') continue;
        const job = { factory: prepared.factory, outputs, assign: () => new Int32Array(3), blocks: 1 };
        const { blocks } = await runBlocks(workers, job, numbersSource([1, 2, 3]), { ...terms, timeoutMs });
        assert.equal(blocks.length, 1);
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  });

  test('after all of it an honest job gets its answer from the same pool', async () => {
    const [block] = await runAll(['return input.columns.x[0] + 1']);
    assert.deepEqual(block, { status: 'ok', integers: [2] });
    assert.equal(pool.stats.leased, 0);
    assert.equal(pool.stats.waiting, 0);
  });
});
