import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ANSWER, DATASET, QUESTION, rowsOf, startWorld, visitsPolicy } from '../gateway/world.ts';

const DAY_MS = 86_400_000;

test('a clock that jumps ahead and back, also over a restart, refills no budget and stops no work', async (t) => {
  const path = mkdtempSync(join(tmpdir(), 'glovebox-clock-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  let offset = 0;
  const nowMs = (): number => Date.now() + offset;
  const ask = async (): Promise<void> => {
    const outcome = await acme.jobs.sql(QUESTION);
    assert.ok(outcome.kind === 'released', outcome.kind === 'refused' ? outcome.reasons[0]?.message : '');
    assert.deepEqual(rowsOf(outcome.table), ANSWER);
  };
  const uses = async (): Promise<bigint | undefined> => (await acme.budgets.get({ dataset: DATASET })).budgets[0]?.uses;

  let world = await startWorld({ path, nowMs, policy: visitsPolicy({ count: 20 }) });
  const consumer = await world.consumer('acme');
  let acme: Pick<typeof consumer, 'jobs' | 'budgets'> = consumer;
  await ask();
  offset = 2 * DAY_MS; // ahead, within the budget's period
  await ask();
  offset = 0; // and back: a ticket made now must not be over already
  await ask();
  assert.equal(await uses(), 3n);
  offset = -400 * DAY_MS;
  await ask();
  assert.equal(await uses(), 4n, 'going back gives nothing back');
  await world.stop();

  world = await startWorld({ path, nowMs });
  acme = world.again(consumer.credential);
  assert.ok(
    world.events.some(({ event }) => event === 'clock.behind'),
    'the operator is told',
  );
  await ask();
  assert.equal(await uses(), 5n);
  await world.stop();
});
