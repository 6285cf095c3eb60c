import type { ColumnKind } from './columns.ts';
import type { PrepareRequest } from './prepare.ts';

/** A column as the isolate's trusted code views it; `labels` are the texts of a dictionary column by code. */
export interface GuestColumn {
  readonly name: string;
  readonly kind: ColumnKind;
  readonly labels?: readonly string[] | undefined;
}

/** What every run of consumer code is given; time and seed are the job's, so that the same job computes the same. */
export interface GuestTerms {
  readonly factory: string;
  readonly columns: readonly GuestColumn[];
  readonly timeoutMs: number;
  readonly isolateMiB: number;
  readonly nowMs: number;
  readonly seed: number;
  readonly libraries: readonly string[];
}

/** A column of the table that approved code returns. */
export interface TableColumn {
  readonly name: string;
  readonly kind: 'float64' | 'int32' | 'boolean' | 'text';
  /** UTF-8 bytes of one text */
  readonly maxBytes: number;
}

/**
 * The job of a JavaScript worker. The gateway makes it and the worker trusts it. It travels as CONTROL `{ bytes, rows: 0 }` and
 * then that many bytes in DATA frames; columns travel as CONTROL `{ bytes, rows, at, index }` and lie at `at` in the worker's memory
 * file (fd 5, read-only for the worker), which the worker acknowledges with PROGRESS once it has read them:
 *
 *     gateway → worker   JOB {}   body: this job as JSON   then, unless `prepare` or `post`: bodies of columns
 *     worker → gateway   DATA     prepare, post, debug: one; rowFunction: the cells (and units); blocks, table: one per body
 *                        RESULT {}
 *
 * A gateway says CONTROL `{ end: true }` after the last body.
 */
export type WorkerJob =
  | { readonly kind: 'prepare'; readonly request: PrepareRequest }
  | {
      readonly kind: 'rowFunction';
      readonly kernel: string;
      /** the same kernel as WebAssembly, base64, where it could be compiled */
      readonly module?: string | undefined;
      readonly cells: number;
      readonly kinds: readonly ColumnKind[];
      readonly isCountingUnits: boolean;
      readonly timeoutMs: number;
      readonly isolateMiB: number;
    }
  | {
      readonly kind: 'blocks';
      readonly terms: GuestTerms;
      readonly outputs: readonly string[];
    }
  | {
      readonly kind: 'table';
      readonly terms: GuestTerms;
      readonly table: readonly TableColumn[];
      readonly maxRows: number;
      readonly maxBytes: number;
    }
  | { readonly kind: 'debug'; readonly terms: GuestTerms; readonly maxCharacters: number }
  | { readonly kind: 'post'; readonly terms: GuestTerms; readonly input: string; readonly maxBytes: number };
