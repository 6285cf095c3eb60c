import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { untilSlot } from '../../runtime/gateway/jobs/answer-slots.ts';

describe('answers', () => {
  it('never leave before the end of their slot, however the clock of timers stands', async () => {
    for (const elapsedMs of [4.9, 4.2, 0, 5.01, 5.4, 5.9, 6.3]) {
      const since = performance.now() - elapsedMs;
      const begun = performance.now() - since;
      await untilSlot(begun);
      const left = performance.now() - since;
      assert.ok(left >= slotEnd(begun) - 0.001, `${begun} left at ${left}`);
    }
  });

  it('of a job that is stopped are waited for no longer', async () => {
    const stop = new AbortController();
    const waiting = untilSlot(60_000, stop.signal);
    stop.abort('stopped');
    await assert.rejects(waiting);
    await assert.rejects(untilSlot(4.999, AbortSignal.abort('stopped')), (reason) => reason === 'stopped');
  });
});

function slotEnd(elapsedMs: number): number {
  let end = 5;
  while (end < elapsedMs) end *= 1.08;
  return end;
}
