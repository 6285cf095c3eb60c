/**
 * Rounds up when an answer may leave, so that its time tells little of what was computed or how noise was drawn.
 *
 * A step divides time into slots: an observer learns the slot. With `growth` above 1 the slots widen geometrically, so that
 * a job of any length has one of few possible times: at most log(longest/step)/log(growth) + 1 of them.
 */
export interface AnswerSteps {
  /** Length of the first slot in milliseconds. */
  readonly stepMs: number;
  /** Factor between slot ends; 1 keeps slots of equal length. */
  readonly growth: number;
}

export const DEFAULT_ANSWER_STEPS: AnswerSteps = { stepMs: 50, growth: 1 };

/**
 * Milliseconds after the start at which an answer may leave that was ready after `elapsedMs`: the end of its slot. Throws
 * `RangeError` for a time that is negative or not finite, and for steps that are not positive.
 */
export function answerTime(elapsedMs: number, { stepMs, growth }: AnswerSteps = DEFAULT_ANSWER_STEPS): number {
  if (!(elapsedMs >= 0 && elapsedMs < MAX_ELAPSED_MS))
    throw new RangeError('an elapsed time is finite and not negative');
  if (!(stepMs > 0 && Number.isFinite(stepMs)) || !(growth >= 1 && growth <= 16))
    throw new RangeError('odd answer steps');
  if (growth === 1) return Math.max(1, Math.ceil(elapsedMs / stepMs)) * stepMs;
  let end = stepMs;
  while (end < elapsedMs) end *= growth;
  return end;
}

const MAX_ELAPSED_MS = 31 * 24 * 3600 * 1000;
