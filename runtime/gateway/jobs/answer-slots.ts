import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { answerTime } from '../../release/quantum.ts';

/** Slots in which answers leave: how long a computation took tells only its slot (8 % wide), not its rows. */
const ANSWER_STEPS = { stepMs: 5, growth: 1.08 } as const;

/** Waits until an answer may leave that was ready after `elapsedMs`; rejects when the signal is aborted before. */
export async function untilSlot(elapsedMs: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const end = performance.now() + answerTime(elapsedMs, ANSWER_STEPS) - elapsedMs;
  // A timer counts whole milliseconds from when its turn began, so that it may fire one early or two late: the end of a slot
  // is waited for turn by turn. The first slots are hardly longer than that.
  for (let left = end - performance.now(); left > 0; left = end - performance.now()) {
    if (left > TIMER_MS) await delay(left - TIMER_MS, undefined, signal === undefined ? {} : { signal });
    else await turn();
    signal?.throwIfAborted();
  }
}

/** How late a timer may be. */
const TIMER_MS = 2;

/** The end of a job as it is told: that of its slot, so that a record does not tell what the answer's time hides. */
export function toldEndMs(startedAtMs: number, endedAtMs: number): number {
  return startedAtMs + Math.ceil(answerTime(Math.max(0, endedAtMs - startedAtMs), ANSWER_STEPS));
}
