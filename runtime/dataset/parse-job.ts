/** What travels between the gateway and the parser worker. Texts come back as DATA frames, one after another. */

/** JOB payload. `serialize` reads a consumer's text; `plan` reads only statements that the gateway printed. */
export type ParseJob =
  | { readonly op: 'serialize'; readonly sql: string }
  | {
      readonly op: 'plan';
      /** Statements that make empty tables of the policy's catalogue. */
      readonly schema: readonly string[];
      readonly statements: readonly PlannedStatement[];
    };

export interface PlannedStatement {
  readonly sql: string;
  /** Whether later statements need its effect on the empty tables (a temporary table). */
  readonly isRun: boolean;
}

/** RESULT payload: byte lengths of the texts in the order of the DATA bytes. */
export interface ParseResult {
  readonly lengths: readonly number[];
}

export type ParseFailCode = 'too-long' | 'too-large' | 'bad-job' | 'failed' | 'cancelled';
export const PARSE_FAIL_CODES: readonly ParseFailCode[] = ['too-long', 'too-large', 'bad-job', 'failed', 'cancelled'];
