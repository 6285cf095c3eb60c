/** Every limit of the dataset part and its default, in one place. */
export const DATASET_LIMITS = {
  maxTables: 64,
  maxColumns: 1024,
  maxRows: 2_000_000_000,
  maxBytes: 64 * 2 ** 30,
  /** bytes of an Arrow file, which is held in the worker's memory */
  maxArrowBytes: 2 ** 30,
  /** characters of a table or column name */
  maxNameLength: 128,
  /** how long a reader may be silent: this, and the time that the bytes take at the least speed expected */
  readIdleMs: 60_000,
  readBytesPerMs: 5_000,
  /** bytes of one CSV record */
  maxCsvLineBytes: 1 << 20,
  /** characters of a provider's row scope */
  maxRowScopeLength: 4096,
  /** deepest nesting of a row scope */
  maxRowScopeDepth: 32,
  /** steps of a join path to the privacy unit */
  maxJoinSteps: 4,
} as const;

export const PARSER_LIMITS = {
  /** bytes of a consumer's query; parsing time grows faster than the text */
  maxSqlBytes: 16 * 1024,
  /** bytes of the serialised tree or plan; it is 150–300 times the text */
  maxTreeBytes: 8 * 2 ** 20,
  maxExpressionDepth: 200,
  /** statements that describe empty tables, and statements to plan */
  maxSchemaStatements: 1024,
  maxPlanStatements: 512,
  memoryMiB: 256,
} as const;

export const BATCH_LIMITS = {
  /** a batch is sent as soon as it holds this many rows or bytes */
  rows: 65_536,
  bytes: 1 << 20,
  /** hard limit of one encoded batch: the channel's data frame */
  frameBytes: 4 * 2 ** 20,
} as const;
