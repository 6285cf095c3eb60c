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

  // Tickets over steps of the clock: a used one stays used, one that is over is refused, sweeping revives none.
  const submit = async (): Promise<Uint8Array> => {
    const job = { computation: { kind: 'sql' as const, sql: { text: QUESTION } } };
    return (await acme.jobs.submit({ job, wait: true })).job?.ticket ?? new Uint8Array(0);
  };
  const reader = world.again(consumer.credential);
  const refused = { code: 'ticket-not-valid' };
  offset = 2 * DAY_MS;
  const used = await submit();
  assert.deepEqual(rowsOf(await reader.readTable(used)), ANSWER);
  const late = await submit();
  offset += DAY_MS / 24;
  await assert.rejects(reader.readTable(late), refused, 'an hour is longer than a ticket lives');
  await world.runtime.gateway.sweep();
  for (const step of [0, -DAY_MS, 3 * DAY_MS]) {
    offset = step;
    await assert.rejects(reader.readTable(used), refused, `used, and the clock ${step} ms off`);
    await ask();
  }
  assert.equal(await uses(), 10n);
  await world.stop();
});
