/** Every limit of sandboxed JavaScript, with its unit, in one place. */
export const javascriptLimits = {
  /** source text of any mode but rowFunction, UTF-8 bytes */
  sourceBytes: 256 * 1024,
  /** source text of a row function, UTF-8 bytes: deep nesting must not reach the parser's stack */
  rowFunctionBytes: 16 * 1024,
  /** nodes of a row program */
  rowFunctionNodes: 2000,
  /** nesting of a row program */
  rowFunctionDepth: 200,
  /** columns a computation may read */
  columns: 256,
  /** numbers a computation may return per row or per block */
  outputs: 64,
  /** declared public group keys */
  groupKeys: 10_000,
  /** integer cells of one result: groups × values per group */
  cells: 65_536,
  /** bins of one histogram */
  bins: 1000,
  /** largest |bound| of a declared range: keeps every product below far from the end of the doubles */
  bound: 1e15,
  /** grid steps between the bounds of a range; sums of 2^20 rows then stay below 2^53 and are exact */
  gridLevels: 2 ** 32,
  /** rows of one batch of a row function */
  batchRows: 2 ** 20,
  /** bytes of one batch or block of columns */
  batchBytes: 192 * 1024 * 1024,
  /** rows of one job */
  rows: 2 ** 30,
  /** rows that one privacy unit may contribute */
  rowsPerUnit: 2 ** 20,
  /** privacy units of one job: a worker counts the rows of each */
  units: 2 ** 26,
  /** bits of the table that counts units per group in a worker */
  unitGroupBits: 2 ** 28,
  /** blocks of one job */
  blocks: 2000,
  /** time of one block, ms */
  blockTimeoutMs: 10_000,
  /** time of one whole row function, approved program or post program, ms */
  programTimeoutMs: 120_000,
  /** time to parse a source, ms */
  prepareTimeoutMs: 10_000,
  /** how long one worker serves blocks before a new one takes over, ms: far below the life that its image allows */
  leaseMs: 900_000,
  /** what one worker may answer before a new one takes over, bytes: below the output that its image allows */
  leaseOutputBytes: 64 * 1024 * 1024,
  /** time for a worker to take a job, beyond the time of the job, ms */
  startMs: 10_000,
  /** what the gateway waits beyond the declared time before it kills the worker, ms */
  graceMs: 300,
  /** heap limit of one isolate beyond its columns, MiB; honest code only, the jail holds the others */
  isolateMiB: 64,
  /** heap limit of the isolate of a row function beyond its columns and counters, MiB */
  rowIsolateMiB: 64,
  /** bytes of one dictionary's texts */
  dictionaryBytes: 16 * 1024 * 1024,
  /** UTF-8 bytes of the JSON that post-processing reads, and of the one that it returns */
  postBytes: 1024 * 1024,
  /** nesting of that JSON */
  postDepth: 32,
  /** rows that approved code may return per group */
  approvedRowsPerGroup: 1000,
  /** UTF-8 bytes of one text cell of approved code */
  approvedTextBytes: 1024,
  /** bytes of one group's table of approved code */
  approvedGroupBytes: 1024 * 1024,
  /** what a debug run on synthetic data may print, characters */
  debugCharacters: 64 * 1024,
  /** rounds of an iterative job */
  rounds: 100,
  /** complaints listed for one refused program */
  reasons: 20,
} as const;
