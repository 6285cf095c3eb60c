/** `3 · buckets` buckets of seven words, partition by partition (sketch.ts), or the few words of lanes.ts. */
export type Sketch = Uint32Array;

/**
 * `clear`: no earlier cell is near. `same`: an earlier cell has exactly these rows; nothing new is told about them, but
 * whether *other words* select the same rows is itself a hint, so callers let `same` pass only for the same question.
 * `tooClose`: an earlier cell differs by some, but too few, units.
 */
export type Closeness = 'clear' | 'same' | 'tooClose';

/** A history of released cells of one label. */
export interface CellGuard {
  /** Number of remembered cells. */
  readonly size: number;
  /** Compares a cell with all remembered ones; `minUnits`: that of the guard when absent. */
  compare(sketch: Sketch, minUnits?: number): Closeness;
  /** Adds a cell that is released; throws `RangeError` when there is no room. */
  remember(sketch: Sketch): void;
  /** All remembered cells; not to be changed. */
  cells(): Iterable<Sketch>;
}
