import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { repeatsIn } from '../../runtime/gateway/jobs/repeats.ts';
import { type Ended, type JobWorld, runAndLook, startJobWorld } from './world.ts';

let world: JobWorld;
before(async () => {
  world = await startJobWorld();
});
after(() => world[Symbol.asyncDispose]());

const ask = (text?: string): Promise<Ended> =>
  runAndLook(world, {
    ...(text === undefined ? {} : { text }),
    needs: { repeats: repeatsIn(world.store, world.results) },
  });
/** Whether it was answered from the record, as its guarantee says. */
const isAgain = ({ outcome }: Ended): boolean =>
  outcome?.kind === 'released' && /this is the answer of job/.test(outcome.guarantee);
const bytesOf = ({ job }: Ended): Buffer => readFileSync(join(world.resultFolder, `${job.id}.frames`));

describe('the same question again', () => {
  it('gets the same bytes, runs nothing, and is a use and a job with evidence of its own', async () => {
    const first = await ask();
    assert.deepEqual([first.outcome?.kind, first.cost, isAgain(first)], ['released', 1n, false]);
    const again = await ask();
    assert.deepEqual([again.outcome?.kind, again.cost, isAgain(again)], ['released', 1n, true], 'a use is a use');
    assert.deepEqual(bytesOf(again), bytesOf(first));
    assert.deepEqual(again.kinds, first.kinds);
    const usage = await world.store.get<{ data: { meters: Record<string, number> } }>('usage', again.job.id);
    assert.ok(usage !== undefined);
    // A third one names the first one still, or one that names it: the chain never breaks.
    assert.ok(isAgain(await ask()));
  });

  it('is computed when the kept result is gone or was changed', async () => {
    const text = 'select count(*) as changed from visits';
    const first = await ask(text);
    const path = join(world.resultFolder, `${first.job.id}.frames`);
    const bytes = readFileSync(path);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(path, bytes);
    // A changed file must not leave under a new receipt.
    const broken = await ask(text);
    assert.notEqual(broken.outcome?.kind, 'released');
    assert.deepEqual(broken.files, []);
    await world.results.remove(first.job.id);
    const anew = await ask(text);
    assert.deepEqual([anew.outcome?.kind, isAgain(anew)], ['released', false]);
  });

  it('is another question with another name, constant, function or order', async () => {
    const base = 'select ward, sum(cost) as x from visits where cost < 2000 group by ward order by ward';
    assert.equal(isAgain(await ask(base)), false);
    assert.ok(isAgain(await ask('SELECT ward, SUM(cost) x FROM visits v WHERE 2000 > cost GROUP BY 1 ORDER BY 1')));
    const others = ['as y ', '< 2001', 'avg(cost)', 'order by ward desc'];
    const changes: readonly (readonly [string, string])[] = [
      ['as x ', others[0] ?? ''],
      ['< 2000', others[1] ?? ''],
      ['sum(cost)', others[2] ?? ''],
      ['order by ward', others[3] ?? ''],
    ];
    for (const [from, to] of changes) {
      const other = await ask(base.replace(from, to));
      assert.deepEqual([other.outcome?.kind, isAgain(other)], ['released', false], to);
    }
  });
});
