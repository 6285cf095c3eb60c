/** Rules that can keep a cell back. */
export type WithheldCode = 'too-few-units' | 'too-few-left-out' | 'dominated' | 'suppressed' | 'not-finite';

/**
 * What a consumer is told about cells kept back.
 *
 * The summary itself must not be an oracle: `codes` lists the rules that were *in force*, whether or not one of them bit,
 * and `cells` is rounded down to a step, so that nobody can tell zero small groups from a few.
 */
export interface Withheld {
  readonly codes: readonly WithheldCode[];
  /** Cells kept back, rounded down to a multiple of `step`; 0 means fewer than `step`, perhaps none. */
  readonly cells: number;
  readonly step: number;
}

export const DEFAULT_WITHHELD_STEP = 10;

/** Rounds an exact number of withheld cells so that it can be told; `step` is at least the minimum of units. */
export function summarise(codes: readonly WithheldCode[], cells: number, minUnits: number | null): Withheld {
  const step = Math.max(DEFAULT_WITHHELD_STEP, minUnits ?? 0);
  return { codes, cells: Math.floor(cells / step) * step, step };
}
